//! Running one command on the host or in a guest, so that a test can compare the two.
//!
//! Every run has a session of its own and a time limit. When it is over, nothing of its session may
//! be alive: a guest that leaves host processes behind fails whatever test it ran in. (Each test
//! file is a crate of its own and uses a part of this.)
#![allow(dead_code)]

pub mod memory;

use std::ffi::OsString;
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub const UMLAB: &str = env!("CARGO_BIN_EXE_umlab");
pub const SOURCE: &str = env!("CARGO_MANIFEST_DIR");

/// Long enough for any program here in a guest on a small, busy machine.
const LIMIT: Duration = Duration::from_secs(600);

/// What both sides start with, so that they cannot differ by what the tests were started with.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"),
    ("HOME", "/tmp"),
    ("LC_ALL", "C.UTF-8"),
    ("TZ", "UTC"),
    ("TERM", "dumb"),
];

/// A command to run, on either side.
#[derive(Clone)]
pub struct Program {
    argv: Vec<OsString>,
    environment: Vec<(String, String)>,
    model: &'static str,
    options: Vec<OsString>,
    stdin: Vec<u8>,
    limit: Duration,
}

impl Program {
    pub fn new<S: Into<OsString> + Clone>(argv: &[S]) -> Program {
        Program {
            argv: argv.iter().cloned().map(Into::into).collect(),
            environment: ENVIRONMENT.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            model: "skas",
            options: Vec::new(),
            stdin: Vec::new(),
            limit: LIMIT,
        }
    }

    pub fn sh(script: &str) -> Program {
        Program::new(&["sh", "-c", script])
    }

    pub fn env(mut self, key: &str, value: impl Into<String>) -> Program {
        self.environment.retain(|(k, _)| k != key);
        self.environment.push((key.to_string(), value.into()));
        self
    }

    /// The process model of the guest.
    pub fn model(mut self, model: &'static str) -> Program {
        self.model = model;
        self
    }

    /// Options of `umlab run`, for the guest only.
    pub fn options<S: Into<OsString> + Clone>(mut self, options: &[S]) -> Program {
        self.options.extend(options.iter().cloned().map(Into::into));
        self
    }

    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Program {
        self.stdin = bytes.into();
        self
    }

    pub fn limit(mut self, seconds: u64) -> Program {
        self.limit = Duration::from_secs(seconds);
        self
    }

    pub fn on_host(&self) -> Outcome {
        run(self.host_command(), &self.stdin, self.limit)
    }

    pub fn host_command(&self) -> Command {
        let mut command = Command::new(&self.argv[0]);
        command.args(&self.argv[1..]).env_clear().envs(self.environment.iter().cloned());
        command
    }

    pub fn in_guest(&self) -> Outcome {
        run(self.guest_command(), &self.stdin, self.limit)
    }

    /// `umlab run` with all that belongs to it, for tests that start it in a way of their own.
    pub fn guest_command(&self) -> Command {
        let mut command = Command::new(UMLAB);
        command.env_clear().envs(self.environment.iter().cloned());
        command.args(["run", "--model", self.model]);
        // Tests that run with the audit: see `scripts/test`.
        if let Some(every) = std::env::var_os("UMLAB_AUDIT").filter(|_| !self.options.contains(&"--audit".into())) {
            command.arg("--audit").arg(every);
        }
        command.args(&self.options).arg("--").args(&self.argv);
        command
    }

    /// Run on both sides; the guest must do what the host did. Returns the host's outcome.
    #[track_caller]
    pub fn compare(&self) -> Outcome {
        let host = self.on_host();
        assert!(host.end != End::TimedOut, "too slow on the host: {host:?}");
        let guest = self.in_guest();
        let same = guest.stdout == host.stdout && guest.end == host.end.as_seen_through_a_guest();
        assert!(same, "\n{}\nthe guest {}, the host {}\n{guest:?}", difference(&host, &guest), guest.end, host.end);
        host
    }
}

/// `umlab` with these arguments, none of ours.
pub fn umlab<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Outcome {
    let mut command = Command::new(UMLAB);
    command.args(args);
    run(command, b"", LIMIT)
}

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Code(i32),
    Signal(i32),
    TimedOut,
}

impl End {
    /// `umlab` gives a guest command's signal as a code, as a shell does.
    fn as_seen_through_a_guest(self) -> End {
        match self {
            End::Signal(n) => End::Code(128 + n),
            other => other,
        }
    }
}

impl From<ExitStatus> for End {
    fn from(status: ExitStatus) -> End {
        match status.signal() {
            Some(signal) => End::Signal(signal),
            None => End::Code(status.code().unwrap_or(-1)),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            End::Code(code) => write!(f, "exited with status {code}"),
            End::Signal(signal) => write!(f, "was ended by signal {signal}"),
            End::TimedOut => write!(f, "did not end in time"),
        }
    }
}

pub struct Outcome {
    pub end: End,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Outcome {
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Demand this exit status.
    #[track_caller]
    pub fn code(self, code: i32) -> Outcome {
        assert_eq!(self.end, End::Code(code), "{self:?}");
        self
    }

    /// Demand this output, apart from space at its ends.
    #[track_caller]
    pub fn says(self, text: &str) -> Outcome {
        assert_eq!(self.out().trim(), text, "{self:?}");
        self
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "it {}", self.end)?;
        writeln!(f, "--- stdout\n{}", clip(&self.out()))?;
        write!(f, "--- stderr\n{}\n---", clip(&self.err()))
    }
}

