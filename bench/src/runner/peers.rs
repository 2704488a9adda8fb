//! Other user-mode kernels, when they are installed: User Mode Linux and gVisor. They run the same
//! workload program with the host's file tree read-only underneath, as umlab's guests do.

use super::{Job, concat};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[derive(Debug)]
pub struct Peer {
    pub name: &'static str,
    program: &'static str,
    /// The Debian package to install for it.
    pub package: &'static str,
    description: &'static str,
    pub most_cpus: Option<u32>,
    wrap: fn(&Job) -> io::Result<Command>,
}

pub const PEERS: &[Peer] = &[
    Peer {
        name: "linux.uml",
        program: "linux.uml",
        package: "user-mode-linux",
        description: "User Mode Linux",
        most_cpus: Some(1),
        wrap: user_mode_linux,
    },
    Peer {
        name: "runsc",
        program: "runsc",
        package: "runsc",
        description: "gVisor, its ptrace platform",
        most_cpus: None,
        wrap: gvisor,
    },
];

impl Peer {
    pub fn is_installed(&self) -> bool {
        Command::new(self.program).arg("--version").output().is_ok_and(|output| output.status.success())
    }

    pub fn describe(&self) -> String {
        let version = Command::new(self.program).arg("--version").output().ok();
        let text = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        match text.lines().next().unwrap_or_default().trim().trim_start_matches("runsc version ") {
            "" => self.description.into(),
            version => format!("{} ({version})", self.description),
        }
    }

    pub fn command(&self, job: &Job) -> io::Result<Command> {
        (self.wrap)(job)
    }
}

/// User Mode Linux boots a kernel whose init is a script of ours on the host's tree; the console is
/// our pipe. Init's end would be a panic, so the script asks the kernel to power off.
fn user_mode_linux(job: &Job) -> io::Result<Command> {
    let init = job.visible.join("init");
    let mut script = b"#!/bin/sh\nmount -t proc proc /proc\nmount -t sysfs sysfs /sys\n".to_vec();
    let work = quoted(job.work.as_os_str());
    let lines: [&[u8]; 3] = [b"mkdir -p ", &work, b" 2>/dev/null\nmount -t tmpfs tmpfs "];
    script.extend(lines.concat());
    script.extend([&work[..], b" || exit 1\nenv -i"].concat());
    for (name, value) in job.environment {
        script.push(b' ');
        script.extend(quoted(&concat(&format!("{}=", name.to_string_lossy()), value.as_ref())));
    }
    for argument in job.argv {
        script.push(b' ');
        script.extend(quoted(argument));
    }
    script.extend(b"\necho o >/proc/sysrq-trigger\nwhile :; do sleep 1; done\n");
    fs::write(&init, script)?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    let mut command = Command::new("linux.uml");
    command.args(["mem=4G", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet", "loglevel=1"]);
    command.args(["con=null", "con0=fd:0,fd:1"]).arg(concat("init=", &init));
    Ok(command)
}

/// gVisor's `do` runs a command on the host's tree with memory above it.
fn gvisor(job: &Job) -> io::Result<Command> {
    let mut command = Command::new("runsc");
    command.args(["--network=none", "--platform=ptrace", "do", "--quiet", "--", "/bin/sh", "-c"]);
    command.arg("mkdir -p \"$0\" && exec env -i \"$@\"").arg(job.work);
    command.args(
        job.environment.iter().map(|(name, value)| concat(&format!("{}=", name.to_string_lossy()), value.as_ref())),
    );
    command.args(job.argv);
    Ok(command)
}

/// As one word of a shell's.
fn quoted(text: &OsStr) -> Vec<u8> {
    let inner = text.as_bytes().split(|&b| b == b'\'').collect::<Vec<_>>().join(&b"'\\''"[..]);
    [b"'", &inner[..], b"'"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn words_survive_the_shell() {
        for word in ["plain", "two words", "it's", "$(false)", "a\\b", "", "'"] {
            let output = Command::new("/bin/sh")
                .arg("-c")
                .arg(OsString::from_vec([b"printf %s ", &quoted(word.as_ref())[..]].concat()))
                .output();
            assert_eq!(output.unwrap().stdout, word.as_bytes());
        }
    }
}
