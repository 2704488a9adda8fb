use std::ops::Range;

/// So many bytes before a `syscall` are looked at, and those of one instruction that reaches into
/// them.
pub const BEFORE: usize = 96;
/// So many bytes from a `syscall` on are looked at.
pub const AFTER: usize = 192;
/// So many bytes before a `syscall` are looked at where the model knows [`Site::starts`].
pub const FAR_BEFORE: usize = 4096;

/// A `syscall` instruction that trapped, and what is known of it.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// Where the instruction is.
    pub address: u64,
    /// The code around it: [`BEFORE`] and [`AFTER`] say how much is of use.
    pub window: Window<'a>,
    /// The registers of the thread that trapped.
    pub registers: &'a Registers,
    /// Addresses in the window where instructions are known to begin: symbols of functions, entries
    /// of `.eh_frame_hdr`, places where a signal interrupted a thread. None need be known. A wrong
    /// one can make a wrong patch.
    pub starts: &'a [u64],
    /// Whom the memory belongs to.
    pub text: Text,
    /// Whether the thread can have accessed memory at an address just before. If in doubt, it can.
    pub accessible: &'a dyn Fn(u64) -> bool,
}

/// Whom the memory with the code belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// To one address space, at one address, which the program cannot write to. Its model sees when
    /// that changes.
    Private,
    /// Other address spaces, or other addresses, may show the same memory.
    Shared,
    /// The program can write to it, here or through another mapping.
    Writable,
}

/// The general registers of a thread that trapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// In the order of their encoding: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15. rax is
    /// the number of the call. rcx and r11 do not matter: the `syscall` has overwritten them.
    pub general: [u64; 16],
    /// The flags.
    pub flags: u64,
}

impl Registers {
    /// The number of the system call.
    pub fn number(&self) -> u64 {
        self.general[0]
    }
}

/// A piece of code at its address.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    start: u64,
    bytes: &'a [u8],
    first: bool,
}

impl<'a> Window<'a> {
    /// Code at an address. What lies before it is not known. Bytes that would be at the end of the
    /// address space or beyond it are left out.
    pub fn new(start: u64, bytes: &'a [u8]) -> Self {
        let room = usize::try_from(u64::MAX - start).unwrap_or(usize::MAX);
        Self { start, bytes: &bytes[..bytes.len().min(room)], first: false }
    }

    /// The same; and no instruction can begin before it, because nothing there can be executed.
    pub fn first(start: u64, bytes: &'a [u8]) -> Self {
        Self { first: true, ..Self::new(start, bytes) }
    }

    /// The addresses that it holds.
    pub fn range(&self) -> Range<u64> {
        self.start..self.start + self.bytes.len() as u64
    }

    /// The bytes from one address to another, if all are in the window.
    pub fn get(&self, range: Range<u64>) -> Option<&'a [u8]> {
        self.bytes.get(self.offset(range.start)?..self.offset(range.end)?)
    }

    /// What of it is between two addresses.
    pub(crate) fn narrow(&self, range: Range<u64>) -> Self {
        let all = self.range();
        let start = range.start.clamp(all.start, all.end);
        let bytes = self.get(start..range.end.clamp(start, all.end)).expect("a part of the window");
        Self { start, bytes, first: self.first && start == self.start }
    }

    /// The bytes from an address to the end of the window.
    pub(crate) fn from(&self, address: u64) -> Option<&'a [u8]> {
        self.bytes.get(self.offset(address)?..)
    }

    /// Whether each instruction that covers `address` begins in the window, however long it is.
    pub(crate) fn reaches_behind(&self, address: u64) -> bool {
        self.first || address.checked_sub(crate::code::LONGEST - 1).is_some_and(|from| self.start <= from)
    }

    fn offset(&self, address: u64) -> Option<usize> {
        usize::try_from(address.checked_sub(self.start)?).ok()
    }
}
