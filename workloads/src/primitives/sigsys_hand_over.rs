use super::helper::{Answers, start};
use super::sigsys::{handle, registers};
use super::turns::{Page, Side, Turns};
use super::{Batch, Offered, Primitive, other_cpu, run_on};
use crate::children::Line;
use crate::timing::each;
use anyhow::{Context, Result};
use std::ffi::c_void;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use umlab_host::seccomp;

/// What a system call costs that another process answers by a page that both share: systrap's way,
/// and that of User Mode Linux with seccomp.
pub const SIGSYS_HAND_OVER: Primitive = Primitive {
    name: "sigsys-hand-over",
    summary: "a system call that another process answers, by SIGSYS and a shared page",
    definition: "SIGSYS of a child's getppid by SECCOMP_RET_TRAP; its handler hands over in a shared page, by FUTEX_WAKE and \
                 FUTEX_WAIT, and back, both on one CPU; the same with both on CPUs of their own, spinning before they wait",
    batches,
};

/// Looks at the word, some hundred microseconds of them.
const SPINS: u32 = 10_000;

/// Where the handler finds the page.
static TURNS: AtomicPtr<Turns> = AtomicPtr::new(std::ptr::null_mut());

fn batches() -> Result<Vec<(&'static str, Offered)>> {
    let across = other_cpu()?.map_or_else(|why| Ok(Err(why)), |cpu| hand_over(Some(cpu), SPINS))?;
    Ok(vec![("sigsys-hand-over", hand_over(None, 0)?), ("sigsys-hand-over across CPUs, spinning", across)])
}

fn hand_over(cpu: Option<usize>, spins: u32) -> Result<Offered> {
    let page = Page::new(spins)?;
    let set_up = || {
        cpu.map_or(Ok(()), run_on)?;
        TURNS.store(std::ptr::from_ref(page.turns()).cast_mut(), Relaxed);
        handle(ask)?;
        // SAFETY: the handler answers the one call that traps.
        unsafe { seccomp::install(&seccomp::only(libc::SYS_getppid, seccomp::TRAP)) }.context("no seccomp filter")
    };
    let call = |(), _: Line| {
        let mut last = 0;
        loop {
            // SAFETY: the call takes no arguments; the handler sees it.
            last = unsafe { libc::syscall(libc::SYS_getppid, last) };
        }
    };
    Ok(start(Line::pipes()?, set_up, call)?.map(|(child, _)| -> Batch {
        let mut answers = Answers::default();
        page.turns().await_turn(Side::Core);
        Box::new(each(move || {
            // It lives as long as we answer.
            let _ = &child;
            let turns = page.turns();
            turns.words[0].store(answers.next(turns.words[0].load(Relaxed))?, Relaxed);
            turns.hand_to(Side::Guest);
            turns.await_turn(Side::Core);
            Ok(())
        }))
    }))
}

extern "C" fn ask(_: i32, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: `handle` makes this a handler; the page is the process's to its end.
    let (registers, turns) = unsafe { (registers(context), &*TURNS.load(Relaxed)) };
    turns.words[0].store(registers[libc::REG_RDI as usize] as u64, Relaxed);
    turns.hand_to(Side::Core);
    turns.await_turn(Side::Guest);
    registers[libc::REG_RAX as usize] = turns.words[0].load(Relaxed) as i64;
}
