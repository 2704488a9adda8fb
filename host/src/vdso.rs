//! The vDSO that the host gave this process.

use std::sync::OnceLock;

/// Its image, empty if there is none. Asked for once before any guest runs, it costs no call of the
/// host's later.
pub fn image() -> &'static [u8] {
    static IMAGE: OnceLock<&'static [u8]> = OnceLock::new();
    IMAGE.get_or_init(|| find().unwrap_or_default())
}

fn find() -> Option<&'static [u8]> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("[vdso]"))?;
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    let len = end.checked_sub(start)?;
    // SAFETY: the host has mapped it there for reading, nobody writes to it, and this process never
    // takes it away.
    Some(unsafe { std::slice::from_raw_parts(start as *const u8, len) })
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_a_program() {
        let image = super::image();
        assert!(image.is_empty() || image.starts_with(b"\x7fELF"));
    }
}
