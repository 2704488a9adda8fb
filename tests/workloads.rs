//! Every workload does on a guest what it does on the host: a measurement of something else would
//! be worth nothing.
//!
//! They run for a very short time here, so this says that they are right, not how fast they are.
//! The kernel build has a test of its own, which takes minutes.

mod common;

use common::{Program, script_output};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::OnceLock;

fn program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| script_output("guest-programs") + "/umlab-workload")
}

/// Name and group of each.
fn list() -> Vec<(String, String)> {
    let output = Command::new(program()).args(["list", "--json"]).output().expect("the workloads' program runs");
    let list: Value = serde_json::from_slice(&output.stdout).expect("the list is JSON");
    let text = |value: &Value| value.as_str().expect("a name").to_string();
    list.as_array().expect("an array").iter().map(|w| (text(&w["name"]), text(&w["group"]))).collect()
}

/// What it said: its checks with their values, its phases and metrics by name alone, and how often.
fn said(side: &str, name: &str, output: &str) -> BTreeMap<String, String> {
    let mut said = BTreeMap::new();
    let mut last = Value::Null;
    for line in output.lines() {
        last = serde_json::from_str(line).unwrap_or_else(|e| panic!("{name} on the {side}: {e}: {line}"));
        for kind in ["begin", "end", "metric", "check", "skip"] {
            if let Some(what) = last[kind].as_str() {
                let value = if kind == "check" { last["value"].as_str().expect("a text") } else { "" };
                let twice = said.insert(format!("{kind} {what}"), value.to_string());
                assert!(twice.is_none(), "{name} on the {side} says '{kind} {what}' twice");
            }
        }
        if last["metric"].is_string() {
            let value = last["value"].as_f64().expect("a number");
            assert!(value > 0.0 && value.is_finite(), "{name} on the {side}: {line}");
        }
    }
    assert_eq!(last["done"], true, "{name} on the {side} was not done:\n{output}");
    assert!(said.keys().any(|key| key.starts_with("metric") || key.starts_with("end")), "{name} measures nothing");
    said
}

fn compare(cpus: &str) {
    let mut failures = Vec::new();
    for (name, group) in list().iter().filter(|(_, group)| group != "kernel-build" && group != "primitives") {
        let argv = [program(), "run", name, "--size", "smoke", "--jobs", cpus];
        let run = Program::new(&argv).options(&["--cpus", cpus]).limit(60);
        let (host, guest) = (run.on_host().code(0), run.in_guest());
        if guest.end != common::End::Code(0) {
            failures.push(format!("{group}: {name} in the guest: {guest:?}"));
            continue;
        }
        let (host, guest) = (said("host", name, &host.out()), said("guest", name, &guest.out()));
        if host != guest {
            failures.push(format!("{group}: {name}: on the host {host:#?}\nin the guest {guest:#?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn on_one_cpu() {
    compare("1");
}

#[test]
fn on_two_cpus() {
    compare("2");
}

#[test]
fn primitives_run_on_the_host() {
    for (name, _) in list().iter().filter(|(_, group)| group == "primitives") {
        let host = Program::new(&[program(), "run", name, "--size", "smoke"]).limit(60).on_host().code(0);
        // The report looks for a metric of the workload's own name.
        assert!(said("host", name, &host.out()).contains_key(&format!("metric {name}")), "{name}: {host:?}");
    }
}

#[test]
fn mistakes_are_one_clear_line() {
    let cases: &[(&[&str], &str)] = &[
        (&["run", "nope"], "there is no workload 'nope'; there are: kernel-build, fork-exit"),
        (&["run", "null-call", "--size", "huge"], "null-call has no size 'huge'; its sizes are: smoke, quick, full"),
        (&["run", "null-call", "--param", "a=b"], "null-call has no parameter 'a'; it has: written"),
        (&["run", "kernel-build", "--param", "tree"], "'tree' is no parameter: it has no ="),
        (&["run", "kernel-build"], "no kernel source: name one with --param tree=DIR"),
        (&["run", "kernel-build", "--param", "tree=/usr"], "no kernel source in '/usr': it has no Kconfig"),
        (&["run", "null-call", "--pin", "4000"], "cannot run on CPU 4000"),
    ];
    for (arguments, line) in cases {
        let argv: Vec<&str> = [program()].iter().chain(arguments.iter()).copied().collect();
        let outcome = Program::new(&argv).on_host().code(1);
        let text = String::from_utf8_lossy(&outcome.stderr);
        assert!(text.contains(line) && text.lines().count() == 1, "{arguments:?}: {outcome:?}");
    }
    // Without a compiler: a PATH that has none.
    let outcome = Program::new(&[program(), "run", "kernel-build"]).env("PATH", "/nonexistent").on_host().code(1);
    let text = String::from_utf8_lossy(&outcome.stderr);
    assert!(text.contains("kernel-build needs the program 'make', which is not installed"), "{outcome:?}");
}
