//! Files that are opened for one use.

use crate::board::Board;
use crate::sys::ask;
use libc::*;

/// How often a file is read from where the last time left off.
const TIMES: usize = 4;

fn count(board: &Board, number: i64, args: [u64; 6]) -> i64 {
    let result = ask(number, args);
    board.count(number, result);
    result
}

/// Reads a file, or lists a directory, from an offset on.
pub fn read(board: &Board, [path, buffer, size, offset, ..]: [u64; 6]) {
    let file = count(board, SYS_open, [path, (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) as u64, 0, 0, 0, 0]);
    if file < 0 {
        return;
    }
    if offset != 0 {
        count(board, SYS_lseek, [file as u64, offset, SEEK_SET as u64, 0, 0, 0]);
    }
    for _ in 0..TIMES {
        let args = [file as u64, buffer, size, 0, 0, 0];
        let mut read = count(board, SYS_read, args);
        if read == -i64::from(EISDIR) {
            read = count(board, SYS_getdents64, args);
        }
        if read <= 0 {
            break;
        }
    }
    ask(SYS_close, [file as u64, 0, 0, 0, 0, 0]);
}

/// Writes a text to a file, the whole of it where no length is given.
pub fn write(board: &Board, [path, text, len, ..]: [u64; 6]) {
    let file = count(board, SYS_open, [path, (O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) as u64, 0, 0, 0, 0]);
    if file < 0 {
        return;
    }
    let len = match len {
        // SAFETY: the scratch that a step's text is in is zero behind it. Where a changed program
        // has no text there, it is for the process to bear.
        0 if text != 0 => unsafe { strlen(text as *const c_char) as u64 },
        len => len,
    };
    count(board, SYS_write, [file as u64, text, len, 0, 0, 0]);
    ask(SYS_close, [file as u64, 0, 0, 0, 0, 0]);
}
