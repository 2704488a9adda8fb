//! What a process does about each signal.

use super::set::{NSIG, SigSet, is_signal};

pub const SIG_DFL: u64 = 0;
pub const SIG_IGN: u64 = 1;

pub const SA_NOCLDSTOP: u64 = libc::SA_NOCLDSTOP as u64;
pub const SA_NOCLDWAIT: u64 = libc::SA_NOCLDWAIT as u64;
pub const SA_SIGINFO: u64 = libc::SA_SIGINFO as u64;
pub const SA_ONSTACK: u64 = libc::SA_ONSTACK as u64;
pub const SA_RESTART: u64 = libc::SA_RESTART as u64;
pub const SA_NODEFER: u64 = libc::SA_NODEFER as u64;
pub const SA_RESETHAND: u64 = libc::SA_RESETHAND as u32 as u64;
pub const SA_RESTORER: u64 = 0x0400_0000;
/// The flags the kernel knows; it clears others, so that programs can ask which there are.
pub const SA_KNOWN: u64 = SA_NOCLDSTOP
    | SA_NOCLDWAIT
    | SA_SIGINFO
    | SA_ONSTACK
    | SA_RESTART
    | SA_NODEFER
    | SA_RESETHAND
    | SA_RESTORER
    | SA_EXPOSE_TAGBITS;
pub const SA_EXPOSE_TAGBITS: u64 = 0x800;

/// The kernel's sigaction, in its ABI layout: four words.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SigAction {
    /// SIG_DFL, SIG_IGN or an address.
    pub handler: u64,
    pub flags: u64,
    pub restorer: u64,
    pub mask: SigSet,
}

impl SigAction {
    pub fn from_words([handler, flags, restorer, mask]: [u64; 4]) -> SigAction {
        SigAction { handler, flags, restorer, mask: SigSet(mask) }
    }

    pub fn words(&self) -> [u64; 4] {
        [self.handler, self.flags, self.restorer, self.mask.0]
    }

    pub fn has(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }
}

/// The default action of a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Default {
    Terminate,
    /// Terminates, and the status says that a core was dumped if one was.
    Core,
    Stop,
    Continue,
    Ignore,
}

pub fn default_action(signal: i32) -> Default {
    match signal {
        libc::SIGCHLD | libc::SIGURG | libc::SIGWINCH => Default::Ignore,
        libc::SIGCONT => Default::Continue,
        libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => Default::Stop,
        libc::SIGQUIT
        | libc::SIGILL
        | libc::SIGTRAP
        | libc::SIGABRT
        | libc::SIGFPE
        | libc::SIGSEGV
        | libc::SIGBUS
        | libc::SIGSYS
        | libc::SIGXCPU
        | libc::SIGXFSZ => Default::Core,
        _ => Default::Terminate,
    }
}

/// The table that CLONE_SIGHAND shares.
#[derive(Clone)]
pub struct SigActions {
    table: [SigAction; NSIG as usize],
}

impl std::default::Default for SigActions {
    fn default() -> Self {
        SigActions { table: [SigAction::default(); NSIG as usize] }
    }
}

impl SigActions {
    /// The action of a signal number; the default one for what is none.
    pub fn get(&self, signal: i32) -> SigAction {
        if is_signal(signal) { self.table[signal as usize - 1] } else { SigAction::default() }
    }

    pub fn set(&mut self, signal: i32, action: SigAction) {
        if is_signal(signal) {
            self.table[signal as usize - 1] = action;
        }
    }

    /// Whether the signal has no effect: set to be ignored, or ignored by default.
    pub fn ignores(&self, signal: i32) -> bool {
        let action = self.get(signal);
        action.handler == SIG_IGN
            || action.handler == SIG_DFL && matches!(default_action(signal), Default::Ignore | Default::Continue)
    }

    /// What execve(2) leaves: ignored signals stay ignored, handlers are gone.
    pub fn reset_for_exec(&mut self) {
        for action in &mut self.table {
            let handler = if action.handler == SIG_IGN { SIG_IGN } else { SIG_DFL };
            *action = SigAction { handler, ..SigAction::default() };
        }
    }

    /// CLONE_CLEAR_SIGHAND: all signals that are not ignored go back to their default.
    pub fn clear_handlers(&mut self) {
        self.reset_for_exec();
    }

    /// The signals that are set to be ignored, and those with a handler, as /proc shows them.
    pub fn ignored_and_caught(&self) -> (SigSet, SigSet) {
        let (mut ignored, mut caught) = (SigSet::EMPTY, SigSet::EMPTY);
        for signal in 1..=NSIG {
            match self.get(signal).handler {
                SIG_DFL => {}
                SIG_IGN => ignored.insert(signal),
                _ => caught.insert(signal),
            }
        }
        (ignored, caught)
    }
}
