//! `uml` with this model: boots one guest in its own process.

#[global_allocator]
static HEAP: umlab::SharedHeap = umlab::SharedHeap::new();

fn main() {
    umlab::uml(profiled::MODELS);
}
