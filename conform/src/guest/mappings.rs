//! What is mapped is what was asked for, and nothing else, at once and for everybody: a mapping
//! that was taken away, changed or replaced is never met again.

use crate::guarded::{Caught, load, store};
use crate::tools::*;
use crate::verdict::{Verdict, ensure};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

const TIMES: usize = 100;

fn faults<T>(found: &Result<T, Caught>) -> bool {
    matches!(found, Err(caught) if caught.signal == libc::SIGSEGV)
}

pub fn unmapped() -> Verdict {
    for time in 0..TIMES {
        let at = map(3, WRITE, false)?;
        for page in 0..3 {
            ensure!(store(at + page * PAGE, 7).is_ok(), "fresh memory cannot be written");
        }
        unmap(at + PAGE, 1)?;
        ensure!(faults(&load(at + PAGE)), "time {time}: what was unmapped can be read");
        ensure!(faults(&store(at + PAGE, 1)), "time {time}: what was unmapped can be written");
        ensure!(load(at) == Ok(7) && load(at + 2 * PAGE) == Ok(7), "time {time}: what lies beside it is lost");
        unmap(at, 3)?;
        ensure!(faults(&load(at)), "time {time}: what was unmapped can be read");
    }
    Ok(())
}

pub fn protected() -> Verdict {
    let at = map(1, WRITE, false)?;
    for time in 0..TIMES {
        let byte = time as u8;
        ensure!(store(at, byte).is_ok(), "time {time}: what may be written again cannot be");
        protect(at, 1, READ)?;
        ensure!(faults(&store(at, !byte)), "time {time}: what is read-only can be written");
        ensure!(load(at) == Ok(byte), "time {time}: what is read-only has changed, or cannot be read");
        protect(at, 1, libc::PROT_NONE)?;
        ensure!(faults(&load(at)), "time {time}: what has no rights can be read");
        protect(at, 1, WRITE)?;
        ensure!(load(at) == Ok(byte), "time {time}: what was protected is lost");
    }
    Ok(())
}

pub fn replaced() -> Verdict {
    let at = map(2, WRITE, false)?;
    for time in 0..TIMES {
        let byte = time as u8 | 1;
        ensure!(store(at, byte).is_ok(), "fresh memory cannot be written");
        map_over(at, 1, WRITE)?;
        ensure!(load(at) == Ok(0), "time {time}: the old page is there where another one was mapped");
        ensure!(store(at, byte).is_ok(), "fresh memory cannot be written");
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        call_remap(at, at + PAGE, flags)?;
        ensure!(faults(&load(at)), "time {time}: a page that was moved can be read where it was");
        ensure!(load(at + PAGE) == Ok(byte), "time {time}: a page that was moved is lost");
        // SAFETY: our own page.
        unsafe { libc::madvise((at + PAGE) as *mut _, PAGE, libc::MADV_DONTNEED) };
        ensure!(load(at + PAGE) == Ok(0), "time {time}: a page that was given up is there");
        map_over(at, 1, WRITE)?;
    }
    Ok(())
}

fn call_remap(from: usize, to: usize, flags: i32) -> Verdict {
    // SAFETY: callers move pages of their own over pages of their own.
    let moved = unsafe { libc::mremap(from as *mut _, PAGE, PAGE, flags, to) };
    ensure!(moved as usize == to, "mremap: {}", std::io::Error::last_os_error());
    Ok(())
}

/// Code that is replaced: the new one runs.
pub fn code() -> Verdict {
    let at = map(1, WRITE, false)?;
    for time in 0..TIMES {
        protect(at, 1, WRITE)?;
        // mov eax, TIME; ret
        let code = [0xb8, time as u8, 0, 0, 0, 0xc3];
        for (at, byte) in (at..).zip(code) {
            ensure!(store(at, byte).is_ok(), "time {time}: what may be written again cannot be");
        }
        ensure!(faults(&crate::guarded::jump(at)), "time {time}: what may not be executed can be");
        protect(at, 1, READ | libc::PROT_EXEC)?;
        let found = crate::guarded::jump(at);
        ensure!(found == Ok(time), "time {time}: {found:x?} by code that was replaced");
    }
    Ok(())
}

/// What a page of the arena should be.
#[derive(Clone, Copy)]
enum Page {
    Absent,
    There { prot: i32, byte: u8 },
}

const ARENA: usize = 24;
const STEPS: usize = 1200;

