//! linux/time.h: times and intervals (time(7)).

pub const CLOCK_REALTIME: i32 = 0;
pub const CLOCK_MONOTONIC: i32 = 1;
pub const CLOCK_PROCESS_CPUTIME_ID: i32 = 2;
pub const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
pub const CLOCK_MONOTONIC_RAW: i32 = 4;
pub const CLOCK_REALTIME_COARSE: i32 = 5;
pub const CLOCK_MONOTONIC_COARSE: i32 = 6;
pub const CLOCK_BOOTTIME: i32 = 7;
pub const CLOCK_REALTIME_ALARM: i32 = 8;
pub const CLOCK_BOOTTIME_ALARM: i32 = 9;
pub const CLOCK_TAI: i32 = 11;

pub const ITIMER_REAL: i32 = 0;
pub const ITIMER_VIRTUAL: i32 = 1;
pub const ITIMER_PROF: i32 = 2;

pub const TIMER_ABSTIME: i32 = 1;

super::structures! {
    /// Seconds and nanoseconds.
    Timespec 16 {
        tv_sec: i64,
        tv_nsec: i64,
    }

    /// Seconds and microseconds.
    Timeval 16 {
        tv_sec: i64,
        tv_usec: i64,
    }

    /// timer_settime(2), timerfd_settime(2).
    Itimerspec 32 {
        it_interval: Timespec,
        it_value: Timespec,
    }

    /// setitimer(2).
    Itimerval 32 {
        it_interval: Timeval,
        it_value: Timeval,
    }
}
