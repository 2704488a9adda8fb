//! What the kernel does about news of the host, and what models report.

use crate::fs::hostfs;
use crate::sched::events::{self, Handlers};
use crate::task::signal::{self, SigInfo};
use crate::task::{self, Process, init};
use crate::tty::console;
use std::sync::Arc;
use umlab_model::HostView;

pub const HANDLERS: Handlers =
    Handlers { signal: pass_on, terminal: console::host_signal, lost: kill_lost, always: hostfs::watch::close_waiting };

/// What models call.
pub struct Here;

impl umlab_model::Kernel for Here {
    fn context_lost(&self) {
        events::context_lost();
    }

    fn audit_pooled(&self, view: &dyn Fn() -> Option<HostView>) {
        crate::mm::audit::pooled(view);
    }
}

/// Kills processes whose threads the host has ended, also while they sleep.
fn kill_lost() {
    let lost = |process: &Arc<Process>| process.threads().iter().any(|thread| thread.sched.has_lost_context());
    for process in task::pid::processes().iter().filter(|process| lost(process)) {
        umlab_model::log!(Warn, "process {} lost its host process and is killed", process.pid);
        let _ = signal::send_to_process(process, SigInfo::kernel(abi::SIGKILL));
    }
}

/// Sends a host signal to the guest's command.
fn pass_on(number: i32) {
    if let Some(process) = init::command() {
        // A kernel's own signal needs no queue entry and cannot fail.
        let _ = signal::send_to_process(&process, SigInfo::kernel(number));
    }
}
