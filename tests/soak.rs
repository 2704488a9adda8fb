//! Guests under mixed load, and guests killed in the middle of it, for as long as one likes.
//!
//! Lost wake-ups and races need many tries: what runs for seconds in the ordinary tests runs for
//! minutes with `UMLAB_SOAK_MINUTES` (`scripts/test --soak MINUTES`). A hang is a run that does not
//! end in its time.

mod common;

use common::{Program, end_session, members, spawn_in_session, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Mixed work that says what it computed; the answers do not depend on time.
const WORK: &[(&str, &str)] = &[
    (
        "fork and exec",
        "for i in $(seq 60); do (:); /bin/true & done; wait; echo $(seq 20 | xargs -P 4 -n 1 echo | sort -n | tr '\\n' ' ')",
    ),
    ("pipes", "for i in 1 2 3 4; do seq 20000 | sort -rn | sort -n | md5sum & done; wait"),
    (
        "pipe back and forth",
        "coproc cat; for i in $(seq 400); do echo $i >&${COPROC[1]}; read -r x <&${COPROC[0]}; [ $x = $i ] || echo wrong $x; done; echo over",
    ),
    (
        "signals",
        "n=0; trap 'n=$((n+1))' USR1; for i in $(seq 40); do (kill -USR1 $$) & wait $!; wait; done; [ $n -gt 0 ] && echo some; (sleep 0.05; kill -TERM $BASHPID) & wait $!; echo $?",
    ),
    ("timers", "for i in $(seq 30); do sleep 0.0$((i % 7)) & done; wait; timeout 0.1 sleep 10; echo $?"),
    (
        "threads",
        r"exec python3 -c '
import threading, queue
q, r = queue.Queue(4), queue.Queue()
def work():
    while (n := q.get()) is not None:
        r.put(n * n)
pool = [threading.Thread(target=work) for _ in range(6)]
[t.start() for t in pool]
[q.put(n) for n in range(500)]
[q.put(None) for t in pool]
[t.join() for t in pool]
barrier, total = threading.Barrier(5), []
def step(n):
    for i in range(40):
        barrier.wait(); total.append(n)
pool = [threading.Thread(target=step, args=(n,)) for n in range(5)]
[t.start() for t in pool]
[t.join() for t in pool]
print(sum(r.get() for _ in range(500)), len(total))'",
    ),
    (
        "multiprocessing",
        r"exec python3 -c '
import multiprocessing as m
def f(n): return n * n
with m.Pool(4) as pool: print(sum(pool.imap_unordered(f, range(300), 7)))
q = m.Queue()
ps = [m.Process(target=q.put, args=(n,)) for n in range(8)]
[p.start() for p in ps]; print(sorted(q.get() for _ in ps)); [p.join() for p in ps]
print([p.exitcode for p in ps])'",
    ),
    (
        "make",
        r#"d=$(mktemp -d); cd $d
for i in 1 2 3 4 5 6; do echo "int f$i(void) { return $i; }" >f$i.c; done
echo '#include <stdio.h>
int f1(void), f2(void), f3(void), f4(void), f5(void), f6(void);
int main(void) { printf("%d\n", f1() + f2() + f3() + f4() + f5() + f6()); }' >main.c
printf 'prog: main.o f1.o f2.o f3.o f4.o f5.o f6.o\n\tgcc -o $@ $^\n' >Makefile
make -s -j4 && ./prog; rm -r $d"#,
    ),
];

/// How long to go on, and whether more than a short form was asked for.
fn duration() -> Duration {
    let minutes = std::env::var("UMLAB_SOAK_MINUTES").ok().map(|m| m.parse::<f64>().expect("a number of minutes"));
    Duration::from_secs_f64(minutes.map_or(10.0, |m| m * 60.0))
}

/// Numbers that differ from run to run, told when something fails.
struct Random(u64);

impl Random {
    fn new() -> Random {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        Random(now.as_nanos() as u64 | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[test]
fn mixed_work_gives_the_same_answers() {
    let expected: Vec<_> =
        WORK.iter().map(|(_, script)| Program::new(&["bash", "-c", script]).on_host().out()).collect();
    let (start, mut rounds, mut slowest) = (Instant::now(), 0, (Duration::ZERO, ""));
    while rounds == 0 || start.elapsed() < duration() {
        for ((name, script), expected) in WORK.iter().zip(&expected) {
            let cpus = if rounds % 4 == 3 { "1" } else { "2" };
            let began = Instant::now();
            let outcome = Program::new(&["bash", "-c", script]).options(&["--cpus", cpus]).limit(90).in_guest();
            slowest = slowest.max((began.elapsed(), name));
            assert!(outcome.out() == *expected, "{name}, round {rounds}, {cpus} CPUs: not {expected:?}: {outcome:?}");
        }
        rounds += 1;
    }
    println!("{rounds} rounds, the slowest run took {:.1?} ({})", slowest.0, slowest.1);
}

#[test]
fn killed_at_random_moments() {
    let (start, mut random, mut kills) = (Instant::now(), Random::new(), 0);
    let files = tempfile::tempdir().expect("a directory");
    let mounts = || std::fs::read_to_string("/proc/self/mounts").expect("the host's mounts");
    let mounts_before = mounts();
    while kills == 0 || start.elapsed() < duration() {
        let (name, work) = WORK[random.below(WORK.len() as u64) as usize];
        let once = match random.below(4) {
            0 => "script -qc 'bash -c \"$WORK\"' /dev/null", // on a terminal of the guest
            _ => "bash -c \"$WORK\"",
        };
        let script = format!("while :; do {once}; done");
        let cpus = if random.below(2) == 0 { "1" } else { "2" };
        let after = Duration::from_micros(random.below(600_000) * random.below(2) + random.below(60_000));
        let program = Program::new(&["bash", "-c", &script]).env("WORK", work).options(&["--cpus", cpus]);
        let mut command = program.guest_command();
        command.env("TMPDIR", files.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = spawn_in_session(command);
        let session = child.id();
        std::thread::sleep(after);
        kill(Pid::from_raw(session as i32), Signal::SIGKILL).expect("killing our own child");
        wait(&mut child, Duration::from_secs(10));
        let begun = Instant::now();
        while !members(session).is_empty() && begun.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let left = end_session(session);
        assert!(left.is_empty(), "{name}, {cpus} CPUs, killed after {after:?}: left {left:?}");
        let made = std::fs::read_dir(files.path()).expect("our directory").count();
        assert_eq!(made, 0, "{name}, killed after {after:?}: files are left");
        kills += 1;
    }
    assert_eq!(mounts(), mounts_before);
    println!("killed {kills} times");
}
