//! Guest CPUs move to other host CPUs when theirs has no room for them.
//!
//! Whoever shares a guest CPU's host CPU need not be another guest, and comes and goes. So a thread
//! of the process looks at times whether a guest CPU had to wait for its host CPU, and whether
//! another one had nothing to do meanwhile; then the guest CPU, with all that belongs to it, goes
//! there. Two CPUs of one guest change places.

use crate::claims::Claim;
use crate::thread;
use std::time::{Duration, Instant};

/// How a model is asked and told.
#[derive(Clone, Copy)]
pub struct Guest {
    /// The host threads that a guest CPU's time goes to now, 0 for none.
    pub threads: fn(usize) -> [i32; 2],
    /// The guest CPU has another host CPU from now on.
    pub moved: fn(usize, usize),
}

const PERIOD: Duration = Duration::from_millis(100);
/// It is longer for a guest with many CPUs, of which each takes a look.
const PERIOD_FOR_EACH: Duration = Duration::from_millis(10);
/// How seldom a guest without work is looked at.
const LONGEST_PERIOD: Duration = Duration::from_millis(800);
/// A share of the time, in percent: who waits for longer has no room.
const WAITING: u64 = 15;
/// A host CPU that is idle for so many percent has room.
const ROOM: u64 = 60;
/// At each of its turns a thread may wait for the one on the same CPU that hands over to it: guest
/// and core do that all the time. (ns)
const HANDOVER: u64 = 3_000;
/// How long a guest CPU stays after a move; twice as long after each further one.
const STAY: Duration = Duration::from_millis(500);
const LONGEST_STAY: Duration = Duration::from_secs(8);

/// How long a thread has waited for a CPU while it could run (ns), and how many turns it had.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Waited {
    thread: i32,
    ns: u64,
    turns: u64,
}

impl Waited {
    fn of(thread: i32) -> Waited {
        let text = std::fs::read_to_string(format!("/proc/{thread}/schedstat")).unwrap_or_default();
        let mut numbers = text.split_whitespace().skip(1).map(|n| n.parse().unwrap_or(0));
        Waited { thread, ns: numbers.next().unwrap_or(0), turns: numbers.next().unwrap_or(0) }
    }

    /// What it waited since `before` beyond handing over (ns).
    fn since(&self, before: &Waited) -> u64 {
        if self.thread != before.thread {
            return 0;
        }
        let turns = self.turns.saturating_sub(before.turns);
        self.ns.saturating_sub(before.ns).saturating_sub(turns * HANDOVER)
    }
}

/// A guest CPU, as the watching thread sees it.
struct Place {
    claim: Claim,
    waited: [Waited; 2],
    /// How often in a row it had no room.
    crowded: usize,
    stay: Duration,
    moved: Instant,
}

/// Idle and all time of each host CPU, in ticks, by its number.
fn host_times() -> Vec<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let mut times = Vec::new();
    for line in text.lines().take_while(|line| line.starts_with("cpu")) {
        let mut fields = line.split_whitespace();
        let Some(number) = fields.next().and_then(|name| name[3..].parse::<usize>().ok()) else { continue };
        // user, nice, system, idle, iowait, irq, softirq, steal; the others are parts of these.
        let ticks: Vec<u64> = fields.take(8).map(|n| n.parse().unwrap_or(0)).collect();
        if times.len() <= number {
            times.resize(number + 1, (0, 0));
        }
        times[number] = (ticks.iter().skip(3).take(2).sum(), ticks.iter().sum());
    }
    times
}

/// How many percent of the time between the two a host CPU was idle.
fn room(before: &[(u64, u64)], now: &[(u64, u64)], cpu: usize) -> u64 {
    let (Some(before), Some(now)) = (before.get(cpu), now.get(cpu)) else { return 0 };
    let (idle, all) = (now.0.saturating_sub(before.0), now.1.saturating_sub(before.1));
    (idle * 100).checked_div(all).unwrap_or(0)
}

