use crate::Rewrite;
use std::ops::Range;

/// The best place for a table of slots.
///
/// `jmp *slot` is `ff 24 25` and four bytes of address, seven in all. Over `mov $n,%eax; syscall`,
/// the last two of them lie where the `syscall` is. The upper half of these addresses is its bytes,
/// `0f 05`: the jump is written, and the `syscall` still stands where it was.
pub const TABLE: Range<u64> = 0x050f_0000..0x0510_0000;

/// How long a slot is: the address of a detour.
pub(crate) const SLOT: u64 = 8;

/// What is free for detours. Those of a plan are at the beginning; [`Room::take`] moves that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    pub(crate) detours: Range<u64>,
    pub(crate) slots: Range<u64>,
}

impl Room {
    /// Detours in `detours`, reached by `jmp rel32`: so these are to be within 2 GiB of the code.
    pub fn near(detours: Range<u64>) -> Self {
        Self { detours, slots: 0..0 }
    }

    /// Detours in `detours`, and a table of their addresses in `slots`, for code from which they
    /// are not in reach. Slots beyond the first 2 GiB are of no use. [`TABLE`] is the best place.
    pub fn with_table(detours: Range<u64>, slots: Range<u64>) -> Self {
        Self { detours, slots }
    }

    /// What a rewrite uses is no longer free.
    pub fn take(&mut self, rewrite: &Rewrite) {
        let end = rewrite.detour().range().end;
        self.detours.start = self.detours.start.max(end);
        if let Some(slot) = rewrite.detour().slot() {
            self.slots.start = self.slots.start.max(slot.address + SLOT);
        }
    }

    /// The first free slot in a range.
    pub(crate) fn slot(&self, within: Range<u64>) -> Option<u64> {
        let address = self.slots.start.max(within.start).checked_next_multiple_of(SLOT)?;
        let end = address.checked_add(SLOT)?;
        (end <= self.slots.end.min(1 << 31) && address < within.end).then_some(address)
    }
}
