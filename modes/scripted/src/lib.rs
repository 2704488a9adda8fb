//! scripted: a process model whose programs are closures, for tests of the kernel.
//!
//! There is no host process and no machine code. A guest thread is a host thread of this process
//! that runs a closure ([`User`]) and hands the kernel each trap, as the CPU would. It reaches
//! guest memory through what the kernel has mapped ([`space`]): what is not mapped, or not with the
//! right, is a fault. So a mapping that the kernel forgot, left too wide or took away too late is
//! seen by the program.
//!
//! The kernel finds programs by name, as ever. A test registers closures with
//! [`Scripted::program`], which gives each the bytes of an executable file; whoever executes such a
//! file runs the closure.

mod image;
mod space;
mod thread;
mod user;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use umlab_host::Result;
use umlab_model::{Machine, ModelSpace, ProcessModel, UserThread, Vdso};
use umlab_threads::{Threads, Upkeep};

pub use space::USER_TOP;
pub use user::User;

/// A program: what it returns is its exit status.
pub type Program = Arc<dyn Fn(&User) -> i32 + Send + Sync>;

/// Programs by their entry points.
type Programs = Arc<Mutex<BTreeMap<u64, Program>>>;

/// The model, for a guest of one CPU: two programs at once would have to be stopped to take memory
/// away from one.
pub struct Scripted {
    threads: Threads,
    programs: Programs,
}

impl Scripted {
    #[expect(clippy::new_without_default, reason = "it takes a CPU of the host")]
    pub fn new() -> Scripted {
        umlab_host::copy::install();
        Scripted { threads: Threads::new(1, Upkeep::NONE), programs: Programs::default() }
    }

    /// Registers a program, and returns the executable file to run it by.
    pub fn program(&self, program: impl Fn(&User) -> i32 + Send + Sync + 'static) -> Vec<u8> {
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = image::entry(programs.len());
        programs.insert(entry, Arc::new(program));
        image::file(entry)
    }
}

impl ProcessModel for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn machine(&self) -> &dyn Machine {
        &self.threads
    }

    fn user_top(&self) -> u64 {
        USER_TOP
    }

    fn vdso(&self) -> Option<Vdso> {
        None
    }

    fn new_space(&self) -> Result<Box<dyn ModelSpace>> {
        Ok(Box::<space::Space>::default())
    }

    fn new_thread(&self) -> Box<dyn UserThread> {
        Box::new(thread::Thread::new(self.programs.clone()))
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        umlab_threads::counters()
    }
}
