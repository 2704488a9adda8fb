//! The process models as the host sees them: whether guest processes, address spaces, rights and
//! stops are what each model is said to be. What is looked at is a running guest in the host's own
//! /proc.

mod common;

use common::{End, Outcome, Program, end_session, guest_programs, members, spawn_in_session, wait};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::tcgetattr;
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
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
        found.sort_unstable();
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

    /// How it ended, after a kill: by itself, having said this, or together with the guest kernel.
    fn said_or_killed(mut self, expected: &str, model: &str) -> String {
        let end = wait(&mut self.child, Duration::from_secs(60));
        let said = self.rest();
        match end {
            End::Code(0) => assert_eq!(said, expected, "{model}"),
            // Said on standard error: the guest kernel was killed with it.
            End::Code(125) => {}
            _ => panic!("{model}: {end}, {said}"),
        }
        end.to_string()
    }

    fn end(mut self) {
        kill(Pid::from_raw(self.uml()), Signal::SIGKILL).unwrap();
        wait(&mut self.child, Duration::from_secs(10));
        let left = end_session(self.child.id());
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

/// A test that fails leaves nothing behind.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        end_session(self.child.id());
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
const TWO_PROCESSES: &str = "sleep 1000 & echo ready; wait";

#[test]
fn every_guest_process_is_a_host_process_with_the_core_in_it() {
    for model in ["tt", "tt-jail", "inproc"] {
        let guest = Running::start(model, TWO_PROCESSES);
        let start = Instant::now();
        while guest.others().len() != 2 && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(5));
        }
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
            tracers.insert(tracer);
        }
        let expected = if model == "inproc" { "0".to_string() } else { warden(&guest).to_string() };
        assert_eq!(tracers, BTreeSet::from([expected]), "{model}: one thread of uml traces all, or nobody");
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
    let protected = [one("r--s"), one("r--s"), one("r--s"), one("r--s")];
    let seen = rights_in_user_mode("tt-jail");
    let times = seen.iter().filter(|seen| **seen == protected).count();
    assert!(times > seen.len() / 2, "protected {times} times of {}: {:?}", seen.len(), seen.last());
}

/// A guest program that is told where the core's heap is looks for the host name there, and changes
/// it.
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
    assert_eq!(exploit("inproc"), "read: found\nchanged: true\nstatus 0\n");
    assert_eq!(exploit("tt-jail"), "read: found\nstatus 139\n");
    assert_eq!(exploit("skas"), "status 139\n");
    assert_eq!(exploit("unotify"), "status 139\n");
    assert_eq!(exploit("sigsys"), "status 139\n");
}

