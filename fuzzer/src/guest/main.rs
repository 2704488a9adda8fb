//! Runs a program of `umlab fuzz`, in a guest or, to compare, on the host.
//!
//! Usage: umlab-fuzz-guest [--alone] FILE SECONDS DIRECTORY
//!
//! One process, the leader, starts those of the program, looks after them, and prints what there is
//! to know in lines: `beat` while it is alive, `find` and a reason, `answer`, `call`, and at last
//! `over`. Nothing here allocates memory while a program runs: a raw fork of a process with several
//! threads may leave the allocator locked in the child.

mod alone;
mod answers;
mod board;
mod descriptors;
mod files;
mod frames;
mod leader;
mod mappings;
mod memory;
mod processes;
mod scratch;
mod sys;
mod touch;
mod worker;

use std::time::Duration;

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let alone = args.first().is_some_and(|arg| arg == "--alone");
    args.drain(..usize::from(alone));
    let [file, seconds, directory] = args.as_slice() else {
        fail("Usage: umlab-fuzz-guest [--alone] FILE SECONDS DIRECTORY");
    };
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| fail(&format!("cannot read '{file}': {e}")));
    let program = umlab_fuzzer::program::parse(&text).unwrap_or_else(|e| fail(&format!("'{file}': {e:#}")));
    let limit = seconds.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let limit = limit.unwrap_or_else(|| fail(&format!("'{seconds}' is no number of seconds")));
    let mut directory = directory.clone();
    if alone {
        alone::enter(&directory).unwrap_or_else(|e| fail(&format!("{e:#}")));
        // What lies above the file system of its own is not alike on the host and in a guest, and a
        // program can open "..", and look at ".." of that.
        directory += "/above/here";
        std::fs::create_dir_all(&directory).unwrap_or_else(|e| fail(&format!("cannot make '{directory}': {e}")));
    } else if program.kind == umlab_fuzzer::program::Kind::Differential {
        fail("a program for comparing is run with --alone");
    }
    if let Err(e) = leader::lead(&program, limit, &directory) {
        fail(&format!("cannot begin: {e:#}"));
    }
}

/// A mistake of ours or of whoever started us, not a find.
fn fail(message: &str) -> ! {
    println!("own {message}");
    std::process::exit(125);
}
