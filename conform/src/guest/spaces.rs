//! Address spaces, many of them: each has its own memory, and keeps it.

use crate::guarded::{load, store};
use crate::tools::*;
use crate::verdict::{Verdict, ensure};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// So many processes one after the other.
const IN_TURN: usize = 1000;

pub fn in_turn() -> Verdict {
    let at = map(4, WRITE, false)?;
    for number in 0..IN_TURN {
        let other = child(|| {
            for page in 0..4 {
                let found = load(at + page * PAGE);
                ensure!(found == Ok(0), "process {number} finds {found:x?} in memory that nobody wrote to");
                ensure!(store(at + page * PAGE, number as u8 | 1).is_ok(), "its memory cannot be written");
            }
            Ok(())
        })?;
        join(other)?;
    }
    Ok(())
}

/// So many at once, or as many as the host lets the kernel have and there is time for, but at least
/// some.
const AT_ONCE: usize = 1000;
const AT_LEAST: usize = 200;
const TIME: Duration = Duration::from_secs(3);

/// What a child has found: its number when all is right.
const WRONG: u32 = u32::MAX;

pub fn at_once() -> Verdict {
    let at = map(1, WRITE, false)?;
    let results = map(AT_ONCE * 4 / PAGE + 1, WRITE, true)?;
    let (begin, end) = (Gate::new()?, Gate::new()?);
    let (mut children, start) = (Vec::new(), Instant::now());
    for number in 1..=AT_ONCE {
        if children.len() >= AT_LEAST && start.elapsed() > TIME {
            break;
        }
        let byte = (number % 251) as u8;
        let made = child(|| {
            ensure!(store(at, byte).is_ok(), "its memory cannot be written");
            begin.wait();
            let right = load(at) == Ok(byte);
            word(results + (number - 1) * 4).store(if right { number as u32 } else { WRONG }, SeqCst);
            end.wait();
            ensure!(load(at) == Ok(byte), "process {number} has lost what it wrote");
            Ok(())
        });
        match made {
            Ok(pid) => children.push(pid),
            Err(_) if children.len() >= AT_LEAST => break,
            Err(reason) => {
                children.into_iter().for_each(|pid| kill(pid, libc::SIGKILL));
                return Err(reason);
            }
        }
    }
    begin.open();
    let result = |number: usize| word(results + (number - 1) * 4).load(SeqCst);
    for number in 1..=children.len() {
        while result(number) == 0 {
            pause(1);
        }
    }
    end.open();
    let wrong: Vec<usize> = (1..=children.len()).filter(|&number| result(number) == WRONG).collect();
    children.into_iter().try_for_each(join)?;
    ensure!(wrong.is_empty(), "processes {wrong:?} have lost what they wrote");
    Ok(())
}

/// Instead of a check's name: ends with the status of the next word.
pub const PROGRAM: &str = "--end-with";

/// Programs, one after the other in a process each.
pub fn programs() -> Verdict {
    let program = std::env::current_exe().map_err(|e| format!("this program's path: {e}"))?;
    for number in 0..100 {
        let status = std::process::Command::new(&program).args([PROGRAM, &number.to_string()]).status();
        let code = status.map_err(|e| format!("program {number}: {e}"))?.code();
        ensure!(code == Some(number), "program {number} ended with {code:?}");
    }
    Ok(())
}

/// One process, which becomes program after program.
pub fn replaced() -> Verdict {
    let program = std::env::current_exe().map_err(|e| format!("this program's path: {e}"))?;
    let status = std::process::Command::new(&program).args([CHAIN, "100"]).status();
    let code = status.map_err(|e| format!("a program: {e}"))?.code();
    ensure!(code == Some(0), "a process that became 100 programs ended with {code:?}");
    Ok(())
}

/// Instead of a check's name: becomes this program again, with one less.
pub const CHAIN: &str = "--chain";

pub fn chain(left: usize) -> ! {
    use std::os::unix::process::CommandExt;
    if left == 0 {
        exit(0);
    }
    let program = std::env::current_exe().unwrap_or_default();
    let error = std::process::Command::new(program).args([CHAIN, &(left - 1).to_string()]).exec();
    println!("FAILED: with {left} programs left to become: {error}");
    exit(1)
}
