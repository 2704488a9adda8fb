use crate::timing::each;
use crate::{About, Report, Setting, Workload};
use anyhow::{Context, Result, ensure};

/// A thread that is made, ends at once and is joined.
pub struct ThreadCreate;

impl Workload for ThreadCreate {
    fn about(&self) -> About {
        super::about(
            "thread-create",
            super::LOOP,
            "a thread, made and joined",
            "pthread_create of a thread that returns at once, and pthread_join",
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        let mut turn = 0u64;
        report.measure(
            "thread create+join",
            setting.effort(),
            each(|| {
                turn += 1;
                let number = turn;
                let thread = std::thread::Builder::new().spawn(move || number).context("cannot make a thread")?;
                ensure!(thread.join().ok() == Some(number), "a thread returned something else");
                Ok(())
            }),
        )
    }
}