/// The host's interface to address spaces is for the core alone, whether the host has it or not: a
/// guest process gets the guest kernel's answers. `host-patch/run-tests` asks the same on a host
/// that has it.
#[test]
fn a_guest_process_gets_at_no_other_address_space() {
    let file = "No such file or directory (os error 2)";
    let expected = format!(
        "open /proc/mm: {file}\nopen /proc/mm: {file}\nopen /proc/../proc/mm: {file}\n{}",
        [
            ("TRACEME", "Operation not permitted (os error 1)"),
            ("ATTACH", "done (0)"),
            ("SEIZE", "Operation not permitted (os error 1)"),
            ("FAULTINFO", "Input/output error (os error 5)"),
            ("SIGPENDING", "Input/output error (os error 5)"),
            ("LDT", "Input/output error (os error 5)"),
            ("SWITCH_MM", "Input/output error (os error 5)"),
            ("MM_RUN", "Input/output error (os error 5)"),
        ]
        .map(|(request, answer)| format!("ptrace {request}: {answer}\n"))
        .concat()
    );
    for model in ["skas", "unotify", "sigsys", "tt", "tt-jail", "inproc"] {
        let program = Program::new(&[guest_programs().join("intruder")]).model(model).options(&["--cpus", "1"]);
        assert_eq!(program.in_guest().code(0).out(), expected, "{model}");
    }
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
    let expected: [(&str, &[(&str, u64)]); 8] = [
        ("skas", &[("syscall_stops", 1)]),
        ("unotify", &[("calls", 1), ("reports", 0), ("settlings", 0)]),
        ("sigsys", &[("calls", 1), ("reports", 1), ("settlings", 0)]),
        (
            "tt",
            &[
                ("syscall_stops", 1),
                ("entry_stops", 1),
                ("leave_stops", 1),
                ("signals_delivered", 1),
                ("cancelled_stops", 0),
            ],
        ),
        ("inproc", &[("calls_direct", 1), ("calls", 0), ("signals_delivered", 0)]),
        ("inproc,rewrite=off", &[("calls_direct", 0), ("calls", 1), ("signals_delivered", 1)]),
        ("tt,sysemu=off", &[("syscall_stops", 1), ("cancelled_stops", 1), ("entry_stops", 1), ("leave_stops", 1)]),
        // The core's variables, and all else of it, which lies side by side.
        ("tt-jail", &[("syscall_stops", 1), ("entry_stops", 1), ("leave_stops", 1), ("protection_changes", 4)]),
    ];
    for (model, counts) in expected {
        let stops = stops_of_calls(model);
        for (name, times) in counts {
            assert!(about(stops(name), *times), "{model}: {name} is {} for 10000 calls", stops(name));
        }
    }
}

/// A script that starts one process, which is the youngest one of the host, and tells how it ended.
fn one_job(job: &str) -> String {
    format!("{{ echo ready; {job}; }} & wait $!; echo status $?; /bin/echo alive")
}

#[test]
fn a_guest_process_that_is_killed_from_outside_is_killed() {
    // In skas a stub process is used again for others, so the youngest one need not be the job's.
    for model in ["tt", "tt-jail", "inproc"] {
        // One that sleeps in the core, and will for long, and one that is in user mode.
        for job in ["exec sleep 1000", "while :; do :; done"] {
            let guest = Running::start(model, &one_job(job));
            std::thread::sleep(Duration::from_millis(200));
            let youngest = *guest.others().last().expect("a guest process");
            kill(Pid::from_raw(youngest), Signal::SIGKILL).unwrap();
            let start = Instant::now();
            let said = guest.rest();
            assert_eq!(said, "status 137\nalive\n", "{model}: {job}");
            assert!(start.elapsed() < Duration::from_secs(30), "{model}: {job}");
        }
    }
}

/// A process that is killed at any moment, also while the guest kernel runs in it and holds its
/// lock.
#[test]
fn a_kill_at_any_moment_ends_a_process_or_the_guest() {
    let mut ends = BTreeSet::new();
    for model in ["tt", "tt-jail", "inproc"] {
        for delay in 0..8 {
            let guest = Running::start(model, &one_job("exec cat /dev/zero >/dev/null"));
            std::thread::sleep(Duration::from_micros(200_000 + delay * 700));
            kill(Pid::from_raw(*guest.others().last().expect("a guest process")), Signal::SIGKILL).unwrap();
            ends.insert(guest.said_or_killed("status 137\nalive\n", model));
        }
    }
    eprintln!("{ends:?}");
}

/// Host processes are kept for later guest processes. Of those that are killed at any moment, some
/// wait for the next one, some take over from another in an exec, and some are at work.
#[test]
fn a_kill_of_a_spare_process_ends_a_process_or_the_guest() {
    let script = "echo ready; for i in $(seq 300); do sh -c '/bin/true; :'; done 2>/dev/null; echo alive";
    let mut ends = BTreeSet::new();
    for model in ["tt", "tt-jail", "inproc"] {
        for delay in 0..6 {
            let guest = Running::start(model, script);
            for _ in 0..4 {
                std::thread::sleep(Duration::from_micros(20_000 + delay * 700));
                // The first one is the shell's that has the loop.
                let others = guest.others();
                if others.len() > 1 {
                    let _ = kill(Pid::from_raw(*others.last().expect("more than one")), Signal::SIGKILL);
                }
            }
            ends.insert(guest.said_or_killed("alive\n", model));
        }
    }
    eprintln!("{ends:?}");
}

