use crate::detour::{Detour, Original};
use std::ops::Range;

/// The first byte of a patch while the others are being changed. It is no instruction in 64-bit
/// mode (it was `push %es`): it raises SIGILL at its own address, or at that of a REX prefix before
/// it.
pub const TRAP: u8 = 0x06;

/// Bytes of code that are changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where they are.
    pub address: u64,
    /// What the program has there.
    pub old: Vec<u8>,
    /// What is there after it, of the same length.
    pub new: Vec<u8>,
}

impl Change {
    /// The addresses of the bytes.
    pub fn range(&self) -> Range<u64> {
        self.address..self.address + self.old.len() as u64
    }
}

/// What a model does to change code that threads may be executing. Steps are in order, and each is
/// complete before the next begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Put bytes where no thread executes or reads yet, in any order. (Padding is such a place.)
    Place {
        /// Where.
        address: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// Write bytes that no thread executes while it lasts, in any order: the first byte before them
    /// is [`TRAP`].
    Write {
        /// Where.
        address: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// Write one byte, in one piece. Threads may execute it at the same moment.
    WriteByte {
        /// Where.
        address: u64,
        /// What.
        byte: u8,
    },
    /// Make sure that each thread that can execute the code has executed a serialising instruction
    /// since the step before. On Linux, membarrier(2) with
    /// `MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE` does that for a host process, and needs no
    /// privilege.
    Serialize,
}

/// Where an instruction pointer is in a patch or its detour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// At the first changed byte, or at the prefix before that. If SIGILL was raised, [`TRAP`] was
    /// there: the thread is to try again, at the same address. Otherwise, this is the program's own
    /// address, and all is as it would be there.
    First,
    /// Inside the lead, where only a jump into the middle of an instruction leads. The model has to
    /// [`Patch::undo`] it, remember [`Why::JumpedInto`](crate::Why), and go on at the same address.
    Inside,
    /// At an instruction of ours: the second jump of [`Form::Short`](crate::Form), or in the
    /// detour.
    Ours(Original),
}

/// The bytes of the program that are changed for one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    pub(crate) site: u64,
    pub(crate) lead: u64,
    pub(crate) jump: Change,
    pub(crate) second: Option<Change>,
}

impl Patch {
    /// The address of the `syscall`.
    pub fn site(&self) -> u64 {
        self.site
    }

    /// The code on which it depends: the lead, the `syscall`, and all between. When any of that
    /// changes, the patch has to be taken back.
    pub fn code(&self) -> Range<u64> {
        self.lead..self.site + 2
    }

    /// The bytes that are changed: of the lead, and of padding.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        [Some(&self.jump), self.second.as_ref()].into_iter().flatten()
    }

    /// How to write it, together with its detour.
    pub fn apply(&self, detour: &Detour) -> Vec<Step> {
        let mut steps = vec![Step::Place { address: detour.address(), bytes: detour.code().to_vec() }];
        if let Some(slot) = detour.slot() {
            steps.push(Step::Place { address: slot.address, bytes: slot.target.to_le_bytes().to_vec() });
        }
        if let Some(second) = &self.second {
            steps.push(Step::Place { address: second.address, bytes: second.new.clone() });
        }
        steps.push(Step::Serialize);
        steps.extend(self.replace(&self.jump.new));
        steps
    }

    /// How to take it back, also when it is applied in part only. After the last step, no thread
    /// enters the detour any more; some may still be in it. Padding stays as it is, until
    /// [`Patch::release`].
    pub fn undo(&self) -> Vec<Step> {
        let mut steps: Vec<_> = self.replace(&self.jump.old).into();
        steps.push(Step::Serialize);
        steps
    }

    /// How to put padding back, when the patch has been undone and no thread is at the second jump.
    pub fn release(&self) -> Option<Step> {
        let second = self.second.as_ref()?;
        Some(Step::Place { address: second.address, bytes: second.old.clone() })
    }

    fn replace(&self, bytes: &[u8]) -> [Step; 5] {
        let address = self.jump.address;
        [
            Step::WriteByte { address, byte: TRAP },
            Step::Serialize,
            Step::Write { address: address + 1, bytes: bytes[1..].to_vec() },
            Step::Serialize,
            Step::WriteByte { address, byte: bytes[0] },
        ]
    }

    /// Where in the patch an instruction pointer is, whether it is applied, half written or undone.
    pub fn locate(&self, ip: u64) -> Option<Spot> {
        if self.second.as_ref().is_some_and(|second| second.address == ip) {
            return Some(Spot::Ours(Original::Before(self.lead)));
        }
        let first = self.jump.address;
        match ip {
            _ if ip == first || ip == self.lead => Some(Spot::First),
            _ if self.jump.range().contains(&ip) => Some(Spot::Inside),
            _ => None,
        }
    }

    /// Puts the program's bytes into a copy of memory at `address`.
    pub fn restore(&self, address: u64, copy: &mut [u8]) {
        for change in self.changes() {
            for (at, old) in change.range().zip(&change.old) {
                let byte = at.checked_sub(address).and_then(|at| copy.get_mut(usize::try_from(at).ok()?));
                if let Some(byte) = byte {
                    *byte = *old;
                }
            }
        }
    }
}
