//! Waiting for files: poll(2), ppoll(2), select(2), pselect6(2).

use super::timeout::{deadline, left, read_timespec, read_timeval};
use super::{Call, Entry, entry};
use crate::limits;
use crate::mm::pressure::room_for;
use crate::mm::user::{bytes_of, bytes_of_mut, check_range, zeroed};
use crate::sched::wait::{Sleep, WaitQueue, wait_until};
use crate::sched::{killable_point, preempt_point};
use crate::task::Task;
use crate::task::signal::{read_mask, with_temporary_mask};
use crate::vfs::file::{Events, OpenFile};
use crate::{Errno, Result, time};
use abi::number::{Low, saturated_i32};
use smallvec::SmallVec;
use std::sync::Arc;
use umlab_abi::poll::Pollfd;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_poll, "poll", "Pud", poll),
    entry(abi::SYS_ppoll, "ppoll", "PuPPu", ppoll),
    entry(abi::SYS_select, "select", "dPPPP", select),
    entry(abi::SYS_pselect6, "pselect6", "dPPPPP", pselect6),
];

/// Reported whether asked for or not.
const ALWAYS: Events = Events::ERR.union(Events::HUP);

/// So many descriptors are looked at between two preemption points.
const BATCH: usize = 256;

/// An open file that is waited for.
struct Watched {
    file: Arc<OpenFile>,
    /// Which of the caller's entries it is.
    index: usize,
    wanted: Events,
}

/// Waits until `scan`, which is given what it finds of each file, counts at least one; counts 0
/// when `deadline` passed.
///
/// # Errors
/// ERESTARTNOHAND when a signal came first.
fn wait_for(watched: &[Watched], deadline: Option<u64>, mut scan: impl FnMut(&Watched, Events) -> u64) -> Result<u64> {
    let mut look = || {
        let mut count = 0;
        for (i, entry) in watched.iter().enumerate() {
            // A wake-up that comes meanwhile keeps the task from sleeping.
            if i % BATCH == BATCH - 1 {
                preempt_point();
            }
            let events = entry.file.poll() & entry.wanted;
            if !events.is_empty() {
                count += scan(entry, events);
            }
        }
        (count > 0).then_some(count)
    };
    if let Some(count) = look() {
        return Ok(count);
    }
    if deadline == Some(0) {
        return Ok(0);
    }
    let queues: SmallVec<[&WaitQueue; 16]> =
        watched.iter().flat_map(|entry| entry.file.poll_queues().unwrap_or_default()).collect();
    match wait_until(&queues, deadline, Sleep::Interruptible, look) {
        Err(Errno::ETIMEDOUT) => Ok(0),
        Err(Errno::ERESTARTSYS) => Err(Errno::ERESTARTNOHAND),
        result => result,
    }
}

fn poll(call: &mut Call<'_>) -> Result<u64> {
    let deadline = deadline(u64::try_from(call.int(2)).ok().map(|ms| ms * 1_000_000));
    poll_until(call.task, call.args[0], call.uint(1), deadline)
}