/// The process that all stub processes are forks of is made anew when somebody kills it.
#[test]
fn a_killed_template_is_made_anew() {
    let script = "echo ready; for i in $(seq 300); do (exit 0); done 2>/dev/null; echo alive";
    for model in ["unotify", "sigsys"] {
        let guest = Running::start(model, script);
        let threads = |pid: i32| std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
        // The others have a runner, but for a moment.
        let alone = || guest.others().into_iter().filter(|&pid| threads(pid) == 1).collect::<BTreeSet<_>>();
        let mut killed = 0;
        for _ in 0..5 {
            let before = alone();
            std::thread::sleep(Duration::from_millis(20));
            for &pid in before.intersection(&alone()) {
                killed += i32::from(kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok());
            }
        }
        assert!(killed > 0, "{model}: there is no template");
        assert_eq!(guest.rest(), "alive\n", "{model}");
    }
}

/// Host processes that wait for a guest process take no signal from the host, as those that have
/// one take none.
#[test]
fn signals_of_the_host_are_nobodys() {
    let script = "(exit 0); (exit 0) & wait; echo ready; nice sh -c 'while :; do :; done' & \
        for i in $(seq 150); do sh -c '/bin/true; :'; (exit 0); done; kill $!; wait $! 2>/dev/null; echo alive";
    // tt's tracer does not ask who has sent what looks like a fault of the core.
    let plain = vec![Signal::SIGALRM, Signal::SIGTERM, Signal::SIGINT];
    let all = vec![Signal::SIGSEGV, Signal::SIGALRM, Signal::SIGTERM, Signal::SIGTRAP, Signal::SIGINT];
    for (model, signals) in [("tt", plain.clone()), ("tt-jail", plain), ("inproc", all)] {
        let mut guest = Running::start(model, script);
        for signal in signals.into_iter().cycle().take(100) {
            for pid in guest.others() {
                let _ = kill(Pid::from_raw(pid), signal);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let end = wait(&mut guest.child, Duration::from_secs(60));
        assert!(matches!(end, End::Code(0)), "{model}: {end}");
        assert_eq!(guest.rest(), "alive\n", "{model}");
    }
}

/// The terminal is as it was when the guest kernel was killed together with one of its host
/// processes, too.
#[test]
fn a_killed_guest_kernel_gives_the_terminal_back() {
    for model in ["tt", "tt-jail", "inproc"] {
        let pty = openpty(None, None).expect("a pseudo terminal");
        let before = tcgetattr(&pty.slave).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        // What reads all the time is in the core for the most part.
        let program = Program::sh("cat /dev/zero >/dev/null; :").model(model).options(&["--cpus", "1"]);
        let mut command = program.guest_command();
        command.stdin(end()).stdout(end()).stderr(Stdio::null());
        // SAFETY: the calls are safe between fork and exec.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                nix::libc::ioctl(0, nix::libc::TIOCSCTTY, 0);
                Ok(())
            })
        };
        let mut child = command.spawn().expect("uml starts");
        let start = Instant::now();
        let others = || members(child.id()).into_iter().map(|(pid, _)| pid).filter(|&pid| pid != child.id() as i32);
        while tcgetattr(&pty.slave).unwrap() == before || others().count() < 2 {
            assert!(start.elapsed() < Duration::from_secs(60), "{model}: the guest does not come up");
            std::thread::sleep(Duration::from_millis(10));
        }
        for pid in others().collect::<Vec<_>>() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let ended = wait(&mut child, Duration::from_secs(60));
        // Mostly the shell's process or the guest; now and then the shell is told of a fault before
        // its host process is missed.
        assert!(matches!(ended, End::Code(125 | 137 | 139)), "{model}: {ended}");
        assert!(tcgetattr(&pty.slave).unwrap() == before, "{model}: the terminal was not given back");
        let left = end_session(child.id());
        assert!(left.is_empty(), "{model}: left behind: {left:?}");
    }
}

