//! What attacks have in common: children, mappings at chosen places, and touches that may fault.

use std::io::Error;
use std::sync::Once;

pub const PAGE: usize = 4096;
/// The first address beyond any user code's.
pub const END: usize = 0x7fff_ffff_f000;

/// Ends the attack by a reason that is the test's and not the guest's.
pub fn must(what: &str, result: i64) -> i64 {
    assert!(result >= 0, "{what}: {}", Error::last_os_error());
    result
}

/// Runs `body` in a child of its own and returns its wait status: `Ok` is exit status 0, else it is
/// 1 and the verdict is printed.
pub fn in_child(body: impl FnOnce() -> crate::Verdict) -> i32 {
    let child = start_child(body);
    wait_for(child)
}

/// As [`in_child`], without waiting.
pub fn start_child(body: impl FnOnce() -> crate::Verdict) -> i32 {
    // SAFETY: the program has one thread.
    let child = must("fork", i64::from(unsafe { libc::fork() })) as i32;
    if child == 0 {
        let verdict = body();
        if let Err(got_through) = &verdict {
            println!("{got_through}");
        }
        exit(i32::from(verdict.is_err()));
    }
    child
}

/// Ends this process at once, by a plain system call.
pub fn exit(status: i32) -> ! {
    // SAFETY: a number.
    unsafe { libc::syscall(libc::SYS_exit_group, status) };
    unreachable!("a process does not outlive its exit")
}

/// Waits for a child; its wait status.
pub fn wait_for(child: i32) -> i32 {
    let mut status = 0;
    // SAFETY: an int.
    must("waitpid", i64::from(unsafe { libc::waitpid(child, &raw mut status, 0) }));
    status
}

/// `Ok` when a child's body was.
pub fn verdict_of(status: i32) -> crate::Verdict {
    if status == 0 { Ok(()) } else { Err(format!("a child ended with status {status:#x}")) }
}

/// Gives up all rights.
pub fn become_nobody() {
    // SAFETY: numbers, and a list of none.
    unsafe {
        must("setgroups", i64::from(libc::setgroups(0, std::ptr::null())));
        must("setgid", i64::from(libc::setgid(65534)));
        must("setuid", i64::from(libc::setuid(65534)));
    }
}

/// Fresh private memory at exactly this address, over whatever was there. False when the kernel
/// refuses.
pub fn map_at(at: usize, len: usize, prot: i32) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    // SAFETY: the caller chose an address at which nothing of this program lies.
    let got = unsafe { libc::syscall(libc::SYS_mmap, at, len, prot, flags, -1, 0usize) };
    got as usize == at
}

/// The ranges that the kernel lists for this process.
pub fn listed() -> Vec<(usize, usize)> {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("our mappings");
    maps.lines()
        .filter_map(|line| {
            let (start, end) = line.split_once(' ')?.0.split_once('-')?;
            Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
        })
        .collect()
}

std::arch::global_asm!(
    // attacks_load(from, to): copies a byte; the result is 1, or 0 when that faulted.
    ".global attacks_load, attacks_load_end, attacks_load_failed",
    "attacks_load:",
    "mov al, [rdi]",
    "mov [rsi], al",
    "attacks_load_end:",
    "mov eax, 1",
    "ret",
    "attacks_load_failed:",
    "xor eax, eax",
    "ret",
);

unsafe extern "C" {
    fn attacks_load(from: *const u8, to: *mut u8) -> i32;
    fn attacks_load_end();
    fn attacks_load_failed();
}

extern "C" fn on_fault(signal: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives a handler that was installed with SA_SIGINFO its context.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let rip = &mut context.uc_mcontext.gregs[libc::REG_RIP as usize];
    let expected = attacks_load as *const () as i64..attacks_load_end as *const () as i64;
    if expected.contains(rip) {
        *rip = attacks_load_failed as *const () as i64;
    } else {
        exit(128 + signal);
    }
}

fn catch_faults() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            // SAFETY: the handler only changes the context it is given.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = on_fault as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO;
                must("sigaction", i64::from(libc::sigaction(signal, &raw const action, std::ptr::null_mut())));
            }
        }
    });
}

/// The byte that user code finds at an address, if it may read there.
pub fn load(at: usize) -> Option<u8> {
    catch_faults();
    let mut byte = 0;
    // SAFETY: a fault at `at` is caught, and the other side is ours.
    (unsafe { attacks_load(at as *const u8, &raw mut byte) } == 1).then_some(byte)
}

/// Has user code write a byte. Whether it may.
pub fn store(at: usize, byte: u8) -> bool {
    catch_faults();
    // SAFETY: a fault at `at` is caught; the caller chose an address at which nothing of this
    // program lies.
    unsafe { attacks_load(&raw const byte, at as *mut u8) == 1 }
}

/// Whether user code may write at an address. What lies there stays.
pub fn writable(at: usize) -> bool {
    load(at).is_some_and(|byte| store(at, byte))
}
