use crate::timing::each;
use crate::{About, Report, Setting, Workload};
use anyhow::{Result, ensure};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::unistd::Pid;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Sending oneself a signal, its handler, and the return from it.
pub struct SignalCatch;

static CAUGHT: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: i32) {
    CAUGHT.fetch_add(1, Relaxed);
}

impl Workload for SignalCatch {
    fn about(&self) -> About {
        super::about(
            "signal-catch",
            super::LOOP,
            "a signal to oneself, handled",
            "kill of the own process with SIGUSR1, its handler, sigreturn (lmbench: sig hndl)",
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        let action = SigAction::new(SigHandler::Handler(count), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler only counts, atomically.
        unsafe { sigaction(Signal::SIGUSR1, &action) }?;
        let itself = Pid::this();
        report.measure(
            "signal-catch",
            setting.effort(),
            each(|| {
                let before = CAUGHT.load(Relaxed);
                kill(itself, Signal::SIGUSR1)?;
                ensure!(CAUGHT.load(Relaxed) == before + 1, "the signal was not there when kill returned");
                Ok(())
            }),
        )
    }
}
