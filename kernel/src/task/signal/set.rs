//! Sets of signals.

/// Highest signal number.
pub const NSIG: i32 = 64;
/// The lowest real-time signal: from here on signals queue, below they coalesce.
pub const SIGRTMIN: i32 = 32;

/// A set of signals, in the layout of the kernel's sigset_t: bit `n - 1` is signal `n`.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct SigSet(pub u64);

impl SigSet {
    pub const EMPTY: SigSet = SigSet(0);
    pub const FULL: SigSet = SigSet(!0);
    /// What cannot be blocked, caught or ignored.
    pub const UNSTOPPABLE: SigSet = SigSet::of(&[abi::SIGKILL, abi::SIGSTOP]);
    /// Those of job control that stop.
    pub const STOP: SigSet = SigSet::of(&[abi::SIGSTOP, abi::SIGTSTP, abi::SIGTTIN, abi::SIGTTOU]);
    /// What an instruction of the thread itself causes: delivered before all others.
    pub const SYNCHRONOUS: SigSet =
        SigSet::of(&[abi::SIGSEGV, abi::SIGBUS, abi::SIGILL, abi::SIGTRAP, abi::SIGFPE, abi::SIGSYS]);

    pub const fn of(signals: &[i32]) -> SigSet {
        let mut bits = 0;
        let mut i = 0;
        while i < signals.len() {
            bits |= 1 << (signals[i] - 1);
            i += 1;
        }
        SigSet(bits)
    }

    /// The set as a guest gave it for a mask: what cannot be blocked is left out.
    pub const fn as_mask(self) -> SigSet {
        SigSet(self.0 & !SigSet::UNSTOPPABLE.0)
    }

    /// `signal` must be a signal number (1 to 64).
    pub const fn contains(self, signal: i32) -> bool {
        self.0 >> ((signal - 1) & 63) & 1 != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn insert(&mut self, signal: i32) {
        self.0 |= 1 << ((signal - 1) & 63);
    }

    pub fn remove(&mut self, signal: i32) {
        self.0 &= !(1 << ((signal - 1) & 63));
    }

    pub const fn union(self, other: SigSet) -> SigSet {
        SigSet(self.0 | other.0)
    }

    pub const fn intersection(self, other: SigSet) -> SigSet {
        SigSet(self.0 & other.0)
    }

    pub const fn without(self, other: SigSet) -> SigSet {
        SigSet(self.0 & !other.0)
    }

    /// The signal to take first: synchronous ones, then the lowest number.
    pub fn first(self) -> Option<i32> {
        let urgent = self.intersection(SigSet::SYNCHRONOUS);
        let set = if urgent.is_empty() { self } else { urgent };
        (set.0 != 0).then(|| set.0.trailing_zeros().cast_signed() + 1)
    }

    pub fn iter(self) -> impl Iterator<Item = i32> {
        (1..=NSIG).filter(move |&signal| self.contains(signal))
    }
}

impl std::fmt::Debug for SigSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Whether this is a signal number (0, the null signal, is none).
pub fn is_signal(number: i32) -> bool {
    (1..=NSIG).contains(&number)
}
