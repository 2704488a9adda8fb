//! Processes: fork, vfork, exec and the end, alone and under load.

use crate::guarded::{load, store};
use crate::tools::*;
use crate::verdict::{Verdict, ensure, must};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;

pub fn statuses() -> Verdict {
    for code in [0, 1, 77, 255] {
        let other = child(|| exit(code))?;
        let status = wait_for(other)?;
        ensure!(status == code << 8, "a process that ended with {code} has status {status:#x}");
    }
    for signal in [libc::SIGTERM, libc::SIGKILL, libc::SIGUSR1] {
        let other = child(|| {
            kill(std::process::id() as i32, signal);
            Ok(())
        })?;
        let status = wait_for(other)?;
        ensure!(status == signal, "a process that signal {signal} ended has status {status:#x}");
    }
    Ok(())
}

std::arch::global_asm!(
    ".global process_fault, process_divide, process_undefined",
    "process_fault:",
    "mov byte ptr [0], 1",
    "process_divide:",
    "xor ecx, ecx",
    "div ecx",
    "process_undefined:",
    "ud2",
);

unsafe extern "C" {
    fn process_fault();
    fn process_divide();
    fn process_undefined();
}

/// Traps that nobody handles end a process, and no other one.
pub fn fatal_traps() -> Verdict {
    let traps: [(unsafe extern "C" fn(), i32); 3] =
        [(process_fault, libc::SIGSEGV), (process_divide, libc::SIGFPE), (process_undefined, libc::SIGILL)];
    for (trap, signal) in traps.iter().cycle().take(30) {
        let other = child(|| {
            // SAFETY: the signal has its default action, and no core file is written; then the
            // trap ends the process.
            unsafe {
                libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 });
                libc::signal(*signal, libc::SIG_DFL);
                trap();
            }
            Ok(())
        })?;
        let status = wait_for(other)? & 0x7f;
        ensure!(status == *signal, "a trap that ends a process by signal {signal} ended it by {status}");
    }
    Ok(())
}

std::arch::global_asm!(
    // process_vfork(shared): what vfork returns in the parent. The child writes 1 where the
    // argument points, waits a little, writes 2, and ends with status 9. The return address is kept
    // in a register, for the child uses the same stack.
    ".global process_vfork",
    "process_vfork:",
    "pop rdx",
    "mov eax, 58",
    "syscall",
    "push rdx",
    "test rax, rax",
    "jz 2f",
    "ret",
    "2:",
    "mov dword ptr [rdi], 1",
    "push 3000000",
    "push 0",
    "mov rdi, rsp",
    "xor esi, esi",
    "mov eax, 35",
    "syscall",
    "add rsp, 16",
    "mov dword ptr [r8], 2",
    "mov edi, 9",
    "mov eax, 231",
    "syscall",
    "ud2",
);

unsafe extern "C" {
    fn process_vfork(shared: usize, _: usize, _: usize, _: usize, again: usize) -> i32;
}

/// A vfork's parent sleeps until the child is done, and shares its memory.
pub fn vfork() -> Verdict {
    let at = map(1, WRITE, false)?;
    for time in 0..50 {
        ensure!(store(at, 0).is_ok(), "fresh memory cannot be written");
        // SAFETY: the child changes that page and what lies below the stack pointer, and ends.
        let other = unsafe { process_vfork(at, 0, 0, 0, at) };
        let found = load(at);
        ensure!(other > 0, "vfork: error {}", -other);
        ensure!(found == Ok(2), "time {time}: the parent goes on when its child has written {found:x?}, and not 2");
        let status = wait_for(other)?;
        ensure!(status == 9 << 8, "time {time}: the child ended with status {status:#x}");
    }
    Ok(())
}

/// Instead of a check's name: prints its arguments, its environment, and its number.
pub const SHOW: &str = "--show";

pub fn show() -> ! {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let environment: Vec<String> = std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
    print!("{} {arguments:?} {environment:?}", std::process::id());
    exit(0)
}

/// A new program has what it was given, and the number of the process.
pub fn exec() -> Verdict {
    let program = std::env::current_exe().map_err(|e| format!("this program's path: {e}"))?;
    let long = "x".repeat(100_000);
    for arguments in [vec![], vec!["a", "", "b c"], vec![long.as_str()]] {
        let mut command = Command::new(&program);
        command.arg(SHOW).args(&arguments).env_clear().env("NAME", "a value");
        command.stdout(std::process::Stdio::piped());
        let running = command.spawn().map_err(|e| format!("a program: {e}"))?;
        let pid = running.id();
        let output = running.wait_with_output().map_err(|e| format!("a program: {e}"))?;
        let expected = format!("{pid} {arguments:?} [\"NAME=a value\"]");
        let found = String::from_utf8_lossy(&output.stdout);
        let short = |text: &str| text.chars().take(100).collect::<String>();
        ensure!(found == expected, "a program found '{}', and not '{}'", short(&found), short(&expected));
    }
    Ok(())
}

