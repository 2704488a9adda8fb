//! linux/time.h: times and intervals (time(7)).

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
