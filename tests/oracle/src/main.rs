//! The oracle: a program that asks a kernel many small questions and prints the answers.
//!
//! The host is right by definition. The same binary is run on the host and in a guest, with the
//! same user and in an empty directory of each, and the two outputs must be equal, line by line. So
//! a case states nothing about what is expected; it only asks, and prints nothing that may differ
//! between two runs of a correct kernel.

#[macro_use]
mod harness;
#[macro_use]
mod sys;
mod sock;

macro_rules! areas {
    ($($area:ident)*) => {
        $(mod $area;)*
        const AREAS: &[(&str, &[harness::Case])] = &[$((stringify!($area), $area::CASES)),*];
    };
}

areas! {
    mem_map mem_change mem_files mem_share mem_seals mem_limits mem_lock mem_fault
    file_open file_io file_meta file_perm file_names file_dirs file_locks file_watch
    pipes splices event_files polls epolls unix_sockets unix_messages
    barriers ipc_shm ipc_sem ipc_msg ipc_mq proc_files dev_files tty_line tty_modes tty_jobs
    processes process_groups zombies futexes bad_places high_bits identity settings
    core_dumps kernel_pages user_dispatch
    signals signal_jobs signal_threads signal_frames signal_stacks signal_restart timers
    ptraces ptrace_events ptrace_state
}

const USAGE: &str = "\
Ask the kernel many small questions and print its answers.

Usage: oracle list                    the names of all cases
       oracle run [AREA[/CASE]]...    run these cases, or all

Run it on the host and in a guest as the same user; the outputs must be equal. TMPDIR says where the cases' directories
are made; ORACLE_TIMEOUT (in seconds) how long one may take.";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first().map(|(command, rest)| (command.as_str(), rest)) {
        Some(("list", [])) => {
            for (area, cases) in AREAS {
                for (name, _) in *cases {
                    println!("{area}/{name}");
                }
            }
        }
        Some(("run", wanted)) => harness::run(AREAS, wanted),
        _ => {
            eprintln!("{USAGE}");
            std::process::exit(2);
        }
    }
}
