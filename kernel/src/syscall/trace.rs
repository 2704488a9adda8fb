//! System calls, as `--trace` shows them.

use super::Entry;
use crate::mm::AddressSpace;
use crate::task::Task;
use crate::trace::{is_on, line};
use crate::{Errno, Result};
use abi::number::{Low, to_usize};
use std::fmt::Write as _;

/// The longest part of a string that is shown.
const SHOWN: usize = 64;

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
        'd' => write!(line, "{}", value.low_i32()),
        'u' => write!(line, "{value}"),
        'o' => write!(line, "{value:#o}"),
        'f' if value.low_i32() == abi::AT_FDCWD => write!(line, "AT_FDCWD"),
        'f' => write!(line, "{}", value.low_i32()),
        'p' | 's' => match space.map(|s| s.read_string(value, 4096, Errno::ENAMETOOLONG)) {
            Some(Ok(text)) => write!(line, "{}", quote(&text)),
            _ if value == 0 => write!(line, "NULL"),
            _ => write!(line, "{value:#x}"),
        },
        'b' => {
            let mut bytes = vec![0; to_usize(args.get(i + 1).copied().unwrap_or(0)).min(SHOWN + 1)];
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
        Ok(value) if value.cast_signed() < 0 || *value > 1 << 32 => format!("{value:#x}"),
        Ok(value) => format!("{value}"),
        Err(e) if e.is_restart() => format!("? {e:?} (to be restarted)"),
        Err(e) => format!("-1 {e:?} ({e})"),
    };
    line(task.tid(), &format!("{described} = {result}"));
}

/// The first execve(2), which no guest process calls: the guest's command.
pub fn first_exec(task: &Task, path: &[u8], arguments: &[Vec<u8>], variables: usize) {
    if is_on() {
        let arguments: Vec<String> = arguments.iter().map(|argument| quote(argument)).collect();
        line(task.tid(), &format!("execve({}, [{}], [/* {variables} vars */]) = 0", quote(path), arguments.join(", ")));
    }
}
