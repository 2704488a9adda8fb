//! Accesses that lie on two pages, of which one is not there, or not yet.

use crate::guarded::{Caught, guarded, load, store};
use crate::tools::*;
use crate::verdict::{Not, Verdict, ensure};

std::arch::global_asm!(
    ".global edge_load, edge_store, edge_copy, edge_jump",
    "edge_load:",
    "mov rax, [rdi]",
    "ret",
    "edge_store:",
    "mov [rdi], rsi",
    "ret",
    // 64 bytes.
    "edge_copy:",
    "mov ecx, 64",
    "rep movsb",
    "ret",
    "edge_jump:",
    "jmp rdi",
);

unsafe extern "C" {
    fn edge_load(at: usize, _: usize) -> usize;
    fn edge_store(at: usize, value: usize) -> usize;
    fn edge_copy(to: usize, from: usize) -> usize;
    fn edge_jump(at: usize, _: usize) -> usize;
}

const VALUE: usize = 0x0807_0605_0403_0201;

/// How many bytes of an access lie before the edge.
const BEFORE: [usize; 7] = [1, 2, 3, 4, 5, 6, 7];

/// Two pages, and the address between them.
fn two_pages(prot: i32) -> Result<(usize, usize), Not> {
    let pages = map(2, prot, false)?;
    Ok((pages, pages + PAGE))
}

/// The signal is for the second page, from its first byte on.
fn at_edge(what: &str, found: Result<usize, Caught>, edge: usize) -> Verdict {
    let right = matches!(found, Err(c) if (c.signal, c.addr) == (libc::SIGSEGV, edge));
    ensure!(right, "{what}: {found:x?}, and not a fault at {edge:#x}");
    Ok(())
}

/// What is on the first page is as it was.
fn untouched(edge: usize, before: usize) -> Verdict {
    for at in edge - before..edge {
        ensure!(load(at) == Ok(0), "a store that faulted has changed {at:#x}");
    }
    Ok(())
}

pub fn absent() -> Verdict {
    for before in BEFORE {
        let (pages, edge) = two_pages(WRITE)?;
        unmap(edge, 1)?;
        at_edge("a load", guarded(edge_load, edge - before, 0), edge)?;
        at_edge("a store", guarded(edge_store, edge - before, VALUE), edge)?;
        untouched(edge, before)?;
        unmap(pages, 1)?;
    }
    Ok(())
}

pub fn read_only() -> Verdict {
    for before in BEFORE {
        let (_, edge) = two_pages(WRITE)?;
        protect(edge, 1, READ)?;
        ensure!(guarded(edge_load, edge - before, 0) == Ok(0), "what is on two pages cannot be read");
        at_edge("a store", guarded(edge_store, edge - before, VALUE), edge)?;
        untouched(edge, before)?;
    }
    Ok(())
}

fn stored(at: usize) -> Verdict {
    let found = guarded(edge_store, at, VALUE).and_then(|_| guarded(edge_load, at, 0));
    ensure!(found == Ok(VALUE), "at {at:#x}: {found:x?}, and not {VALUE:#x}");
    Ok(())
}

/// Neither page is there yet, or only one.
pub fn demand() -> Verdict {
    for before in BEFORE {
        for touched in 0..3 {
            let (pages, edge) = two_pages(WRITE)?;
            if touched > 0 {
                ensure!(store(pages + (touched - 1) * PAGE, 1).is_ok(), "fresh memory cannot be written");
            }
            stored(edge - before)?;
        }
    }
    Ok(())
}

/// Both pages are shared with a fork's child, which keeps what it had.
pub fn copied() -> Verdict {
    for before in BEFORE {
        let (_, edge) = two_pages(WRITE)?;
        stored(edge - before)?;
        let gate = Gate::new()?;
        let other = child(|| {
            gate.wait();
            let found = guarded(edge_load, edge - before, 0);
            ensure!(found == Ok(VALUE), "the child's copy: {found:x?}");
            Ok(())
        })?;
        let found = guarded(edge_store, edge - before, !VALUE).and_then(|_| guarded(edge_load, edge - before, 0));
        gate.open();
        ensure!(found == Ok(!VALUE), "the parent's copy: {found:x?}");
        join(other)?;
    }
    Ok(())
}

/// Copies until the edge, and no further.
pub fn string() -> Verdict {
    let (source, _) = two_pages(WRITE)?;
    for at in source..source + 64 {
        ensure!(store(at, 0x77).is_ok(), "fresh memory cannot be written");
    }
    for before in [1, 31, 63] {
        let (_, edge) = two_pages(WRITE)?;
        unmap(edge, 1)?;
        at_edge("a copy", guarded(edge_copy, edge - before, source), edge)?;
        for at in edge - before..edge {
            ensure!(load(at) == Ok(0x77), "a copy has left out {at:#x}");
        }
    }
    Ok(())
}

/// An instruction on two pages, the second of which cannot be executed at first.
pub fn fetch() -> Verdict {
    // mov eax, VALUE; ret
    const CODE: [u8; 6] = [0xb8, 0x11, 0x22, 0x33, 0x44, 0xc3];
    for before in 1..5 {
        let (pages, edge) = two_pages(WRITE)?;
        for (at, byte) in (edge - before..).zip(CODE) {
            ensure!(store(at, byte).is_ok(), "fresh memory cannot be written");
        }
        protect(pages, 1, READ | libc::PROT_EXEC)?;
        at_edge("an instruction", guarded(edge_jump, edge - before, 0), edge)?;
        protect(edge, 1, READ | libc::PROT_EXEC)?;
        let found = guarded(edge_jump, edge - before, 0);
        ensure!(found == Ok(0x4433_2211), "an instruction on two pages: {found:x?}");
    }
    Ok(())
}

/// The stack grows, page by page and in leaps.
pub fn stack() -> Verdict {
    let here = 0u8;
    let from = &raw const here as usize;
    for pages in [1usize, 2, 3, 10, 11, 100, 500] {
        let at = from - pages * PAGE;
        ensure!(load(at).is_ok(), "the stack cannot be read {pages} pages below");
        ensure!(store(at, 1).is_ok(), "the stack cannot be written {pages} pages below");
    }
    Ok(())
}