/// The number of the thread of `uml` that is the parent of all guest tasks.
fn warden(guest: &Running) -> i32 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", guest.uml())).unwrap().map(|entry| entry.unwrap().path());
    let named = |task: &std::path::PathBuf| std::fs::read_to_string(task.join("comm")).unwrap().trim() == "warden";
    let task = tasks.into_iter().find(named).expect("there is a warden");
    task.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

/// The warden is a thread of `uml`: a SIGKILL that is sent to it ends all.
#[test]
fn a_killed_warden_takes_all_with_it() {
    let busy = "echo ready; for i in 1 2 3; do (while :; do /bin/true; done) & done; sleep 1000 & wait";
    for (model, milliseconds) in
        [("tt", 0), ("tt", 30), ("tt", 300), ("tt-jail", 0), ("tt-jail", 300), ("inproc", 0), ("inproc", 300)]
    {
        let mut guest = Running::start(model, busy);
        std::thread::sleep(Duration::from_millis(milliseconds));
        // SAFETY: plain numbers.
        unsafe { nix::libc::syscall(nix::libc::SYS_tgkill, guest.uml(), warden(&guest), nix::libc::SIGKILL) };
        assert_eq!(wait(&mut guest.child, Duration::from_secs(10)), End::Signal(9), "{model}");
        let left = end_session(guest.child.id());
        assert!(left.is_empty(), "{model}: left behind: {left:?}");
    }
}

#[test]
fn jail_has_one_cpu() {
    let outcome = Program::sh(":").model("tt-jail").options(&["--cpus", "2"]).in_guest().code(125);
    assert!(outcome.err().contains("at most one CPU (say --cpus 1)"), "{outcome:?}");
}

/// Runs a script in a network and a mount namespace of its own, with an empty directory `$T`. None
/// where the host does not allow it.
fn in_own_namespaces(script: &str, model: &str) -> Option<Outcome> {
    let dir = tempfile::tempdir().unwrap();
    let argv = ["unshare", "--net", "--mount", "--map-root-user", "bash", "-c", script];
    let program = Program::new(&argv).env("UMLAB", common::UMLAB).env("MODEL", model);
    let outcome = program.env("T", dir.path().display().to_string()).on_host();
    if outcome.err().contains("unshare") || outcome.out().contains("unshare") {
        eprintln!("not tested: the host does not let us change what it says: {outcome:?}");
        return None;
    }
    Some(outcome)
}

/// Guests with one CPU each, one after the other, in a network of their own, so that those of other
/// tests make no claims there, and on a host that does not say how busy its CPUs are, so that what
/// else runs moves none of them. The first is killed, and its CPU is the next one's, once the last
/// of its host processes has ended: they share the claim, and die just after `uml`. The host CPUs
/// are printed.
const THREE_GUESTS: &str = "
    touch $T/stat && mount --bind $T/stat /proc/stat || { echo unshare; exit; }
    start() {
        $UMLAB run --model $MODEL --cpus 1 --mem 256M -- sleep 100 & last=$!
        for i in $(seq 500); do
            cpus=$(grep Cpus_allowed_list /proc/$last/status | cut -f2)
            case $cpus in *[!0-9]*) sleep 0.02;; *) break;; esac
        done
        echo $cpus
    }
    start; first=$last first_cpu=$cpus; start; second=$last
    kill -KILL $first; wait $first 2>/dev/null
    for i in $(seq 500); do grep -q umlab-cpu-.*-$first_cpu-0 /proc/net/unix || break; sleep 0.02; done
    start; kill -TERM $second $last; wait $second $last";

