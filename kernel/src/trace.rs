//! `--trace`: system calls (`syscall/trace.rs`), signals and ends of threads in strace's manner, a
//! line each.

use crate::lock::KCell;
use std::fs::File;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

static ON: AtomicBool = AtomicBool::new(false);
static FILE: KCell<Option<File>> = KCell::new(None);

/// Traces into `file` from now on. Called before the guest is booted.
pub fn start(file: File) {
    crate::lock::with(|| FILE.set(Some(file)));
    ON.store(true, Ordering::Relaxed);
}

pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// A signal that is delivered.
pub fn signal(tid: i32, signal: i32, code: i32) {
    if is_on() {
        let name = signal_name(signal);
        line(tid, &format!("--- {name} {{si_signo={name}, si_code={code}}} ---"));
    }
}

/// The end of a thread, with the wait status of its process.
pub fn ended(tid: i32, status: i32) {
    if is_on() {
        match status & 0x7f {
            0 => line(tid, &format!("+++ exited with {} +++", status >> 8 & 0xff)),
            number => {
                let core = if status & 0x80 != 0 { " (core dumped)" } else { "" };
                line(tid, &format!("+++ killed by {}{core} +++", signal_name(number)));
            }
        }
    }
}

fn signal_name(number: i32) -> String {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ];
    match NAMES.get((number.cast_unsigned() as usize).wrapping_sub(1)) {
        Some(name) => format!("SIG{name}"),
        None => format!("SIGRT_{}", number - 32),
    }
}

/// Writes a line about a thread.
pub fn line(tid: i32, text: &str) {
    if let Some(file) = &mut *FILE.borrow_mut() {
        // A full disk must not end the guest.
        let _ = writeln!(file, "[{tid}] {text}");
    }
}
