//! `uml` boots one guest in its own process: the program to run under a debugger.

use clap::Parser;
use umlab::options::RunOptions;

/// Core state must be shareable between host processes, all of it.
#[global_allocator]
static HEAP: umlab_host::arena::SharedHeap = umlab_host::arena::SharedHeap::new();

/// Boot a guest kernel and run a command in it
#[derive(Parser)]
#[command(name = "uml", version, about, max_term_width = 100)]
struct Uml {
    #[command(flatten)]
    options: RunOptions,
}

fn main() {
    umlab_host::process::keep_libc_heap_small();
    let uml = Uml::try_parse().unwrap_or_else(|e| umlab::run::usage(&e));
    std::process::exit(umlab::run::run(uml.options));
}
