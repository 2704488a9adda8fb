//! The kernel's own files: those that show its state, and those that change its settings.

use super::Arg::{Made, One, Out, Size};
use super::{Call, call};
use crate::generate::system::{setting, setting_text, state_file};

pub const CALLS: &[Call] = &[
    call(
        "read-file",
        super::READ_FILE,
        16,
        &[Made(state_file), Out(4096), Size, One(&[0, 0, 0, 1, 100, 4096, 1 << 40])],
    ),
    // The whole text (0), or a part of it.
    call("write-file", super::WRITE_FILE, 6, &[Made(setting), Made(setting_text), One(&[0, 0, 0, 0, 1, 2, 16])]),
];
