//! Memory that is read and written by the program itself.

use crate::sys::{load, store};

pub fn touch(at: u64, writing: bool, pages: u64) {
    for page in 0..pages.min(64) {
        let at = at.wrapping_add(page * 4096) & !7;
        // An address that is none gives a fault that looks different, but is caught as well.
        match load(at) {
            // Our own code and stack can be mapped there, so what is written is what was.
            Ok(value) if writing => _ = store(at, value),
            _ => {}
        }
    }
}
