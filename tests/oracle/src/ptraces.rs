//! ptrace(2): tracers and tracees, signals, stops of job control, and wait(2). Each case is the
//! tracer of children of its own.
#![expect(clippy::needless_borrows_for_generic_args, reason = "the address of a word is meant, not the word")]

use crate::signals::{handle, kill_self, log_signal, logged};
use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    trace_me, attach, attach_refused, attach_stopped, seize, listen, signal_choice, signal_info,
    signals_ignored, parent_is_another, tracer_ends, tracer_kills, wait_kinds, options, group_stop,
];

pub fn pt(request: u32, pid: i32, addr: impl Arg, data: impl Arg) -> Ret {
    raw(SYS_ptrace, &[request as usize, pid as usize, addr.word(), data.word()])
}

/// A stop as wait(2) tells it.
pub fn stop_text(status: i32) -> Text {
    if !WIFSTOPPED(status) {
        return status_text(status);
    }
    let (signal, event) = (status >> 8 & 0x7f, status >> 16);
    let call = if status >> 8 & 0x80 != 0 { " in a call" } else { "" };
    let event = if event == 0 { String::new() } else { format!(" event {event}") };
    Text(format!("{}{call}{event}", signal_name(signal)))
}

pub fn wait(pid: i32, flags: i32) -> Text {
    let mut status = 0;
    let ret = sc!(SYS_wait4, pid, &mut status, flags, 0);
    if ret.0 == i64::from(pid) { stop_text(status) } else { Text(ret.to_string()) }
}

/// Lets it go on, and says at what it stops next.
pub fn go(request: u32, pid: i32, signal: i32) -> Text {
    let ret = pt(request, pid, 0, signal);
    if ret.is_ok() { wait(pid, __WALL) } else { Text(ret.to_string()) }
}

/// A child that is traced and stopped, before it runs `f`.
pub fn traced(f: impl FnOnce()) -> i32 {
    let pid = spawn(|| {
        pt(PTRACE_TRACEME, 0, 0, 0);
        kill_self(SIGSTOP);
        f();
    });
    assert_eq!(wait(pid, 0), "SIGSTOP");
    pid
}

fn sleeper() -> i32 {
    let pid = spawn(|| {
        loop {
            sc!(SYS_pause);
        }
    });
    until_sleeping(pid);
    pid
}

pub fn end(pid: i32) {
    sc!(SYS_kill, pid, SIGKILL);
    until(|| {
        let text = wait(pid, __WALL);
        text == "killed by SIGKILL" || text == "ECHILD"
    });
}

pub fn message(pid: i32) -> u64 {
    let mut word = 0u64;
    pt(PTRACE_GETEVENTMSG, pid, 0, &mut word);
    word
}

pub fn info(pid: i32) -> Result<siginfo_t, Ret> {
    let mut info: siginfo_t = zeroed();
    let ret = pt(PTRACE_GETSIGINFO, pid, 0, &mut info);
    if ret.is_ok() { Ok(info) } else { Err(ret) }
}

pub fn codes(pid: i32) -> Result<(i32, i32), Ret> {
    info(pid).map(|info| (info.si_signo, info.si_code))
}

fn tracer_of(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let own = format!("TracerPid:\t{}", std::process::id());
    status.lines().any(|line| line == own)
}

fn trace_me() {
    let pid = spawn(|| {
        v!(pt(PTRACE_TRACEME, 0, 0, 0));
        v!(pt(PTRACE_TRACEME, 0, 0, 0));
        kill_self(SIGUSR1);
        exit(3);
    });
    v!(wait(pid, 0));
    v!(state_of(pid));
    v!(tracer_of(pid));
    v!(codes(pid));
    v!(wait(pid, WNOHANG));
    v!(go(PTRACE_CONT, pid, 0));
    v!(pt(PTRACE_CONT, pid, 0, 0));
    // What the tracer lets through acts as ever.
    let pid = traced(|| kill_self(SIGUSR1));
    v!(go(PTRACE_CONT, pid, 0));
    v!(go(PTRACE_CONT, pid, SIGUSR1));
}