#[test]
fn guests_have_host_cpus_of_their_own() {
    if umlab_host::thread::allowed_cpus().len() == 1 {
        return eprintln!("not tested: there is but one CPU");
    }
    for model in ["skas", "tt", "tt-jail", "inproc"] {
        let Some(outcome) = in_own_namespaces(THREE_GUESTS, model) else { return };
        let out = outcome.out();
        let cpus: Vec<&str> = out.lines().collect();
        assert!(cpus.len() == 3 && cpus.iter().all(|cpu| cpu.parse::<usize>().is_ok()), "{outcome:?}");
        assert!(cpus[0] != cpus[1] && cpus[1] != cpus[2], "{model}: {outcome:?}");
    }
}

/// A guest that computes beside another program on one host CPU, while the host says of all others
/// that they are idle. What is printed is the CPU it began on, and the one it computes on in the
/// end.
const A_BUSY_CPU: &str = "
    exec 2>$T/err
    touch $T/stat && mount --bind $T/stat /proc/stat || { echo unshare; exit; }
    $UMLAB run --model $MODEL --cpus 1 --mem 256M -- sh -c 'while :; do :; done' & guest=$!
    computing() {
        for status in $(grep -l \"^PPid:.$guest$\" /proc/[0-9]*/status); do
            grep Cpus_allowed_list $status | cut -f2 | grep '^[0-9]*$'
        done | sort -u
    }
    for i in $(seq 200); do first=$(computing); test -n \"$first\" && break; sleep 0.05; done
    host() {
        for ((ticks = 100; ; ticks += 10)); do
            for cpu in {0..127}; do
                if test $cpu = $first; then echo cpu$cpu $ticks 0 0 0; else echo cpu$cpu 0 0 0 $ticks; fi
            done > $T/new
            cat $T/new > $T/stat
            sleep 0.1
        done
    }
    host & host=$!
    taskset -c $first sh -c 'while :; do :; done' & other=$!
    for i in $(seq 200); do now=$(computing | grep -v \"^$first$\") && break; sleep 0.05; done
    echo $first $now
    kill -KILL $guest $host $other; wait";

#[test]
fn a_guest_cpu_moves_to_where_there_is_room() {
    if umlab_host::thread::allowed_cpus().len() == 1 {
        return eprintln!("not tested: there is but one CPU");
    }
    for model in ["skas", "tt", "tt-jail", "inproc"] {
        let Some(outcome) = in_own_namespaces(A_BUSY_CPU, model) else { return };
        let out = outcome.out();
        let cpus: Vec<&str> = out.split_whitespace().collect();
        assert!(cpus.len() == 2 && cpus[0] != cpus[1], "{model}: {outcome:?}");
    }
}

/// Threads of one address space that wait for each other all the time: in jail, one of them
/// protects memory that the other is about to sleep on.
#[test]
fn threads_that_switch_to_each_other() {
    let program = Program::new(&[guest_programs().join("threads")]);
    let host = program.on_host();
    for (model, cpus) in [("tt", "1"), ("tt", "2"), ("tt-jail", "1"), ("inproc", "1"), ("inproc", "2")] {
        let guest = program.clone().model(model).options(&["--cpus", cpus]).in_guest();
        assert_eq!((guest.out(), guest.end), (host.out(), host.end), "{model}, {cpus} CPUs: {guest:?}");
    }
}

/// A process that is on more CPUs at once than this machine may have: each needs something of the
/// host's that is made when it is first needed.
#[test]
fn threads_on_many_cpus() {
    let program = Program::new(&[guest_programs().join("threads")]);
    let host = program.on_host();
    for model in ["skas", "unotify", "sigsys", "inproc"] {
        let guest = program.clone().model(model).options(&["--cpus", "24"]).in_guest();
        assert_eq!((guest.out(), guest.end), (host.out(), host.end), "{model}: {guest:?}");
    }
}
