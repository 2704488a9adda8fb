//! What a model reports to the kernel.

use crate::HostView;
use std::sync::OnceLock;

/// The kernel, as models call it.
pub trait Kernel: Sync {
    /// A task's context is lost (see [`crate::Context::is_lost`]). Callable from any host thread,
    /// without the big lock. The model kicks a CPU afterwards.
    fn context_lost(&self);

    /// A host process goes into a pool or comes out of it. `view` makes what the next address space
    /// will find there; it is only called while the audit is on.
    fn audit_pooled(&self, view: &dyn Fn() -> Option<HostView>);
}

static KERNEL: OnceLock<&'static dyn Kernel> = OnceLock::new();

/// Names the kernel that models call. Boot does, before the model runs its CPUs.
pub fn set(kernel: &'static dyn Kernel) {
    assert!(KERNEL.set(kernel).is_ok(), "there is one kernel");
}

/// # Panics
/// Before `set`.
pub fn get() -> &'static dyn Kernel {
    *KERNEL.get().expect("boot names the kernel")
}
