use crate::timing::each;
use crate::{About, Report, Setting, Workload};
use anyhow::{Result, ensure};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Installing a signal's handler.
pub struct SignalInstall;

extern "C" fn nothing(_: i32) {}

impl Workload for SignalInstall {
    fn about(&self) -> About {
        super::about(
            "signal-install",
            super::LOOP,
            "installing a signal's handler",
            "sigaction of SIGUSR1 with a handler (lmbench: sig inst)",
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        // One pointer for both: a function's address need not be the same wherever it is taken.
        let handler: extern "C" fn(i32) = std::hint::black_box(nothing);
        let action = SigAction::new(SigHandler::Handler(handler), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing.
        let install = || unsafe { sigaction(Signal::SIGUSR1, &action) };
        install()?;
        report.measure(
            "signal-install",
            setting.effort(),
            each(|| {
                let old = install()?.handler();
                ensure!(
                    matches!(old, SigHandler::Handler(old) if std::ptr::fn_addr_eq(old, handler)),
                    "another handler was there before"
                );
                Ok(())
            }),
        )
    }
}