/// Changes of mappings at random, and after each of them some looks at what is there.
fn random(seed: u64, steps: usize) -> Verdict {
    let mut chance = Chance::new(seed);
    // Far from where the kernel puts what has no place of its own: it must not fill the holes.
    let base = 0x1000_0000_0000 + ((seed as usize) << 24);
    map_over(base, ARENA, libc::PROT_NONE)?;
    let mut pages = [Page::There { prot: libc::PROT_NONE, byte: 0 }; ARENA];
    for step in 0..steps {
        let page = chance.below(ARENA);
        let count = 1 + chance.below((ARENA - page).min(5));
        let prot = [libc::PROT_NONE, READ, WRITE, WRITE][chance.below(4)];
        let at = base + page * PAGE;
        let range = page..page + count;
        match chance.below(6) {
            0 => {
                unmap(at, count)?;
                pages[range].fill(Page::Absent);
            }
            1 | 2 => {
                map_over(at, count, prot)?;
                pages[range].fill(Page::There { prot, byte: 0 });
            }
            3 => {
                let all_there = pages[range.clone()].iter().all(|page| matches!(page, Page::There { .. }));
                if all_there {
                    protect(at, count, prot)?;
                }
                for page in &mut pages[range] {
                    if let (true, Page::There { prot: old, .. }) = (all_there, page) {
                        *old = prot;
                    }
                }
            }
            4 => {
                let to = chance.below(ARENA);
                if let (Page::There { .. }, true) = (pages[page], to != page) {
                    call_remap(at, base + to * PAGE, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED)?;
                    pages[to] = std::mem::replace(&mut pages[page], Page::Absent);
                }
            }
            _ => {
                if let Page::There { .. } = pages[page] {
                    // SAFETY: our own page.
                    unsafe { libc::madvise(at as *mut _, PAGE, libc::MADV_DONTNEED) };
                    if let Page::There { byte, .. } = &mut pages[page] {
                        *byte = 0;
                    }
                }
            }
        }
        for look in 0..4 {
            let page = if look == 0 { page } else { chance.below(ARENA) };
            let verdict = look_at(base + page * PAGE, &mut pages[page], chance.next() as u8);
            verdict.map_err(|reason| format!("seed {seed}, step {step}, page {page}: {reason}"))?;
        }
    }
    unmap(base, ARENA)
}

/// Whether a page is what it should be; a writable one is then written to.
fn look_at(at: usize, page: &mut Page, fresh: u8) -> Result<(), String> {
    let found = load(at);
    let wrong = |what: &str| Err(format!("{what}: {found:x?}"));
    match page {
        Page::Absent if !faults(&found) => wrong("nothing is mapped, and yet it can be read"),
        Page::There { prot: libc::PROT_NONE, .. } if !faults(&found) => wrong("it has no rights, and can be read"),
        Page::There { prot: READ | WRITE, byte } if found != Ok(*byte) => wrong(&format!("{byte:#x} was written")),
        Page::There { prot: WRITE, byte } => {
            *byte = fresh;
            store(at, fresh).map_err(|caught| format!("it cannot be written: {caught:x?}"))
        }
        Page::There { prot: READ, .. } if !faults(&store(at, fresh)) => wrong("it is read-only, and can be written"),
        _ => Ok(()),
    }
}

pub fn at_random() -> Verdict {
    (1..4).try_for_each(|seed| random(seed, STEPS))
}

/// The same in several processes at once.
pub fn in_processes() -> Verdict {
    let count = cpus().len() as u64 + 2;
    let mut children = Vec::new();
    for seed in 0..count {
        children.push(child(move || random(100 + seed, STEPS))?);
    }
    children.into_iter().try_for_each(join)
}

/// The same in several threads of one address space.
pub fn in_threads() -> Verdict {
    let count = cpus().len() as u64 + 2;
    let threads: Vec<_> = (0..count).map(|seed| std::thread::spawn(move || random(200 + seed, STEPS / 2))).collect();
    threads.into_iter().try_for_each(joined)
}

/// What the other thread is to find.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Now {
    Value,
    Zero,
    Gone,
    ReadOnly,
    NoRights,
}

/// In turn. After the one at which the other thread tries to write, a late write of its own can
/// change nothing.
const NOWS: [Now; 5] = [Now::Value, Now::Zero, Now::Gone, Now::ReadOnly, Now::NoRights];
/// Twice the number of the last change; odd while the next one is made.
static GENERATION: AtomicU64 = AtomicU64::new(0);
/// Looks that found what they should.
static LOOKS: AtomicU64 = AtomicU64::new(0);
static OVER: AtomicBool = AtomicBool::new(false);

