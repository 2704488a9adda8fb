//! ptrace(2): system calls, and the events of fork, exec and exit.

use crate::ptraces::{codes, end, go, info, message, pt, regs, stop_text, traced, wait};
use crate::signals::kill_self;
use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    syscalls, syscall_info, syscall_changed, emulate, fork_events, vfork_events, clone_events, exec_stop,
    exec_event, exit_event, thread_ends,
];

fn to_call(pid: i32, number: i64) -> Text {
    loop {
        let text = go(PTRACE_SYSCALL, pid, 0);
        if text != "SIGTRAP in a call" || regs(pid).orig_rax as i64 == number {
            return text;
        }
    }
}

fn sysgood(pid: i32) {
    v!(pt(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD));
}

fn syscalls() {
    let pid = traced(|| {
        sc!(SYS_getuid);
        sc!(SYS_close, -1);
        exit(6);
    });
    let result = |pid| regs(pid).rax as i64;
    // Without the option they look like a signal.
    v!(go(PTRACE_SYSCALL, pid, 0));
    v!(codes(pid));
    sysgood(pid);
    v!(to_call(pid, SYS_getuid));
    v!((message(pid), result(pid)));
    v!(codes(pid));
    v!(go(PTRACE_SYSCALL, pid, 0));
    v!(message(pid));
    v!(to_call(pid, SYS_close));
    v!((message(pid), regs(pid).rdi as i32));
    v!(go(PTRACE_SYSCALL, pid, 0));
    v!((message(pid), result(pid), regs(pid).orig_rax));
    v!(to_call(pid, SYS_exit_group));
    // There is no way back from it.
    v!(go(PTRACE_SYSCALL, pid, 0));
}

fn syscall_info() {
    let pid = traced(|| {
        sc!(SYS_dup2, -1, 7);
        exit(0);
    });
    let ask = |size: usize| {
        let mut words = [0x55u8; 96];
        let ret = pt(0x420e, pid, size, &mut words[..]);
        let word = |at: usize| i64::from_le_bytes(words[at..at + 8].try_into().expect("eight bytes"));
        (ret, words[0], (words[24], word(24), word(32), word(40)))
    };
    v!((ask(88).0, ask(88).1));
    sysgood(pid);
    v!(to_call(pid, SYS_dup2));
    let entry = ask(88);
    v!((entry.0, entry.1, entry.2.1, entry.2.2 as i32, entry.2.3));
    v!(ask(8).0);
    v!(go(PTRACE_SYSCALL, pid, 0));
    let exit = ask(88);
    v!((exit.0, exit.1, exit.2.1, exit.2.2 as u8));
    v!(ask(0).0);
    end(pid);
}

fn syscall_changed() {
    let pid = traced(|| {
        v!(sc!(SYS_getpid).0);
        v!(sc!(SYS_close, 77));
        v!(sc!(SYS_getuid).0);
    });
    sysgood(pid);
    // Another number, other arguments, no call at all, another result.
    v!(to_call(pid, SYS_getpid));
    let mut regs = regs(pid);
    regs.orig_rax = SYS_fcntl as u64;
    (regs.rdi, regs.rsi) = (1, F_GETFD as u64);
    v!(pt(PTRACE_SETREGS, pid, 0, &regs));
    v!(go(PTRACE_SYSCALL, pid, 0));
    v!(to_call(pid, SYS_close));
    v!(pt(PTRACE_POKEUSER, pid, 15 * 8, -1i64));
    v!(go(PTRACE_SYSCALL, pid, 0));
    v!(to_call(pid, SYS_getuid));
    v!(go(PTRACE_SYSCALL, pid, 0));
    v!(pt(PTRACE_POKEUSER, pid, 10 * 8, 4711));
    v!(go(PTRACE_CONT, pid, 0));
}

fn emulate() {
    const PTRACE_SYSEMU: u32 = 31;
    let pid = traced(|| {
        v!(sc!(SYS_getppid).0);
        exit(7);
    });
    sysgood(pid);
    v!(go(PTRACE_SYSEMU, pid, 0));
    v!(regs(pid).orig_rax == SYS_getppid as u64);
    v!(pt(PTRACE_POKEUSER, pid, 10 * 8, 4712));
    v!(go(PTRACE_CONT, pid, 0));
}

/// A child that an event has told of: that it is traced, and how it goes on.
fn follow(child: i32) {
    v!(wait(child, __WALL));
    v!(state_of(child));
    v!(codes(child));
    v!(go(PTRACE_CONT, child, 0));
}

fn fork_events() {
    let pid = traced(|| {
        v!(in_child(|| exit(2)));
        v!(in_child(|| exit(3)));
        exit(4);
    });
    v!(pt(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK));
    v!(go(PTRACE_CONT, pid, 0));
    v!(codes(pid));
    let child = message(pid) as i32;
    follow(child);
    v!(wait(child, __WALL));
    // Its parent asks for it as well; the signal is told to us first.
    v!(go(PTRACE_CONT, pid, 0));
    v!(pt(PTRACE_SETOPTIONS, pid, 0, 0));
    v!(go(PTRACE_CONT, pid, SIGCHLD));
    v!(go(PTRACE_CONT, pid, 0));
}

