//! Signals: sending, and delivery on the way back to user mode.
//!
//! A signal waits in a queue of its thread ([`TaskSignals`]) or process ([`ProcessSignals`]) until
//! a thread that does not block it is about to return to user mode; there [`on_user_return`] takes
//! it and carries out its action. Nothing is kept that says "signals are pending": it is worked out
//! from queues and masks each time it is asked, a few loads.

pub mod access;
mod action;
mod by_file;
mod cpu_timer;
mod deliver;
mod frame;
mod info;
mod lifecycle;
mod posix_timer;
mod send;
mod set;
mod state;
mod stop;
mod trap;
mod xstate;

pub use action::*;
pub use by_file::{file_ready, size_exceeded};
pub use cpu_timer::{
    CpuClock, CpuTimer, CpuTimers, check as check_cpu_timers, limit_changed as cpu_limit_changed,
    rearm as rearm_cpu_timers,
};
pub use deliver::*;
pub(crate) use frame::FLAGS_RESTORED;
pub use frame::{set_alt_stack, sigreturn};
pub use info::*;
pub use lifecycle::*;
pub use posix_timer::*;
pub use send::*;
pub use set::{NSIG, SIGRTMIN, SigSet, is_signal};
pub use state::*;
pub(crate) use stop::complete_if_all_stopped as complete_stop;
pub use trap::*;
pub(crate) use xstate::judge as judge_extended_state;