/// Watches over guest CPUs that have these host CPUs. Where there are no others, there is nothing
/// to watch.
pub fn watch(claims: Vec<Claim>, guest: Guest) {
    let allowed = thread::allowed_cpus();
    if allowed.len() == 1 {
        return;
    }
    let watcher = std::thread::Builder::new().name("placement".into()).stack_size(256 << 10);
    // For speed only.
    let _ = watcher.spawn(move || {
        thread::keep_stacks_from_forks();
        Watcher::new(claims, allowed, guest).serve();
    });
}

struct Watcher {
    places: Vec<Place>,
    allowed: Vec<usize>,
    guest: Guest,
}

impl Watcher {
    fn new(claims: Vec<Claim>, allowed: Vec<usize>, guest: Guest) -> Watcher {
        let place = |claim| Place { claim, waited: Default::default(), crowded: 0, stay: STAY, moved: Instant::now() };
        Watcher { places: claims.into_iter().map(place).collect(), allowed, guest }
    }

    fn serve(&mut self) {
        let shortest = PERIOD.max(PERIOD_FOR_EACH * self.places.len() as u32);
        let (mut period, mut looked) = (shortest, Instant::now());
        // The host's CPUs, as they were when a place was first seen to be crowded.
        let mut before: Option<Vec<(u64, u64)>> = None;
        loop {
            std::thread::sleep(period);
            let ran = self.look(looked.elapsed());
            looked = Instant::now();
            period = if ran { shortest } else { (2 * period).min(LONGEST_PERIOD) };
            if self.places.iter().all(|place| place.crowded == 0) {
                before = None;
                continue;
            }
            let now = host_times();
            if let Some(before) = before.replace(now.clone()) {
                for number in 0..self.places.len() {
                    self.make_room(number, |cpu| room(&before, &now, cpu));
                }
            }
        }
    }

    /// Counts which places were crowded in the last period. Whether any guest CPU ran.
    fn look(&mut self, period: Duration) -> bool {
        let mut ran = false;
        for (number, place) in self.places.iter_mut().enumerate() {
            let now = (self.guest.threads)(number)
                .map(|thread| if thread == 0 { Waited::default() } else { Waited::of(thread) });
            let waited: u64 = now.iter().zip(&place.waited).map(|(now, before)| now.since(before)).sum();
            ran |= now != place.waited || now[1].thread != 0;
            place.waited = now;
            place.crowded = if waited * 100 >= period.as_nanos() as u64 * WAITING { place.crowded + 1 } else { 0 };
        }
        ran
    }

    /// Moves a guest CPU that is crowded, if there is a host CPU with room.
    fn make_room(&mut self, number: usize, room: impl Fn(usize) -> u64) {
        let place = &self.places[number];
        if place.crowded < 2 || place.moved.elapsed() < place.stay {
            return;
        }
        let own = place.claim.cpu;
        let others = self.allowed.iter().copied().filter(|&cpu| cpu != own && room(cpu) >= ROOM);
        let mut others: Vec<usize> = others.collect();
        others.sort_by_key(|&cpu| std::cmp::Reverse(room(cpu)));
        // Of guests that are crowded on one CPU those that came last go first, so that not all of
        // them do. Later nobody is waited for.
        let levels = 0..=place.claim.level + place.crowded / 8;
        for cpu in others {
            if let Some(other) = self.places.iter().position(|place| place.claim.cpu == cpu) {
                let (first, second) = (number.min(other), number.max(other));
                let (low, high) = self.places.split_at_mut(second);
                std::mem::swap(&mut low[first].claim, &mut high[0].claim);
                self.moved(other);
                return self.moved(number);
            }
            if let Some(claim) = levels.clone().find_map(|level| Claim::at(cpu, level)) {
                self.places[number].claim = claim;
                return self.moved(number);
            }
        }
    }