fn vfork_events() {
    let pid = traced(|| {
        if must!(SYS_clone, CLONE_VFORK | SIGCHLD, 0, 0, 0, 0).0 == 0 {
            exit(8);
        }
        exit(9);
    });
    v!(pt(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACEEXIT));
    v!(go(PTRACE_CONT, pid, 0));
    let child = message(pid) as i32;
    v!(pt(PTRACE_CONT, pid, 0, 0));
    follow(child);
    v!(message(child));
    v!(go(PTRACE_CONT, child, 0));
    v!(wait(pid, 0));
    v!(message(pid) == child as u64);
    v!(go(PTRACE_CONT, pid, 0));
    v!(go(PTRACE_CONT, pid, 0));
    v!(go(PTRACE_CONT, pid, 0));
}

fn clone_events() {
    let cloner = |flags: i64| {
        traced(move || {
            let child = must!(SYS_clone, flags, 0, 0, 0, 0).0;
            if child == 0 {
                exit(1);
            }
            must!(SYS_wait4, child, 0, __WALL, 0);
        })
    };
    let pid = cloner(0);
    v!(pt(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACECLONE));
    v!(go(PTRACE_CONT, pid, 0));
    let child = message(pid) as i32;
    follow(child);
    v!(go(PTRACE_CONT, pid, 0));
    let pid = cloner(i64::from(CLONE_UNTRACED));
    v!(pt(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACECLONE));
    v!(go(PTRACE_CONT, pid, 0));
    // Traced without an event.
    let pid = cloner(i64::from(CLONE_PTRACE));
    v!(pt(PTRACE_CONT, pid, 0, 0));
    let mut status = 0;
    let child = must!(SYS_wait4, -1, &mut status, __WALL, 0).0 as i32;
    v!((child == pid, stop_text(status)));
    v!(go(PTRACE_CONT, child, 0));
    v!(wait(pid, 0));
}

fn run_true() {
    let (path, argv) = (c("/bin/true"), c("true"));
    let argv = [argv.as_ptr() as usize, 0];
    let environment = [0usize];
    must!(SYS_execve, &*path, &argv, &environment);
}

fn exec_stop() {
    let pid = traced(run_true);
    v!(go(PTRACE_CONT, pid, 0));
    v!(codes(pid));
    v!(info(pid).map(|info| sender_of(&info) == pid));
    v!(go(PTRACE_CONT, pid, 0));
}

fn sender_of(info: &siginfo_t) -> i32 {
    // SAFETY: a signal of kill(2)'s kind has the field.
    unsafe { info.si_pid() }
}

fn exec_event() {
    let pid = traced(run_true);
    v!(pt(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD));
    v!(to_call(pid, SYS_execve));
    v!(go(PTRACE_SYSCALL, pid, 0));
    v!(message(pid) == pid as u64);
    v!((regs(pid).orig_rax, regs(pid).rax as i64, regs(pid).rbp));
    v!(go(PTRACE_SYSCALL, pid, 0));
    v!((regs(pid).orig_rax, regs(pid).rax));
    v!(go(PTRACE_CONT, pid, 0));
}

fn exit_event() {
    let pid = traced(|| exit(11));
    v!(pt(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXIT));
    v!(go(PTRACE_CONT, pid, 0));
    v!(message(pid));
    v!(regs(pid).orig_rax);
    v!(go(PTRACE_CONT, pid, 0));
    let pid = traced(|| kill_self(SIGTERM));
    v!(pt(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXIT));
    v!(go(PTRACE_CONT, pid, 0));
    v!(go(PTRACE_CONT, pid, SIGTERM));
    v!(message(pid));
    v!(go(PTRACE_CONT, pid, 0));
}

fn thread_ends() {
    let pid = traced(|| {
        let thread = std::thread::spawn(|| {
            kill_thread(SIGUSR1);
            // Alone, without the others.
            sc!(SYS_exit, 12);
        });
        until(|| std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count) == 1);
        std::mem::forget(thread);
        exit(13);
    });
    v!(pt(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXIT));
    v!(go(PTRACE_CONT, pid, 0));
    let thread = message(pid) as i32;
    v!(pt(PTRACE_CONT, pid, 0, 0));
    v!(wait(thread, __WALL));
    v!(go(PTRACE_CONT, thread, 0));
    v!(go(PTRACE_CONT, thread, 0));
    v!(message(thread));
    v!(go(PTRACE_CONT, thread, 0));
    v!(wait(thread, __WALL));
    v!(wait(pid, 0));
    v!(message(pid));
    v!(go(PTRACE_CONT, pid, 0));
}

fn kill_thread(signal: i32) {
    must!(SYS_tgkill, std::process::id(), sc!(SYS_gettid).0, signal);
}
