//! Barriers in the user code of other CPUs, for membarrier(2).
//!
//! Who comes from user mode into the core takes the big lock, which orders all that its user code
//! did before. So whoever has left user mode since a barrier began has made it, and so has who was
//! not there. Only the others have to be brought out of it.

use super::{CPUS, Thread, machine, stopping};
use crate::lock;
use std::sync::Arc;

/// Returns when all threads that ran user code at the call, of those that `concerns` picks, have
/// left it since. It may drop the big lock.
pub fn barrier(concerns: impl Fn(&dyn Thread) -> bool) {
    let own = machine().current_cpu();
    let running: Vec<(usize, Arc<dyn Thread>, u64)> = {
        let cpus = CPUS.borrow();
        let others = cpus.iter().enumerate().filter(|&(cpu, _)| cpu != own);
        others
            .filter_map(|(cpu, state)| {
                let task = state.current.clone()?;
                let visit = task.user_visit()?;
                concerns(&*task).then_some((cpu, task, visit))
            })
            .collect()
    };
    for (cpu, ..) in &running {
        machine().kick(*cpu);
    }
    for (_, task, visit) in running {
        while task.user_visit() == Some(visit) && !stopping() {
            lock::without(std::thread::yield_now);
        }
    }
}
