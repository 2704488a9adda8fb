//! Running one program to its end, with times by our clock.
//!
//! The program tells on its standard output where its phases begin and end, a line each; the time
//! of a line is when it arrives here, so that a guest's idea of time does not enter. A program that
//! hangs is killed with all of its process group, and so is one that runs when we are interrupted.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use umlab_host::child::Usage;
use umlab_watch::Interrupt;

/// A line of output and when it came, counted from the start.
pub struct Line {
    pub at: Duration,
    pub text: String,
}

pub struct Finished {
    pub lines: Vec<Line>,
    /// The end of its standard error.
    pub stderr: Vec<u8>,
    pub elapsed: Duration,
    pub end: End,
    /// What it used, with the children that it waited for.
    pub usage: Usage,
}

pub enum End {
    Exited(ExitStatus),
    TimedOut,
    Interrupted,
}

/// How much of standard error is kept, and of standard output believed.
const KEPT: usize = 64 << 10;
const MOST_OUTPUT: usize = 16 << 20;

/// Runs it, and tells its process group. The calling thread has to stay: the child ends with it.
pub fn run(
    mut command: Command,
    limit: Duration,
    interrupt: &Interrupt,
    started: impl FnOnce(u32),
) -> io::Result<Finished> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    umlab_host::child::dies_with_caller(&mut command);
    let usage_before = umlab_host::child::usage_of_children().unwrap_or_default();
    let start = Instant::now();
    let mut child = command.spawn()?;
    started(child.id());
    let group = Pid::from_raw(child.id() as i32);
    let watched = watch(&mut child, start, limit, interrupt);
    let elapsed = start.elapsed();
    // Whatever it left behind, and all of it when it did not end by itself.
    let _ = killpg(group, Signal::SIGKILL);
    let status = child.wait()?;
    let usage = umlab_host::child::usage_of_children().unwrap_or_default();
    let (mut output, errors, early) = watched?;
    output.finish();
    Ok(Finished {
        lines: output.lines,
        stderr: errors.0.into(),
        elapsed,
        end: early.unwrap_or(End::Exited(status)),
        usage: usage.since(usage_before),
    })
}

/// Reads what it says until it has ended, or must be ended for the reason returned.
fn watch(
    child: &mut Child,
    start: Instant,
    limit: Duration,
    interrupt: &Interrupt,
) -> io::Result<(Lines, Tail, Option<End>)> {
    let mut output = Lines { start, partial: Vec::new(), lines: Vec::new(), bytes: 0 };
    let mut errors = Tail::default();
    let ended = umlab_host::child::ended_fd(child).map_err(|e| io::Error::other(e.to_string()))?;
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    loop {
        let mut fds = vec![PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
        fds.extend(out.iter().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
        fds.extend(err.iter().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
        // Not longer than this without a look at the limit and at whether we are interrupted.
        match poll(&mut fds, PollTimeout::from(50u8)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(false));
        let over = ready.next().unwrap_or(false);
        let out_ready = out.is_some() && ready.next().unwrap_or(false);
        let err_ready = err.is_some() && ready.next().unwrap_or(false);
        drop(fds);
        if out_ready && !output.read(&mut out)? {
            out = None;
        }
        if err_ready && !errors.read(&mut err)? {
            err = None;
        }
        // A child that it left may hold the pipes open for ever, so its end decides, once the pipes
        // have no more.
        if over && !out_ready && !err_ready {
            return Ok((output, errors, None));
        }
        if interrupt.is_set() {
            return Ok((output, errors, Some(End::Interrupted)));
        }
        if start.elapsed() >= limit || output.bytes > MOST_OUTPUT {
            return Ok((output, errors, Some(End::TimedOut)));
        }
    }
}

struct Lines {
    start: Instant,
    partial: Vec<u8>,
    lines: Vec<Line>,
    bytes: usize,
}

impl Lines {
    /// Reads what there is; false at its end.
    fn read(&mut self, pipe: &mut Option<impl Read>) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        let n = pipe.as_mut().map_or(Ok(0), |pipe| pipe.read(&mut buffer))?;
        let at = self.start.elapsed();
        self.bytes += n;
        self.partial.extend_from_slice(&buffer[..n]);
        while let Some(end) = self.partial.iter().position(|&b| b == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            // A console adds a carriage return.
            self.lines.push(Line { at, text: String::from_utf8_lossy(&line).trim_end().to_string() });
        }
        Ok(n > 0)
    }

    fn finish(&mut self) {
        if !self.partial.is_empty() {
            let text = String::from_utf8_lossy(&self.partial).trim_end().to_string();
            self.lines.push(Line { at: self.start.elapsed(), text });
        }
    }
}

/// The last of what was read.
#[derive(Default)]
struct Tail(VecDeque<u8>);

impl Tail {
    fn read(&mut self, pipe: &mut Option<impl Read>) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        let n = pipe.as_mut().map_or(Ok(0), |pipe| pipe.read(&mut buffer))?;
        self.0.extend(&buffer[..n]);
        let excess = self.0.len().saturating_sub(KEPT);
        self.0.drain(..excess);
        Ok(n > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: f64) -> Finished {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        run(command, Duration::from_secs_f64(limit), &Interrupt::never(), |_| {}).unwrap()
    }

    #[test]
    fn lines_have_the_time_of_their_arrival() {
        let done = shell("echo a; sleep 0.3; printf 'b\\r\\n'; sleep 0.1; printf c; echo oops >&2", 10.0);
        let texts: Vec<&str> = done.lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["a", "b", "c"]);
        let gap = (done.lines[1].at - done.lines[0].at).as_secs_f64();
        assert!((0.05..20.0).contains(&gap), "{gap}");
        assert!(matches!(done.end, End::Exited(status) if status.success()));
        assert_eq!(done.stderr, b"oops\n");
        assert!(done.elapsed >= Duration::from_millis(400));
    }

    #[test]
    fn a_hang_is_ended_with_all_that_it_started() {
        let done = shell("sleep 77777 & echo $!; wait", 2.0);
        assert!(matches!(done.end, End::TimedOut));
        let sleeper = done.lines[0].text.clone();
        let command = || std::fs::read_to_string(format!("/proc/{sleeper}/cmdline")).unwrap_or_default();
        let killed = Instant::now();
        while command().contains("77777") {
            assert!(killed.elapsed() < Duration::from_secs(30), "still there");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_child_left_behind_does_not_keep_us() {
        let done = shell("sleep 55555 & echo $!", 100.0);
        assert!(matches!(done.end, End::Exited(_)) && done.elapsed < Duration::from_secs(60));
    }

    #[test]
    fn floods_are_cut() {
        let done = shell("yes >&2 & yes", 200.0);
        assert!(matches!(done.end, End::TimedOut) && done.elapsed < Duration::from_secs(150));
        assert!(done.stderr.len() <= KEPT);
    }
}