/// Every process makes some more, at the same time as others do.
pub fn tree() -> Verdict {
    fn grow(depth: u32) -> Verdict {
        let at = map(4, WRITE, false)?;
        ensure!(store(at, depth as u8).is_ok(), "fresh memory cannot be written");
        if depth > 0 {
            let mut children = Vec::new();
            for _ in 0..3 {
                children.push(child(|| grow(depth - 1))?);
            }
            children.into_iter().try_for_each(join)?;
        }
        let found = load(at);
        ensure!(found == Ok(depth as u8), "a process with children has lost what it wrote: {found:x?}");
        Ok(())
    }
    (0..3).try_for_each(|_| grow(4))
}

/// A process whose parent has ended goes on.
pub fn orphans() -> Verdict {
    for _ in 0..20 {
        let (ready, alone, done) = (Gate::new()?, Gate::new()?, Gate::new()?);
        let parent = child(|| {
            child(|| {
                // SAFETY: numbers; it outlives its parent.
                must("prctl", unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0) }.into())?;
                ready.open();
                alone.wait();
                done.open();
                Ok(())
            })?;
            ready.wait();
            Ok(())
        })?;
        join(parent)?;
        alone.open();
        done.wait();
    }
    Ok(())
}

/// What was mapped before an exec is gone after it.
pub fn exec_empties() -> Verdict {
    // Where neither program has anything of its own.
    const AT: usize = 0x2345_6789_0000;
    let program = std::env::current_exe().map_err(|e| format!("this program's path: {e}"))?;
    for _ in 0..20 {
        let other = child(|| {
            map_over(AT, 4, WRITE)?;
            ensure!(store(AT, 1).is_ok(), "fresh memory cannot be written");
            let error = Command::new(&program).args([LOOK, &AT.to_string()]).exec();
            Err(format!("exec: {error}").into())
        })?;
        join(other)?;
    }
    Ok(())
}

/// Instead of a check's name: whether anything can be read at the address.
pub const LOOK: &str = "--look";

pub fn look(at: usize) -> ! {
    exit(report(match load(at) {
        Ok(_) => Err("a new program finds what an old one has mapped".to_string().into()),
        Err(_) => Ok(()),
    }))
}

/// Programs that are started while others compute.
pub fn under_load() -> Verdict {
    let mut busy = Vec::new();
    for _ in 0..cpus().len() {
        busy.push(child(|| {
            loop {
                std::hint::spin_loop();
            }
        })?);
    }
    let program = std::env::current_exe().map_err(|e| format!("this program's path: {e}"))?;
    let run = |number: i32| -> Verdict {
        let status = Command::new(&program).args([crate::spaces::PROGRAM, &number.to_string()]).status();
        let status = status.map_err(|e| format!("program {number}: {e}"))?;
        ensure!(status.code() == Some(number), "program {number} ended with {:#x}", status.into_raw());
        Ok(())
    };
    let verdict = (0..30).try_for_each(run);
    for other in busy {
        kill(other, libc::SIGKILL);
        wait_for(other)?;
    }
    verdict
}

/// Instead of a check's name: a process that computes, which somebody outside kills.
pub const VICTIM: &str = "--victim";

pub fn victim() -> Verdict {
    let spin = || {
        child(|| {
            loop {
                std::hint::spin_loop();
            }
        })
    };
    let computing = spin()?;
    println!("ready");
    let status = wait_for(computing)?;
    ensure!(status == libc::SIGKILL, "a process whose host process was killed ended with status {status:#x}");
    // The kernel goes on.
    let at = map(1, WRITE, false)?;
    for _ in 0..20 {
        join(child(|| {
            ensure!(store(at, 1).is_ok(), "fresh memory cannot be written");
            Ok(())
        })?)?;
    }
    let next = spin()?;
    pause(20);
    kill(next, libc::SIGKILL);
    let status = wait_for(next)?;
    ensure!(status == libc::SIGKILL, "a process after that ended with status {status:#x}");
    Ok(())
}
