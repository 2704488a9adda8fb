//! Code in another process's vDSO: a process replaces or changes its own, in ways that a later
//! process might inherit.

use crate::Verdict;
use crate::tools::*;

/// Where this process has it: first and one past the last address of its code; none when there is
/// none.
fn place() -> Option<(usize, usize)> {
    // SAFETY: a number.
    let start = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) } as usize;
    // Where it is the model's own, it is in no list.
    (start != 0).then(|| listed().into_iter().find(|range| range.0 == start).unwrap_or((start, start + 2 * PAGE)))
}

/// All that user code reads there, a page that faults as nothing.
fn contents() -> Vec<u8> {
    let Some((start, end)) = place() else { return Vec::new() };
    (start..end).filter_map(load).collect()
}

/// What a fresh program finds of its vDSO, for whoever started it: a sum of its bytes.
pub fn fresh_program() {
    let sum = contents().iter().fold(0u64, |sum, &byte| sum.rotate_left(5) ^ u64::from(byte));
    println!("{sum:x}");
}

fn ask_fresh_program() -> Result<String, String> {
    let output = std::process::Command::new("/proc/self/exe").arg(crate::FRESH_VDSO).output();
    match output {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).trim().to_string()),
        Ok(output) => Err(format!("a fresh program ended with {}", output.status)),
        Err(e) => Err(format!("no fresh program can be started: {e}")),
    }
}

/// A user without rights leaves code of its own where later programs, root's too, have their vDSO.
pub fn code() -> Verdict {
    let right = ask_fresh_program()?;
    for way in [replace, replace_in_children, unmap, write] {
        for _ in 0..3 {
            let attacker = in_child(|| {
                become_nobody();
                if let Some((start, end)) = place() {
                    way(start, end);
                }
                Ok(())
            });
            verdict_of(attacker)?;
            for _ in 0..3 {
                let found = ask_fresh_program()?;
                if found != right {
                    return Err(format!("a fresh program's vDSO is not the right one: {found} for {right}"));
                }
            }
        }
    }
    Ok(())
}

const ALL: i32 = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
const BREAKPOINT: u8 = 0xcc;

/// No function that may call into the vDSO is called from here on.
fn replace(start: usize, end: usize) {
    unmap(start, end);
    if map_at(start, end - start, ALL) {
        (start..end).for_each(|at| _ = store(at, BREAKPOINT));
    }
}

/// A child has its parent's mappings before the host has anything of it.
fn replace_in_children(start: usize, end: usize) {
    replace(start, end);
    for _ in 0..4 {
        in_child(|| Ok(()));
    }
    let together: Vec<i32> = (0..4).map(|_| start_child(|| Ok(()))).collect();
    together.into_iter().for_each(|child| _ = wait_for(child));
}

fn unmap(start: usize, end: usize) {
    // SAFETY: nothing that follows uses it.
    unsafe { libc::syscall(libc::SYS_munmap, start, end - start) };
}

/// Of the vDSO itself.
fn write(start: usize, end: usize) {
    // SAFETY: as above.
    if unsafe { libc::syscall(libc::SYS_mprotect, start, end - start, ALL) } == 0 {
        (start..end).for_each(|at| _ = store(at, BREAKPOINT));
    }
}
