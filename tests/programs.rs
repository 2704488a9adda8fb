//! Whole programs: each runs on the host and in a guest, and must print the same and end alike.
//!
//! The scripts are in `tests/programs`. They work in a temporary directory of their own, and print
//! nothing that may differ between two runs on the host.

mod common;

use common::{Program, SOURCE, guest_programs};

fn script(interpreter: &str, name: &str) -> Program {
    Program::new(&[interpreter, &format!("{SOURCE}/tests/programs/{name}")])
}

/// A test that the script says the same on the host and in the model's guest, up to its last line.
macro_rules! scripts {
    ($($test:ident: $interpreter:literal $name:literal,)*) => {
        $(#[test]
        fn $test() {
            super::compare(in_model(super::script($interpreter, $name)));
        })*
    };
}

/// All programs in one process model, with options of its own.
macro_rules! programs {
    ($module:ident, $model:literal, $options:expr) => {
        mod $module {
            fn in_model(program: super::Program) -> super::Program {
                let options: &[&str] = &$options;
                program.model($model).options(options)
            }

            scripts! {
                bash_language: "bash" "bash-language.sh",
                bash_processes: "bash" "bash-processes.sh",
                bash_jobs: "bash" "bash-jobs.sh",
                coreutils: "bash" "coreutils.sh",
                text_tools: "bash" "text-tools.sh",
                perl: "perl" "perl.pl",
                python_files: "/usr/bin/python3" "files.py",
                python_threads: "/usr/bin/python3" "threads.py",
                python_subprocess: "/usr/bin/python3" "subprocesses.py",
                python_multiprocessing: "/usr/bin/python3" "multiprocesses.py",
                python_sqlite: "/usr/bin/python3" "sqlite.py",
                python_asyncio: "/usr/bin/python3" "async.py",
                python_alarms: "/usr/bin/python3" "alarms.py",
                git: "bash" "git.sh",
                tar: "bash" "tar.sh",
                sqlite: "bash" "sqlite.sh",
                compiler: "bash" "compiler.sh",
                tracers: "bash" "tracers.sh",
            }

            #[test]
            fn cargo() {
                super::compare(in_model(super::cargo()));
            }

            #[test]
            fn rust_threads() {
                super::compare(in_model(super::rust_threads()));
            }
        }
    };
}

programs!(skas, "skas", []);
programs!(unotify, "unotify", []);
programs!(sigsys, "sigsys", []);
programs!(tt, "tt", []);
programs!(inproc_1, "inproc", ["--cpus", "1"]);
programs!(inproc_2, "inproc", ["--cpus", "2"]);
programs!(tt_jail, "tt-jail", ["--cpus", "1"]);

#[track_caller]
fn compare(program: Program) {
    let host = program.compare().code(0);
    assert!(host.out().ends_with("done\n"), "the program did not reach its end: {host:?}");
}

/// The toolchain that built this test builds a small crate, without a network.
fn cargo() -> Program {
    let bin = std::path::Path::new(env!("CARGO")).parent().expect("the toolchain's directory");
    script("bash", "cargo.sh").env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
}

/// Threads, channels, locks, files and child processes by Rust's standard library.
fn rust_threads() -> Program {
    Program::new(&[guest_programs().join("threads")])
}
