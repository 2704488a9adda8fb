use crate::{About, Report, Setting, Workload};
use anyhow::{Result, ensure};
use atomic_wait::{wait, wake_one};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Instant;

/// Two threads that hand over to each other: one runs, the other sleeps on a futex.
pub struct Futex;

const OURS: u32 = 0;
const THEIRS: u32 = 1;
const END: u32 = 2;

impl Workload for Futex {
    fn about(&self) -> About {
        super::about(
            "futex",
            super::LOOP,
            "hand-over between two threads by futex",
            "a round trip between two threads: FUTEX_WAKE of the other and FUTEX_WAIT, twice",
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        let turn = AtomicU32::new(OURS);
        let turns = AtomicU32::new(0);
        std::thread::scope(|scope| {
            let partner = scope.spawn(|| -> Result<()> {
                let pinned = setting.pin(1);
                loop {
                    match turn.load(SeqCst) {
                        THEIRS => {
                            turns.fetch_add(1, SeqCst);
                            turn.store(OURS, SeqCst);
                            wake_one(&raw const turn);
                        }
                        END => return pinned,
                        other => wait(&turn, other),
                    }
                }
            });
            let measured = report.measure("futex: round trip", setting.effort(), |n| {
                let before = turns.load(SeqCst);
                let start = Instant::now();
                for _ in 0..n {
                    turn.store(THEIRS, SeqCst);
                    wake_one(&raw const turn);
                    while turn.load(SeqCst) == THEIRS {
                        wait(&turn, THEIRS);
                    }
                }
                let took = start.elapsed();
                ensure!(turns.load(SeqCst).wrapping_sub(before) == n as u32, "the other thread had not as many turns");
                Ok(took)
            });
            // Also after an error: the scope waits for the thread.
            turn.store(END, SeqCst);
            wake_one(&raw const turn);
            let partner = partner.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the other thread panicked")));
            measured.and(partner)
        })
    }
}
