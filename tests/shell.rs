//! An interactive shell on a real terminal: a pseudo terminal whose other end is in our hands.
//!
//! Each conversation is held twice: with a shell on the host, which shows that the test is right,
//! and in a guest.

mod common;

use common::{End, Program, end_session, wait};
use nix::libc;
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, dup};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Longer than any answer takes on a small, busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What every shell here prints when it waits for a command.
const PROMPT: &str = "ready> ";

/// For [`Terminal::start_command`]: a command that goes on until a key ends it.
const SLEEPER: &str = "sh -c 'echo go\"\"ing; exec sleep 1000'";

struct Terminal {
    child: Child,
    master: File,
    incoming: mpsc::Receiver<Vec<u8>>,
    /// What has come and was not yet expected.
    text: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Host,
    Guest,
}

impl Terminal {
    fn start(side: Side, argv: &[&str]) -> Terminal {
        let program = Program::new(argv).env("TERM", "xterm").env("PS1", PROMPT);
        let mut command = match side {
            Side::Host => program.host_command(),
            Side::Guest => program.guest_command(),
        };
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("a pseudo terminal");
        attach(&mut command, &pty.slave);
        let child = command.spawn().expect("umlab starts");
        drop(command);
        drop(pty.slave);
        let (send, incoming) = mpsc::channel();
        let mut reader = File::from(dup(&pty.master).expect("another descriptor"));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut bytes) {
                if send.send(bytes[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Terminal { child, master: pty.master.into(), incoming, text: String::new() }
    }

    fn shell(side: Side) -> Terminal {
        let mut terminal = Terminal::start(side, &["bash", "--norc", "--noprofile", "--noediting", "-i"]);
        terminal.expect(PROMPT);
        terminal
    }

    fn send(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("the terminal takes input");
    }

    /// Wait for a text; what came before it.
    #[track_caller]
    fn expect(&mut self, wanted: &str) -> String {
        let start = Instant::now();
        loop {
            if let Some(at) = self.text.find(wanted) {
                let before = self.text[..at].to_string();
                self.text.drain(..at + wanted.len());
                return before;
            }
            let left = PATIENCE.saturating_sub(start.elapsed());
            match self.incoming.recv_timeout(left) {
                Ok(bytes) => self.text.push_str(&String::from_utf8_lossy(&bytes)),
                Err(e) => panic!("{wanted:?} did not come ({e}); instead came {:?}", self.text),
            }
        }
    }

    /// Run a command; what it printed, without the echo of the command itself.
    #[track_caller]
    fn ask(&mut self, command: &str) -> String {
        self.send(&format!("{command}\n"));
        self.expect("\n");
        self.expect(PROMPT).replace('\r', "")
    }

    /// Start a command that prints "going" once it runs. In the command itself, which is echoed,
    /// the word has quotes in it.
    #[track_caller]
    fn start_command(&mut self, command: &str) {
        self.send(&format!("{command}\n"));
        self.expect("going\r\n");
    }

    /// Wait until a job has stopped.
    #[track_caller]
    fn until_stopped(&mut self) {
        let start = Instant::now();
        while !self.ask("jobs").contains("Stopped") {
            assert!(start.elapsed() < PATIENCE, "no job stops");
        }
    }

    #[track_caller]
    fn end(mut self, code: i32) {
        let end = wait(&mut self.child, PATIENCE);
        let left = end_session(self.child.id());
        let end = match end {
            End::Signal(signal) => End::Code(128 + signal),
            other => other,
        };
        assert_eq!(end, End::Code(code), "what came last: {:?}", self.text);
        assert!(left.is_empty(), "processes were left behind: {left:?}");
    }

    fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: TIOCSWINSZ reads a winsize, which this is.
        let result = unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &size) };
        assert_eq!(result, 0);
    }

    /// Whether the host's terminal echoes what is typed.
    fn echoes(&self) -> bool {
        nix::sys::termios::tcgetattr(&self.master).unwrap().local_flags.contains(nix::sys::termios::LocalFlags::ECHO)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        end_session(self.child.id());
    }
}

