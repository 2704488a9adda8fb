//! The program of `umlab conform` that runs in guests: one check, and its verdict.
//!
//! Usage: umlab-conform-guest AREA/NAME
//!
//! It prints `ok`, `skipped: REASON` or `FAILED: REASON`, and ends with 0, or with 1 when the check
//! failed. It is a plain Linux program: what a check asks of a guest, it finds on the host.

mod edges;
mod guarded;
mod interrupts;
mod isolation;
mod mappings;
mod processes;
mod registers;
mod routines;
mod spaces;
mod state;
mod threads;
mod tools;
mod traps;
mod verdict;

use verdict::{Not, Verdict};

const CHECKS: &[(&str, fn() -> Verdict)] = &[
    ("traps/syscall", traps::syscall),
    ("traps/int80", traps::int80),
    ("traps/sysenter", traps::sysenter),
    ("traps/vsyscall", traps::vsyscall),
    ("traps/vdso", traps::vdso),
    ("traps/page-faults", traps::page_faults),
    ("traps/bus", traps::bus),
    ("traps/divide", traps::divide),
    ("traps/floating-point", traps::floating_point),
    ("traps/undefined", traps::undefined),
    ("traps/breakpoint", traps::breakpoint),
    ("traps/step", traps::step),
    ("traps/alignment", traps::alignment),
    ("traps/privileged", traps::privileged),
    ("traps/non-canonical", traps::non_canonical),
    ("traps/timestamps", traps::timestamps),
    ("traps/hostile-state", traps::hostile_state),
    ("state/syscall", state::syscall),
    ("state/sleeping-syscall", state::sleeping_syscall),
    ("state/int80", state::int80),
    ("state/demand-fault", state::demand_fault),
    ("state/copy-fault", state::copy_fault),
    ("state/segv", state::segv),
    ("state/mended-fault", state::mended_fault),
    ("state/breakpoint", state::breakpoint),
    ("state/step", state::step),
    ("state/divide", state::divide),
    ("state/undefined", state::undefined),
    ("state/alignment", state::alignment),
    ("state/signal-frame", state::signal_frame),
    ("state/signalled", state::signalled),
    ("state/fork", state::fork),
    ("state/threads", state::threads),
    ("state/processes", state::processes),
    ("state/yielding", state::yielding),
    ("state/identification", state::identification),
    ("state/moves", state::moves),
    ("state/own-moves", state::own_moves),
    ("edges/absent", edges::absent),
    ("edges/read-only", edges::read_only),
    ("edges/demand", edges::demand),
    ("edges/copied", edges::copied),
    ("edges/string", edges::string),
    ("edges/fetch", edges::fetch),
    ("edges/stack", edges::stack),
    ("mappings/unmapped", mappings::unmapped),
    ("mappings/protected", mappings::protected),
    ("mappings/replaced", mappings::replaced),
    ("mappings/code", mappings::code),
    ("mappings/at-random", mappings::at_random),
    ("mappings/in-processes", mappings::in_processes),
    ("mappings/in-threads", mappings::in_threads),
    ("mappings/seen-by-threads", mappings::seen_by_threads),
    ("mappings/copies", mappings::copies),
    ("mappings/shared", mappings::shared),
    ("mappings/fresh", mappings::fresh),
    ("interrupts/timer", interrupts::timer),
    ("interrupts/signal", interrupts::signal),
    ("interrupts/killed", interrupts::kill_spinning),
    ("interrupts/slices", interrupts::slices),
    ("interrupts/sleeper", interrupts::sleeper),
    ("interrupts/computation", interrupts::computation),
    ("spaces/in-turn", spaces::in_turn),
    ("spaces/at-once", spaces::at_once),
    ("spaces/programs", spaces::programs),
    ("spaces/replaced", spaces::replaced),
    ("processes/statuses", processes::statuses),
    ("processes/fatal-traps", processes::fatal_traps),
    ("processes/vfork", processes::vfork),
    ("processes/exec", processes::exec),
    ("processes/exec-empties", processes::exec_empties),
    ("processes/tree", processes::tree),
    ("processes/orphans", processes::orphans),
    ("processes/under-load", processes::under_load),
    ("threads/memory", threads::memory),
    ("threads/local-storage", threads::local_storage),
    ("threads/handing-over", threads::handing_over),
    ("threads/rendezvous", threads::rendezvous),
    ("threads/cpu-number", threads::cpu_number),
    ("threads/exit-group", threads::exit_group),
    ("threads/exec", threads::exec),
    ("threads/fork", threads::fork),
    ("isolation/core-read", isolation::core_read),
    ("isolation/core-write", isolation::core_write),
    ("isolation/writable", isolation::writable),
    ("isolation/scribbled", isolation::scribbled),
    ("isolation/host-call", isolation::host_call),
];

fn main() {
    let mut words = std::env::args().skip(1);
    let name = words.next().unwrap_or_default();
    let number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    be_helper(&name, number);
    let check = match CHECKS.iter().find(|(known, _)| *known == name) {
        Some((_, check)) => *check,
        None if name == processes::VICTIM => processes::victim,
        None => {
            eprintln!("there is no check '{name}'");
            std::process::exit(2);
        }
    };
    let verdict = check();
    let failed = matches!(verdict, Err(Not::Failed(_)));
    if verdict.is_ok() {
        println!("ok");
    }
    tools::report(verdict);
    tools::exit(i32::from(failed));
}

/// Programs that checks start are this one, with another word than a check's name.
fn be_helper(word: &str, mut number: impl FnMut() -> usize) {
    match word {
        spaces::PROGRAM => tools::exit(number() as i32),
        spaces::CHAIN => spaces::chain(number()),
        processes::SHOW => processes::show(),
        processes::LOOK => processes::look(number()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_check_that_is_listed_is_here() {
        let listed = umlab_conform::checks::CHECKS.iter().map(|check| check.name);
        // What is done from outside.
        let listed: Vec<&str> = listed.filter(|name| !name.starts_with("lost/")).collect();
        let here: Vec<&str> = super::CHECKS.iter().map(|(name, _)| *name).collect();
        assert_eq!(here, listed);
    }
}
