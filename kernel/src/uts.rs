//! What the guest says it is: the strings of uname(2), which /proc/version and /proc/sys/kernel
//! show too.

use crate::lock::KCell;

/// Programs look at the system's name, and at the release for what they may expect of it.
pub const SYSNAME: &str = "Linux";
pub const RELEASE: &str = "6.1.0-umlab";
pub const VERSION: &str = "#1 SMP umlab";
pub const MACHINE: &str = "x86_64";

/// The longest host or domain name.
pub const NAME_MAX: usize = 64;

struct Names {
    host: Vec<u8>,
    domain: Vec<u8>,
}

static NAMES: KCell<Option<Names>> = KCell::new(None);

fn with<T>(f: impl FnOnce(&mut Names) -> T) -> T {
    let mut names = NAMES.borrow_mut();
    f(names.get_or_insert_with(|| Names { host: b"umlab".to_vec(), domain: b"(none)".to_vec() }))
}

pub fn hostname() -> Vec<u8> {
    with(|names| names.host.clone())
}

/// Sets the host name, cut to what uname(2) can show.
pub fn set_hostname(name: &[u8]) {
    with(|names| names.host = name[..name.len().min(NAME_MAX)].to_vec());
}

pub fn domainname() -> Vec<u8> {
    with(|names| names.domain.clone())
}

pub fn set_domainname(name: &[u8]) {
    with(|names| names.domain = name[..name.len().min(NAME_MAX)].to_vec());
}
