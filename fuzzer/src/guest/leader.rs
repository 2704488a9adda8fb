//! The process that starts the others, gets them out of where they are stuck, and tells what
//! happened.

use crate::board::{Board, MOST_THREADS};
use crate::memory::Regions;
use crate::worker::{Setting, work};
use crate::{descriptors, mappings, processes, sys};
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use umlab_fuzzer::program::{Kind, Program};

/// How often a process that ended early is begun again, where its program goes on.
const BEGINNINGS: u32 = 12;
const BEAT: Duration = Duration::from_millis(300);

struct Process {
    pid: i32,
    /// The number of its first thread.
    first: usize,
    threads: usize,
    begun: u32,
    /// How far it was when that was last looked at, and since when.
    seen: u64,
    since: Instant,
    kicked: bool,
    /// Since when it should be gone.
    killed: Option<Instant>,
    status: i32,
}

/// How long a thread may be at one step before it is interrupted, and then before its process is
/// killed; and how long that may take.
struct Patience {
    kick: Duration,
    kill: Duration,
    end: Duration,
}

pub fn lead(program: &Program, limit: Duration, directory: &str) -> Result<()> {
    let start = Instant::now();
    let program: &'static Program = Box::leak(Box::new(program.clone()));
    if program.processes.is_empty() || program.processes.iter().any(Vec::is_empty) {
        bail!("a program needs processes, and each of them threads");
    }
    if program.processes.iter().map(Vec::len).sum::<usize>() > MOST_THREADS {
        bail!("a program can have {MOST_THREADS} threads");
    }
    let compared = program.kind == Kind::Differential;
    std::env::set_current_dir(directory).with_context(|| format!("'{directory}'"))?;
    work_in_own_folder().with_context(|| format!("no folder in '{directory}'"))?;
    prepare(compared);
    let file = descriptors::begin(compared)?;
    let regions = Regions::new(file)?;
    let setting = Setting { program, board: Board::new()?, regions };
    let patience = match program.kind {
        // An interruption would be an answer.
        Kind::Differential => {
            Patience { kick: Duration::MAX, kill: Duration::from_secs(3), end: Duration::from_secs(20) }
        }
        Kind::Syscalls => {
            Patience { kick: Duration::from_millis(60), kill: Duration::from_millis(400), end: Duration::from_secs(20) }
        }
        _ => Patience { kick: Duration::MAX, kill: limit, end: Duration::from_secs(20) },
    };
    let mut first = 0;
    let mut all: Vec<Process> = Vec::new();
    for threads in &program.processes {
        let threads = threads.len();
        all.push(Process {
            pid: 0,
            first,
            threads,
            begun: 0,
            seen: 0,
            since: start,
            kicked: false,
            killed: None,
            status: 0,
        });
        first += threads;
    }
    for n in 0..all.len() {
        begin(setting, &mut all, n);
    }
    if all.iter().all(|process| process.pid == 0) {
        bail!("no process: {}", std::io::Error::last_os_error());
    }
    let mut beat = Instant::now();
    loop {
        reap(&mut all);
        let late = start.elapsed() >= limit;
        let mut running = false;
        for n in 0..all.len() {
            running |= look_after(setting, &mut all, n, late, &patience);
        }
        if !running {
            break;
        }
        if beat.elapsed() >= BEAT {
            say("beat");
            beat = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    report(setting, &all);
    Ok(())
}

/// Below the folder that was given, so that the parent of the current directory is the same kind of
/// folder everywhere.
fn work_in_own_folder() -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir("w")?;
    std::fs::set_permissions("w", std::fs::Permissions::from_mode(0o777))?;
    std::env::set_current_dir("w")
}

/// The leader is the witness: nothing that the program does may end it, as far as a process can
/// arrange that.
fn prepare(compared: bool) {
    for signal in 1..65 {
        if ![libc::SIGCHLD, libc::SIGSEGV, libc::SIGBUS, libc::SIGKILL, libc::SIGSTOP].contains(&signal) {
            // SAFETY: to ignore a signal needs no handler. Those of the C library are refused.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
    }
    if !compared {
        // Only root may; without it, it is the largest process that goes, which this is not.
        let _ = std::fs::write("/proc/self/oom_score_adj", "-1000");
    }
}

/// Starts a process, or starts it again after the steps at which it ended.
fn begin(setting: Setting, all: &mut [Process], n: usize) {
    let other =
        all.iter().enumerate().find(|(m, process)| *m != n && process.pid > 0).map_or(0, |(_, process)| process.pid);
    let process = &mut all[n];
    // SAFETY: the leader has one thread.
    match unsafe { libc::fork() } {
        // The others have taken all memory. It stays as it is.
        -1 => process.begun = BEGINNINGS,
        0 => {
            processes::OTHER.store(other, Relaxed);
            become_worker(setting.program.root);
            work(setting, n, process.first)
        }
        pid => process.pid = pid,
    }
    (process.begun, process.since, process.kicked, process.killed) = (process.begun + 1, Instant::now(), false, None);
}

fn become_worker(root: bool) {
    const NOBODY: u32 = 65534;
    // SAFETY: plain calls with numbers and local arrays.
    unsafe {
        libc::setsid();
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        for standard in 0..3 {
            libc::dup2(null, standard);
        }
        libc::close(null);
        for signal in 1..65 {
            libc::signal(signal, libc::SIG_DFL);
        }
        if !root && libc::getuid() == 0 {
            libc::setgroups(0, std::ptr::null());
            libc::setresgid(NOBODY, NOBODY, NOBODY);
            libc::setresuid(NOBODY, NOBODY, NOBODY);
            libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0);
        }
    }
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
}

/// Whether a process has ended that cannot be waited for: its end is told to a tracer first,
/// another process of the program.
fn has_ended(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.starts_with(" Z"))
}

