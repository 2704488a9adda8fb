//! Names of places and files as the links and maps of proc(5) show them.

use super::context::Caller;
use super::file::OpenFile;
use super::inode::FileKind;
use super::path::Path;
use crate::{Errno, Result};

/// A place, as the caller would name it.
///
/// # Errors
/// ENAMETOOLONG for more than PATH_MAX bytes.
pub fn path(path: &Path, caller: &dyn Caller) -> Result<Vec<u8>> {
    let text = path.display(&caller.root());
    if text.len() >= abi::PATH_MAX as usize { Err(Errno::ENAMETOOLONG) } else { Ok(text) }
}

/// An open file: its place, or what it is if it has none. Empty for a name that is too long.
pub fn file(file: &OpenFile, caller: &dyn Caller) -> Vec<u8> {
    if let Some(place) = &file.path {
        return path(place, caller).unwrap_or_default();
    }
    if let Some(text) = file.inode.link_text() {
        return text;
    }
    let ino = file.inode.attr().map_or(0, |a| a.ino);
    let kind = match file.inode.kind() {
        FileKind::Fifo => "pipe",
        FileKind::Socket => "socket",
        _ => "file",
    };
    format!("{kind}:[{ino}]").into_bytes()
}
