//! The options of a tmpfs that mount(2) makes (tmpfs(5)).

use super::MemFs;
use crate::vfs::mount::FileSystem;
use crate::{Errno, Result};
use std::sync::Arc;

/// A new tmpfs with these options; EINVAL for those that there are not.
pub fn mount(options: &[u8]) -> Result<Arc<dyn FileSystem>> {
    let options = String::from_utf8_lossy(options);
    let (mut size, mut mode, mut uid, mut gid) = (None, 0o1777, 0, 0);
    for option in options.split(',').filter(|o| !o.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        match name {
            "size" => size = Some(bytes(value).ok_or(Errno::EINVAL)?),
            "nr_blocks" => size = Some(bytes(value).and_then(|n| n.checked_mul(4096)).ok_or(Errno::EINVAL)?),
            "mode" => mode = u32::from_str_radix(value, 8).map_err(|_| Errno::EINVAL)? & 0o7777,
            "uid" => uid = value.parse().map_err(|_| Errno::EINVAL)?,
            "gid" => gid = value.parse().map_err(|_| Errno::EINVAL)?,
            "nr_inodes" | "huge" | "mpol" | "inode64" | "inode32" | "noswap" => {}
            _ => return Err(Errno::EINVAL),
        }
    }
    Ok(MemFs::new(size, mode, uid, gid))
}

/// A size as tmpfs takes it: bytes, or with k, m or g; or a share of memory in percent.
fn bytes(text: &str) -> Option<u64> {
    if let Some(percent) = text.strip_suffix('%') {
        return (crate::mm::frames::limit() / 100).checked_mul(percent.parse().ok()?);
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}
