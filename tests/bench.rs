//! `umlab bench`, `compare` and `report`, as a user runs them: mistakes, failures, interruptions
//! and what comes out.
//!
//! A stand-in for the workloads' program (bench/tests/workload.sh) keeps them short and misbehaves
//! on demand.

const SOURCE: &str = env!("CARGO_MANIFEST_DIR");
const UMLAB: &str = env!("CARGO_BIN_EXE_umlab");

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn bench(arguments: &[&str]) -> Command {
    bench_with(&stand_in(), arguments)
}

fn stand_in() -> String {
    format!("{SOURCE}/bench/tests/workload.sh")
}

fn bench_with(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(UMLAB);
    command.args(["bench", "--workload-program", program]).args(arguments);
    command.stdin(Stdio::null());
    command
}

fn output(mut command: Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("umlab starts");
    (status.code(), String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned())
}

/// Ends with this status and one line that holds each of these texts.
fn refused(command: Command, texts: &[&str]) {
    let (status, out, err) = output(command);
    assert_eq!(status, Some(2), "{out}{err}");
    assert!(out.is_empty() && err.lines().count() == 1 && texts.iter().all(|text| err.contains(text)), "{out}{err}");
}

fn folder() -> (tempfile::TempDir, PathBuf, String) {
    let folder = tempfile::tempdir().expect("a directory");
    let run = folder.path().join("run");
    let name = run.display().to_string();
    (folder, run, name)
}

fn results(run: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(run.join("results.json")).expect("results")).expect("JSON")
}

/// A run on the host and on skas.
fn measured(program: &str, workloads: &str, rounds: &str, more: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let (folder, run, name) = folder();
    let mut command =
        bench_with(program, &["--workloads", workloads, "--models", "skas", "--rounds", rounds, "--out", &name]);
    command.args(more);
    let (status, out, err) = output(command);
    assert_eq!(status, Some(0), "{out}{err}");
    (folder, run)
}

// --- mistakes: one line, before any work, and nothing is overwritten
// --------------------------------------------------

#[test]
fn unknown_names_list_the_valid_ones() {
    let (_folder, run, name) = folder();
    refused(bench(&["--models", "skaz", "--out", &name]), &["no model 'skaz'", "skas", "linux.uml"]);
    refused(bench(&["--workloads", "kernel", "--out", &name]), &["no workload 'kernel'", "kernel-build", "spin"]);
    refused(bench(&["--workloads", "absent", "--out", &name]), &["no-such-program-at-all", "'absent'"]);
    refused(bench(&["--sizes", "two=huge", "--workloads", "two", "--out", &name]), &["no size 'huge'", "quick, full"]);
    refused(bench(&["--sizes", "spin=quick", "--workloads", "two", "--out", &name]), &["no workload 'spin'"]);
    refused(bench(&["--cpus", "63", "--workloads", "spin", "--out", &name]), &["--cpus 63", "may be used"]);
    assert!(!run.exists());
}

#[test]
fn no_kernel_tree() {
    let (folder, run, name) = folder();
    refused(
        bench(&["--workloads", "kernel-build", "--kernel-tree", "/no/such/tree", "--out", &name]),
        &["no kernel source in '/no/such/tree'"],
    );
    let empty = folder.path().display().to_string();
    refused(bench(&["--workloads", "kernel-build", "--kernel-tree", &empty, "--out", &name]), &["no Kconfig"]);
    assert!(!run.exists());
}

#[test]
fn no_tree_and_no_way_to_fetch_it_or_no_compiler() {
    let (folder, run, name) = folder();
    // A PATH with everything but apt and the like, and a home without a tree.
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let link = |tools: &[&str]| {
        for tool in tools {
            let path = ["/usr/bin", "/bin"].iter().map(|dir| Path::new(dir).join(tool)).find(|path| path.exists());
            std::os::unix::fs::symlink(path.unwrap_or_else(|| panic!("no {tool}")), bin.join(tool)).unwrap();
        }
    };
    let command = |arguments: &[&str]| {
        let mut command = bench(arguments);
        command.env("PATH", &bin).env("HOME", folder.path()).env("XDG_CACHE_HOME", folder.path().join("cache"));
        command
    };
    link(&[
        "bash",
        "env",
        "sh",
        "make",
        "flex",
        "bison",
        "bc",
        "perl",
        "sha256sum",
        "ld",
        "dirname",
        "id",
        "mkdir",
        "mktemp",
        "rm",
    ]);
    let arguments = ["--workloads", "kernel-build", "--out", &name];
    if Path::new("/usr/src/linux-source-6.1.tar.xz").exists() {
        // It would be unpacked from there; what is to be seen is that nothing works without tar.
        refused(command(&arguments), &["no kernel source", "--kernel-tree"]);
    }
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("Kconfig"), "").unwrap();
    fs::write(tree.join("Makefile"), "").unwrap();
    let tree = tree.display().to_string();
    refused(
        command(&["--workloads", "kernel-build", "--out", &name, "--kernel-tree", &tree]),
        &["'gcc'", "scripts/setup"],
    );
    assert!(!run.exists());
}

