//! Clocks and timers.

use super::Arg::{Below, Bits, Fd, Made, Memory, One, Out};
use super::{Arg, Call, Seen, call};
use crate::generate::structures::{itimerspec, itimerval, sigevent, timespec};
use crate::program::FdKind as K;
use libc as l;

const CLOCK: Arg = One(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, u64::MAX, 0xffff_fffa]);

pub const CALLS: &[Call] = &[
    call("nanosleep", l::SYS_nanosleep, 2, &[Made(timespec), Memory]),
    call("clock_nanosleep", l::SYS_clock_nanosleep, 2, &[CLOCK, Bits(&[1]), Made(timespec), Memory]),
    call("clock_gettime", l::SYS_clock_gettime, 2, &[CLOCK, Out(32)]).seen(Seen::Return),
    call("clock_getres", l::SYS_clock_getres, 1, &[CLOCK, Out(32)]).seen(Seen::Return),
    call("gettimeofday", l::SYS_gettimeofday, 1, &[Memory, Memory]),
    call("time", l::SYS_time, 1, &[Memory]),
    call("alarm", l::SYS_alarm, 1, &[One(&[0, 1, 100, 0xffff_ffff])]),
    call("getitimer", l::SYS_getitimer, 1, &[Below(4), Out(32)]).seen(Seen::Return),
    call("setitimer", l::SYS_setitimer, 2, &[Below(4), Made(itimerval), Memory]),
    call("timer_create", l::SYS_timer_create, 4, &[CLOCK, Made(sigevent), Memory]),
    call("timer_settime", l::SYS_timer_settime, 8, &[Below(4), Bits(&[1]), Made(itimerspec), Memory]),
    call("timer_gettime", l::SYS_timer_gettime, 2, &[Below(4), Memory]),
    call("timer_getoverrun", l::SYS_timer_getoverrun, 2, &[Below(4)]),
    call("timer_delete", l::SYS_timer_delete, 1, &[Below(4)]),
    call("timerfd_create", l::SYS_timerfd_create, 2, &[One(&[0, 1, 7, 8, 9, 2, 99]), Bits(&[0x800, 0x800, 0x80000])])
        .makes(K::Timer)
        .seen(Seen::Return),
    call("timerfd_settime", l::SYS_timerfd_settime, 3, &[Fd(&[K::Timer]), Bits(&[1, 2]), Made(itimerspec), Out(32)]),
    call("timerfd_gettime", l::SYS_timerfd_gettime, 1, &[Fd(&[K::Timer]), Memory]),
    call("adjtimex", l::SYS_adjtimex, 1, &[Memory]),
    call("clock_settime", l::SYS_clock_settime, 1, &[CLOCK, Made(timespec)]),
];
