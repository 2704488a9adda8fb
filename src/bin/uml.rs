//! `uml` boots one guest in its own process: the program to run under a debugger.

#[global_allocator]
static HEAP: umlab::SharedHeap = umlab::SharedHeap::new();

fn main() {
    umlab::uml(&[]);
}
