//! `uml` with the broken models.

#[global_allocator]
static HEAP: umlab::SharedHeap = umlab::SharedHeap::new();

fn main() {
    umlab::uml(broken_models::MODELS);
}
