//! `umlab conform`: our own models pass every check, and so does the host; and the tool's own
//! manners.

mod common;

use common::{End, Outcome, Program, UMLAB, guest_programs, umlab};
use std::process::Command;
use std::time::Duration;

fn conform(model: &str) -> Outcome {
    guest_programs();
    let mut command = Command::new(UMLAB);
    command.args(["conform", model]);
    let outcome = common::run(command, b"", Duration::from_secs(310));
    println!("{}", outcome.out());
    outcome
}

fn conforms(model: &str) {
    let outcome = conform(model);
    assert_eq!(outcome.end, End::Code(0), "{model}: {outcome:?}");
}

#[test]
fn skas() {
    conforms("skas");
}

#[test]
fn skas3() {
    let outcome = conform("skas3");
    match outcome.end {
        End::Code(125) if outcome.err().contains("does not work here") => eprintln!("not tested: {}", outcome.err()),
        end => assert_eq!(end, End::Code(0), "{outcome:?}"),
    }
}

#[test]
fn unotify() {
    conforms("unotify");
}

#[test]
fn sigsys() {
    conforms("sigsys");
    conforms("sigsys,apart=always");
}

#[test]
fn tt() {
    conforms("tt");
}

#[test]
fn inproc() {
    conforms("inproc");
}

#[test]
fn minimal() {
    conforms("minimal");
}

#[test]
fn tt_jail() {
    conforms("tt-jail");
    let outcome = umlab(&["conform", "tt-jail", "--cpus", "2"]).code(125);
    assert!(outcome.err().contains("guests of this model have at most 1 CPU"), "{outcome:?}");
}

/// A check asks for what Linux does: the host is the one to say.
#[test]
fn the_host_passes_every_check() {
    let program = guest_programs().join("umlab-conform-guest");
    let list = umlab(&["conform", "--list"]).code(0).out();
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    let mut asked = 0;
    // The others are done from outside.
    for name in names.filter(|name| !name.starts_with("lost/")) {
        let outcome = Program::new(&[program.as_os_str(), name.as_ref()]).limit(60).on_host();
        let said = outcome.out();
        assert!(said.trim() == "ok" || said.starts_with("skipped: "), "{name}: {outcome:?}");
        outcome.code(0);
        asked += 1;
    }
    assert!(asked > 80, "{list}");
}

#[test]
fn mistakes_are_told() {
    let told = |args: &[&str], text: &str| {
        let outcome = umlab(args).code(125);
        assert!(outcome.err().contains(text), "{outcome:?}");
    };
    told(&["conform", "skas", "state/soul"], "there is no check 'state/soul'; `umlab conform --list` lists them");
    told(&["conform", "nothing"], "there is no model 'nothing'");
    told(&["conform"], "<MODEL>");
}

/// Ctrl-C ends the guest, too.
#[test]
fn it_can_be_interrupted() {
    guest_programs();
    let mut command = Command::new(UMLAB);
    command.args(["conform", "skas", "--cpus", "1", "spaces", "threads"]);
    let interrupt = |session: u32| {
        // It catches the signal from some moment on.
        let catches = |status: String| {
            let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:").map(str::trim).map(String::from));
            mask.is_some_and(|mask| u64::from_str_radix(&mask, 16).is_ok_and(|mask| mask & 2 != 0))
        };
        while !std::fs::read_to_string(format!("/proc/{session}/status")).is_ok_and(catches) {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(500));
        let leader = nix::unistd::Pid::from_raw(session as i32);
        nix::sys::signal::kill(leader, nix::sys::signal::Signal::SIGINT).expect("it runs");
    };
    let outcome = common::run_watched(command, b"", Duration::from_secs(120), interrupt);
    assert_eq!(outcome.end, End::Code(125), "{outcome:?}");
    assert!(outcome.err().contains("interrupted"), "{outcome:?}");
}
