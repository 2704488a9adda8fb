//! Signals.

use super::Arg::{Fd, Made, Memory, One, Out, Signal, Who};
use super::{Call, Seen, call};
use crate::generate::structures::{sigaction, siginfo, signal_stack, sigset, timespec};
use crate::program::FdKind as K;
use libc as l;

pub const CALLS: &[Call] = &[
    call("rt_sigaction", l::SYS_rt_sigaction, 6, &[Signal, Made(sigaction), Out(152), One(&[8, 8, 8, 8, 0, 4, 16])])
        .seen(Seen::Return),
    call("rt_sigprocmask", l::SYS_rt_sigprocmask, 4, &[One(&[0, 1, 2, 3]), Made(sigset), Out(8), One(&[8, 8, 8, 4])])
        .seen(Seen::Written),
    call("rt_sigpending", l::SYS_rt_sigpending, 1, &[Out(8), One(&[8, 8, 4, 9])]).seen(Seen::Return),
    call("rt_sigtimedwait", l::SYS_rt_sigtimedwait, 2, &[Made(sigset), Memory, Made(timespec), One(&[8])]),
    call("rt_sigqueueinfo", l::SYS_rt_sigqueueinfo, 2, &[Who, Signal, Made(siginfo)]),
    call("rt_tgsigqueueinfo", l::SYS_rt_tgsigqueueinfo, 2, &[Who, Who, Signal, Made(siginfo)]),
    call("rt_sigsuspend", l::SYS_rt_sigsuspend, 1, &[Made(sigset), One(&[8])]),
    call("sigaltstack", l::SYS_sigaltstack, 3, &[Made(signal_stack), Out(24)]).seen(Seen::Return),
    call("kill", l::SYS_kill, 3, &[Who, Signal]),
    call("tkill", l::SYS_tkill, 2, &[Who, Signal]),
    call("tgkill", l::SYS_tgkill, 3, &[Who, Who, Signal]),
    call("pause", l::SYS_pause, 1, &[]),
    call("restart_syscall", l::SYS_restart_syscall, 1, &[]),
    call("rt_sigreturn", l::SYS_rt_sigreturn, 1, &[]),
    call("pidfd_send_signal", l::SYS_pidfd_send_signal, 2, &[Fd(&[K::Process]), Signal, Made(siginfo), One(&[0])]),
];
