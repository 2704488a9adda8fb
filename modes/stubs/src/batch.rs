//! Orders that wait to be carried out.

use crate::Order;
use std::sync::Arc;
use umlab_model::{BackingFile, Mapping, PageRange};

/// A guest may give orders without end that nobody has to carry out yet: no more than about so many
/// are put off.
pub const PUT_OFF: usize = 1024;

/// Orders for one stub process, in the sequence they were given.
#[derive(Default)]
pub struct Batch {
    pub orders: Vec<Order>,
    /// Keeps descriptors open that orders name.
    files: Vec<Arc<dyn BackingFile>>,
    /// One of the orders takes something away or was asked for now.
    urgent: bool,
}

impl Batch {
    /// A batch of these, to be carried out before user code runs again.
    pub fn urgent(orders: Vec<Order>) -> Batch {
        Batch { orders, files: Vec::new(), urgent: true }
    }

    /// Whether it must be carried out before user code runs again.
    pub fn is_urgent(&self) -> bool {
        self.urgent
    }

    pub fn push(&mut self, order: Order, urgent: bool) {
        self.orders.push(order);
        self.urgent |= urgent || self.orders.len() >= PUT_OFF;
    }

    /// A mapping to make, `lazily` if user code may fault on it first.
    pub fn push_mapping(&mut self, mapping: &Mapping, lazily: bool) {
        let host = mapping.host_map();
        self.push(Order::map(mapping.range, mapping.prot, &host), !lazily);
        self.files.extend(host.file);
    }

    /// An order that takes something of `range` away.
    pub fn push_restriction(&mut self, range: PageRange, order: Order) {
        let urgent = !self.maps(range);
        self.push(order, urgent);
    }

    /// Puts orders before all others, to be carried out before user code runs again.
    pub fn prepend(&mut self, orders: impl Iterator<Item = Order>) {
        self.orders.splice(0..0, orders);
        self.urgent = true;
    }

    /// Whether a mapping of the whole range is among the orders. User code can then reach nothing
    /// there before they are carried out, so that taking away from the range (ld.so maps a library
    /// whole and its segments over it) can wait as long as they can.
    fn maps(&self, range: PageRange) -> bool {
        self.orders.iter().any(|order| order.maps_all_of(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use umlab_model::{HostMap, Prot};

    #[test]
    fn what_nobody_could_reach_before_can_wait() {
        let range = |start: u64, len: u64| PageRange::with_len(start, len).unwrap();
        let physmem = HostMap { flags: libc::MAP_SHARED, fd: 0, offset: 0, file: None };
        let mut batch = Batch::default();
        batch.push(Order::map(range(0x10000, 0x8000), Prot::READ, &physmem), false);
        batch.push_restriction(range(0x12000, 0x1000), Order::unmap(range(0x12000, 0x1000)));
        assert!(!batch.is_urgent());
        batch.push_restriction(range(0x17000, 0x2000), Order::unmap(range(0x17000, 0x2000)));
        assert!(batch.is_urgent());
    }
}
