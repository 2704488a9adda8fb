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
        let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing.
        let install = || unsafe { sigaction(Signal::SIGUSR1, &action) };
        install()?;
        report.measure(
            "signal-install",
            setting.effort(),
            each(|| {
                let old = install()?.handler();
                ensure!(
                    matches!(old, SigHandler::Handler(old) if std::ptr::fn_addr_eq(old, nothing as extern "C" fn(i32))),
                    "another handler was there before"
                );
                Ok(())
            }),
        )
    }
}
