//! `umlab fuzz`: the tool's own manners.

mod common;

use common::{Outcome, guest_programs, umlab};

fn run(args: &[&str]) -> Outcome {
    guest_programs();
    umlab(&[&["fuzz"], args].concat())
}

#[test]
fn a_program_is_printed_and_run_again() {
    let text = run(&["--kind", "syscalls", "--seed", "5", "--print"]).code(0).out();
    assert_eq!(text, run(&["--kind", "syscalls", "--seed", "5", "--print"]).code(0).out());
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("program");
    let program = "kind syscalls\nuser nobody\nprocess\n thread\n  getppid()\n  read(fd:event.0, out:8, 8)\n";
    std::fs::write(&file, program).expect("writing into our own directory");
    let outcome = run(&["--replay", file.to_str().expect("UTF-8"), "--rounds", "2"]).code(0);
    assert_eq!(outcome.out().trim(), "run 2 times, it failed 0 times");
}

#[test]
fn mistakes() {
    for (args, message) in [
        (vec!["--model", "none"], "there is no model 'none'"),
        (vec!["--minutes", "x"], "'x' is no number of minutes"),
        (vec!["--replay", "/nowhere/at/all"], "cannot read '/nowhere/at/all'"),
        (vec!["--kind", "all", "--replay", "x"], "cannot be used with"),
        (vec!["--print"], "--seed"),
    ] {
        let outcome = run(&args).code(125);
        assert!(outcome.err().contains(message), "{args:?}: {outcome:?}");
    }
    let folder = tempfile::tempdir().expect("a directory");
    for (text, message) in [
        ("kind none\n", "line 1: there is no kind 'none'"),
        ("process\n thread\n  nothing(1)\n", "line 3: there is no call 'nothing'"),
        ("process\n thread\n  read(fd:x.0, 1, 2)\n", "line 3: 'fd:x.0' is no value"),
        ("read(1, 2, 3)\n", "line 1: a call before the first thread"),
        ("kind syscalls\n", "a program needs processes"),
    ] {
        let file = folder.path().join("program");
        std::fs::write(&file, text).expect("writing into our own directory");
        let outcome = run(&["--replay", file.to_str().expect("UTF-8")]).code(125);
        assert!(outcome.err().contains(message), "{text}: {outcome:?}");
    }
}
