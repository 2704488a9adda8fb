//! Threads of one process, on one CPU or on several at once.

use crate::tools::*;
use crate::verdict::{Verdict, ensure};
use std::cell::Cell;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::thread::{JoinHandle, spawn};

const THREADS: usize = 6;

fn all(threads: Vec<JoinHandle<Verdict>>) -> Verdict {
    threads.into_iter().try_for_each(joined)
}

/// They count together.
pub fn memory() -> Verdict {
    static SUM: AtomicU64 = AtomicU64::new(0);
    const TIMES: u64 = 200_000;
    let count = || {
        (0..TIMES).for_each(|_| _ = SUM.fetch_add(1, SeqCst));
        Ok(())
    };
    all((0..THREADS).map(|_| spawn(count)).collect())?;
    let (sum, expected) = (SUM.load(SeqCst), TIMES * THREADS as u64);
    ensure!(sum == expected, "{THREADS} threads counted to {sum}, and not to {expected}");
    Ok(())
}

/// Each has its own thread-local memory, by the base of fs.
pub fn local_storage() -> Verdict {
    thread_local! {
        static OWN: Cell<u64> = const { Cell::new(0) };
    }
    let work = |number: u64| -> Verdict {
        for time in 0..1000 {
            OWN.set(number << 32 | time);
            match time % 3 {
                0 => _ = call(libc::SYS_sched_yield, [0; 4]),
                1 => (0..1000).for_each(|_| std::hint::spin_loop()),
                _ => {}
            }
            let found = OWN.get();
            ensure!(found == number << 32 | time, "thread {number} finds {found:#x} in its own memory at time {time}");
        }
        Ok(())
    };
    all((0..THREADS as u64).map(|number| spawn(move || work(number))).collect())
}

/// They wake each other in turn.
pub fn handing_over() -> Verdict {
    static TURN: AtomicU32 = AtomicU32::new(0);
    const ROUNDS: u32 = 500;
    let work = |number: u32| -> Verdict {
        for round in 0..ROUNDS {
            let mine = round * THREADS as u32 + number;
            loop {
                let turn = TURN.load(SeqCst);
                if turn == mine {
                    break;
                }
                call(libc::SYS_futex, [TURN.as_ptr() as usize, libc::FUTEX_WAIT as usize, turn as usize, 0]);
            }
            TURN.store(mine + 1, SeqCst);
            call(libc::SYS_futex, [TURN.as_ptr() as usize, libc::FUTEX_WAKE as usize, i32::MAX as usize, 0]);
        }
        Ok(())
    };
    all((0..THREADS as u32).map(|number| spawn(move || work(number))).collect())
}

/// One on each CPU; they wait for each other without a trap.
pub fn rendezvous() -> Verdict {
    static ARRIVED: AtomicU64 = AtomicU64::new(0);
    const ROUNDS: u64 = 300;
    let cpus = several_cpus()?;
    let count = cpus.len() as u64;
    let work = move |cpu: usize| -> Verdict {
        pin(0, cpu)?;
        for round in 1..=ROUNDS {
            ARRIVED.fetch_add(1, SeqCst);
            while ARRIVED.load(SeqCst) < round * count {
                std::hint::spin_loop();
            }
            let found = current_cpu();
            ensure!(found == cpu, "a thread of CPU {cpu} is on CPU {found}");
        }
        Ok(())
    };
    all(cpus.into_iter().map(|cpu| spawn(move || work(cpu))).collect())
}

/// The number of the CPU, as libraries ask for it: there are ways without a trap.
pub fn cpu_number() -> Verdict {
    let cpus = cpus();
    for time in 0..100 {
        let cpu = cpus[time % cpus.len()];
        pin(0, cpu)?;
        // SAFETY: no arguments.
        let found = unsafe { libc::sched_getcpu() };
        ensure!(found == cpu as i32, "a thread of CPU {cpu} is told by the C library that this is CPU {found}");
    }
    Ok(())
}

/// The end of a process ends threads of it that compute.
pub fn exit_group() -> Verdict {
    for time in 0..20 {
        let other = child(move || {
            static RUNNING: AtomicU32 = AtomicU32::new(0);
            for _ in 0..4 {
                spawn(|| {
                    RUNNING.fetch_add(1, SeqCst);
                    loop {
                        std::hint::spin_loop();
                    }
                });
            }
            while RUNNING.load(SeqCst) < 4 {
                pause(1);
            }
            pause(time % 3);
            exit(7)
        })?;
        let status = wait_for(other)?;
        ensure!(status == 7 << 8, "a process whose threads compute ended with status {status:#x}");
    }
    Ok(())
}

/// So does an exec, whichever thread calls it.
pub fn exec() -> Verdict {
    let program = std::env::current_exe().map_err(|e| format!("this program's path: {e}"))?;
    for time in 0..10 {
        let program = program.clone();
        let other = child(move || {
            for _ in 0..3 {
                spawn(|| {
                    loop {
                        std::hint::spin_loop();
                    }
                });
            }
            let caller = spawn(move || -> Verdict {
                use std::os::unix::process::CommandExt;
                let error = std::process::Command::new(program).args([crate::spaces::PROGRAM, "8"]).exec();
                Err(format!("exec: {error}").into())
            });
            joined(caller)
        })?;
        let status = wait_for(other)?;
        ensure!(status == 8 << 8, "time {time}: a thread's new program ended with status {status:#x}");
    }
    Ok(())
}

/// A fork while another thread writes to the memory that is to be copied: the copy stays as it is.
pub fn fork() -> Verdict {
    static OVER: AtomicBool = AtomicBool::new(false);
    const PAGES: usize = 32;
    let at = map(PAGES, WRITE, false)?;
    let writer = spawn(move || -> Verdict {
        for value in 1.. {
            (0..PAGES).for_each(|page| word(at + page * PAGE).store(value, SeqCst));
            if OVER.load(SeqCst) {
                break;
            }
        }
        Ok(())
    });
    let copy_stays = || -> Verdict {
        let values = || (0..PAGES).map(|page| word(at + page * PAGE).load(SeqCst)).collect::<Vec<u32>>();
        let other = child(|| {
            let first = values();
            (0..5).for_each(|_| _ = call(libc::SYS_sched_yield, [0; 4]));
            let second = values();
            ensure!(first == second, "a fork's copy changes with what it was made of");
            Ok(())
        })?;
        join(other)
    };
    let verdict = (0..30).try_for_each(|_| copy_stays());
    OVER.store(true, SeqCst);
    joined(writer).and(verdict)
}
