//! A Linux kernel, built in the guest: its results are byte for byte those of the host.
//!
//! These take minutes and need a kernel's source, so plain `cargo test` leaves them out. `scripts/test` runs the ones
//! for `lib/`; all of them: `scripts/test --whole-kernel`.

mod common;

use common::{Outcome, Program, SOURCE, script_output};
use std::path::PathBuf;
use std::sync::OnceLock;

/// The tree that UMLAB_KERNEL_TREE names, or the one that is fetched.
fn tree() -> &'static str {
    static TREE: OnceLock<String> = OnceLock::new();
    TREE.get_or_init(|| std::env::var("UMLAB_KERNEL_TREE").unwrap_or_else(|_| script_output("fetch-kernel")))
}

/// A directory in memory that is removed at the end, also when the build fails.
fn output() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("umlab-kernel.").tempdir_in(base).expect("a directory for the build")
}

fn build(size: &str, out: &str, jobs: &str) -> Program {
    let script = format!("{SOURCE}/scripts/kernel-build");
    Program::new(&[&script, size, tree(), out, jobs]).limit(3600)
}

/// The sums of the results; the lines with @ tell when a phase begins and ends.
fn sums(outcome: Outcome) -> Vec<String> {
    let outcome = outcome.code(0);
    let sums: Vec<String> = outcome.out().lines().filter(|line| !line.starts_with('@')).map(str::to_string).collect();
    assert!(sums.len() >= 2 && sums.iter().all(|line| line.contains("  ")), "{outcome:?}");
    sums
}

/// Build on both sides, the guest with this many CPUs and jobs.
fn compare(size: &str, cpus: &str) {
    let out = output();
    let path = out.path().join("out").display().to_string();
    // How many jobs the host has does not matter for its results.
    let host = sums(build(size, &path, "2").on_host());
    std::fs::remove_dir_all(&path).expect("the host's build is removed");
    let guest = sums(build(size, &path, cpus).options(&["--cpus", cpus, "--tmpfs", &path]).in_guest());
    let different: Vec<_> = host.iter().zip(&guest).filter(|(h, g)| h != g).collect();
    assert!(different.is_empty() && host.len() == guest.len(), "these differ (host, guest): {different:#?}");
}

#[test]
#[ignore = "minutes; see scripts/test"]
fn lib_with_one_cpu() {
    compare("lib", "1");
}

#[test]
#[ignore = "minutes; see scripts/test"]
fn lib_with_two_cpus() {
    compare("lib", "2");
}

#[test]
#[ignore = "many minutes; see scripts/test --whole-kernel"]
fn whole_with_one_cpu() {
    compare("full", "1");
}

#[test]
#[ignore = "many minutes; see scripts/test --whole-kernel"]
fn whole_with_two_cpus() {
    compare("full", "2");
}