fn reap(all: &mut [Process]) {
    loop {
        let mut status = 0;
        // SAFETY: a pointer to a local.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        if pid <= 0 {
            return;
        }
        if libc::WIFSTOPPED(status) {
            // It has made us its tracer, which is of no interest: it goes on with the signal that
            // it stopped for. SAFETY: plain numbers.
            unsafe { libc::ptrace(libc::PTRACE_CONT, pid, 0usize, libc::WSTOPSIG(status) as usize) };
            continue;
        }
        // Others are orphans of the program, which are left to us.
        if let Some(process) = all.iter_mut().find(|process| process.pid == pid) {
            (process.pid, process.status) = (0, status);
        }
    }
}

/// Sees to one process; whether there is still something to come from it.
fn look_after(setting: Setting, all: &mut [Process], n: usize, late: bool, patience: &Patience) -> bool {
    let process = &mut all[n];
    let board = setting.board;
    let threads = &board.threads[process.first..process.first + process.threads];
    let steps = &setting.program.processes[n];
    let done = threads.iter().zip(steps).all(|(thread, steps)| thread.at.load(Relaxed) as usize > steps.len());
    if process.pid == 0 {
        if done || late || setting.program.kind != Kind::Syscalls || process.begun >= BEGINNINGS {
            return false;
        }
        begin(setting, all, n);
        return true;
    }
    if let Some(since) = process.killed {
        if since.elapsed() > patience.end {
            if has_ended(process.pid) {
                process.pid = 0;
                process.begun = BEGINNINGS;
                return false;
            }
            say(&format!("find a process that was killed does not end; {}", places(setting, process, n)));
            process.pid = 0;
            process.begun = BEGINNINGS;
            return false;
        }
        return true;
    }
    let seen = threads.iter().map(|thread| u64::from(thread.at.load(Relaxed))).sum();
    if seen != process.seen {
        (process.seen, process.since, process.kicked) = (seen, Instant::now(), false);
    }
    // Any thread that is stuck: others that go on would hide it, but they come to an end.
    if late || process.since.elapsed() > patience.kill {
        // SAFETY: plain calls.
        unsafe { libc::kill(process.pid, libc::SIGKILL) };
        process.killed = Some(Instant::now());
    } else if process.since.elapsed() > patience.kick && !process.kicked {
        for thread in threads {
            // SAFETY: a plain call.
            unsafe { libc::syscall(libc::SYS_tgkill, process.pid, thread.tid.load(Relaxed), sys::KICK) };
        }
        process.kicked = true;
    }
    true
}

fn places(setting: Setting, process: &Process, n: usize) -> String {
    let steps = &setting.program.processes[n];
    let at = |(thread, steps): (usize, &Vec<umlab_fuzzer::program::Step>)| {
        let at = setting.board.threads[process.first + thread].at.load(Relaxed) as usize;
        steps.get(at.saturating_sub(1)).map_or("at its end".into(), |step| format!("at {}", step.call.name))
    };
    let places: Vec<String> = steps.iter().enumerate().map(at).collect();
    format!("its threads: {}", places.join(", "))
}

fn report(setting: Setting, all: &[Process]) {
    let board = setting.board;
    let wrong = board.wrong.each_ref().map(|cell| cell.load(Relaxed));
    if wrong[0] != 0 {
        say(&format!("find {}", mappings::describe(setting.program, wrong)));
    }
    // A mapping stress gives itself no reason to be ended, other than the end of the time.
    for process in all.iter().filter(|process| setting.program.kind == Kind::Mappings && process.killed.is_none()) {
        if process.status != 0 && process.status & 0x7f != 9 {
            say(&format!("find a process of the stress ended with status {:#x}", process.status));
        }
    }
    if setting.program.kind == Kind::Differential {
        for (n, answer) in board.answers.iter().enumerate().filter(|(_, answer)| answer.given.load(Relaxed) != 0) {
            say(&format!("answer {n} {} {:x}", answer.value.load(Relaxed) as i64, answer.hash.load(Relaxed)));
        }
        for process in all {
            say(&format!("end {} {}", process.status, u32::from(process.killed.is_some())));
        }
    }
    for (number, calls) in board.calls.iter().enumerate().filter(|(_, calls)| calls.asked.load(Relaxed) != 0) {
        let [a, b, c] = calls.errors.each_ref().map(|word| word.load(Relaxed));
        let (asked, missing) = (calls.asked.load(Relaxed), calls.missing.load(Relaxed));
        say(&format!("call {number} {asked} {missing} {a:x} {b:x} {c:x}"));
    }
    let steps: u32 = board.threads.iter().map(|thread| thread.at.load(Relaxed)).sum();
    say(&format!("over {steps}"));
}

fn say(line: &str) {
    println!("{line}");
    let _ = std::io::stdout().flush();
}
