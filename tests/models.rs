//! The process models as the host sees them: whether guest processes, address spaces, rights and stops are what each model is
//! said to be. What is looked at is a running guest in the host's own /proc.

mod common;

use common::{Program, end_session, guest_programs, members, spawn_in_session, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

/// A guest that runs, and has said "ready".
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Running {
    fn start(model: &'static str, script: &str) -> Running {
        let program = Program::new(&["bash", "-c", script]).model(model).options(&["--cpus", "1"]);
        let mut command = program.guest_command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = spawn_in_session(command);
        let mut out = BufReader::new(child.stdout.take().expect("a pipe from the guest"));
        let mut line = String::new();
        out.read_line(&mut line).expect("reading from the guest");
        assert_eq!(line, "ready\n", "{model}");
        Running { child, out }
    }

    /// The number of `uml`'s process.
    fn uml(&self) -> i32 {
        self.child.id() as i32
    }

    /// The host processes that are not `uml`'s own, oldest first.
    fn others(&self) -> Vec<i32> {
        let mut found: Vec<i32> = members(self.child.id()).into_iter().map(|(pid, _)| pid).collect();
        found.retain(|&pid| pid != self.uml());
        found.sort();
        found
    }

    /// What it still says until it ends by itself.
    fn rest(mut self) -> String {
        wait(&mut self.child, Duration::from_secs(60));
        let left = end_session(self.child.id());
        assert!(left.is_empty(), "left behind: {left:?}");
        let mut text = String::new();
        self.out.read_to_string(&mut text).expect("reading from the guest");
        text
    }

    fn end(mut self) {
        kill(Pid::from_raw(self.uml()), Signal::SIGKILL).unwrap();
        wait(&mut self.child, Duration::from_secs(10));
        let left = end_session(self.child.id());
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

/// Address ranges and rights of a process's mappings of the core's memory object `name`.
fn mappings(pid: i32, name: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let of_name = text.lines().filter(|line| line.contains(&format!("memfd:{name} ")));
    of_name
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            Some((fields.next()?.to_string(), fields.next()?.to_string()))
        })
        // Guests map physmem too, far below.
        .filter(|(range, _)| range.len() == "7fffffffffff-7fffffffffff".len() && range.as_str() >= "7000")
        .collect()
}

const OBJECTS: [&str; 4] = ["umlab-data", "umlab-core", "umlab-physmem", "umlab-stacks"];
const TWO_PROCESSES: &str = "sleep 1000 & sleep 0.2; echo ready; wait";

#[test]
fn in_tt_every_guest_process_is_a_host_process_with_the_core_in_it() {
    for model in ["tt", "tt-jail"] {
        let guest = Running::start(model, TWO_PROCESSES);
        let others = guest.others();
        assert_eq!(others.len(), 2, "{model}: bash and sleep, a host process each");
        let mut tracers = BTreeSet::new();
        for &pid in &others {
            for object in OBJECTS {
                let ranges = |pid| {
                    let all = mappings(pid, object);
                    let start = all.first().and_then(|(range, _)| range.split('-').next().map(String::from));
                    let end = all.last().and_then(|(range, _)| range.split('-').nth(1).map(String::from));
                    start.zip(end)
                };
                assert!(ranges(pid).is_some(), "{model}: {object} is not in process {pid}");
                assert_eq!(ranges(pid), ranges(guest.uml()), "{model}: {object} lies at the same place everywhere");
            }
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:")).unwrap().trim().to_string();
            assert!(std::fs::exists(format!("/proc/{}/task/{tracer}", guest.uml())).unwrap(), "a thread of uml traces");
            tracers.insert(tracer);
        }
        assert_eq!(tracers.len(), 1, "{model}: one tracer for all");
        guest.end();
    }
}

#[test]
fn in_skas_the_core_is_in_no_guest_process() {
    let guest = Running::start("skas", TWO_PROCESSES);
    for pid in guest.others() {
        // Its parts of physmem are mapped in a guest, of course.
        for object in OBJECTS.into_iter().filter(|object| *object != "umlab-physmem") {
            assert_eq!(mappings(pid, object), [], "{object}");
        }
    }
    guest.end();
}

/// The rights on the core's memory in a process that computes in user mode, as seen many times.
fn rights_in_user_mode(model: &'static str) -> Vec<[BTreeSet<String>; 4]> {
    let guest = Running::start(model, "echo ready; while :; do :; done");
    let pid = *guest.others().last().expect("a guest process");
    let look = |_| {
        std::thread::sleep(Duration::from_millis(5));
        OBJECTS.map(|object| mappings(pid, object).into_iter().map(|(_, rights)| rights).collect())
    };
    let seen = (0..40).map(look).collect();
    guest.end();
    seen
}

#[test]
fn jail_takes_the_right_to_write_away_and_tt_does_not() {
    let one = |rights: &str| BTreeSet::from([rights.to_string()]);
    let writable = [one("rw-s"), one("rw-s"), one("rw-s"), one("rw-s")];
    assert!(rights_in_user_mode("tt").iter().all(|seen| *seen == writable));
    // All kernel stacks are one object; the running task's own stays writable.
    let stacks = BTreeSet::from(["r--s".to_string(), "rw-s".to_string()]);
    let protected = [one("r--s"), one("r--s"), one("r--s"), stacks];
    let seen = rights_in_user_mode("tt-jail");
    let times = seen.iter().filter(|seen| **seen == protected).count();
    assert!(times > seen.len() / 2, "protected {times} times of {}: {:?}", seen.len(), seen.last());
}

/// A guest program that is told where the core's heap is looks for the host name there, and changes it.
fn exploit(model: &'static str) -> String {
    let program = guest_programs().join("exploit");
    // The shell waits for a line: where the heap is, which only the host knows.
    let script = format!("echo ready; read -r start; {} $start 200000; echo status $?", program.display());
    let options = ["--cpus", "1", "--hostname", "a-name-that-is-nowhere-else"];
    let mut command = Program::new(&["bash", "-c", &script]).model(model).options(&options).guest_command();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = spawn_in_session(command);
    let mut out = BufReader::new(child.stdout.take().expect("a pipe from the guest"));
    let mut line = String::new();
    out.read_line(&mut line).expect("reading from the guest");
    let heap = mappings(child.id() as i32, "umlab-core");
    let start = heap.first().and_then(|(range, _)| range.split('-').next()).expect("uml has a heap").to_string();
    let mut to_guest = child.stdin.take().expect("a pipe to the guest");
    to_guest.write_all((start + "\n").as_bytes()).expect("the shell reads");
    let guest = Running { child, out };
    guest.rest()
}

#[test]
fn what_a_hostile_guest_can_do_to_the_core() {
    assert_eq!(exploit("tt"), "read: found\nchanged: true\nstatus 0\n");
    assert_eq!(exploit("tt-jail"), "read: found\nstatus 139\n");
    assert_eq!(exploit("skas"), "status 139\n");
}

/// What a model counted more of in a guest with 10000 further null calls.
fn stops_of_calls(model: &'static str) -> impl Fn(&str) -> u64 {
    let file = tempfile::NamedTempFile::new().unwrap();
    let counters = |calls: &str| -> Value {
        let stats = format!("--stats={}", file.path().display());
        let program = guest_programs().join("calls");
        let argv = [program.as_os_str(), calls.as_ref()];
        Program::new(&argv).model(model).options(&["--cpus", "1", &stats]).in_guest().code(0);
        let text = std::fs::read_to_string(file.path()).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["model_counters"].clone()
    };
    let (few, many) = (counters("1000"), counters("11000"));
    let of = |value: &Value, name: &str| value[name].as_u64().unwrap_or(0);
    move |name| of(&many, name).saturating_sub(of(&few, name))
}

#[test]
fn a_null_call_has_the_stops_of_its_model() {
    // A tick of the clock or two come on top.
    let about = |count: u64, times: u64| (count as i64 - (times * 10_000) as i64).abs() < 200;
    let expected: [(&str, &[(&str, u64)]); 4] = [
        ("skas", &[("syscall_stops", 1)]),
        (
            "tt",
            &[
                ("syscall_stops", 1),
                ("entry_stops", 1),
                ("leave_stops", 1),
                ("sigreturn_stops", 1),
                ("signals_delivered", 1),
                ("cancelled_stops", 0),
                ("jail_mprotects", 0),
            ],
        ),
        ("tt,sysemu=off", &[("syscall_stops", 1), ("entry_stops", 1), ("sigreturn_stops", 1), ("cancelled_stops", 2)]),
        ("tt-jail", &[("syscall_stops", 1), ("entry_stops", 1), ("leave_stops", 1), ("sigreturn_stops", 1)]),
    ];
    for (model, counts) in expected {
        let stops = stops_of_calls(model);
        for (name, times) in counts {
            assert!(about(stops(name), *times), "{model}: {name} is {} for 10000 calls", stops(name));
        }
        if model == "tt-jail" {
            assert!(stops("jail_mprotects") >= 80_000, "{}", stops("jail_mprotects"));
        }
    }
}

#[test]
fn a_guest_process_that_is_killed_from_outside_is_killed() {
    // In skas a stub process is used again for others, so the youngest one need not be the job's.
    for model in ["tt", "tt-jail"] {
        // One that sleeps in the core, which misses its host process when it wakes up, and one that is in user mode.
        for job in ["exec sleep 3", "while :; do :; done"] {
            let script = format!("{{ {job}; }} & sleep 0.3; echo ready; wait $!; echo status $?; /bin/echo alive");
            let guest = Running::start(model, &script);
            let youngest = *guest.others().last().expect("a guest process");
            kill(Pid::from_raw(youngest), Signal::SIGKILL).unwrap();
            let start = Instant::now();
            let said = guest.rest();
            assert_eq!(said, "status 137\nalive\n", "{model}: {job}");
            assert!(start.elapsed() < Duration::from_secs(30), "{model}: {job}");
        }
    }
}

#[test]
fn jail_has_one_cpu() {
    let outcome = Program::sh(":").model("tt-jail").options(&["--cpus", "2"]).in_guest().code(125);
    assert!(outcome.err().contains("it has one CPU"), "{outcome:?}");
}

/// Threads of one address space that wait for each other all the time: in jail, one of them protects memory that the other is about
/// to sleep on.
#[test]
fn threads_that_switch_to_each_other() {
    let program = Program::new(&[guest_programs().join("threads")]);
    let host = program.on_host();
    for (model, cpus) in [("tt", "1"), ("tt", "2"), ("tt-jail", "1")] {
        let guest = program.clone().model(model).options(&["--cpus", cpus]).in_guest();
        assert_eq!((guest.out(), guest.end), (host.out(), host.end), "{model}, {cpus} CPUs: {guest:?}");
    }
}