fn attach() {
    let pid = sleeper();
    v!(pt(PTRACE_CONT, pid, 0, 0));
    v!(pt(PTRACE_ATTACH, pid, 0, 0));
    v!(wait(pid, __WALL));
    v!(state_of(pid));
    v!(tracer_of(pid));
    v!(codes(pid));
    v!(pt(PTRACE_ATTACH, pid, 0, 0));
    v!(pt(PTRACE_DETACH, pid, 0, 65));
    v!(pt(PTRACE_DETACH, pid, 0, 0));
    until_sleeping(pid);
    v!(tracer_of(pid));
    v!(pt(PTRACE_DETACH, pid, 0, 0));
    v!(pt(PTRACE_ATTACH, pid, 0, 0));
    v!(wait(pid, 0));
    v!(pt(PTRACE_CONT, pid, 0, 0));
    until_sleeping(pid);
    v!(pt(PTRACE_PEEKDATA, pid, 0, 0));
    v!(pt(PTRACE_DETACH, pid, 0, 0));
    v!(pt(PTRACE_INTERRUPT, pid, 0, 0));
    v!(pt(PTRACE_KILL, pid, 0, 0));
    v!(wait(pid, 0));
}

fn attach_refused() {
    let own = std::process::id() as i32;
    v!(pt(PTRACE_ATTACH, own, 0, 0));
    v!(pt(PTRACE_ATTACH, 0, 0, 0));
    v!(pt(PTRACE_ATTACH, -1, 0, 0));
    v!(pt(PTRACE_ATTACH, 1 << 22, 0, 0));
    let pid = sleeper();
    v!(pt(PTRACE_SEIZE, pid, 8, 0));
    v!(pt(PTRACE_SEIZE, pid, 0, 1u64 << 40));
    v!(pt(12345, pid, 0, 0));
    v!(in_child(|| {
        v!(pt(PTRACE_CONT, pid, 0, 0));
    }));
    v!(unprivileged(|| {
        v!(pt(PTRACE_ATTACH, pid, 0, 0));
        v!(pt(PTRACE_SEIZE, pid, 0, 0));
        let other = sleeper();
        v!(pt(PTRACE_SEIZE, other, 0, 0));
        end(other);
        let hidden = spawn(|| {
            must!(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
            sc!(SYS_pause);
        });
        until_sleeping(hidden);
        v!(pt(PTRACE_SEIZE, hidden, 0, 0));
        end(hidden);
    }));
    end(pid);
    let gone = spawn(|| ());
    until(|| state_of(gone) == 'Z');
    v!(pt(PTRACE_CONT, gone, 0, 0));
    v!(reap(gone));
    v!(pt(PTRACE_ATTACH, gone, 0, 0));
}

fn attach_stopped() {
    let pid = sleeper();
    must!(SYS_kill, pid, SIGSTOP);
    until(|| state_of(pid) == 'T');
    v!(pt(PTRACE_ATTACH, pid, 0, 0));
    v!(wait(pid, 0));
    v!(state_of(pid));
    v!(codes(pid));
    v!(pt(PTRACE_DETACH, pid, 0, 0));
    until(|| state_of(pid) == 'T');
    v!(pt(PTRACE_SEIZE, pid, 0, 0));
    v!(wait(pid, 0));
    v!(codes(pid));
    v!(pt(PTRACE_DETACH, pid, 0, 0));
    until(|| state_of(pid) == 'T');
    must!(SYS_kill, pid, SIGCONT);
    end(pid);
}

fn seize() {
    let pid = sleeper();
    v!(pt(PTRACE_SEIZE, pid, 0, 0));
    v!(wait(pid, WNOHANG));
    v!(pt(PTRACE_GETREGS, pid, 0, 0));
    v!(pt(PTRACE_INTERRUPT, pid, 0, 0));
    v!(wait(pid, 0));
    v!(codes(pid));
    v!(pt(PTRACE_CONT, pid, 0, 0));
    until_sleeping(pid);
    end(pid);
}

fn listen() {
    let pid = sleeper();
    v!(pt(PTRACE_SEIZE, pid, 0, 0));
    must!(SYS_kill, pid, SIGSTOP);
    v!(wait(pid, 0));
    v!(pt(PTRACE_LISTEN, pid, 0, 0));
    v!(go(PTRACE_CONT, pid, SIGSTOP));
    v!(codes(pid));
    v!(pt(PTRACE_LISTEN, pid, 0, 0));
    v!(pt(PTRACE_CONT, pid, 0, 0));
    v!(wait(pid, WNOHANG));
    must!(SYS_kill, pid, SIGCONT);
    v!(wait(pid, 0));
    v!(go(PTRACE_CONT, pid, 0));
    v!(pt(PTRACE_CONT, pid, 0, 0));
    until_sleeping(pid);
    v!(pt(PTRACE_INTERRUPT, pid, 0, 0));
    v!(wait(pid, 0));
    v!(pt(PTRACE_DETACH, pid, 0, SIGUSR1));
    // Not a stop before a signal: there is none to be replaced.
    until_sleeping(pid);
    end(pid);
}

fn signal_choice() {
    // None, the same, another one, and one that is blocked, which waits.
    let pid = traced(|| {
        kill_self(SIGUSR1);
        kill_self(SIGUSR1);
        exit(4);
    });
    v!(go(PTRACE_CONT, pid, 0));
    v!(go(PTRACE_CONT, pid, 0));
    v!(go(PTRACE_CONT, pid, 65));
    v!(go(PTRACE_CONT, pid, SIGTERM));
    let pid = traced(|| {
        handle(SIGUSR2, log_signal as *const () as usize, 0, &[]);
        kill_self(SIGUSR1);
        v!(logged());
    });
    v!(go(PTRACE_CONT, pid, 0));
    v!(go(PTRACE_CONT, pid, SIGUSR2));
    let pid = traced(|| kill_self(SIGUSR1));
    v!(go(PTRACE_CONT, pid, 0));
    let set = 1u64 << (SIGUSR2 - 1);
    v!(pt(PTRACE_SETSIGMASK, pid, 8, &set));
    let mut mask = 0u64;
    v!(pt(PTRACE_GETSIGMASK, pid, 8, &mut mask));
    v!(mask == set);
    v!(pt(PTRACE_GETSIGMASK, pid, 4, &mut mask));
    v!(go(PTRACE_CONT, pid, SIGUSR2));
}

fn signal_info() {
    let pid = traced(|| {
        let mut info: siginfo_t = zeroed();
        info.si_code = -1;
        must!(SYS_rt_sigqueueinfo, std::process::id(), SIGUSR1, &info);
    });
    v!(go(PTRACE_CONT, pid, 0));
    v!(codes(pid));
    let mut changed = info(pid).unwrap_or(zeroed());
    changed.si_code = -3;
    v!(pt(PTRACE_SETSIGINFO, pid, 0, &changed));
    v!(codes(pid));
    v!(pt(PTRACE_SETSIGINFO, pid, 0, 8));
    v!(pt(PTRACE_GETSIGINFO, pid, 0, 8));
    must!(SYS_kill, pid, SIGUSR2);
    must!(SYS_kill, pid, SIGTERM);
    let mut found: [siginfo_t; 4] = zeroed();
    let peek = |from: u64, flags: u32, count: i32, found: &mut [siginfo_t; 4]| {
        let args = [from, u64::from(flags) | u64::from(count as u32) << 32];
        pt(PTRACE_PEEKSIGINFO, pid, &args, found)
    };
    v!(peek(0, 0, 4, &mut found));
    v!(peek(0, 1, 4, &mut found));
    v!((found[0].si_signo, found[1].si_signo));
    v!(peek(1, 1, 4, &mut found));
    v!(found[0].si_signo);
    v!(peek(u64::MAX, 1, 4, &mut found));
    v!(peek(0, 2, 4, &mut found));
    v!(peek(0, 1, -1, &mut found));
    end(pid);
}

fn signals_ignored() {
    let pid = traced(|| {
        handle(SIGUSR1, SIG_IGN, 0, &[]);
        kill_self(SIGUSR1);
        kill_self(SIGCHLD);
        kill_self(SIGCONT);
        kill_self(SIGSTOP);
        exit(5);
    });
    for _ in 0..6 {
        v!(go(PTRACE_CONT, pid, 0));
    }
}

pub fn regs(pid: i32) -> user_regs_struct {
    let mut regs: user_regs_struct = zeroed();
    pt(PTRACE_GETREGS, pid, 0, &mut regs);
    regs
}

fn parent_is_another() {
    let (reader, writer) = pipe();
    let parent = spawn(|| {
        let pid = spawn(|| {
            loop {
                sc!(SYS_pause);
            }
        });
        put(writer, &pid.to_le_bytes());
        exit(i32::from(reap(pid) == "killed by SIGTERM"));
    });
    let mut pid = [0u8; 4];
    must!(SYS_read, reader, &mut pid, 4);
    let pid = i32::from_le_bytes(pid);
    until_sleeping(pid);
    v!(pt(PTRACE_SEIZE, pid, 0, 0));
    must!(SYS_kill, pid, SIGTERM);
    v!(wait(pid, 0));
    v!(pt(PTRACE_CONT, pid, 0, SIGTERM));
    until(|| state_of(pid) == 'Z');
    until_sleeping(parent);
    // Only now is its parent told.
    v!(wait(pid, 0));
    v!(reap(parent));
    v!(wait(pid, 0));
}

fn tracer_ends() {
    let pid = sleeper();
    v!(in_child(|| {
        v!(pt(PTRACE_ATTACH, pid, 0, 0));
        v!(wait(pid, 0));
        v!(state_of(pid));
    }));
    until_sleeping(pid);
    v!(wait(pid, WNOHANG));
    end(pid);
}

fn tracer_kills() {
    let pid = sleeper();
    v!(in_child(|| {
        v!(pt(PTRACE_SEIZE, pid, 0, PTRACE_O_EXITKILL));
    }));
    v!(wait(pid, 0));
    // A tracee that is stopped can be killed, by anyone.
    let pid = traced(|| ());
    must!(SYS_kill, pid, SIGKILL);
    v!(wait(pid, 0));
    let pid = traced(|| ());
    v!(pt(PTRACE_KILL, pid, 0, 0));
    v!(wait(pid, 0));
}

fn wait_kinds() {
    let wait_id = |pid: i32, flags: i32| {
        let mut info: siginfo_t = zeroed();
        let ret = sc!(SYS_waitid, P_PID, pid, &mut info, flags, 0);
        // SAFETY: waitid(2) fills these in.
        let (found, status) = unsafe { (info.si_pid(), info.si_status()) };
        (ret, found == pid, info.si_code, status)
    };
    let pid = traced(|| {
        kill_self(SIGUSR1);
        exit(1);
    });
    v!(pt(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXIT));
    v!(pt(PTRACE_CONT, pid, 0, 0));
    v!(wait_id(pid, WEXITED | WSTOPPED | WNOWAIT));
    v!(wait_id(pid, WEXITED));
    v!(wait_id(pid, WEXITED | WSTOPPED | WNOHANG));
    v!(pt(PTRACE_CONT, pid, 0, 0));
    v!(wait_id(pid, WSTOPPED));
    v!(pt(PTRACE_CONT, pid, 0, 0));
    v!(wait_id(pid, WEXITED | WNOWAIT));
    v!(wait(pid, __WCLONE));
}

fn options() {
    let pid = traced(|| ());
    v!(pt(PTRACE_SETOPTIONS, pid, 0, 1 << 8));
    v!(pt(PTRACE_SETOPTIONS, pid, 0, 1u64 << 33));
    v!(pt(PTRACE_SETOPTIONS, pid, 0, 0x1000bf));
    v!(pt(PTRACE_GETEVENTMSG, pid, 0, 8));
    v!(pt(PTRACE_LISTEN, pid, 0, 0));
    v!(pt(PTRACE_INTERRUPT, pid, 0, 0));
    v!(pt(4711, pid, 0, 0));
    end(pid);
}

fn group_stop() {
    let pid = traced(|| {
        kill_self(SIGTSTP);
        kill_self(SIGSTOP);
        exit(14);
    });
    must!(SYS_setpgid, pid, pid);
    v!(go(PTRACE_CONT, pid, 0));
    v!(go(PTRACE_CONT, pid, SIGTSTP));
    v!(codes(pid));
    v!(go(PTRACE_CONT, pid, 0));
    v!(go(PTRACE_CONT, pid, SIGSTOP));
    v!(codes(pid));
    v!(pt(PTRACE_DETACH, pid, 0, 0));
    until(|| state_of(pid) == 'T');
    must!(SYS_kill, pid, SIGCONT);
    v!(wait(pid, 0));
}
