use crate::children::ended_well;
use crate::timing::each;
use crate::{About, Report, Setting, Workload};
use anyhow::{Context, Result};
use nix::sched::{CloneFlags, clone};
use std::ffi::CString;
use std::ptr;

/// A program started without a copy of the parent: the child borrows its memory until it executes
/// something else.
pub struct VforkExec;

impl Workload for VforkExec {
    fn about(&self) -> About {
        super::about(
            "vfork-execve",
            "vfork, exec, wait; a static and a dynamic program",
            "as fork-execve, by clone(CLONE_VM | CLONE_VFORK), which is what vfork is, with a stack for the child",
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        let mut stack = vec![0; 64 << 10];
        for (kind, argv) in super::programs()? {
            let path = &argv[0];
            let pointers: Vec<*const libc::c_char> =
                argv.iter().map(|a: &CString| a.as_ptr()).chain([ptr::null()]).collect();
            super::by_parent(
                &format!("vfork+exec {kind}"),
                setting,
                report,
                each(|| {
                    let child = || {
                        let environment = [ptr::null()];
                        // SAFETY: path, pointers and environment are C strings and arrays that end
                        // with null, alive while the parent waits for this very call. Nothing is
                        // allocated: the memory is the parent's.
                        unsafe { libc::execve(path.as_ptr(), pointers.as_ptr(), environment.as_ptr()) };
                        127
                    };
                    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
                    // SAFETY: the child has a stack of its own, and the parent does not go on
                    // before it has executed or ended.
                    let pid = unsafe { clone(Box::new(child), &mut stack, flags, Some(libc::SIGCHLD)) };
                    ended_well(pid.context("clone")?)
                }),
            )?;
        }
        Ok(())
    }
}
