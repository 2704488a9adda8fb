//! Primitives run processes of their own, which must be gone when they are.

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use umlab_workloads::Workload;
use umlab_workloads::primitives::ALL;

/// The program, as the leader of a process group of its own.
fn run(name: &str, size: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_umlab-workload"));
    command.args(["run", name, "--size", size]).stdout(Stdio::piped()).process_group(0);
    command.spawn().expect("the program runs")
}

/// Waits until nobody of the group is left; we inherit those that lose their parent.
fn await_end_of_group(name: &str, group: u32) {
    let group = Pid::from_raw(-(group as i32));
    let start = Instant::now();
    loop {
        match waitpid(group, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return,
            Ok(WaitStatus::StillAlive) if start.elapsed() > Duration::from_secs(10) => {
                let _ = kill(group, Signal::SIGKILL);
                panic!("{name} left processes behind");
            }
            Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(5)),
            other => drop(other.expect("waitpid")),
        }
    }
}

// In one test, since what is inherited is the process's.
#[test]
fn nothing_is_left_behind() {
    set_child_subreaper(true).expect("PR_SET_CHILD_SUBREAPER");
    for primitive in ALL {
        let name = primitive.about().name;
        let mut child = run(name, "smoke");
        assert!(child.wait().expect("it ends").success(), "{name}");
        await_end_of_group(name, child.id());

        let mut child = run(name, "full");
        // Its children are there when it has told something.
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        assert!(line.contains(name), "{line}");
        child.kill().expect("it is killed");
        child.wait().expect("it has ended");
        await_end_of_group(name, child.id());
    }
}
