//! What a stub process was ever told to change. Whether it may serve another guest process is a
//! matter of that, so it is noted where every order passes.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use umlab_stubs::{Order, guest_parts, vdso};

/// Of one stub process.
#[derive(Default)]
pub struct History {
    /// An order carried out changed the vDSO, or may have.
    vdso_changed: AtomicBool,
    /// An order mapped something above the vDSO, or may have, and none has emptied that part since.
    used_above_vdso: AtomicBool,
}

impl History {
    /// Whether the vDSO is as it was made.
    pub fn vdso_is_whole(&self) -> bool {
        !self.vdso_changed.load(Relaxed)
    }

    /// The orders that empty what the process has of the guest's part, but for the vDSO.
    pub fn clear_orders(&self) -> impl Iterator<Item = Order> + use<> {
        let [below, above] = guest_parts();
        let above = above.filter(|_| self.used_above_vdso.load(Relaxed));
        below.into_iter().chain(above).map(Order::unmap)
    }

    /// Keeps in mind what orders change for who has the process next: before they are carried out,
    /// and when all of them were.
    pub fn note(&self, orders: &[Order], done: bool) {
        // Nearly all orders are about what lies below.
        if vdso::place().is_none_or(|vdso| orders.iter().all(|order| order.range().1 <= vdso.data)) {
            return;
        }
        if orders.iter().any(|order| vdso::overlaps(order.range())) {
            self.vdso_changed.store(true, Relaxed);
        }
        let Some(above) = vdso::above() else { return };
        for order in orders {
            if order.maps_some_of(above) {
                self.used_above_vdso.store(true, Relaxed);
            } else if done && order.unmaps_all_of(above) {
                self.used_above_vdso.store(false, Relaxed);
            }
        }
    }
}
