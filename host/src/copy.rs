//! Copies to and from memory that may not be there.
//!
//! A host file that is mapped in the core can be cut by somebody else on the host; touching what is
//! gone is SIGBUS. So memory that the core does not own alone is touched by the few instructions
//! below and by nothing else. A fault of theirs ends the operation, which then tells how far it
//! came; a fault anywhere else is the core's own error and ends it with a report.

use std::sync::Once;

std::arch::global_asm!(
    // (to, from, bytes) -> bytes that were not copied
    ".global umlab_copy, umlab_copy_at, umlab_copy_out",
    "umlab_copy:",
    "mov rcx, rdx",
    "umlab_copy_at: rep movsb",
    "umlab_copy_out: mov rax, rcx",
    "ret",
    // (address) -> the 32-bit word there, or all ones
    ".global umlab_load, umlab_load_at",
    "umlab_load:",
    "umlab_load_at: mov eax, [rdi]",
    "ret",
    // (address, expected, new) -> the 32-bit word that was there, or all ones
    ".global umlab_exchange, umlab_exchange_at",
    "umlab_exchange:",
    "mov eax, esi",
    "umlab_exchange_at: lock cmpxchg [rdi], edx",
    "mov eax, eax",
    "ret",
    ".global umlab_fault_out",
    "umlab_fault_out: mov rax, -1",
    "ret",
);

unsafe extern "C" {
    fn umlab_copy(to: *mut u8, from: *const u8, len: usize) -> usize;
    fn umlab_load(at: *const u32) -> u64;
    fn umlab_exchange(at: *mut u32, expected: u32, new: u32) -> u64;
    static umlab_copy_at: u8;
    static umlab_copy_out: u8;
    static umlab_load_at: u8;
    static umlab_exchange_at: u8;
    static umlab_fault_out: u8;
}

/// Copies upwards, byte by byte as far as anyone can tell. Returns how many bytes were copied:
/// fewer than `len` when memory was missing.
///
/// # Safety
/// `[to, to + len)` and `[from, from + len)` are mappings that are made for this: nothing of Rust's
/// lies there but for slices that the caller has borrowed accordingly. What they map may be
/// missing.
pub unsafe fn copy(to: *mut u8, from: *const u8, len: usize) -> usize {
    // SAFETY: as the caller says.
    len - unsafe { umlab_copy(to, from, len) }
}

/// Loads a 32-bit word atomically; nothing when the memory is missing.
///
/// # Safety
/// As for [`copy`]; `at` is a multiple of 4.
pub unsafe fn load(at: *const u32) -> Option<u32> {
    // SAFETY: as the caller says.
    u32::try_from(unsafe { umlab_load(at) }).ok()
}

/// Replaces a 32-bit word atomically if it is `expected`. Returns what it was; nothing when the
/// memory is missing.
///
/// # Safety
/// As for [`copy`]; `at` is a multiple of 4.
pub unsafe fn compare_exchange(at: *mut u32, expected: u32, new: u32) -> Option<u32> {
    // SAFETY: as the caller says.
    u32::try_from(unsafe { umlab_exchange(at, expected, new) }).ok()
}

/// Lets an interrupted operation of this module end, by changing where the signal returns to. False
/// for a fault of something else.
pub fn end_after_fault(context: &mut libc::ucontext_t) -> bool {
    let rip = &mut context.uc_mcontext.gregs[libc::REG_RIP as usize];
    let at = |symbol: *const u8| *rip == symbol as i64;
    let out = if at(&raw const umlab_copy_at) {
        &raw const umlab_copy_out
    } else if at(&raw const umlab_load_at) || at(&raw const umlab_exchange_at) {
        &raw const umlab_fault_out
    } else {
        return false;
    };
    *rip = out as i64;
    true
}

/// What makes a fault of the core harmless, if anything: the file that belongs there is mapped, or
/// the copy ends. The interrupted code goes on.
pub fn recover(signal: i32, addr: usize, context: &mut libc::ucontext_t) -> bool {
    signal == libc::SIGSEGV && crate::memory::map_missing(addr) || end_after_fault(context)
}

/// The handler of faults of core code. An error of the core is reported, and then the instruction
/// faults again, without a handler.
///
/// # Safety
/// The arguments are what the host passes to a handler with SA_SIGINFO.
pub unsafe extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: as the caller says.
    let (info, context) = unsafe { (&*info, &mut *context.cast::<libc::ucontext_t>()) };
    // One that was sent by somebody is no fault of an instruction.
    // SAFETY: reading what a fault's siginfo holds.
    let addr = unsafe { info.si_addr() } as usize;
    if info.si_code > 0 && recover(signal, addr, context) {
        return;
    }
    // SAFETY: reading what a fault's siginfo holds; write(2) and signal(2) are async-signal-safe.
    // The instruction faults again.
    unsafe {
        let rip = context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize;
        report(signal, info.si_addr() as usize, rip);
        libc::signal(signal, libc::SIG_DFL);
    }
}

/// Says where the core broke, without anything that could break too.
pub fn report(signal: i32, addr: usize, rip: usize) {
    let distance = rip.wrapping_sub(umlab_copy as *const () as usize);
    let mut text = [0u8; 256];
    let mut rest = &mut text[..];
    use std::io::Write;
    let _ = writeln!(
        rest,
        "uml: the guest kernel crashed (signal {signal} at address {addr:#x}, {distance:#x} bytes from umlab_copy) and ends with all its guests. \
         Please report it; `gdb --args uml ...` shows where it is."
    );
    let left = rest.len();
    // SAFETY: the bytes written above.
    unsafe { libc::write(2, text.as_ptr().cast(), text.len() - left) };
}

/// Installs the fault handler of this process. Models that take the host's signals themselves call
/// [`on_fault`].
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: all-zero is a valid sigaction; it is filled as sigaction(2) says. Threads have
        // alternate stacks from Rust's runtime.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_fault as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            for signal in [libc::SIGBUS, libc::SIGSEGV] {
                libc::sigaction(signal, &raw const action, std::ptr::null_mut());
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{FileMapping, PAGE};
    use std::os::fd::AsFd;

    /// A mapping of two pages of a file that has only one.
    fn cut_file() -> (std::fs::File, FileMapping) {
        install();
        let file = tempfile::tempfile().unwrap();
        file.set_len(2 * PAGE as u64).unwrap();
        let mapping = FileMapping::shared(&file.as_fd()).unwrap();
        file.set_len(PAGE as u64).unwrap();
        (file, mapping)
    }

    #[test]
    fn a_copy_ends_where_memory_does() {
        let (_file, mapping) = cut_file();
        let mut out = [1u8; 100];
        assert_eq!(mapping.window(PAGE - 10, 100).read(&mut out), Ok(10));
        assert_eq!((out[9], out[10]), (0, 1));
        assert_eq!(mapping.window(PAGE - 10, 100).write(&out), Ok(10));
        assert_eq!(mapping.window(PAGE, 100).read(&mut out), Err(crate::Errno::EFAULT));
    }

    #[test]
    fn words_that_are_gone() {
        let (_file, mapping) = cut_file();
        assert_eq!(mapping.window(0, 4).load_u32(), Some(0));
        assert_eq!(mapping.window(0, 4).compare_exchange_u32(0, 0xffff_ffff), Some(0));
        assert_eq!(mapping.window(0, 4).load_u32(), Some(0xffff_ffff));
        assert_eq!(mapping.window(PAGE, 4).load_u32(), None);
        assert_eq!(mapping.window(PAGE, 4).compare_exchange_u32(0, 1), None);
    }
}