#[test]
fn output_folders_that_cannot_be_used() {
    let (folder, run, name) = folder();
    fs::create_dir(&run).unwrap();
    fs::write(run.join("thesis"), "years of work").unwrap();
    refused(bench(&["--workloads", "spin", "--out", &name]), &["not empty"]);
    assert_eq!(fs::read(run.join("thesis")).unwrap(), b"years of work");
    refused(bench(&["--workloads", "spin", "--out", "/proc/umlab"]), &["/proc/umlab"]);
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    refused(bench(&["--workloads", "spin", "--out", &file.display().to_string()]), &["output folder"]);
    refused(bench(&["--resume", &folder.path().display().to_string()]), &["run.json"]);
}

#[test]
fn results_that_cannot_be_read() {
    let (folder, _run, _) = folder();
    let golden = fs::read_to_string(format!("{SOURCE}/bench/tests/golden/results.json")).unwrap();
    let path = folder.path().join("results.json");
    let name = path.display().to_string();
    for (text, expected) in [
        (golden[..golden.len() / 2].to_string(), "cut short"),
        (golden.replacen("\"version\": 1", "\"version\": 2", 1), "newer than this program"),
        ("not at all".into(), "not JSON"),
    ] {
        fs::write(&path, &text).unwrap();
        for arguments in [vec!["report", &name], vec!["compare", &name, &name]] {
            let mut command = Command::new(UMLAB);
            command.args(arguments);
            refused(command, &[expected, &name]);
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else was written");
    }
    let mut command = Command::new(UMLAB);
    command.args(["report", "/no/such/folder"]);
    refused(command, &["/no/such/folder"]);
}

// --- what comes out
// ---------------------------------------------------------------------------------------------------

#[test]
fn every_runner_has_its_samples_with_counters_and_checks() {
    let (_folder, run) = measured(&stand_in(), "spin,two,start-to-end", "2", &[]);
    let results = results(&run);
    assert_eq!(results["finished"], true);
    let samples = results["samples"].as_array().unwrap();
    let of = |runner: &str, workload: &str| {
        samples
            .iter()
            .filter(|s| s["runner"] == runner && s["workload"] == workload && s["round"] != 0)
            .collect::<Vec<_>>()
    };
    for workload in ["spin", "two", "start-to-end"] {
        for runner in ["host", "skas"] {
            let samples = of(runner, workload);
            assert_eq!(samples.len(), 2, "{workload} on {runner}");
            assert!(
                samples.iter().all(|s| s["outcome"] == "ok" && s["seconds"].as_f64().unwrap() > 0.0),
                "{samples:?}"
            );
        }
    }
    assert!(of("skas", "spin")[0]["counters"]["model_counters"]["syscall_stops"].as_u64().unwrap() > 10);
    assert_eq!(of("skas", "spin")[0]["checks"]["turns"], "3000");
    let second = &of("skas", "two")[0]["phases"][1];
    assert_eq!(second["name"], "second");
    assert!(second["seconds"].as_f64().unwrap() >= 0.02, "{second}");

    let mut report = Command::new(UMLAB);
    report.args(["report", &run.display().to_string()]);
    let (status, out, err) = output(report);
    assert_eq!(status, Some(0), "{out}{err}");
    for file in ["report.html", "report.md", "results.csv", "charts/group-fork-exec.svg", "charts/group-fork-exec.png"]
    {
        assert!(fs::metadata(run.join(file)).is_ok_and(|m| m.len() > 100), "{file}");
    }
}

#[test]
fn what_samples_begin_with_is_made_once_and_is_there_in_every_guest() {
    let (_folder, run) = measured(&stand_in(), "begun", "2", &[]);
    let results = results(&run);
    let samples = results["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 5, "the warm-up, and two rounds on two: {samples:?}");
    for sample in samples {
        assert_eq!((&sample["outcome"], &sample["checks"]["begins with"]), (&"ok".into(), &"made".into()), "{sample}");
    }
}

#[test]
fn an_emulated_machine_shows_ratios_only() {
    // The stand-in says 12.5 ns wherever it runs: a time, and a ratio of 1.
    for (label, emulated) in [("emulated", true), ("a borrowed laptop", false)] {
        let (_folder, run) = measured(&stand_in(), "spin", "2", &["--label", label]);
        assert_eq!(results(&run)["environment"]["label"], label);
        let mut report = Command::new(UMLAB);
        report.args(["report", &run.display().to_string()]);
        let (status, out, err) = output(report);
        assert_eq!(status, Some(0), "{out}{err}");
        let text = fs::read_to_string(run.join("report.md")).unwrap();
        let table = text.split("### Single operations").nth(1).unwrap().split("## 4").next().unwrap();
        assert_eq!(table.contains("12.5 ns"), !emulated, "{table}");
        assert!(table.contains("× 1.00"), "{table}");
        assert_eq!(text.contains("emulated processor"), emulated);
        assert_eq!(text.contains("a borrowed laptop"), !emulated);
    }
}

#[test]
fn a_crash_a_hang_and_a_wrong_result_are_marked_and_the_rest_goes_on() {
    // The host must be able to run them, so they misbehave in a guest only.
    let (_folder, run) = measured(&stand_in(), "crash-in-guest,hang-in-guest,wrong,spin", "2", &["--limit", "5"]);
    let results = results(&run);
    let first = |workload: &str| {
        results["samples"]
            .as_array()
            .unwrap()
            .iter()
            .find(|s| s["runner"] == "skas" && s["workload"] == workload)
            .unwrap()
    };
    let crash = first("crash-in-guest");
    assert_eq!(crash["outcome"], "failed");
    let log = fs::read_to_string(run.join(crash["log"].as_str().unwrap())).unwrap();
    assert!(log.contains("about to crash"), "{log}");
    assert_eq!(first("hang-in-guest")["outcome"], "timeout");
    assert_eq!(first("wrong")["outcome"], "wrong");
    assert!(first("wrong")["reason"].as_str().unwrap().contains("not the host's"));
    assert_eq!(first("spin")["outcome"], "ok");
}

#[test]
fn killed_and_resumed() {
    let (_folder, run, name) = folder();
    let arguments = ["--workloads", "two,spin", "--models", "skas", "--rounds", "3", "--out", &name];
    let journal = run.join("samples.jsonl");
    let lines = || fs::read_to_string(&journal).map_or(0, |text| text.matches('\n').count());
    for (signal, status) in [("KILL", None), ("INT", Some(130))] {
        let mut command = if run.exists() { bench(&["--resume", &name]) } else { bench(&arguments) };
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (before, start) = (lines(), Instant::now());
        while lines() < before + 3 && start.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
        }
        Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert_eq!(child.wait().unwrap().code(), status, "{signal}");
        assert!(!run.join("results.json").exists());
    }
    let kept = fs::read_to_string(&journal).unwrap();
    let (status, out, err) = output(bench(&["--resume", &name]));
    assert_eq!(status, Some(0), "{out}{err}");
    assert!(
        fs::read_to_string(&journal).unwrap().starts_with(kept.trim_end_matches(|c| c != '\n')),
        "samples were kept"
    );
    // Two of the warm-up, and two workloads on two runners in three rounds, each of them once.
    assert_eq!(results(&run)["samples"].as_array().unwrap().len(), 2 + 2 * 2 * 3);

    refused(bench(&["--resume", &name, "--rounds", "2"]), &["--rounds", "3 rounds already"]);
    let (status, out, err) = output(bench(&["--resume", &name, "--rounds", "5"]));
    assert_eq!(status, Some(0), "{out}{err}");
    let whole = results(&run);
    assert_eq!(whole["samples"].as_array().unwrap().len(), 2 + 2 * 2 * 5);
    assert_eq!(whole["plan"]["rounds"], 5);
}

#[test]
fn what_runs_ends_with_a_harness_that_is_killed() {
    let (_folder, run, name) = folder();
    let mut child = bench(&["--workloads", "hang-on-host", "--models", "host", "--rounds", "1", "--out", &name])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The workload's own child, which nobody but the keeper ends.
    let sleepers = || {
        let found = Command::new("pgrep").args(["-f", "^sleep 86399$"]).output().unwrap();
        String::from_utf8_lossy(&found.stdout).lines().count()
    };
    let scratch = PathBuf::from(format!("/dev/shm/umlab-bench.{}", child.id()));
    let until = |what: &str, done: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < Duration::from_secs(30), "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until("it runs", &|| sleepers() == 1 && run.exists());
    assert!(run.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    until("its child ends", &|| sleepers() == 0);
    until("its folder is gone", &|| !scratch.exists());
}

/// The processes that spin for a harness.
fn neighbours(harness: u32) -> Vec<u32> {
    let found = Command::new("pgrep").args(["-P", &harness.to_string(), "-f", NEIGHBOUR]).output();
    let found = found.expect("pgrep starts").stdout;
    String::from_utf8_lossy(&found).lines().map(|number| number.parse().expect("a number")).collect()
}

const NEIGHBOUR: &str = "while :; do :; done";

#[test]
fn neighbours_spin_while_a_sample_runs_and_end_with_the_harness() {
    let (_folder, _run, name) = folder();
    let arguments =
        ["--workloads", "hang-on-host", "--models", "host", "--neighbour", "2", "--rounds", "1", "--out", &name];
    let mut child = bench(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = |what: &str, done: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < Duration::from_secs(30), "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let cpus = |number: &u32| {
        let text = fs::read_to_string(format!("/proc/{number}/status")).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t")).map(String::from)
    };
    let on_one_cpu = |numbers: &[u32]| {
        let cpus: Vec<_> = numbers.iter().filter_map(cpus).collect();
        cpus.len() == 2 && cpus[0] == cpus[1] && cpus[0].parse::<u32>().is_ok()
    };
    until("two spin on the CPU that is measured", &|| on_one_cpu(&neighbours(child.id())));
    let numbers = neighbours(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    let spins = |number: &u32| {
        fs::read_to_string(format!("/proc/{number}/cmdline")).is_ok_and(|command| command.contains(NEIGHBOUR))
    };
    until("they end", &|| !numbers.iter().any(spins));
}

#[test]
fn neighbours_are_kept_by_resume_and_told_by_compare() {
    let (_a, alone) = measured(&stand_in(), "spin", "1", &[]);
    let (_b, beside) = measured(&stand_in(), "spin,start-to-end", "1", &["--neighbour", "1"]);
    assert!(results(&alone)["plan"].get("neighbours").is_none());
    assert_eq!(results(&beside)["plan"]["neighbours"], 1);
    assert!(results(&beside)["samples"].as_array().unwrap().iter().all(|s| s["outcome"] == "ok"));

    let name = beside.display().to_string();
    let (status, out, err) = output(bench(&["--resume", &name, "--neighbour", "2"]));
    assert!(status != Some(0) && err.contains("'--resume <DIR>' cannot be used with '--neighbour <N>'"), "{out}{err}");
    let (status, out, err) = output(bench(&["--resume", &name, "--rounds", "2"]));
    assert_eq!(status, Some(0), "{out}{err}");
    assert!(err.contains("beside 1 neighbour on each CPU"), "{err}");
    assert_eq!(results(&beside)["plan"]["neighbours"], 1);
    assert!(results(&beside)["samples"].as_array().unwrap().iter().any(|s| s["round"] == 2));

    let mut compare = Command::new(UMLAB);
    compare.arg("compare").args([&alone, &beside]);
    let (_, out, err) = output(compare);
    assert!(out.contains("another number of neighbours on each CPU: 0 before, 1 after"), "{out}{err}");
}

#[test]
fn a_full_disk_stops_it_with_a_word() {
    // A file size limit is a full disk that needs no privilege; SIGXFSZ ignored makes it an error.
    let (_folder, run, name) = folder();
    let script = format!(
        "trap '' XFSZ; ulimit -f 8; exec {UMLAB} bench --workload-program {SOURCE}/bench/tests/workload.sh --workloads spin --models host --rounds 40 --out {name}"
    );
    let mut command = Command::new("/bin/bash");
    command.args(["-c", &script]);
    let (status, out, err) = output(command);
    assert_eq!(status, Some(2), "{out}{err}");
    assert!(err.contains("cannot keep a sample") && err.contains("--resume"), "{err}");
    let journal = fs::read_to_string(run.join("samples.jsonl")).unwrap();
    assert!(journal.ends_with('\n') && journal.lines().count() > 3, "{journal}");
    assert!(journal.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}

#[test]
fn compare_finds_a_model_that_was_slowed_and_nothing_between_equal_runs() {
    // The same program, but for a delay that its users in a guest have.
    let (folder, _, _) = folder();
    let delayed = folder.path().join("delayed.sh");
    fs::copy(stand_in(), &delayed).unwrap();
    fs::write(&delayed, fs::read_to_string(stand_in()).unwrap().replace("delay=0 ", "delay=1 ")).unwrap();
    let (_a, fast) = measured(&stand_in(), "slow-in-guest", "5", &[]);
    let (_b, again) = measured(&stand_in(), "slow-in-guest", "5", &[]);
    let (_c, slow) = measured(&delayed.display().to_string(), "slow-in-guest", "5", &[]);
    let compare = |a: &Path, b: &Path| {
        let mut command = Command::new(UMLAB);
        // The delay is many times the work; the threshold has room for a machine that is busy with
        // other tests.
        command.arg("compare").args([a, b]).args(["--threshold", "100"]);
        output(command)
    };
    let (status, out, err) = compare(&fast, &again);
    assert_eq!(status, Some(0), "{out}{err}");
    let (status, out, err) = compare(&fast, &slow);
    assert_eq!(status, Some(1), "{out}{err}");
    assert!(
        out.lines().any(|line| line.starts_with("slower") && line.contains("skas") && line.contains("slow-in-guest")),
        "{out}"
    );
    let (status, out, err) = compare(&slow, &fast);
    assert_eq!(status, Some(0), "{out}{err}");
}
