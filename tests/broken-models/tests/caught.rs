//! Each model that is broken on purpose is caught by the checks that are meant for it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The checks that fail, and all that was printed.
fn failed(model: &str, limit: u32, checks: &[&str]) -> (BTreeSet<String>, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // The ones that tests of the whole use, too.
    let built = Command::new(root.join("scripts/guest-programs")).output().expect("the script is there");
    assert!(built.status.success(), "{built:?}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_broken-umlab"));
    command.args(["conform", model, "--cpus", "1", "--limit", &limit.to_string()]).args(checks);
    let output = command.output().expect("umlab starts");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let of = |line: &str| line.strip_suffix(" FAILED").map(|name| name.trim().to_string());
    let failed: BTreeSet<String> = text.lines().filter_map(of).collect();
    assert_eq!(output.status.code(), Some(i32::from(!failed.is_empty())), "{text}");
    (failed, text)
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// Those that make a system call with full registers.
const BY_CALLS: &[&str] = &["state/fork", "state/sleeping-syscall", "state/syscall", "state/yielding"];

#[test]
fn a_lost_register() {
    let (failed, text) = failed("broken-register", 20, &["traps", "state", "edges"]);
    assert_eq!(failed, set(BY_CALLS), "{text}");
    assert!(text.contains("state/syscall, 1 CPU: time 0: r12 is 0x0, and was 0x"), "{text}");
}

#[test]
fn a_forgotten_half_of_a_vector_register() {
    if !std::arch::is_x86_feature_detected!("avx") {
        return eprintln!("not tested: the processor has no such registers");
    }
    let (failed, text) = failed("broken-ymm", 20, &["traps", "state", "edges"]);
    assert_eq!(failed, set(BY_CALLS), "{text}");
    assert!(text.contains("state/syscall, 1 CPU: time 0: the upper half of ymm0 is 0x0000"), "{text}");
}

#[test]
fn a_stale_mapping() {
    let (failed, text) = failed("broken-mapping", 20, &["traps", "state", "edges", "mappings"]);
    let meant = set(&["mappings/unmapped", "mappings/at-random", "mappings/in-processes", "mappings/in-threads"]);
    assert!(meant.is_subset(&failed), "{text}");
    assert!(text.contains("mappings/unmapped, 1 CPU: time 0: what was unmapped can be read"), "{text}");
    // What else fails unmaps pages, too.
    let others = set(&[
        "edges/absent",
        "edges/string",
        "mappings/protected",
        "mappings/replaced",
        "mappings/seen-by-threads",
        "traps/hostile-state",
        "traps/page-faults",
    ]);
    assert!(failed.iter().all(|name| meant.contains(name) || others.contains(name)), "{text}");
}

#[test]
fn a_missed_interrupt() {
    let checks = ["traps/syscall", "traps/page-faults", "state/syscall", "mappings/unmapped", "interrupts"];
    let (failed, text) = failed("broken-interrupt", 10, &checks);
    let meant = set(&["interrupts/computation", "interrupts/slices", "interrupts/timer"]);
    assert!(meant.is_subset(&failed), "{text}");
    assert!(failed.iter().all(|name| name.starts_with("interrupts/")), "{text}");
    assert!(text.contains("interrupts/slices, 1 CPU: hangs: it was not over after 10 s"), "{text}");
}

#[test]
fn the_model_that_they_are_made_of_is_whole() {
    let (failed, text) = failed("skas0", 20, &["traps", "state", "edges", "mappings/unmapped", "interrupts/slices"]);
    assert!(failed.is_empty(), "{text}");
}
