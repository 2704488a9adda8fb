//! The command line of a run, the same for `umlab run` and `uml`.

use anyhow::{Result, anyhow, bail, ensure};
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use umlab_kernel::boot::{Access, Bind, Config, Tmpfs};
use umlab_kernel::limits::Inherited;

/// How a guest is run.
#[derive(Args, Debug)]
pub struct RunOptions {
    /// The process model (see `umlab models`)
    #[arg(long, value_name = "NAME", default_value = "skas")]
    pub model: String,

    /// Guest CPUs [default: as many as this process may use and the model can have]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub cpus: Option<u16>,

    /// Guest memory, as 512M or 4G [default: half of the host's]
    #[arg(long, value_name = "SIZE", value_parser = parse_memory)]
    pub mem: Option<u64>,

    /// Host directory to be the guest's root: read-only, with memory above it for what the guest
    /// changes
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,

    /// Show a host directory or file, writable; at the same path or at GUEST
    #[arg(long, value_name = "HOST[:GUEST]", value_parser = parse_bind)]
    pub rw: Vec<(PathBuf, Vec<u8>)>,

    /// Like --rw, and the host gets the device nodes and set-id bits that the guest makes
    #[arg(long, value_name = "HOST[:GUEST]", value_parser = parse_bind)]
    pub rw_special: Vec<(PathBuf, Vec<u8>)>,

    /// Show a host directory or file, read-only; at the same path or at GUEST
    #[arg(long, value_name = "HOST[:GUEST]", value_parser = parse_bind)]
    pub ro: Vec<(PathBuf, Vec<u8>)>,

    /// Mount an empty memory file system at PATH
    #[arg(long, value_name = "PATH[:SIZE]", value_parser = parse_tmpfs)]
    pub tmpfs: Vec<Tmpfs>,

    /// Set an environment variable; the others are this process's own
    #[arg(long, value_name = "K=V", value_parser = parse_variable)]
    pub env: Vec<OsString>,

    /// Working directory in the guest [default: the current one, or / with --root]
    #[arg(long, value_name = "DIR")]
    pub workdir: Option<PathBuf>,

    /// User and group of the command [default: this process's own]
    #[arg(long, value_name = "UID[:GID]", value_parser = parse_user)]
    pub user: Option<(u32, u32)>,

    /// The guest's host name
    #[arg(long, value_name = "NAME", default_value = "umlab")]
    pub hostname: OsString,

    /// Print the guest's system calls, to standard error or FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub trace: Option<Option<PathBuf>>,

    /// Write the counters of the model and the core as JSON when the guest ends, to standard error
    /// or FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub stats: Option<Option<PathBuf>>,

    /// Which of the guest kernel's own messages to show
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = Level::Error)]
    pub log: Level,

    /// Check what the host has mapped for guests after one of N traps, at random
    #[arg(long, value_name = "N", env = "UMLAB_AUDIT", default_value_t = 0, hide = true)]
    pub audit: u32,

    /// The command to run in the guest, and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

/// A size in bytes, or with K, M, G or T for powers of 1024.
fn parse_size(text: &str) -> Result<u64> {
    let wrong = || anyhow!("'{text}' is no size; write a number of bytes, or one with K, M, G or T");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        "T" | "TB" | "TIB" => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

fn parse_memory(text: &str) -> Result<u64> {
    const LEAST: u64 = 16 << 20;
    const MOST: u64 = 1 << 42;
    match parse_size(text)? {
        size if size < LEAST => bail!("a guest needs at least 16M"),
        size if size > MOST => bail!("a guest can have at most 4T"),
        size => Ok(size),
    }
}

/// HOST[:GUEST].
fn parse_bind(text: &str) -> Result<(PathBuf, Vec<u8>)> {
    let (host, guest) = match text.split_once(':') {
        Some((host, guest)) => (host, Some(guest)),
        None => (text, None),
    };
    ensure!(!host.is_empty(), "the host path is missing");
    let host = PathBuf::from(host);
    let guest = match guest {
        Some(guest) if guest.starts_with('/') => guest.as_bytes().to_vec(),
        Some(guest) => bail!("the guest path '{guest}' does not begin with /"),
        None => std::path::absolute(&host)?.into_os_string().into_vec(),
    };
    Ok((host, guest))
}

/// PATH[:SIZE].
fn parse_tmpfs(text: &str) -> Result<Tmpfs> {
    let (path, size) = match text.split_once(':') {
        Some((path, size)) => (path, Some(parse_size(size)?)),
        None => (text, None),
    };
    ensure!(path.starts_with('/'), "the path '{path}' does not begin with /");
    Ok(Tmpfs { guest: path.as_bytes().to_vec(), size })
}

fn parse_variable(text: &str) -> Result<OsString> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.into()),
        _ => bail!("write NAME=VALUE"),
    }
}