/// One thread changes a mapping, and another one looks at it all the time: when the call has
/// returned, the change holds for the other one.
pub fn seen_by_threads() -> Verdict {
    // Far from where the kernel puts what has no place of its own.
    let at = 0x1000_0000_0000;
    map_over(at, 1, WRITE)?;
    ensure!(store(at, 1).is_ok(), "fresh memory cannot be written");
    let several = cpus().len() > 1;
    let rest = move || {
        if !several {
            call(libc::SYS_sched_yield, [0; 4]);
        }
    };
    let looker = std::thread::spawn(move || -> Verdict {
        while !OVER.load(SeqCst) {
            rest();
            let before = GENERATION.load(SeqCst);
            if before % 2 == 1 {
                continue;
            }
            let generation = before / 2;
            let now = NOWS[generation as usize % NOWS.len()];
            let (read, written) = match now {
                Now::ReadOnly => (load(at), store(at, 9)),
                _ => (load(at), Ok(())),
            };
            if GENERATION.load(SeqCst) != before {
                continue;
            }
            let right = match now {
                Now::Value => read == Ok(generation as u8 | 1),
                Now::Zero => read == Ok(0),
                Now::Gone | Now::NoRights => faults(&read),
                Now::ReadOnly => read == Ok(0) && faults(&written),
            };
            if !right {
                OVER.store(true, SeqCst);
            }
            ensure!(right, "change {generation}, which a thread saw too late: {read:x?}, {written:x?}");
            LOOKS.fetch_add(1, SeqCst);
        }
        Ok(())
    });
    for generation in 1..250 {
        GENERATION.store(2 * generation + 1, SeqCst);
        match NOWS[generation as usize % NOWS.len()] {
            Now::Value => {
                map_over(at, 1, WRITE)?;
                ensure!(store(at, generation as u8 | 1).is_ok(), "fresh memory cannot be written");
            }
            Now::Zero => map_over(at, 1, WRITE)?,
            Now::Gone => unmap(at, 1)?,
            Now::ReadOnly => map_over(at, 1, READ)?,
            Now::NoRights => protect(at, 1, libc::PROT_NONE)?,
        }
        GENERATION.store(2 * generation, SeqCst);
        let looks = LOOKS.load(SeqCst);
        while LOOKS.load(SeqCst) < looks + 3 && !OVER.load(SeqCst) {
            rest();
        }
    }
    OVER.store(true, SeqCst);
    joined(looker)
}

/// What parent and child of a fork write, the other one does not see.
pub fn copies() -> Verdict {
    const PAGES: usize = 40;
    let at = map(PAGES, WRITE, false)?;
    let all = |byte: u8| -> Verdict {
        for page in 0..PAGES {
            let found = load(at + page * PAGE);
            ensure!(found == Ok(byte), "page {page} of process {}: {found:x?}, and not {byte:#x}", std::process::id());
        }
        Ok(())
    };
    let write = |byte: u8| (0..PAGES).try_for_each(|page| store(at + page * PAGE, byte).map_err(|c| format!("{c:x?}")));
    for time in 0..20u8 {
        write(time)?;
        let (written, read) = (Gate::new()?, Gate::new()?);
        let other = child(|| {
            all(time)?;
            write(100 + time)?;
            written.open();
            read.wait();
            all(100 + time)
        })?;
        write(200 + time % 50)?;
        written.wait();
        let verdict = all(200 + time % 50);
        read.open();
        verdict?;
        join(other)?;
    }
    Ok(())
}

/// What is shared, all see.
pub fn shared() -> Verdict {
    const PAGES: usize = 8;
    const OTHERS: usize = 3;
    let at = map(PAGES, WRITE, true)?;
    let slot = |page: usize, who: usize| word(at + page * PAGE + who * 64);
    let mut children = Vec::new();
    for who in 0..OTHERS {
        children.push(child(move || {
            for time in 1..=50 {
                (0..PAGES).for_each(|page| slot(page, who).store(time, SeqCst));
                // Until all others have come as far.
                for other in 0..OTHERS {
                    while slot(PAGES - 1, other).load(SeqCst) < time {
                        call(libc::SYS_sched_yield, [0; 4]);
                    }
                    let stale = (0..PAGES).find(|&page| slot(page, other).load(SeqCst) < time);
                    ensure!(stale.is_none(), "what another process wrote to page {stale:?} is not seen");
                }
            }
            Ok(())
        })?);
    }
    children.into_iter().try_for_each(join)
}

/// Fresh memory is zero, whoever had it before.
pub fn fresh() -> Verdict {
    const PAGES: usize = 1024;
    for time in 0..10 {
        let other = child(|| {
            let at = map(PAGES, WRITE, false)?;
            // SAFETY: the memory that was just made.
            unsafe { (at as *mut u8).write_bytes(0xee, PAGES * PAGE) };
            Ok(())
        })?;
        join(other)?;
        let at = map(PAGES, WRITE, false)?;
        // SAFETY: the memory that was just made.
        let bytes = unsafe { std::slice::from_raw_parts(at as *const u64, PAGES * PAGE / 8) };
        ensure!(bytes.iter().all(|&word| word == 0), "time {time}: fresh memory holds what somebody else wrote");
        unmap(at, PAGES)?;
    }
    Ok(())
}
