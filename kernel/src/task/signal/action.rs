//! What a process does about each signal.

use super::set::{NSIG, SigSet, is_signal};

/// The flags the kernel knows; it clears others, so that programs can ask which there are.
pub const SA_KNOWN: u64 = abi::SA_NOCLDSTOP
    | abi::SA_NOCLDWAIT
    | abi::SA_SIGINFO
    | abi::SA_ONSTACK
    | abi::SA_RESTART
    | abi::SA_NODEFER
    | abi::SA_RESETHAND
    | abi::SA_RESTORER
    | abi::SA_EXPOSE_TAGBITS;

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
        abi::SIGCHLD | abi::SIGURG | abi::SIGWINCH => Default::Ignore,
        abi::SIGCONT => Default::Continue,
        abi::SIGSTOP | abi::SIGTSTP | abi::SIGTTIN | abi::SIGTTOU => Default::Stop,
        abi::SIGQUIT
        | abi::SIGILL
        | abi::SIGTRAP
        | abi::SIGABRT
        | abi::SIGFPE
        | abi::SIGSEGV
        | abi::SIGBUS
        | abi::SIGSYS
        | abi::SIGXCPU
        | abi::SIGXFSZ => Default::Core,
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
        if is_signal(signal) { self.table[signal.cast_unsigned() as usize - 1] } else { SigAction::default() }
    }

    pub fn set(&mut self, signal: i32, action: SigAction) {
        if is_signal(signal) {
            self.table[signal.cast_unsigned() as usize - 1] = action;
        }
    }

    /// Whether the signal has no effect: set to be ignored, or ignored by default.
    pub fn ignores(&self, signal: i32) -> bool {
        let action = self.get(signal);
        action.handler == abi::SIG_IGN
            || action.handler == abi::SIG_DFL && matches!(default_action(signal), Default::Ignore | Default::Continue)
    }

    /// What execve(2) leaves: ignored signals stay ignored, handlers are gone.
    pub fn reset_for_exec(&mut self) {
        for action in &mut self.table {
            let handler = if action.handler == abi::SIG_IGN { abi::SIG_IGN } else { abi::SIG_DFL };
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
                abi::SIG_DFL => {}
                abi::SIG_IGN => ignored.insert(signal),
                _ => caught.insert(signal),
            }
        }
        (ignored, caught)
    }
}