/// poll(2) with an absolute end, so that it can be taken up again after a signal.
fn poll_until(task: &Arc<Task>, fds: u64, count: u32, deadline: Option<u64>) -> Result<u64> {
    poll_fds(task, fds, count, deadline).map_err(|e| match e {
        Errno::ERESTARTNOHAND => {
            let restart = Box::new(move |call: &mut Call<'_>| poll_until(call.task, fds, count, deadline));
            task.signals.borrow_mut().restart_with(restart)
        }
        e => e,
    })
}

fn ppoll(call: &mut Call<'_>) -> Result<u64> {
    let [fds, _, timeout, mask, size, _] = call.args;
    let space = call.task.space();
    let deadline = deadline(read_timespec(&space, timeout)?);
    let mask = read_mask(call.task, mask, size)?;
    let result = with_temporary_mask(call.task, mask, || poll_fds(call.task, fds, call.uint(1), deadline));
    give_back_timespec(call, timeout, deadline, result)
}

/// Writes the time that is left back. A call whose timeout cannot be updated cannot be restarted.
fn give_back_timespec(call: &Call<'_>, addr: u64, deadline: Option<u64>, result: Result<u64>) -> Result<u64> {
    let Some(deadline) = deadline else { return result };
    let written = call.task.space().write(addr, &time::timespec(left(deadline)));
    match result {
        Err(Errno::ERESTARTNOHAND) if written.is_err() => Err(Errno::EINTR),
        result => result,
    }
}

fn poll_fds(task: &Task, addr: u64, count: u32, deadline: Option<u64>) -> Result<u64> {
    if u64::from(count) > task.process.limit(limits::NOFILE) {
        return Err(Errno::EINVAL);
    }
    let count = count as usize;
    let space = task.space();
    room_for(count * (size_of::<Pollfd>() + size_of::<Watched>()))?;
    let mut fds: SmallVec<[Pollfd; 8]> = SmallVec::from_elem(zeroed(), count);
    for (i, fd) in fds.iter_mut().enumerate() {
        space.read_bytes(addr.wrapping_add(8 * i as u64), bytes_of_mut(fd))?;
        if i % BATCH == BATCH - 1 {
            killable_point()?;
        }
    }
    let files = task.files();
    let mut watched: SmallVec<[Watched; 8]> = SmallVec::new();
    let mut invalid = 0;
    for (index, fd) in fds.iter_mut().enumerate() {
        fd.revents = 0;
        if index % BATCH == BATCH - 1 {
            killable_point()?;
        }
        if fd.fd < 0 {
            continue;
        }
        match files.get_io(fd.fd) {
            Ok(file) => {
                let wanted = Events::from_bits_truncate(fd.events.cast_unsigned().into()) | ALWAYS;
                watched.push(Watched { file, index, wanted });
            }
            Err(_) => {
                fd.revents = abi::POLLNVAL;
                invalid += 1;
            }
        }
    }
    // A descriptor that is none is an answer already.
    let deadline = if invalid > 0 { Some(0) } else { deadline };
    let result = wait_for(&watched, deadline, |entry, events| {
        fds[entry.index].revents = events.bits().low_i16();
        1
    });
    // Also where nothing is written.
    check_range(addr, 8 * fds.len() as u64)?;
    for (i, fd) in fds.iter().enumerate() {
        space.write_bytes(addr.wrapping_add(8 * i as u64 + 6), bytes_of(&fd.revents))?;
        if i % BATCH == BATCH - 1 {
            killable_point()?;
        }
    }
    Ok(result? + invalid)
}

fn select(call: &mut Call<'_>) -> Result<u64> {
    let timeout = call.args[4];
    let space = call.task.space();
    let deadline = deadline(read_timeval(&space, timeout)?);
    let result = select_sets(call, deadline);
    let Some(deadline) = deadline else { return result };
    let written = space.write(timeout, &time::timeval(left(deadline)));
    match result {
        Err(Errno::ERESTARTNOHAND) if written.is_err() => Err(Errno::EINTR),
        result => result,
    }
}

fn pselect6(call: &mut Call<'_>) -> Result<u64> {
    let [.., timeout, mask] = call.args;
    let space = call.task.space();
    // The last argument points to the mask's address and its size.
    let mask = if mask == 0 { [0, 0] } else { space.read::<[u64; 2]>(mask)? };
    let deadline = deadline(read_timespec(&space, timeout)?);
    let mask = read_mask(call.task, mask[0], mask[1])?;
    let result = with_temporary_mask(call.task, mask, || select_sets(call, deadline));
    give_back_timespec(call, timeout, deadline, result)
}

/// The sets of select(2): what each bit asks for.
const SETS: [Events; 3] = [
    Events::RDNORM.union(Events::RDBAND).union(Events::IN).union(Events::HUP).union(Events::ERR),
    Events::WRBAND.union(Events::WRNORM).union(Events::OUT).union(Events::ERR),
    Events::PRI,
];

type BitSet = SmallVec<[u64; 4]>;

fn select_sets(call: &Call<'_>, deadline: Option<u64>) -> Result<u64> {
    let count = usize::try_from(call.int(0)).map_err(|_| Errno::EINVAL)?;
    let files = call.task.files();
    // Bits beyond what the table ever held are not looked at.
    let count = count.min(files.len().next_multiple_of(64).max(64));
    room_for(count * size_of::<Watched>())?;
    let words = count.div_ceil(64);
    let space = call.task.space();
    let mut asked: [BitSet; 3] = Default::default();
    for (set, &addr) in asked.iter_mut().zip(&call.args[1..4]) {
        *set = SmallVec::from_elem(0, words);
        if addr != 0 {
            for (i, word) in set.iter_mut().enumerate() {
                *word = space.read(addr.wrapping_add(8 * i as u64))?;
            }
        }
    }
    let most = (0..words).map(|word| (asked[0][word] | asked[1][word] | asked[2][word]).count_ones() as usize).sum();
    let mut watched: SmallVec<[Watched; 8]> = SmallVec::with_capacity(most);
    for word in 0..words {
        if word % (BATCH / 64) == BATCH / 64 - 1 {
            killable_point()?;
        }
        let within = u64::MAX >> (64 - (count - word * 64).min(64));
        let mut bits = asked.iter().fold(0, |bits, set| bits | set[word]) & within;
        while bits != 0 {
            let (index, bit) = (word * 64 + bits.trailing_zeros() as usize, bits & bits.wrapping_neg());
            let mut wanted = Events::empty();
            for (set, events) in asked.iter().zip(SETS) {
                if set[word] & bit != 0 {
                    wanted |= events;
                }
            }
            watched.push(Watched { file: files.get_io(saturated_i32(index))?, index, wanted });
            bits ^= bit;
        }
    }
    let mut found: [BitSet; 3] = [0; 3].map(|_: i32| SmallVec::from_elem(0, words));
    let ready = wait_for(&watched, deadline, |entry, events| {
        let (word, bit) = (entry.index / 64, 1u64 << (entry.index % 64));
        let mut bits = 0;
        for ((set, asked), which) in found.iter_mut().zip(&asked).zip(SETS) {
            if asked[word] & bit != 0 && events.intersects(which) {
                set[word] |= bit;
                bits += 1;
            }
        }
        bits
    })?;
    for (set, &addr) in found.iter().zip(&call.args[1..4]) {
        if addr != 0 {
            for (i, word) in set.iter().enumerate() {
                space.write(addr.wrapping_add(8 * i as u64), word)?;
            }
        }
    }
    Ok(ready)
}
