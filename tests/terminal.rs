//! The guest on a real terminal: what a person at a keyboard gets.

mod common;

use nix::libc;
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A guest on a pseudo terminal of its own, and what it has shown so far.
struct Screen {
    master: File,
    slave: OwnedFd,
    uml: Child,
    bytes: Receiver<Vec<u8>>,
    shown: String,
}

impl Screen {
    fn run(command: &[&str]) -> Screen {
        let size = Winsize { ws_row: 30, ws_col: 90, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("a pseudo terminal");
        let end = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        let mut uml = Command::new(env!("CARGO_BIN_EXE_uml"));
        uml.args([
            "--cpus",
            "1",
            "--mem",
            "256M",
            "--workdir",
            "/",
            "--env",
            "PS1=READY> ",
            "--env",
            "TERM=dumb",
            "--",
        ]);
        uml.args(command).stdin(end()).stdout(end()).stderr(end());
        // SAFETY: the calls are safe between fork and exec.
        unsafe {
            uml.pre_exec(|| {
                common::default_signals()?;
                libc::setsid();
                libc::ioctl(0, libc::TIOCSCTTY, 0);
                Ok(())
            })
        };
        let uml = uml.spawn().expect("uml starts");
        let master = File::from(pty.master);
        let mut reader = master.try_clone().expect("a descriptor");
        let (send, bytes) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                if send.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Screen { master, slave: pty.slave, uml, bytes, shown: String::new() }
    }

    /// An interactive shell that has shown its first prompt.
    fn shell() -> Screen {
        let mut screen = Screen::run(&["bash", "--norc", "--noprofile", "-i"]);
        screen.expect("READY> ");
        screen
    }

    fn keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Waits until the guest shows `text`, and forgets everything up to there. Returns what came
    /// before it.
    #[track_caller]
    fn expect(&mut self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.shown.find(text) {
                let before = self.shown[..at].to_string();
                self.shown.drain(..at + text.len());
                return before;
            }
            match self.bytes.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("'{text}' did not appear; there is: {:?}", self.shown),
            }
        }
    }

    /// Types a command and returns what it shows.
    #[track_caller]
    fn command(&mut self, line: &str) -> String {
        self.keys(&format!("{line}\r"));
        self.expect("\r\n");
        self.expect("READY> ").replace("\r\n", "\n")
    }

    fn settings(&self) -> Termios {
        tcgetattr(&self.slave).expect("a terminal's settings")
    }

    fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the request reads a window size.
        unsafe { libc::ioctl(self.master.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &size) };
    }

    #[track_caller]
    fn wait(mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.uml.try_wait().expect("uml is our child") {
                let canonical = self.settings().local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO);
                assert!(canonical, "the terminal is given back as it was");
                return status;
            }
            assert!(Instant::now() < end, "uml does not end; there is: {:?}", self.shown);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.uml.kill();
        let _ = self.uml.wait();
    }
}

#[test]
fn a_shell_knows_its_terminal() {
    let mut screen = Screen::shell();
    assert!(!screen.settings().local_flags.contains(LocalFlags::ICANON), "the host terminal is raw");
    assert_eq!(screen.command("tty"), "/dev/console\n");
    assert_eq!(screen.command("stty size"), "30 90\n");
    assert_eq!(screen.command("test -t 0 -a -t 1 -a -t 2; echo $?"), "0\n");
    assert_eq!(screen.command("echo to the terminal > /dev/tty"), "to the terminal\n");
    screen.keys("exit 7\r");
    assert_eq!(screen.wait().code(), Some(7));
}

#[test]
fn a_window_changes_its_size() {
    let mut screen = Screen::shell();
    screen.command("trap 'echo changed' WINCH");
    screen.resize(50, 132);
    screen.keys("\r");
    screen.expect("changed");
    screen.expect("READY> ");
    assert!(screen.command("stty size").contains("50 132\n"));
}

#[test]
fn jobs_are_interrupted_stopped_and_continued() {
    let mut screen = Screen::shell();
    screen.keys("sleep 1000\r");
    screen.expect("sleep 1000\r\n");
    std::thread::sleep(Duration::from_millis(1000));
    screen.keys("\x03");
    screen.expect("^C");
    screen.expect("READY> ");
    assert_eq!(screen.command("echo $?"), "130\n");

    screen.keys("sleep 1000\r");
    screen.expect("sleep 1000\r\n");
    std::thread::sleep(Duration::from_millis(1000));
    screen.keys("\x1a");
    screen.expect("Stopped");
    screen.expect("READY> ");
    assert!(screen.command("jobs").contains("Stopped"));
    screen.command("bg");
    assert!(screen.command("jobs").contains("Running"));
    screen.keys("fg\r");
    screen.expect("sleep 1000\r\n");
    std::thread::sleep(Duration::from_millis(1000));
    screen.keys("\x03");
    screen.expect("READY> ");
    assert_eq!(screen.command("jobs"), "");
}

#[test]
fn lines_are_edited_by_the_guest() {
    let mut screen = Screen::run(&["cat"]);
    screen.keys("wrong\x15right\r");
    screen.expect("right\r\n");
    screen.expect("right\r\n");
    screen.keys("\x04");
    assert_eq!(screen.wait().code(), Some(0));
}

#[test]
fn a_command_ends_by_a_key() {
    let mut screen = Screen::run(&["sh", "-c", "echo started; exec sleep 1000"]);
    screen.expect("started");
    screen.keys("\x03");
    screen.expect("^C");
    assert_eq!(screen.wait().code(), Some(128 + libc::SIGINT));
}

#[test]
fn hanging_up_ends_the_guest() {
    let mut screen = Screen::run(&["sh", "-c", "echo started; exec sleep 1000"]);
    screen.expect("started");
    let pid = screen.uml.id() as i32;
    // SAFETY: a process of ours that was not waited for.
    unsafe { libc::kill(pid, libc::SIGHUP) };
    let status = screen.wait();
    assert!(status.code() == Some(128 + libc::SIGHUP) || status.signal() == Some(libc::SIGHUP), "{status}");
}

#[test]
fn a_terminal_in_the_terminal() {
    let mut screen = Screen::shell();
    screen.keys("script -q -c 'tty; stty size; echo in script' /dev/null\r");
    screen.expect("/dev/pts/0\r\n30 90\r\nin script\r\n");
    screen.expect("READY> ");
    screen.keys("exit\r");
    assert_eq!(screen.wait().code(), Some(0));
}
