//! gdb on the guest kernel, as docs/debugging.md shows it.

mod common;

use common::Program;

const UML: &str = env!("CARGO_BIN_EXE_uml");

#[test]
fn gdb_stops_in_the_guest_kernel_and_lets_it_go_on() {
    let commands =
        ["set pagination off", "break umlab_kernel::syscall::dispatch", "run", "backtrace", "delete", "continue"];
    let mut argv = vec!["gdb", "-batch", "-nx"];
    argv.extend(commands.iter().flat_map(|command| ["-ex", command]));
    argv.extend(["--args", UML, "--cpus", "1", "--mem", "256M", "--", "/bin/echo", "said by the guest"]);
    let out = Program::new(&argv).limit(120).on_host().code(0).out();
    for expected in ["hit Breakpoint 1", "umlab_kernel::task::run::run", "said by the guest", "exited normally"] {
        assert!(out.contains(expected), "no '{expected}' in:\n{out}");
    }
}
