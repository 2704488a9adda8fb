//! The core writes to memory that is copied at the write, while a thread on another CPU changes
//! what is mapped there.

use crate::Verdict;
use crate::tools::*;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

const AT: usize = 0x3000_0000;
const LONG: Duration = Duration::from_secs(6);
/// Longer than fork(2) copies at once, so that pages are shared until they are written to.
const BALLAST: usize = 8 << 20;
const BALLAST_AT: usize = 0x5000_0000;

fn fill(at: usize, len: usize, with: u8) {
    assert!(map_at(at, len, libc::PROT_READ | libc::PROT_WRITE));
    (0..len).step_by(PAGE).for_each(|offset| assert!(store(at + offset, with)));
}

/// A child that does nothing, so that all memory is shared with it.
fn sharer() -> i32 {
    start_child(|| {
        // SAFETY: sleeps until it is killed.
        unsafe { libc::pause() };
        Ok(())
    })
}

fn end(child: i32) {
    // SAFETY: a signal to our own child.
    must("kill", i64::from(unsafe { libc::kill(child, libc::SIGKILL) }));
    wait_for(child);
}

/// A process whose fresh memory has to be zero, and to stay as it writes it, until it is killed.
fn victim() -> i32 {
    const LEN: usize = 64 * PAGE;
    start_child(|| {
        become_nobody();
        loop {
            assert!(map_at(AT, LEN, libc::PROT_READ | libc::PROT_WRITE));
            for page in (AT..AT + LEN).step_by(PAGE) {
                if load(page) != Some(0) {
                    return Err("fresh memory of another process is not zero".to_string());
                }
                store(page, b'V');
            }
            std::thread::yield_now();
            if (AT..AT + LEN).step_by(PAGE).any(|page| load(page) != Some(b'V')) {
                return Err("memory of another process was overwritten".to_string());
            }
        }
    })
}

/// pread(2) into chunks that another thread unmaps meanwhile must not write into memory that
/// somebody else was given.
pub fn stale_window() -> Verdict {
    const CHUNK: usize = 16 * PAGE;
    const CHUNKS: usize = 100;
    static CURRENT: AtomicUsize = AtomicUsize::new(usize::MAX);
    std::fs::write("/tmp/pattern", vec![b'Z'; CHUNK]).expect("a file in memory");
    let pattern = std::fs::File::open("/tmp/pattern").expect("the file just written");
    let victims = [victim(), victim()];
    let attacker = start_child(|| {
        become_nobody();
        fill(BALLAST_AT, BALLAST, 1);
        std::thread::spawn(|| {
            let mut last = usize::MAX;
            loop {
                let chunk = CURRENT.load(SeqCst);
                if chunk != last && chunk != usize::MAX {
                    // SAFETY: memory of the attack.
                    unsafe { libc::syscall(libc::SYS_munmap, AT + chunk * CHUNK, CHUNK) };
                }
                last = chunk;
            }
        });
        let begin = Instant::now();
        while begin.elapsed() < LONG {
            CURRENT.store(usize::MAX, SeqCst);
            assert!(map_at(AT, CHUNKS * CHUNK, libc::PROT_READ | libc::PROT_WRITE));
            // The other thread may be late, and take a chunk away again.
            for page in (AT..AT + CHUNKS * CHUNK).step_by(PAGE) {
                store(page, b'a');
            }
            let child = sharer();
            for chunk in 0..CHUNKS {
                CURRENT.store(chunk, SeqCst);
                // SAFETY: the kernel answers EFAULT where nothing is mapped any more.
                unsafe { libc::syscall(libc::SYS_pread64, pattern.as_raw_fd(), AT + chunk * CHUNK, CHUNK, 0usize) };
            }
            end(child);
        }
        Ok(())
    });
    let verdict = verdict_of(wait_for(attacker));
    for victim in victims {
        // SAFETY: a signal to our own child.
        unsafe { libc::kill(victim, libc::SIGKILL) };
        let status = wait_for(victim);
        if status != libc::SIGKILL {
            verdict_of(status)?;
        }
    }
    verdict
}

/// Reads of a pipe into such memory, while another thread uses the pipe.
pub fn borrowed_pipe() -> Verdict {
    const LEN: usize = 16 << 20;
    static OVER: AtomicBool = AtomicBool::new(false);
    let mut ends = [0; 2];
    // SAFETY: two ints.
    must("pipe", i64::from(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK) }));
    let [from, to] = ends;
    let other = std::thread::spawn(move || {
        while !OVER.load(SeqCst) {
            let mut waiting = 0i32;
            // SAFETY: an int and a byte.
            unsafe {
                libc::ioctl(from, libc::FIONREAD, &mut waiting);
                if waiting < 30_000 {
                    libc::write(to, b"x".as_ptr().cast(), 1);
                }
            }
        }
    });
    let begin = Instant::now();
    fill(AT, LEN, 1);
    while begin.elapsed() < LONG {
        let child = sharer();
        for at in (AT..AT + LEN).step_by(16 * PAGE) {
            // SAFETY: our own memory.
            unsafe { libc::syscall(libc::SYS_read, from, at, 1) };
        }
        end(child);
    }
    OVER.store(true, SeqCst);
    other.join().expect("the other thread ends");
    Ok(())
}
