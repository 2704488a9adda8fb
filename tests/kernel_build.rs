//! A Linux kernel, built in the guest: its results are byte for byte those of the host.
//!
//! These take minutes and need a kernel's source, so plain `cargo test` leaves them out.
//! `scripts/test` runs the ones for `lib/`; all of them: `scripts/test --whole-kernel`.

mod common;

use common::{Outcome, Program, script_output};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

/// The tree that UMLAB_KERNEL_TREE names, or the one that is fetched.
fn tree() -> &'static str {
    static TREE: OnceLock<String> = OnceLock::new();
    TREE.get_or_init(|| std::env::var("UMLAB_KERNEL_TREE").unwrap_or_else(|_| script_output("fetch-kernel")))
}

/// A directory in memory that all builds of one size use in turn, so that no path differs. Removed
/// when this is dropped, also when a build fails.
struct Output(PathBuf);

impl Output {
    fn of(size: &str) -> Output {
        let memory = PathBuf::from("/dev/shm");
        let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
        Output(base.join(format!("umlab-kernel-{size}.{}", std::process::id())))
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path of ours is text")
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

fn build(size: &str, out: &str, jobs: &str) -> Program {
    build_with(size, jobs, &[("out", out)])
}

fn build_with(size: &str, jobs: &str, params: &[(&str, &str)]) -> Program {
    let program = script_output("guest-programs") + "/umlab-workload";
    let all = [&[("tree", tree()), ("each", "yes")], params].concat();
    let params: Vec<String> = all.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let params: Vec<&str> = params.iter().flat_map(|param| ["--param", param]).collect();
    let argv = [&[program.as_str(), "run", "kernel-build", "--size", size, "--jobs", jobs][..], &params[..]].concat();
    Program::new(&argv).limit(3600)
}

/// The sum of each result, and of all.
fn sums(outcome: Outcome) -> Vec<(String, String)> {
    let outcome = outcome.code(0);
    let lines = outcome.out();
    let lines: Vec<Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let checks = lines.iter().filter(|line| line["check"].is_string());
    let sums: Vec<_> = checks.map(|line| (text(&line["check"]), text(&line["value"]))).collect();
    // Its number, its sum and that of all at the least.
    assert!(sums.len() >= 3 && lines.iter().any(|line| line["done"] == true), "{outcome:?}");
    sums
}

/// What the host builds, once for all that is compared with it.
fn host_sums(size: &'static str) -> Vec<(String, String)> {
    static SUMS: Mutex<BTreeMap<&str, Vec<(String, String)>>> = Mutex::new(BTreeMap::new());
    let mut sums_of = SUMS.lock().expect("another build failed");
    // How many jobs the host has does not matter for its results.
    let build_it = || sums(build(size, Output::of(size).path(), "2").on_host());
    sums_of.entry(size).or_insert_with(build_it).clone()
}

/// Build in a guest of this model, with so many CPUs and jobs, and compare with the host's results.
fn compare(size: &'static str, model: &'static str, cpus: &str) {
    let host = host_sums(size);
    let out = Output::of(size);
    let program = build(size, out.path(), cpus).model(model).options(&["--cpus", cpus, "--tmpfs", out.path()]);
    let guest = sums(program.in_guest());
    let different: Vec<_> = host.iter().zip(&guest).filter(|(h, g)| h != g).collect();
    assert!(different.is_empty() && host.len() == guest.len(), "these differ (host, guest): {different:#?}");
}

/// What the harness measures by default: a copy of prepared output, in which make goes on.
#[test]
#[ignore = "a minute; see scripts/test"]
fn part_begins_with_what_is_prepared() {
    let prepared = Output::of("prepared");
    sums(build("prepare", prepared.path(), "2").on_host());
    let from_prepared = build_with("part", "2", &[("prepared", prepared.path())]);
    let options = ["--cpus", "2", "--ro", prepared.path()];
    let whole = host_sums("part");
    assert_eq!(sums(from_prepared.on_host()), whole);
    assert_eq!(sums(build_with("part", "2", &[("prepared", prepared.path())]).options(&options).in_guest()), whole);
}

macro_rules! builds {
    ($($test:ident: $size:literal $model:literal $cpus:literal,)*) => {
        $(#[test]
        #[ignore = "minutes; see scripts/test"]
        fn $test() {
            compare($size, $model, $cpus);
        })*
    };
}

builds! {
    lib_skas_1: "quick" "skas" "1",
    lib_skas_2: "quick" "skas" "2",
    lib_unotify_1: "quick" "unotify" "1",
    lib_unotify_2: "quick" "unotify" "2",
    lib_sigsys_1: "quick" "sigsys" "1",
    lib_sigsys_2: "quick" "sigsys" "2",
    lib_tt_2: "quick" "tt" "2",
    lib_inproc_1: "quick" "inproc" "1",
    lib_inproc_2: "quick" "inproc" "2",
    lib_jail_1: "quick" "tt-jail" "1",
    whole_skas_1: "full" "skas" "1",
    whole_skas_2: "full" "skas" "2",
    whole_tt_1: "full" "tt" "1",
    whole_tt_2: "full" "tt" "2",
}