/// UID[:GID].
fn parse_user(text: &str) -> Result<(u32, u32)> {
    let number = |text: &str| match text.parse() {
        Ok(u32::MAX) | Err(_) => bail!("'{text}' is no user or group number"),
        Ok(number) => Ok(number),
    };
    match text.split_once(':') {
        Some((uid, gid)) => Ok((number(uid)?, number(gid)?)),
        None => number(text).map(|uid| (uid, uid)),
    }
}

impl RunOptions {
    /// How many CPUs the guest has, if its model can have at most so many.
    fn cpus(&self, most: Option<u32>) -> usize {
        let most = most.map_or(64, |most| most as usize);
        self.cpus.map_or_else(|| umlab_host::thread::allowed_cpus().len().clamp(1, most), usize::from)
    }

    /// What to boot, by a model that can have at most so many CPUs.
    pub fn config(self, most_cpus: Option<u32>) -> Result<Config> {
        let cpus = self.cpus(most_cpus);
        let root = match self.root.metadata() {
            Ok(metadata) if metadata.is_dir() => self.root,
            Ok(_) => bail!("the root '{}' is not a directory", self.root.display()),
            Err(e) => bail!("cannot use '{}' as the root: {}", self.root.display(), plain(&e)),
        };
        if let Err(e) = std::fs::read_dir(&root) {
            bail!("cannot read the root '{}': {}", root.display(), plain(&e));
        }
        let bind = |(host, guest): (PathBuf, Vec<u8>), access| match host.metadata() {
            Ok(_) => Ok(Bind { host, guest, access }),
            Err(e) => bail!("cannot show '{}': {}", host.display(), plain(&e)),
        };
        let mut binds = Vec::new();
        for (pairs, access) in
            [(self.ro, Access::ReadOnly), (self.rw, Access::Write), (self.rw_special, Access::Special)]
        {
            for pair in pairs {
                binds.push(bind(pair, access)?);
            }
        }
        let mut environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        for variable in &self.env {
            let bytes = variable.as_bytes();
            let at = bytes.iter().position(|&b| b == b'=').unwrap_or(bytes.len());
            let name = OsString::from_vec(bytes[..at].to_vec());
            let value = OsString::from_vec(bytes.get(at + 1..).unwrap_or_default().to_vec());
            environment.retain(|(other, _)| *other != name);
            environment.push((name, value));
        }
        let environment = environment.into_iter().map(|(k, v)| [k.as_bytes(), b"=", v.as_bytes()].concat()).collect();
        let workdir = match self.workdir {
            Some(workdir) => workdir,
            None if root.as_os_str() == "/" => std::env::current_dir().unwrap_or_else(|_| "/".into()),
            None => "/".into(),
        };
        let own = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
        let groups = match self.user {
            Some(_) => Vec::new(),
            None => nix::unistd::getgroups().unwrap_or_default().into_iter().map(|gid| gid.as_raw()).collect(),
        };
        let (uid, gid) = self.user.unwrap_or(own);
        Ok(Config {
            cpus,
            memory: self.mem.unwrap_or_else(half_of_memory),
            root,
            binds,
            tmpfs: self.tmpfs,
            environment,
            workdir: workdir.into_os_string().into_vec(),
            uid,
            gid,
            groups,
            inherited: Inherited::own(),
            hostname: self.hostname.into_vec(),
            audit: self.audit,
            command: self.command.into_iter().map(OsString::into_vec).collect(),
        })
    }
}

/// An error without Rust's "(os error 2)".
fn plain(e: &std::io::Error) -> String {
    umlab_host::Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)).to_string()
}

fn half_of_memory() -> u64 {
    let pages = nix::unistd::sysconf(nix::unistd::SysconfVar::_PHYS_PAGES).ok().flatten().unwrap_or(1 << 18);
    (pages as u64 * 4096 / 2).max(256 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("4096").unwrap(), 4096);
        assert_eq!(parse_size("2k").unwrap(), 2048);
        assert_eq!(parse_size("3GiB").unwrap(), 3 << 30);
        for wrong in ["", "G", "1X", "-1", "99999999999T"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
        assert!(parse_memory("1M").is_err());
    }

    #[test]
    fn binds() {
        assert_eq!(parse_bind("/a:/b").unwrap(), ("/a".into(), b"/b".to_vec()));
        assert_eq!(parse_bind("/a").unwrap(), ("/a".into(), b"/a".to_vec()));
        assert!(parse_bind("/a:b").is_err());
        assert!(parse_bind(":/b").is_err());
    }

    #[test]
    fn users() {
        assert_eq!(parse_user("1000").unwrap(), (1000, 1000));
        assert_eq!(parse_user("0:5").unwrap(), (0, 5));
        for wrong in ["", "root", "1:", "4294967295", "-1"] {
            assert!(parse_user(wrong).is_err(), "{wrong}");
        }
    }
}
