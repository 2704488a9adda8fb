//! What models share whose guest address spaces are those of host processes, *stub processes*, on a
//! stock host.
//!
//! Nobody can change the mappings of another process. So code of ours, the *stub*, is mapped into
//! each such process, and carries out [`Order`]s of the core: host system calls that it reads from
//! pages which only the core can write. How the stub is made to run differs between models, and so
//! does everything about registers; the orders do not, nor do the order pages' place and the vDSO
//! that a stub process keeps ([`vdso`]).

mod batch;
mod order;
pub mod reaper;
pub mod vdso;

pub use batch::{Batch, PUT_OFF};
pub use order::{END, Order, Outcome, carry_out};

use umlab_host::memory::PAGE;
use umlab_model::{PageRange, TASK_SIZE};

/// The page of the stub's code, below the very top of the address space.
pub const CODE: u64 = TASK_SIZE - PAGE as u64;
/// So many pages hold orders. Slots end below them, at a multiple of their length.
pub const ORDER_PAGES: usize = 6;
/// The pages that the stub reads orders from.
pub const ORDERS: u64 = CODE - (ORDER_PAGES * PAGE) as u64;

/// How long a slot is, in which the host puts signal frames of one thread.
pub const SLOT: usize = 4 * PAGE;
/// So many threads of a stub process can have one: for each CPU of the largest guest one that reads
/// time stamps, and one that does not.
pub const SLOT_COUNT: usize = 2 * 64;
/// Where slots begin, for models that have them. Each begins at a multiple of its length.
pub const SLOTS: u64 = ORDERS - (SLOT_COUNT * SLOT) as u64;
const _: () = assert!(SLOTS.is_multiple_of(SLOT as u64));

/// One past the last address that user code can have. Everything below is the guest's.
pub const USER_TOP: u64 = SLOTS;

/// What of the guest's part lies below the vDSO, and what above.
pub fn guest_parts() -> [Option<PageRange>; 2] {
    vdso::split(PageRange::new(0, USER_TOP).expect("the guest's part")).1
}

/// The orders that empty the guest's part of an address space, but for the vDSO.
pub fn clear_orders() -> impl Iterator<Item = Order> {
    guest_parts().into_iter().flatten().map(Order::unmap)
}
