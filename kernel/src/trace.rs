//! `--trace`: system calls, signals and ends of threads in strace's manner, a line each.

use crate::lock::KCell;
use crate::mm::AddressSpace;
use crate::signal::SigInfo;
use crate::syscall::Entry;
use crate::task::Task;
use crate::{Errno, Result};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

static ON: AtomicBool = AtomicBool::new(false);
static FILE: KCell<Option<File>> = KCell::new(None);

/// The longest part of a string that is shown.
const SHOWN: usize = 64;

/// Traces into `file` from now on. Called before the guest is booted.
pub fn start(file: File) {
    crate::lock::with(|| FILE.set(Some(file)));
    ON.store(true, Ordering::Relaxed);
}

pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// The call with its arguments, as they are before it is carried out.
pub fn describe(task: &Task, entry: Option<&Entry>, number: u64, args: &[u64; 6]) -> String {
    let mut line = match entry {
        Some(entry) => format!("{}(", entry.name),
        None => format!("{}(", crate::stats::name_of(number)),
    };
    let letters = entry.map_or("xxxxxx", |entry| entry.args);
    let space = task.space.cloned();
    for (i, letter) in letters.chars().take(6).enumerate() {
        if letter == '-' {
            continue;
        }
        if i > 0 {
            line.push_str(", ");
        }
        describe_argument(&mut line, space.as_deref(), letter, i, args);
    }
    line.push(')');
    line
}

fn describe_argument(line: &mut String, space: Option<&AddressSpace>, letter: char, i: usize, args: &[u64; 6]) {
    let value = args[i];
    // Writing to a string does not fail.
    let _ = match letter {
        'd' => write!(line, "{}", value as i32),
        'u' => write!(line, "{value}"),
        'o' => write!(line, "{value:#o}"),
        'f' if value as i32 == libc::AT_FDCWD => write!(line, "AT_FDCWD"),
        'f' => write!(line, "{}", value as i32),
        'p' | 's' => match space.map(|s| s.read_string(value, 4096, Errno::ENAMETOOLONG)) {
            Some(Ok(text)) => write!(line, "{}", quote(&text)),
            _ if value == 0 => write!(line, "NULL"),
            _ => write!(line, "{value:#x}"),
        },
        'b' => {
            let mut bytes = vec![0; (args.get(i + 1).copied().unwrap_or(0) as usize).min(SHOWN + 1)];
            match space.map(|s| s.read_bytes(value, &mut bytes)) {
                Some(Ok(())) => write!(line, "{}", quote(&bytes)),
                _ => write!(line, "{value:#x}"),
            }
        }
        _ if value == 0 && letter == 'P' => write!(line, "NULL"),
        _ => write!(line, "{value:#x}"),
    };
}

fn quote(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN)];
    let more = if bytes.len() > SHOWN { "..." } else { "" };
    format!("\"{}\"{more}", shown.escape_ascii())
}

/// Writes the line of a call that is over.
pub fn finish(task: &Task, described: &str, result: &Result<u64>) {
    let result = match result {
        Ok(value) if (*value as i64) < 0 || *value > 1 << 32 => format!("{value:#x}"),
        Ok(value) => format!("{value}"),
        Err(e) if e.is_restart() => format!("? {e:?} (to be restarted)"),
        Err(e) => format!("-1 {e:?} ({e})"),
    };
    line(task, &format!("{described} = {result}"));
}

/// The first execve(2), which no guest process calls: the guest's command.
pub fn first_exec(task: &Task, path: &[u8], arguments: &[Vec<u8>], variables: usize) {
    if is_on() {
        let arguments: Vec<String> = arguments.iter().map(|argument| quote(argument)).collect();
        line(task, &format!("execve({}, [{}], [/* {variables} vars */]) = 0", quote(path), arguments.join(", ")));
    }
}

/// A signal that is delivered.
pub fn signal(task: &Task, info: &SigInfo) {
    if is_on() {
        let name = signal_name(info.signal());
        line(task, &format!("--- {name} {{si_signo={name}, si_code={}}} ---", info.code()));
    }
}

/// The end of a thread, with the wait status of its process.
pub fn ended(task: &Task, status: i32) {
    if is_on() {
        match status & 0x7f {
            0 => line(task, &format!("+++ exited with {} +++", status >> 8 & 0xff)),
            number => {
                let core = if status & 0x80 != 0 { " (core dumped)" } else { "" };
                line(task, &format!("+++ killed by {}{core} +++", signal_name(number)));
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
    match NAMES.get((number as usize).wrapping_sub(1)) {
        Some(name) => format!("SIG{name}"),
        None => format!("SIGRT_{}", number - 32),
    }
}

fn line(task: &Task, text: &str) {
    if let Some(file) = &mut *FILE.borrow_mut() {
        // A full disk must not end the guest.
        let _ = writeln!(file, "[{}] {text}", task.tid());
    }
}
