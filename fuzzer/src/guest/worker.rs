//! A process of the program: its threads, each of which runs its steps.

use crate::board::Board;
use crate::memory::Regions;
use crate::scratch::Scratch;
use crate::sys::{KICK, ask, ask_for_child_that_ends, end};
use crate::{answers, descriptors, files, frames, mappings, processes, touch};
use std::sync::atomic::Ordering::Relaxed;
use umlab_fuzzer::grammar::{FORK_TRACED, Makes, READ_FILE, TOUCH, WRITE_FILE};
use umlab_fuzzer::program::{FdKind, Kind, Program, Step, Value};

/// What all threads need.
#[derive(Clone, Copy)]
pub struct Setting {
    pub program: &'static Program,
    pub board: &'static Board,
    pub regions: Regions,
}

/// How many steps a child that a step makes runs before it ends.
const STEPS_OF_CHILD: usize = 4;

/// Runs the process; `first` is the number of its first thread in the whole program.
pub fn work(setting: Setting, process: usize, first: usize) -> ! {
    crate::sys::catch_signals();
    let own = ask(libc::SYS_getpid, [0; 6]);
    descriptors::add(FdKind::Process, ask(libc::SYS_pidfd_open, [own as u64, 0, 0, 0, 0, 0]));
    if setting.program.kind == Kind::Syscalls {
        make_timers();
    }
    let threads = &setting.program.processes[process];
    for (n, steps) in threads.iter().enumerate().skip(1) {
        // A thread that cannot be started is one that does nothing.
        let _ = std::thread::Builder::new().stack_size(128 << 10).spawn(move || run(setting, first + n, steps));
    }
    run(setting, first, &threads[0]);
    let done = |n: usize| setting.board.threads[first + n].at.load(Relaxed) as usize > threads[n].len();
    while !(0..threads.len()).all(done) {
        ask(libc::SYS_nanosleep, [(&raw const SHORT) as u64, 0, 0, 0, 0, 0]);
    }
    end(0)
}

/// The first timers of a process, of several clocks; their signals do no harm, one is ignored.
fn make_timers() {
    for (clock, notify, signal) in [
        (libc::CLOCK_MONOTONIC, libc::SIGEV_SIGNAL, KICK),
        (libc::CLOCK_REALTIME, libc::SIGEV_THREAD_ID, KICK),
        (libc::CLOCK_PROCESS_CPUTIME_ID, libc::SIGEV_SIGNAL, libc::SIGURG),
    ] {
        let thread = ask(libc::SYS_gettid, [0; 6]) as i32;
        // A sigevent: a value, the signal, the way, the thread.
        let event: [i32; 16] = std::array::from_fn(|n| match n {
            2 => signal,
            3 => notify,
            4 => thread,
            _ => 0,
        });
        let mut id = 0_i32;
        ask(libc::SYS_timer_create, [clock as u64, (&raw const event) as u64, (&raw mut id) as u64, 0, 0, 0]);
    }
}

static SHORT: [u64; 2] = [0, 1_000_000];

fn run(setting: Setting, thread: usize, steps: &'static [Step]) {
    let cell = &setting.board.threads[thread];
    cell.tid.store(ask(libc::SYS_gettid, [0; 6]) as i32, Relaxed);
    let mut runner = match setting.program.kind {
        Kind::Mappings => Runner::Mappings(Box::new(mappings::Stress::new(setting.board, thread))),
        Kind::Frames => Scratch::new(thread, setting.regions).map_or(Runner::Nothing, Runner::Frames),
        Kind::Syscalls | Kind::Differential => {
            Scratch::new(thread, setting.regions).map_or(Runner::Nothing, Runner::Calls)
        }
    };
    // A process that ended is begun again after the step at which it was.
    let begin = cell.at.load(Relaxed) as usize;
    for (index, step) in steps.iter().enumerate().skip(begin) {
        cell.at.store(index as u32 + 1, Relaxed);
        match &mut runner {
            Runner::Nothing => {}
            Runner::Mappings(stress) => {
                if !stress.step(index, step) {
                    break;
                }
            }
            Runner::Frames(scratch) => frames::step(step, scratch),
            Runner::Calls(scratch) => {
                if call(setting, index, step, scratch) {
                    for (index, step) in steps.iter().enumerate().skip(index + 1).take(STEPS_OF_CHILD) {
                        call(setting, index, step, scratch);
                    }
                    end(0);
                }
            }
        }
    }
    if setting.program.kind == Kind::Differential {
        setting.board.answer(steps.len(), 0, setting.regions.hash());
    }
    cell.at.store(steps.len() as u32 + 1, Relaxed);
}

enum Runner {
    Nothing,
    Calls(Scratch),
    Frames(Scratch),
    Mappings(Box<mappings::Stress>),
}

/// Makes a call; whether this is now the child that it made.
fn call(setting: Setting, index: usize, step: &Step, scratch: &mut Scratch) -> bool {
    let args = scratch.arguments(step);
    let Some(number) = step.call.system_call() else {
        match step.call.number {
            TOUCH => touch::touch(args[0], args[1] != 0, args[2]),
            READ_FILE => files::read(setting.board, args),
            WRITE_FILE => files::write(setting.board, args),
            FORK_TRACED => return fork_traced(),
            _ => {}
        }
        return false;
    };
    let makes_process = matches!(step.call.makes, Makes::Process);
    let result = match makes_process && shares_memory(step, number) {
        true => ask_for_child_that_ends(number, args),
        false => ask(number, args),
    };
    setting.board.count(number, result);
    match step.call.makes {
        _ if result < 0 => {}
        Makes::Nothing => {}
        Makes::Fd(kind) => descriptors::add(kind, result),
        Makes::Pair(arg, first, second) => {
            if let Some(&[a, b, c, d, e, f, g, h]) = scratch.out(arg) {
                descriptors::add(first, i32::from_le_bytes([a, b, c, d]).into());
                descriptors::add(second, i32::from_le_bytes([e, f, g, h]).into());
            }
        }
        Makes::Process if result == 0 => return true,
        Makes::Process => processes::CHILD.store(result as i32, Relaxed),
    }
    if setting.program.kind == Kind::Differential {
        let outs = std::array::from_fn(|n| scratch.out(n));
        answers::note(setting.board, index, step, result, &outs);
    }
    false
}

/// A child that this process traces, stopped; whether this is now the child.
fn fork_traced() -> bool {
    let child = ask(libc::SYS_fork, [0; 6]);
    if child == 0 {
        ask(libc::SYS_ptrace, [libc::PTRACE_TRACEME.into(), 0, 0, 0, 0, 0]);
        let own = ask(libc::SYS_getpid, [0; 6]) as u64;
        ask(libc::SYS_kill, [own, libc::SIGSTOP as u64, 0, 0, 0, 0]);
        return true;
    }
    if child > 0 {
        processes::CHILD.store(child as i32, Relaxed);
        // Untraced, it stops all the same.
        ask(libc::SYS_wait4, [child as u64, 0, (libc::__WALL | libc::WUNTRACED) as u64, 0, 0, 0]);
    }
    false
}

fn shares_memory(step: &Step, number: i64) -> bool {
    let flags = match step.args.first() {
        _ if number == libc::SYS_fork => return false,
        Some(Value::Int(flags)) if number == libc::SYS_clone => *flags,
        Some(Value::Data { fields, .. }) => match fields.first().map(|field| &field.value) {
            Some(Value::Int(flags)) => *flags,
            _ => return true,
        },
        _ => return true,
    };
    flags & libc::CLONE_VM as u64 != 0
}
