use super::{Offered, Primitive};
use crate::timing::each;
use anyhow::{Result, ensure};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::unistd::Pid;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What entering tt's kernel costs at the least: a signal, its handler, and the return from it.
pub const SIGNAL_DELIVERY: Primitive = Primitive {
    name: "signal-delivery",
    summary: "a signal delivered within a process",
    definition: "kill of the own process with SIGUSR1, its handler, sigreturn",
    batches,
};

static CAUGHT: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: i32) {
    CAUGHT.fetch_add(1, Relaxed);
}

fn batches() -> Result<Vec<(&'static str, Offered)>> {
    let action = SigAction::new(SigHandler::Handler(count), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler only counts, atomically.
    unsafe { sigaction(Signal::SIGUSR1, &action) }?;
    let itself = Pid::this();
    let batch = each(move || {
        let before = CAUGHT.load(Relaxed);
        kill(itself, Signal::SIGUSR1)?;
        ensure!(CAUGHT.load(Relaxed) == before + 1, "the signal was not there when kill returned");
        Ok(())
    });
    Ok(vec![("signal-delivery", Ok(Box::new(batch)))])
}
