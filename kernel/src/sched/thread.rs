//! A task, as the scheduler sees it and the layers between the scheduler and tasks.

use super::wait::Wake;
use crate::creds::Creds;
use crate::limits::Limit;
use crate::lock::KCell;
use std::any::Any;
use std::sync::{Arc, OnceLock};
use umlab_model::{Context, Residence};

/// What runs on the guest's CPUs. Tasks alone do: lower layers see one of these where they deal
/// with whoever acts, and `task::current` gives the task itself.
pub trait Thread: Wake + Any {
    /// What the scheduler keeps of it.
    fn entity(&self) -> &Entity;

    /// When and where it wants to run.
    fn demands(&self) -> Demands;

    /// As whom it acts.
    fn creds(&self) -> Arc<Creds>;

    /// How much its process may have (`limits::*`).
    fn limit(&self, which: usize) -> Limit;

    /// The number of its address space; none once it has begun to exit.
    fn space_id(&self) -> Option<u64>;

    /// Whether an unblocked signal waits to be acted on.
    fn signal_pending(&self) -> bool;

    /// Whether it is about to be killed.
    fn fatal_signal_pending(&self) -> bool;

    /// It has the CPU from `now` on (CLOCK_MONOTONIC, ns).
    fn given_cpu(&self, now: u64);

    /// It leaves the CPU to others from `now` on.
    fn gives_up_cpu(&self, now: u64);

    /// Since when it is in the core without a pause, for the one that runs.
    fn in_core_since(&self) -> u64;

    /// While user code of it runs, a number that no other stay in user mode has.
    fn user_visit(&self) -> Option<u64>;

    /// It is about to sleep: nobody is to wait for what it puts off until it is in user mode again.
    fn before_sleep(&self);
}

/// When and where a task wants to run (sched(7)).
#[derive(Clone, Copy, Debug)]
pub struct Demands {
    /// SCHED_*, without SCHED_RESET_ON_FORK.
    pub policy: i32,
    /// Real-time priority, 0 for none.
    pub priority: i32,
    /// -20 (first served) to 19.
    pub nice: i32,
    /// The guest CPUs it may run on, as a bit mask.
    pub affinity: u64,
}

/// What the scheduler keeps of a task.
#[derive(Default)]
pub struct Entity {
    pub(super) state: KCell<State>,
    context: OnceLock<Arc<dyn Context>>,
    residence: OnceLock<Arc<dyn Residence>>,
}

#[derive(Clone, Copy, Default, Debug)]
pub(super) struct State {
    pub run: RunState,
    /// The CPU it runs on, or last ran on.
    pub cpu: usize,
    /// It has host objects on `cpu` that make moving it costly.
    pub settled: bool,
    /// Since when it waits in a run queue.
    pub queued_at: u64,
    /// A wake-up came while it was not asleep yet.
    pub woken: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum RunState {
    /// Runs, or waits in a run queue.
    #[default]
    Runnable,
    /// Sleeps until woken.
    Blocked,
    Ended,
}

impl Entity {
    /// Its first CPU is to be this one, or one that is free.
    pub fn start_near(&self, cpu: usize) {
        self.state.borrow_mut().cpu = cpu;
    }

    pub fn run_state(&self) -> RunState {
        self.state.borrow().run
    }

    /// The CPU it runs on, or last ran on.
    pub fn cpu(&self) -> usize {
        self.state.borrow().cpu
    }

    /// Its kernel context.
    ///
    /// # Panics
    /// If it has none yet.
    pub fn context(&self) -> Arc<dyn Context> {
        self.context.get().expect("a task has its context before it is started").clone()
    }

    /// Whether its kernel context is lost; see [`Context::is_lost`].
    pub fn has_lost_context(&self) -> bool {
        self.context.get().is_some_and(|context| context.is_lost())
    }

    /// Gives it its kernel context, once, before it is started.
    pub fn set_context(&self, context: Arc<dyn Context>) {
        assert!(self.context.set(context).is_ok(), "a task got its context twice");
    }

    /// Where its user-mode state lives on the host; to be set once, before it is started. A task
    /// without user code has none, nor has one whose state any CPU reaches.
    pub fn set_residence(&self, residence: Arc<dyn Residence>) {
        let _ = self.residence.set(residence);
    }

    /// Brings its user-mode state into the core, on the CPU that it last ran on.
    pub(super) fn evict(&self) {
        if let Some(residence) = self.residence.get() {
            residence.evict();
        }
    }
}
