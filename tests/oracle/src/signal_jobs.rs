//! Signals and the lives of processes: stopping and going on, children, fork and exec.

use crate::signals::{current_mask, handle, kill_self, log_child, logged, pending};
use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    default_actions, stop_and_continue, stop_cancelled, stop_nocldstop, stop_handler, stop_orphaned, stop_killed,
    child_ignored, child_nocldwait, fork_inherits, exec_inherits,
];

fn default_actions() {
    for sig in 1..=64 {
        if (32..34).contains(&sig) {
            continue;
        }
        let pid = spawn(move || {
            must!(SYS_setpgid, 0, 0);
            kill_self(sig);
        });
        let mut status = 0;
        must!(SYS_wait4, pid, &mut status, WUNTRACED, 0);
        if WIFSTOPPED(status) {
            println!("{sig}: stopped {}", WSTOPSIG(status));
            must!(SYS_kill, pid, SIGCONT);
            must!(SYS_wait4, pid, &mut status, 0, 0);
        }
        println!("{sig}: {status:x}");
    }
}

fn wait_status(pid: i32, flags: i32) -> Text {
    let mut status = 0;
    let ret = sc!(SYS_wait4, pid, &mut status, flags, 0);
    if ret.0 == i64::from(pid) { status_text(status) } else { Text(ret.to_string()) }
}

fn stop_and_continue() {
    handle(SIGCHLD, log_child as *const () as usize, SA_SIGINFO | SA_RESTART, &[]);
    let pid = spawn(|| loop {
        sc!(SYS_pause);
    });
    until_sleeping(pid);
    for sig in [SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU] {
        must!(SYS_setpgid, pid, pid);
        must!(SYS_kill, pid, sig);
        v!(wait_status(pid, WUNTRACED));
        v!(state_of(pid));
        v!(wait_status(pid, WUNTRACED | WNOHANG));
        must!(SYS_kill, pid, 0);
        must!(SYS_kill, pid, SIGCONT);
        v!(wait_status(pid, WCONTINUED));
        v!(wait_status(pid, WCONTINUED | WUNTRACED | WNOHANG));
        until_sleeping(pid);
        v!(logged());
    }
    must!(SYS_kill, pid, SIGCONT);
    v!(wait_status(pid, WCONTINUED | WNOHANG));
    // Without having waited for the stop, only the last state is told.
    must!(SYS_kill, pid, SIGSTOP);
    until(|| state_of(pid) == 'T');
    must!(SYS_kill, pid, SIGCONT);
    v!(wait_status(pid, WCONTINUED | WUNTRACED));
    must!(SYS_kill, pid, SIGSTOP);
    until(|| state_of(pid) == 'T');
    must!(SYS_kill, pid, SIGKILL);
    v!(wait_status(pid, WUNTRACED));
    let mut info = [0u64; 16];
    let pid = spawn(|| {
        kill_self(SIGSTOP);
        exit(3);
    });
    t!(SYS_waitid, P_PID, pid, &mut info, WSTOPPED | WNOWAIT, 0);
    v!((info[0] as i32, info[1] as i32, info[3] as i32));
    t!(SYS_waitid, P_PID, pid, &mut info, WSTOPPED, 0);
    must!(SYS_kill, pid, SIGCONT);
    t!(SYS_waitid, P_PID, pid, &mut info, WEXITED, 0);
    v!((info[0] as i32, info[1] as i32, info[3] as i32));
}

fn stop_cancelled() {
    mask(SIG_BLOCK, &[SIGTSTP, SIGTTIN, SIGCONT]);
    kill_self(SIGTSTP);
    println!("{:x}", pending());
    kill_self(SIGCONT);
    println!("{:x}", pending());
    kill_self(SIGTTIN);
    v!(pending() >> (SIGCONT - 1) & 1);
}

fn stop_nocldstop() {
    handle(SIGCHLD, log_child as *const () as usize, SA_SIGINFO | SA_NOCLDSTOP | SA_RESTART, &[]);
    let pid = spawn(|| {
        kill_self(SIGSTOP);
        exit(1);
    });
    v!(wait_status(pid, WUNTRACED));
    must!(SYS_kill, pid, SIGCONT);
    v!(wait_status(pid, 0));
    v!(logged());
}