/// A long text's beginning and end.
fn clip(text: &str) -> String {
    const KEEP: usize = 3000;
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= 2 * KEEP {
        return text.trim_end().to_string();
    }
    let (head, tail) = (&chars[..KEEP], &chars[chars.len() - KEEP..]);
    format!("{}\n[... {} more ...]\n{}", String::from_iter(head), chars.len() - 2 * KEEP, String::from_iter(tail))
}

/// The first lines in which the two outputs differ.
fn difference(host: &Outcome, guest: &Outcome) -> String {
    let (host, guest) = (host.out(), guest.out());
    let (mut h, mut g) = (host.lines(), guest.lines());
    for number in 1.. {
        match (h.next(), g.next()) {
            (None, None) => break,
            (a, b) if a == b => {}
            (a, b) => {
                let side = |line: Option<&str>| line.map_or("nothing".to_string(), |l| format!("'{l}'"));
                return format!("output line {number}: host {}, guest {}", side(a), side(b));
            }
        }
    }
    "the same output".to_string()
}

/// Run a command to its end, or end it when its time is over; in both cases nothing of it may be
/// left.
pub fn run(command: Command, stdin: &[u8], limit: Duration) -> Outcome {
    run_watched(command, stdin, limit, |_| ())
}

/// As [`run`]; `started` is given the session that the command leads.
pub fn run_watched(mut command: Command, stdin: &[u8], limit: Duration, started: impl FnOnce(u32)) -> Outcome {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn_in_session(command);
    let session = child.id();
    started(session);
    let mut to_child = child.stdin.take().expect("a pipe to the command");
    let bytes = stdin.to_vec();
    // The command may never read it, and then writing fails or blocks; neither is the test's
    // matter.
    std::thread::spawn(move || _ = to_child.write_all(&bytes));
    let stdout = collect(child.stdout.take().expect("a pipe from the command"));
    let stderr = collect(child.stderr.take().expect("a pipe from the command"));
    let end = wait(&mut child, limit);
    let left = end_session(session);
    let outcome = Outcome { end, stdout: collected(&stdout), stderr: collected(&stderr) };
    assert!(left.is_empty() || end == End::TimedOut, "processes were left behind: {left:?}\n{outcome:?}");
    outcome
}

/// Start a command as the leader of a new session, by which its descendants can be found.
pub fn spawn_in_session(mut command: Command) -> Child {
    // SAFETY: setsid(2) and what the other does are async-signal-safe and touch no memory.
    unsafe {
        command.pre_exec(|| {
            default_signals()?;
            nix::unistd::setsid().map(drop).map_err(Into::into)
        })
    };
    command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"))
}

/// Undo what the tests may have been started with, as `nohup` or a shell's `&` do: signals that are
/// ignored stay so across exec. For the child between fork and exec.
pub fn default_signals() -> std::io::Result<()> {
    use nix::sys::signal::{SigHandler, Signal, signal};
    for number in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
        // SAFETY: the default action runs no code of ours.
        unsafe { signal(number, SigHandler::SigDfl) }?;
    }
    Ok(())
}

fn collect(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(n @ 1..) = from.read(&mut bytes) {
            if send.send(bytes[..n].to_vec()).is_err() {
                break;
            }
        }
    });
    receive
}

/// What has come, up to the end; a process that holds the pipe open after the command's end is not
/// waited for.
fn collected(from: &mpsc::Receiver<Vec<u8>>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Ok(bytes) = from.recv_timeout(Duration::from_secs(10)) {
        all.extend(bytes);
    }
    all
}

/// Wait for a command's end; [`End::TimedOut`] when that does not come.
pub fn wait(child: &mut Child, limit: Duration) -> End {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("waiting for our own child") {
            return status.into();
        }
        if start.elapsed() > limit {
            child.kill().expect("ending our own child");
            child.wait().expect("waiting for our own child");
            return End::TimedOut;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Give a session whose leader has ended a moment to be gone, end what is left, and say what that
/// was. The host takes its time over killed processes while another test ends a few thousand.
pub fn end_session(session: u32) -> Vec<String> {
    let start = Instant::now();
    let mut left = members(session);
    while !left.is_empty() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
        left = members(session);
    }
    for (pid, _) in &left {
        _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), nix::sys::signal::SIGKILL);
    }
    left.into_iter().map(|(pid, name)| format!("{pid} {name}")).collect()
}

/// The living processes of a session, with their names.
pub fn members(session: u32) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // pid (name) state ppid pgrp session ...; the name may hold anything, also parentheses.
        let (Some(open), Some(close)) = (stat.find('('), stat.rfind(')')) else { continue };
        let fields: Vec<&str> = stat[close + 1..].split_whitespace().collect();
        let alive = fields.first().is_some_and(|state| *state != "Z" && *state != "X");
        if alive && fields.get(3) == Some(&session.to_string().as_str()) {
            found.push((stat[..open].trim().parse().expect("a process id"), stat[open + 1..close].to_string()));
        }
    }
    found
}

/// The directory of the static programs that both sides run, built when they are not there yet; or
/// the one that UMLAB_GUEST_PROGRAMS names, where nothing can be built.
pub fn guest_programs() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let named = || std::env::var_os("UMLAB_GUEST_PROGRAMS").map(PathBuf::from);
    DIRECTORY.get_or_init(|| named().unwrap_or_else(|| script_output("guest-programs").into()))
}

/// Run one of our scripts and return what it prints.
pub fn script_output(name: &str) -> String {
    let path = Path::new(SOURCE).join("scripts").join(name);
    let output = Command::new(&path).output().unwrap_or_else(|e| panic!("cannot run {}: {e}", path.display()));
    assert!(output.status.success(), "{} failed:\n{}", path.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}
