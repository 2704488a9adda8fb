//! System calls by *syscall user dispatch* (PR_SET_SYSCALL_USER_DISPATCH in prctl(2)).
//!
//! The host carries out the system calls that are made from the text of `uml`, the core's and those
//! of the C library in it. For any other it sends SIGSYS, whose handler is the core's entry. So
//! nothing has to be switched at the border between user mode and the core. The host's vDSO makes
//! calls of its own, for clocks that it cannot read; user code's are the core's to answer.

use crate::{count, images};
use std::ops::Range;
use umlab_host::child::{self, Ended};
use umlab_host::{Errno, Result};
use umlab_model::{HostMap, HostView, Mapping, SyscallAbi, Trap};
use umlab_tasks::area::Record;
use umlab_tasks::entry::{FAULTS, KICK_SIGNAL};
use umlab_tasks::{
    Frame, Interception, Original, SyscallInfo, TaskSpace, call, compat_arguments, image, native_arguments, warden,
};

// linux/prctl.h.
const PR_SET_SYSCALL_USER_DISPATCH: i32 = 59;
const PR_SYS_DISPATCH_OFF: u64 = 0;
const PR_SYS_DISPATCH_ON: u64 = 1;
/// The code of SIGSYS for a call that was dispatched (asm-generic/siginfo.h).
const SYS_USER_DISPATCH: i32 = 2;

/// Has the calling thread's system calls dispatched, but for those from `allowed`.
fn dispatch_all_but(allowed: Range<usize>) -> Result<()> {
    set(PR_SYS_DISPATCH_ON, allowed.start, allowed.len())
}

fn set(mode: u64, start: usize, len: usize) -> Result<()> {
    // SAFETY: plain numbers; without a selector the host reads none.
    let result = unsafe { libc::prctl(PR_SET_SYSCALL_USER_DISPATCH, mode, start, len, 0usize) };
    Errno::check(i64::from(result)).map(drop)
}

/// Whether the host can do this.
pub fn probe() -> Result<()> {
    dispatch_all_but(0..usize::MAX)?;
    set(PR_SYS_DISPATCH_OFF, 0, 0)
}

extern "C" fn born(_record: &Record) {
    warden::end_with_parent();
    call::born();
    if let Err(e) = dispatch_all_but(image::text()) {
        warden::refused("the host does not dispatch system calls any more", e);
    }
}

/// By the host itself.
pub struct Dispatch;

impl Interception for Dispatch {
    /// The terminal's signals, and whatever else somebody on the host sends, wait for ever: the
    /// guest hears of them through `uml`.
    fn user_mask(&self) -> u64 {
        let open = FAULTS.iter().chain([&KICK_SIGNAL]);
        !open.fold(0u64, |set, signal| set | 1 << (signal - 1))
    }

    fn born(&self) -> Option<extern "C" fn(&Record)> {
        Some(born)
    }

    fn watch(&self) {
        while let Ended::Child { pid, .. } = child::next_ended() {
            warden::on_end(pid);
            warden::with_numbers(|| child::reap(pid));
        }
    }

    fn call_of(&self, _record: &Record, signal: i32, info: &libc::siginfo_t, frame: &mut Frame) -> Option<Trap> {
        let call = SyscallInfo::of(info);
        if signal != libc::SIGSYS || call.code != SYS_USER_DISPATCH {
            return None;
        }
        count(|c| &c.calls, 1);
        // The frame has the registers as they were at the call, unless the number is one of those
        // by which the host asks itself to make a call again: then it has changed rax, or rip.
        frame.rip = call.address;
        if frame.rax as i32 != call.number {
            frame.rax = i64::from(call.number) as u64;
        }
        let number = frame.rax;
        Some(match call.arch {
            umlab_host::seccomp::X86_64 => {
                Trap::Syscall { number, args: native_arguments(frame), abi: SyscallAbi::X64 }
            }
            _ => Trap::Syscall { number, args: compat_arguments(frame), abi: SyscallAbi::I386 },
        })
    }

    fn trapped(&self, space: &TaskSpace, frame: &Frame) {
        images::trapped(space, frame);
    }

    fn stand_in(&self, mapping: &Mapping) -> Option<HostMap> {
        images::stand_in(mapping)
    }

    fn name_stand_ins(&self, view: &mut HostView) {
        images::name_stand_ins(view);
    }

    fn original(&self, ip: u64) -> Option<Original> {
        images::original(ip)
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        crate::counters()
    }
}
