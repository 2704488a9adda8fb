//! The machine that a model gives the kernel: CPUs, and contexts to switch between.

use crate::ModelSpace;
use std::any::Any;
use std::sync::Arc;
use umlab_host::Result;

/// A kernel stack and the registers saved on it while it does not run.
pub trait Context: Send + Sync {
    fn as_any(&self) -> &dyn Any;

    /// Whether the host object that the context ran on was ended from outside, so that its task
    /// cannot enter user mode again. The model calls [`crate::Kernel::context_lost`] when that
    /// begins.
    fn is_lost(&self) -> bool {
        false
    }
}

/// What a context runs. When it returns, the model goes on in the context it returned, and the
/// ended one is never switched to again; the kernel drops it from another one.
pub type ContextMain = Box<dyn FnOnce() -> Arc<dyn Context> + Send>;

/// The guest's CPUs and the switch between kernel stacks.
pub trait Machine: Send + Sync {
    /// A new context that will run `main` when it is first switched to. `space` is the address
    /// space whose user code it will first enter, for models in which a context is a host task and
    /// lives in one.
    ///
    /// # Errors
    /// The host's, when it has no memory for a stack or refuses a task.
    fn new_context(&self, space: Option<&dyn ModelSpace>, main: ContextMain) -> Result<Arc<dyn Context>>;

    /// Leaves the running context, which `from` saves, and goes on in `to`, on the same CPU, with
    /// the big lock held throughout. Returns when something switches back to `from`, perhaps on
    /// another CPU.
    fn switch(&self, from: &dyn Context, to: &dyn Context);

    /// Runs `main` on every guest CPU, each on a host thread of its own with the big lock held, and
    /// returns when all have returned. `main` is given the CPU's number and the context it runs on,
    /// which is the CPU's idle context.
    fn run_cpus(&self, count: usize, main: &(dyn Fn(usize, Arc<dyn Context>) + Sync));

    /// The CPU this code runs on.
    fn current_cpu(&self) -> usize;

    /// Makes `cpu` come back into the kernel soon: out of user mode as [`crate::Trap::Interrupt`],
    /// or out of `idle`. Callable from any host thread, with or without the big lock.
    fn kick(&self, cpu: usize);

    /// Sleeps on the current CPU until kicked or `deadline` (CLOCK_MONOTONIC, ns). Drops the big
    /// lock meanwhile.
    fn idle(&self, deadline: Option<u64>);

    /// Asks that user mode on the current CPU be interrupted at `deadline` (CLOCK_MONOTONIC, ns),
    /// none for never.
    fn set_alarm(&self, deadline: Option<u64>);
}
