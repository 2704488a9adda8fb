use crate::memory::{Mapping, PAGE};
use crate::{About, Report, Setting, Workload};
use anyhow::{Context, Result, ensure};
use nix::sys::mman::{ProtFlags, mprotect};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Writing where one may not: the fault, the signal that the kernel makes of it, the handler, and
/// the return, which meets the fault again.
pub struct ProtectionFault;

static PLACE: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
static LEFT: AtomicU64 = AtomicU64::new(0);
static WRONG: AtomicU64 = AtomicU64::new(0);

extern "C" fn again(_: i32, info: *mut libc::siginfo_t, _: *mut c_void) {
    let place = PLACE.load(Relaxed);
    // SAFETY: the kernel gives a handler that asks for it (SA_SIGINFO) the information of a
    // SIGSEGV.
    if unsafe { (*info).si_addr() } != place {
        WRONG.fetch_add(1, Relaxed);
    }
    if LEFT.fetch_sub(1, Relaxed) == 1 {
        // SAFETY: the page is a mapping of `run`'s, which holds no reference into it. mprotect is a
        // plain system call.
        let done = unsafe { libc::mprotect(place, PAGE, libc::PROT_READ | libc::PROT_WRITE) };
        if done != 0 {
            crate::children::exit_now(1);
        }
    }
}

impl Workload for ProtectionFault {
    fn about(&self) -> About {
        super::about(
            "protection-fault",
            super::LOOP,
            "a write to a read-only page, handled",
            "SIGSEGV of a write to a read-only page, its handler, sigreturn to the same write (lmbench: prot fault)",
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        let page = Mapping::anonymous(PAGE)?;
        page.touch();
        PLACE.store(page.start().as_ptr(), Relaxed);
        let action = SigAction::new(SigHandler::SigAction(again), SaFlags::SA_SIGINFO, SigSet::empty());
        // SAFETY: the handler uses atomics and one system call.
        let old = unsafe { sigaction(Signal::SIGSEGV, &action) }?;
        report.measure("protection-fault", setting.effort(), |n| faults(&page, n))?;
        // SAFETY: what was there before.
        unsafe { sigaction(Signal::SIGSEGV, &old) }?;
        report.check("faults at another address", WRONG.load(Relaxed))
    }
}

fn faults(page: &Mapping, n: u64) -> Result<Duration> {
    let start: NonNull<c_void> = page.start();
    // SAFETY: it is our page, and nobody holds a reference into it.
    unsafe { mprotect(start, PAGE, ProtFlags::PROT_READ) }.context("mprotect")?;
    LEFT.store(n, Relaxed);
    let began = Instant::now();
    page.write(0, n as u8);
    let took = began.elapsed();
    ensure!(LEFT.load(Relaxed) == 0, "the write went through before its time");
    ensure!(page.read(0) == n as u8, "the write is lost");
    Ok(took)
}