fn stop_handler() {
    let pid = spawn(|| {
        catch(SIGCONT, 0);
        catch(SIGTSTP, 0);
        kill_self(SIGTSTP);
        v!(caught(SIGTSTP));
        default(SIGTSTP);
        kill_self(SIGSTOP);
        v!((caught(SIGTSTP), caught(SIGCONT)));
    });
    v!(wait_status(pid, WUNTRACED));
    must!(SYS_kill, pid, SIGCONT);
    v!(wait_status(pid, 0));
    // One that blocks SIGCONT goes on without its handler.
    let pid = spawn(|| {
        catch(SIGCONT, 0);
        mask(SIG_BLOCK, &[SIGCONT]);
        kill_self(SIGSTOP);
        v!(caught(SIGCONT));
        mask(SIG_UNBLOCK, &[SIGCONT]);
        v!(caught(SIGCONT));
    });
    v!(wait_status(pid, WUNTRACED));
    must!(SYS_kill, pid, SIGCONT);
    v!(wait_status(pid, 0));
}

fn stop_orphaned() {
    // The leader of a session of its own has no one who could continue it.
    v!(in_child(|| {
        must!(SYS_setsid);
        for sig in [SIGTSTP, SIGTTIN, SIGTTOU] {
            kill_self(sig);
            println!("still here after {sig}");
        }
    }));
}

fn stop_killed() {
    for sig in [SIGKILL, SIGTERM] {
        let pid = spawn(|| {
            kill_self(SIGSTOP);
        });
        v!(wait_status(pid, WUNTRACED));
        must!(SYS_kill, pid, sig);
        match sig {
            SIGKILL => until(|| state_of(pid) == 'Z'),
            _ => sleep_ms(20),
        }
        v!(wait_status(pid, WNOHANG));
        if sig != SIGKILL {
            must!(SYS_kill, pid, SIGCONT);
            v!(wait_status(pid, 0));
        }
    }
}

fn child_ignored() {
    ignore(SIGCHLD);
    let pid = spawn(|| exit(1));
    t!(SYS_wait4, pid, 0, 0, 0);
    t!(SYS_wait4, -1, 0, 0, 0);
    default(SIGCHLD);
    v!(in_child(|| exit(2)));
}

fn child_nocldwait() {
    handle(SIGCHLD, log_child as *const () as usize, SA_SIGINFO | SA_NOCLDWAIT | SA_RESTART, &[]);
    let pid = spawn(|| exit(1));
    t!(SYS_wait4, pid, 0, 0, 0);
    v!(logged());
}

fn fork_inherits() {
    catch(SIGUSR1, 0);
    ignore(SIGUSR2);
    mask(SIG_BLOCK, &[SIGHUP, SIGUSR1]);
    kill_self(SIGUSR1);
    v!(in_child(|| {
        println!("{:x} {:x}", current_mask(), pending());
        mask(SIG_UNBLOCK, &[SIGUSR1]);
        v!(caught(SIGUSR1));
        kill_self(SIGUSR1);
        kill_self(SIGUSR2);
        v!(caught(SIGUSR1));
    }));
    println!("{:x}", pending());
}

fn exec_inherits() {
    catch(SIGUSR1, 0);
    ignore(SIGUSR2);
    v!(in_child(|| {
        mask(SIG_BLOCK, &[SIGTERM]);
        kill_self(SIGTERM);
        let script = c("kill -USR2 $$; echo survived; kill -USR1 $$; echo not here");
        let (sh, flag) = (c("/bin/sh"), c("-c"));
        let argv = [sh.as_ptr(), flag.as_ptr(), script.as_ptr(), std::ptr::null()];
        let env = [std::ptr::null::<i8>()];
        must!(SYS_execve, sh.as_c_str(), &argv, &env);
    }));
    v!(in_child(|| {
        mask(SIG_BLOCK, &[SIGTERM]);
        let script = c("kill -TERM $$; echo blocked");
        let (sh, flag) = (c("/bin/sh"), c("-c"));
        let argv = [sh.as_ptr(), flag.as_ptr(), script.as_ptr(), std::ptr::null()];
        let env = [std::ptr::null::<i8>()];
        must!(SYS_execve, sh.as_c_str(), &argv, &env);
    }));
}
