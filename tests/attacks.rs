//! Attacks of guest processes on each other and on the guest kernel: none gets through, in no model, on one CPU or several. They are the
//! subcommands of a program that runs in the guest (`tests/guest-programs/src/bin/attacks`).

mod common;

use common::{Program, guest_programs, run};
use std::process::Command;

/// Model, and number of CPUs.
const GUESTS: [(&str, &str); 5] = [("skas", "1"), ("skas", "2"), ("skas", "4"), ("tt", "1"), ("tt-jail", "1")];

fn attack(name: &str) {
    let program = guest_programs().join("attacks");
    for (model, cpus) in GUESTS {
        let argv = [program.as_os_str(), name.as_ref()];
        let options = ["--cpus", cpus, "--mem", "1G", "--user", "0"];
        let outcome = Program::new(&argv).model(model).options(&options).in_guest();
        assert_eq!(outcome.out().trim(), "held", "{model} with {cpus} CPUs: {outcome:?}");
        outcome.code(0);
    }
}

/// A test for each attack, of its name.
macro_rules! attacks {
    ($($name:ident)*) => {
        $(#[test] fn $name() { attack(stringify!($name)) })*

        #[test]
        fn every_attack_is_tested() {
            let listed = run(Command::new(guest_programs().join("attacks")), b"", std::time::Duration::from_secs(10));
            let tested = [$(stringify!($name)),*];
            assert_eq!(listed.out().split_whitespace().collect::<Vec<_>>(), tested);
        }
    };
}

attacks! {
    flags
    frames_of_others
    pages_of_the_model
    registers
    stale_pages
    vdso_code
    empty_ranges
    zero_device
    stale_window
    borrowed_pipe
    endless_faults
}
