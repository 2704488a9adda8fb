//! The task that runs, and tasks as the layers below see them.

use super::Task;
use crate::creds::Creds;
use crate::limits::Limit;
use crate::sched::wait::{Wake, WakeReason};
use crate::sched::{self, Demands, Entity, Thread};
use std::any::Any;
use std::sync::Arc;

/// The task whose kernel context runs.
///
/// # Panics
/// In an idle context, which never calls anything that asks.
pub fn current() -> Arc<Task> {
    task_of(sched::current())
}

/// As `current`, or none where nobody asks for anything: at boot, and in unit tests.
pub fn acting() -> Option<Arc<Task>> {
    sched::acting().map(task_of)
}

fn task_of(thread: Arc<dyn Thread>) -> Arc<Task> {
    let any: Arc<dyn Any + Send + Sync> = thread;
    any.downcast().expect("the scheduler runs tasks alone")
}

impl Task {
    /// The task that the scheduler names so.
    pub fn of(thread: &dyn Thread) -> &Task {
        let any: &dyn Any = thread;
        any.downcast_ref().expect("the scheduler runs tasks alone")
    }
}

impl Wake for Task {
    fn wake(&self, _reason: WakeReason) {
        sched::wake(&self.arc());
    }
}

impl Thread for Task {
    fn entity(&self) -> &Entity {
        &self.sched
    }

    fn demands(&self) -> Demands {
        let attributes = self.attributes.borrow();
        Demands {
            policy: attributes.policy,
            priority: attributes.priority,
            nice: attributes.nice,
            affinity: attributes.affinity,
        }
    }

    fn creds(&self) -> Arc<Creds> {
        self.creds.cloned()
    }

    fn limit(&self, which: usize) -> Limit {
        self.process.limits.borrow().get(which)
    }

    fn space_id(&self) -> Option<u64> {
        self.space.borrow().as_ref().map(|space| space.id)
    }

    fn signal_pending(&self) -> bool {
        Task::signal_pending(self)
    }

    fn fatal_signal_pending(&self) -> bool {
        Task::fatal_signal_pending(self)
    }

    fn given_cpu(&self, now: u64) {
        Task::given_cpu(self, now);
    }

    fn gives_up_cpu(&self, now: u64) {
        Task::gives_up_cpu(self, now);
    }

    fn in_core_since(&self) -> u64 {
        Task::in_core_since(self)
    }

    fn user_visit(&self) -> Option<u64> {
        Task::user_visit(self)
    }

    /// What was put off of its address space is done now: others may learn of what it wrote before
    /// it goes back to user mode.
    fn before_sleep(&self) {
        if let Some(space) = self.space.cloned() {
            space.collect();
        }
    }
}
