//! Frames that count as free while a process still has them mapped: the next file that root writes
//! would be laid into them.

use crate::Verdict;
use crate::tools::*;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};

const AT: usize = 0x3000_0000;
const PAGES: usize = 64;
const SECRET: &[u8; 16] = b"for root's eyes\n";

fn pipe() -> (File, File) {
    let mut ends = [0; 2];
    // SAFETY: two ints; the descriptors are ours from here on.
    unsafe {
        must("pipe", i64::from(libc::pipe(ends.as_mut_ptr())));
        (File::from(OwnedFd::from_raw_fd(ends[0])), File::from(OwnedFd::from_raw_fd(ends[1])))
    }
}

/// Has an unprivileged child prepare pages from [`AT`] on, root write a file, and the child look
/// for it in those pages and change it there.
fn against_roots_file(prepare: impl FnOnce()) -> Verdict {
    let (mut prepared, mut tell_prepared) = pipe();
    let (mut written, mut tell_written) = pipe();
    let attacker = start_child(|| {
        become_nobody();
        prepare();
        tell_prepared.write_all(b"x").expect("a pipe");
        written.read_exact(&mut [0]).expect("a pipe");
        let mut seen = 0;
        for page in (0..PAGES).map(|page| AT + page * PAGE) {
            if (0..SECRET.len()).all(|at| load(page + at) == Some(SECRET[at])) {
                seen += 1;
                store(page, b'F');
            }
        }
        if seen == 0 { Ok(()) } else { Err(format!("{seen} pages of root's file are mapped")) }
    });
    prepared.read_exact(&mut [0]).expect("a pipe");
    let mut page = [0; PAGE];
    page[..SECRET.len()].copy_from_slice(SECRET);
    // In pieces as large as those in which mappings are given frames.
    let files = ["/tmp/for-root-1", "/tmp/for-root-2", "/tmp/for-root-3", "/tmp/for-root-4"];
    files.iter().for_each(|path| std::fs::write(path, page.repeat(16)).expect("a file in memory"));
    tell_written.write_all(b"x").expect("a pipe");
    verdict_of(wait_for(attacker))?;
    let same = files.iter().all(|path| std::fs::read(path).expect("the file just written") == page.repeat(16));
    if same { Ok(()) } else { Err("root's file was changed".to_string()) }
}

fn touched() {
    assert!(map_at(AT, PAGES * PAGE, libc::PROT_READ | libc::PROT_WRITE));
    (0..PAGES).for_each(|page| assert!(store(AT + page * PAGE, b'a')));
}

/// Calls whose length is nothing, or becomes nothing, in the middle of an area.
pub fn empty_ranges() -> Verdict {
    type Empty = fn(usize) -> i64;
    // SAFETY: what the calls could change is the attack's own memory.
    let calls: [Empty; 7] = unsafe {
        [
            |at| libc::syscall(libc::SYS_mlock, at, 0),
            |at| libc::syscall(libc::SYS_munlock, at, 0),
            |at| libc::syscall(libc::SYS_madvise, at, 0, libc::MADV_DONTFORK),
            |at| libc::syscall(libc::SYS_mprotect, at, 0, libc::PROT_READ),
            |at| libc::syscall(libc::SYS_mremap, at, PAGE, PAGE, 0),
            |at| libc::syscall(libc::SYS_msync, at, 0, libc::MS_SYNC),
            |at| libc::syscall(libc::SYS_munmap, at, 0),
        ]
    };
    for call in calls {
        against_roots_file(|| {
            touched();
            call(AT + PAGE);
            for page in [1, 2] {
                assert!(map_at(AT + page * PAGE, PAGE, libc::PROT_READ | libc::PROT_WRITE));
                store(AT + page * PAGE, 1);
            }
            call(AT + 3 * PAGE);
            const MADV_POPULATE_WRITE: i32 = 23;
            // SAFETY: our own memory.
            unsafe { libc::syscall(libc::SYS_madvise, AT + 3 * PAGE, PAGE, MADV_POPULATE_WRITE) };
        })?;
    }
    Ok(())
}

/// What a private mapping of /dev/zero shows is the process's own.
pub fn zero_device() -> Verdict {
    for flags in [libc::MAP_PRIVATE, libc::MAP_SHARED] {
        against_roots_file(|| {
            let zero = File::options().read(true).write(true).open("/dev/zero").expect("a device");
            // To be read only: pages that could be written are copied early.
            let prot = libc::PROT_READ;
            let fd = std::os::fd::AsRawFd::as_raw_fd(&zero);
            // SAFETY: nothing of this program lies at the address.
            let got =
                unsafe { libc::syscall(libc::SYS_mmap, AT, PAGES * PAGE, prot, flags | libc::MAP_FIXED, fd, 0usize) };
            must("mmap", got);
            (0..PAGES).for_each(|page| assert_eq!(load(AT + page * PAGE), Some(0)));
        })?;
    }
    Ok(())
}
