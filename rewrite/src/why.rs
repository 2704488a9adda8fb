use thiserror::Error;

/// Why a site cannot be rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Why {
    /// The bytes at the address are not `0f 05`, or the window does not hold them.
    #[error("there is no syscall instruction")]
    NoSyscall,
    /// Others see the memory too, and do not have the detour: [`Text::Shared`](crate::Text).
    #[error("the code is shared with others")]
    Shared,
    /// The program can change the code unnoticed: [`Text::Writable`](crate::Text).
    #[error("the program can write to the code")]
    Writable,
    /// No instruction that leaves room for a jump leads up to the `syscall`, as far as is known.
    #[error("no instruction before the call leaves room for a jump")]
    NoRoom,
    /// Something like a load of another number stands before the `syscall`: it was jumped to.
    #[error("the call has number {had}, and not {loaded} that is loaded before it")]
    OtherNumber {
        /// The number that the bytes before the `syscall` seem to load.
        loaded: u64,
        /// The number that rax held.
        had: u64,
    },
    /// The flags are not as the instruction that loads the number leaves them.
    #[error("the flags are not as the instruction before the call leaves them")]
    OtherFlags,
    /// The bytes can also be read as an instruction that begins at another address.
    #[error("the bytes can also be read from {at:#x} on")]
    Ambiguous {
        /// Where the other reading begins.
        at: u64,
    },
    /// The window begins too late to exclude other readings of the bytes.
    #[error("too little of the code before the call is known")]
    Clipped,
    /// The lead, the `syscall` or the padding are in different pages.
    #[error("the code to change and the call are not in one page")]
    CrossesPage,
    /// An instruction between the lead and the `syscall` works only where it is.
    #[error("the instruction at {at:#x} cannot be moved")]
    Immovable {
        /// Where the instruction is.
        at: u64,
    },
    /// No free detour, or slot of the table, is in reach of the code.
    #[error("no free place for a detour is in reach")]
    OutOfReach,
    /// There is no padding of sufficient length for the second jump of
    /// [`Form::Short`](crate::Form).
    #[error("no padding is in reach of a short jump")]
    NoPadding,
    /// The site is rewritten, and its `syscall` was reached by a jump.
    #[error("the site is rewritten already")]
    Done,
    /// Another patch changes bytes that this one needs.
    #[error("another patch is in the way")]
    Overlaps,
    /// The set of patches is as large as it may be.
    #[error("there are as many patches as there may be")]
    Full,
    /// A thread was found inside the lead ([`Spot::Inside`](crate::Spot)): for models to remember.
    #[error("the program jumps into the instruction before the call")]
    JumpedInto,
}

impl Why {
    /// Whether another try at the same code comes to the same end, whatever the thread's registers
    /// and wherever detours are free. So it is worth remembering.
    ///
    /// [`Why::OtherNumber`] and [`Why::Ambiguous`] depend on registers, and are lasting all the
    /// same: they are signs that the site is entered in more than one way.
    pub fn is_lasting(self) -> bool {
        !matches!(self, Self::NoSyscall | Self::OutOfReach | Self::Done | Self::Overlaps | Self::Full)
    }
}