    fn moved(&mut self, number: usize) {
        let place = &mut self.places[number];
        let rested = place.moved.elapsed() > 4 * LONGEST_STAY;
        place.stay = if rested { STAY } else { (2 * place.stay).min(LONGEST_STAY) };
        (place.moved, place.crowded) = (Instant::now(), 0);
        (self.guest.moved)(number, place.claim.cpu);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn the_hosts_cpus_are_seen() {
        let before = host_times();
        let until = Instant::now() + Duration::from_millis(60);
        while Instant::now() < until {}
        let now = host_times();
        for cpu in thread::allowed_cpus() {
            assert!(now[cpu].1 > before[cpu].1, "cpu {cpu}");
            assert!(room(&before, &now, cpu) <= 100);
        }
        assert_eq!(room(&before, &now, 1 << 20), 0);
    }

    /// Guest CPUs on the first of some host CPUs that there are not, of which no other test's are
    /// claimed, and where they were moved to.
    fn watcher(first: usize, count: usize, moved: fn(usize, usize)) -> Watcher {
        let claims = (0..count).map(|number| Claim::at(first + number, 0).unwrap()).collect();
        let mut watcher = Watcher::new(claims, (first..first + 3).collect(), Guest { threads: |_| [0, 0], moved });
        for place in &mut watcher.places {
            (place.crowded, place.moved) = (2, Instant::now() - STAY);
        }
        watcher
    }

    static MOVES: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

    fn moves(from: usize) -> Vec<(usize, usize)> {
        MOVES.lock().unwrap().iter().copied().filter(|&(_, cpu)| (from..from + 3).contains(&cpu)).collect()
    }

    fn note(number: usize, cpu: usize) {
        MOVES.lock().unwrap().push((number, cpu));
    }

    #[test]
    fn who_is_crowded_goes_where_there_is_room() {
        const FIRST: usize = 10_000;
        let mut watcher = watcher(FIRST, 1, note);
        watcher.make_room(0, |_| ROOM - 1);
        assert_eq!(moves(FIRST), []);
        watcher.make_room(0, |cpu| if cpu == FIRST + 2 { 90 } else { 70 });
        assert_eq!(moves(FIRST), [(0, FIRST + 2)]);
        // It stays there for a while, and what it left is anybody's.
        watcher.places[0].crowded = 2;
        watcher.make_room(0, |_| 100);
        assert_eq!(moves(FIRST).len(), 1);
        assert!(Claim::at(FIRST, 0).is_some() && Claim::at(FIRST + 2, 0).is_none());
    }

    #[test]
    fn of_two_guests_on_one_cpu_one_goes() {
        const FIRST: usize = 20_000;
        let mut later = watcher(FIRST, 1, note);
        later.places[0].claim = Claim::at(FIRST, 1).unwrap();
        let mut earlier = Watcher::new(vec![Claim::at(FIRST, 0).unwrap()], later.allowed.clone(), later.guest);
        (earlier.places[0].crowded, earlier.places[0].moved) = (2, Instant::now() - STAY);
        let room = |cpu| if cpu == FIRST + 1 { 100 } else { 0 };
        later.make_room(0, room);
        earlier.make_room(0, room);
        assert_eq!(moves(FIRST), [(0, FIRST + 1)]);
        // An idle guest's claim does not hold it for good.
        earlier.places[0].crowded = 8;
        earlier.make_room(0, room);
        assert_eq!(moves(FIRST), [(0, FIRST + 1), (0, FIRST + 1)]);
    }

    #[test]
    fn two_cpus_of_a_guest_change_places() {
        const FIRST: usize = 30_000;
        let mut watcher = watcher(FIRST, 2, note);
        watcher.make_room(1, |cpu| if cpu == FIRST { 100 } else { 0 });
        assert_eq!(moves(FIRST), [(0, FIRST + 1), (1, FIRST)]);
    }

    #[test]
    fn threads_on_one_cpu_wait() {
        let cpu = thread::allowed_cpus()[0];
        let spin = move || {
            let _ = thread::pin(cpu);
            let before = Waited::of(thread::id());
            let until = Instant::now() + Duration::from_millis(300);
            while Instant::now() < until {}
            Waited::of(thread::id()).since(&before)
        };
        let threads = [std::thread::spawn(spin), std::thread::spawn(spin)];
        let waited: u64 = threads.map(|thread| thread.join().unwrap()).iter().sum();
        assert!(waited > 100_000_000, "{waited}");
    }

    #[test]
    fn waiting_for_a_handover_is_not_counted() {
        let before = Waited { thread: 5, ns: 1000, turns: 10 };
        let now = Waited { thread: 5, ns: 1000 + 4 * HANDOVER + 7, turns: 14 };
        assert_eq!(now.since(&before), 7);
        assert_eq!(Waited { thread: 6, ..now }.since(&before), 0);
    }
}