/// Make the terminal the command's standard streams and the controlling terminal of its session.
fn attach(command: &mut Command, slave: &OwnedFd) {
    let stream = || Stdio::from(slave.try_clone().expect("another descriptor"));
    command.stdin(stream()).stdout(stream()).stderr(stream());
    // SAFETY: signal(2), setsid(2) and ioctl(2) are async-signal-safe, and TIOCSCTTY takes a
    // number.
    unsafe {
        command.pre_exec(|| {
            common::default_signals()?;
            nix::unistd::setsid()?;
            match libc::ioctl(0, libc::TIOCSCTTY, 0) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
}

macro_rules! conversations {
    ($($name:ident)*) => {
        mod host {
            $(#[test] fn $name() { super::$name(super::Side::Host); })*
        }
        mod guest {
            $(#[test] fn $name() { super::$name(super::Side::Guest); })*
        }
    };
}

conversations! {
    a_shell_answers no_complaint_about_job_control end_of_file_ends_the_shell ctrl_c ctrl_c_ends_a_command_that_is_no_shell
    job_control window_size terminal_modes much_output hangup
}

fn a_shell_answers(side: Side) {
    let mut t = Terminal::shell(side);
    assert_eq!(t.ask("echo $((6 * 7))"), "42\n");
    assert_eq!(t.ask("test -t 0 && test -t 1 && test -t 2 && echo a terminal"), "a terminal\n");
    assert!(t.ask("tty").starts_with("/dev/"));
    assert_eq!(t.ask("echo through >/dev/tty"), "through\n");
    assert_eq!(t.ask("ps -o tpgid= -p $$ | tr -d ' ' | grep -vc '^-1'"), "1\n");
    t.send("exit 7\n");
    t.end(7);
}

fn no_complaint_about_job_control(side: Side) {
    let mut t = Terminal::start(side, &["bash", "--norc", "--noprofile", "-i"]);
    let greeting = t.expect(PROMPT);
    assert!(!greeting.contains("job control"), "{greeting:?}");
    // With line editing: a typo, corrected by the cursor keys and backspace.
    t.send("echo helo\x1b[D\x1b[Dl\x1b[C\x1b[C world!\x7f\n");
    t.expect("hello world\r\n");
    t.send("\x1b[A\n");
    t.expect("hello world\r\n");
    t.expect(PROMPT);
    t.send("\x04");
    t.end(0);
}

fn end_of_file_ends_the_shell(side: Side) {
    let mut t = Terminal::shell(side);
    t.ask("false");
    t.send("\x04");
    t.end(1);
}

fn ctrl_c(side: Side) {
    let mut t = Terminal::shell(side);
    t.start_command(&format!("{SLEEPER}; echo not reached"));
    t.send("\x03");
    assert!(!t.expect(PROMPT).contains("not reached\r"));
    assert_eq!(t.ask("echo $?"), "130\n");
    // A pipeline is one group, and a half-typed line is thrown away.
    t.start_command("(echo go\"\"ing >&2; exec cat) | sort | cat");
    t.send("\x03");
    t.expect(PROMPT);
    t.send("echo half\x03");
    t.expect(PROMPT);
    assert_eq!(t.ask("echo whole"), "whole\n");
    assert_eq!(t.ask("trap 'echo caught' INT; kill -INT $$"), "caught\n");
    // Ctrl-\ too.
    t.start_command(SLEEPER);
    t.send("\x1c");
    t.expect(PROMPT);
    assert_eq!(t.ask("echo $?"), "131\n");
}

fn ctrl_c_ends_a_command_that_is_no_shell(side: Side) {
    let mut t = Terminal::start(side, &["sh", "-c", "echo started; exec sleep 1000"]);
    t.expect("started");
    std::thread::sleep(Duration::from_millis(200));
    t.send("\x03");
    t.end(130);
}

fn job_control(side: Side) {
    let mut t = Terminal::shell(side);
    t.start_command(SLEEPER);
    t.send("\x1a");
    assert!(t.expect(PROMPT).contains("Stopped"));
    assert_eq!(t.ask("echo $?"), "148\n");
    assert!(t.ask("jobs").contains("Stopped"));
    assert!(t.ask("bg").contains("sleep 1000' &"));
    assert!(t.ask("jobs").contains("Running"));
    t.send("fg\n");
    t.expect("sleep 1000");
    // Nothing shows that it is in the foreground.
    std::thread::sleep(Duration::from_millis(1000));
    t.send("\x03");
    t.expect(PROMPT);
    assert_eq!(t.ask("echo $?; jobs"), "130\n");
    // A background command that reads from the terminal is stopped, and may read in the foreground.
    t.ask("cat &");
    t.until_stopped();
    t.send("fg\n");
    t.expect("cat");
    t.send("typed\n");
    t.expect("typed\r\ntyped\r\n");
    t.send("\x04");
    t.expect(PROMPT);
    // One that writes may write, until the terminal is told otherwise.
    t.send("(sleep 0.3; echo from behind) & wait\n");
    t.expect("from behind");
    t.expect(PROMPT);
    t.ask("stty tostop");
    t.ask("(echo stopped before) &");
    t.until_stopped();
    t.ask("stty -tostop; kill -KILL %%; wait %%");
    t.send("exit 5\n");
    t.end(5);
}

fn window_size(side: Side) {
    let mut t = Terminal::shell(side);
    assert_eq!(t.ask("stty size"), "24 80\n");
    t.ask("trap 'echo changed' WINCH");
    t.resize(50, 132);
    t.send("\n");
    let start = Instant::now();
    while t.ask("stty size") != "50 132\n" {
        assert!(start.elapsed() < PATIENCE, "the new size does not arrive");
    }
    // A shell reports the signal at a prompt; a program that waits gets it at once.
    t.send("python3 -c 'import signal,os; signal.signal(signal.SIGWINCH, lambda *a: (print(os.get_terminal_size().lines), exit())); print(\"wait\"); signal.pause()'\n");
    t.expect("wait\r");
    std::thread::sleep(Duration::from_millis(100));
    t.resize(33, 100);
    t.expect("33\r\n");
    t.expect(PROMPT);
}

fn terminal_modes(side: Side) {
    let mut t = Terminal::shell(side);
    // Without echo, a password is not shown; reading single keys needs no Enter.
    t.send("read -r -s secret; echo \"<$secret>\"\n");
    t.expect("\n");
    std::thread::sleep(Duration::from_millis(300));
    t.send("hidden\n");
    assert_eq!(t.expect("<hidden>").matches("hidden").count(), 0);
    t.expect(PROMPT);
    t.send("read -r -n 1 key; echo \"[$key]\"\n");
    t.expect("\n");
    std::thread::sleep(Duration::from_millis(300));
    t.send("k");
    t.expect("[k]");
    t.expect(PROMPT);
    assert!(t.ask("stty -a").contains("icanon"));
    t.send("\x15echo erased line\x15echo kept\n");
    t.expect("\nkept\r\n");
    t.expect(PROMPT);
    // A terminal inside the terminal.
    assert!(t.ask("script -qec tty /dev/null").contains("/dev/pts/"));
    // Whatever was set, the host's terminal is left as it was found: by umlab, not by a shell
    // without a successor.
    t.ask("stty -echo");
    if side == Side::Guest {
        t.send("exit\n");
        assert_eq!(wait(&mut t.child, PATIENCE), End::Code(0));
        assert!(t.echoes());
    }
}

fn much_output(side: Side) {
    let mut t = Terminal::shell(side);
    let text = t.ask("seq 1 20000");
    assert!(text.starts_with("1\n2\n") && text.ends_with("19999\n20000\n"), "{} characters", text.len());
}

fn hangup(side: Side) {
    let mut t = Terminal::shell(side);
    t.send("sleep 1000\n");
    std::thread::sleep(Duration::from_millis(200));
    kill(Pid::from_raw(t.child.id() as i32), Signal::SIGHUP).unwrap();
    assert_ne!(wait(&mut t.child, PATIENCE), End::TimedOut);
}

#[test]
fn the_terminal_is_as_before_after_a_kill_inside() {
    let mut t = Terminal::shell(Side::Guest);
    t.send("stty -echo; kill -KILL $$\n");
    t.expect("\n");
    let end = wait(&mut t.child, PATIENCE);
    assert_eq!(end, End::Code(137));
    assert!(t.echoes());
}
