//! Attacks of guest processes on each other and on the guest kernel: none gets through, in no
//! model, on one CPU or several. They are the subcommands of a program that runs in the guest
//! (`tests/guest-programs/src/bin/attacks`).

mod common;

use common::memory::Meter;
use common::{Program, guest_programs, run, run_watched};
use std::process::Command;
use std::time::Duration;

/// Model, and number of CPUs.
const GUESTS: [(&str, &str); 11] = [
    ("skas", "1"),
    ("skas", "2"),
    ("skas", "4"),
    ("unotify", "1"),
    ("unotify", "2"),
    ("sigsys", "1"),
    ("sigsys", "2"),
    ("tt", "1"),
    ("tt-jail", "1"),
    ("inproc", "1"),
    ("inproc", "2"),
];

/// The guest kernel looks after one of so many traps whether an attack has got through that does
/// not know it.
const AUDIT: &str = "8";

fn attack(name: &str) {
    let program = guest_programs().join("attacks");
    for (model, cpus) in GUESTS {
        let argv = [program.as_os_str(), name.as_ref()];
        let options = ["--cpus", cpus, "--mem", "1G", "--user", "0", "--audit", AUDIT];
        let outcome = Program::new(&argv).model(model).options(&options).in_guest();
        assert_eq!(outcome.out().trim(), "held", "{model} with {cpus} CPUs: {outcome:?}");
        outcome.code(0);
    }
}

/// Memory that fillers are given, in MiB, and what the host may have to give at most: that, what
/// may be given out ahead of its use (`mm::frames::SLACK`), and programs, stacks and page tables of
/// the host's processes.
const MEMORY: u64 = 96;
const BEYOND: u64 = 64 + 48;

fn filler(name: &str) {
    let program = guest_programs().join("attacks");
    for (model, cpus) in [("skas", "2"), ("unotify", "2"), ("tt", "1")] {
        let argv = [program.as_os_str(), name.as_ref()];
        let memory = format!("{MEMORY}M");
        let options = ["--cpus", cpus, "--mem", &memory, "--user", "0"];
        let command = Program::new(&argv).model(model).options(&options).guest_command();
        let mut meter = None;
        let limit = Duration::from_secs(600);
        let outcome = run_watched(command, b"", limit, |session| meter = Some(Meter::start(session)));
        let peak = meter.expect("the command was started").stop() >> 20;
        println!("{name}: {model}, --mem {memory}: {peak} MiB of the host's memory");
        assert_eq!(outcome.out().trim(), "held", "{model} with {cpus} CPUs: {outcome:?}");
        outcome.code(0);
        assert!(peak <= MEMORY + BEYOND, "{model}: the host gave {peak} MiB for a guest of {MEMORY} MiB");
    }
}

/// A test for each attack, of its name; likewise for each filler.
macro_rules! attacks {
    ($($name:ident)* ; $($filler:ident)*) => {
        $(#[test] fn $name() { attack(stringify!($name)) })*
        $(#[test] fn $filler() { filler(stringify!($filler)) })*

        #[test]
        fn every_attack_is_tested() {
            let listed = run(Command::new(guest_programs().join("attacks")), b"", std::time::Duration::from_secs(10));
            let tested = [$(stringify!($name),)* $(stringify!($filler)),*];
            assert_eq!(listed.out().split_whitespace().collect::<Vec<_>>(), tested);
        }
    };
}

attacks! {
    flags
    frames_of_others
    left_runners
    pages_of_the_model
    registers
    stale_pages
    vdso_code
    empty_ranges
    zero_device
    stale_window
    borrowed_pipe
    endless_faults
    epoll_chain
    epoll_layers
    nested_mounts
    huge_mincore
    long_transfers
    ;
    fill_links
    fill_symlinks
    fill_absent_names
    fill_attributes
    fill_open_directories
    fill_watches
    fill_descriptor_tables
    fill_touched_late
    fill_forked_copies
}
