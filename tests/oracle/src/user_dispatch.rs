//! Syscall user dispatch: prctl(2), PR_SET_SYSCALL_USER_DISPATCH.

use crate::ptraces::{end, pt, traced};
use crate::signals::handle;
use crate::sys::*;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst};

pub const CASES: &[crate::harness::Case] = cases![
    arguments, calls_are_signals, call_in_the_range, all_but_the_range, no_selector, bad_selectors, blocked_signal,
    not_inherited, begins_by_tracer, old_calls,
];

const SET: i32 = 59;
const OFF: usize = 0;
const ON: usize = 1;
const INCLUSIVE: usize = 2;
const LET_THROUGH: u8 = 0;
const BLOCK: u8 = 1;

static SELECTOR: AtomicU8 = AtomicU8::new(LET_THROUGH);
static CAUGHT: AtomicUsize = AtomicUsize::new(0);
/// Of the last signal: code, errno, number, architecture, and RAX as the frame had it.
static LAST: [AtomicI64; 5] = [const { AtomicI64::new(0) }; 5];
/// Whether the address it names is that of the next instruction.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Answers the call in the place of the kernel.
extern "C" fn answer(_: i32, info: *mut siginfo_t, context: *mut c_void) {
    SELECTOR.store(LET_THROUGH, SeqCst);
    CAUGHT.fetch_add(1, SeqCst);
    // SAFETY: the kernel passes valid pointers to a handler installed with SA_SIGINFO; SIGSYS has
    // an address at byte 16, the number and the architecture behind it.
    unsafe {
        let (words, registers) = (info.cast::<i32>(), &mut (*context.cast::<ucontext_t>()).uc_mcontext.gregs);
        LAST[0].store((*info).si_code.into(), SeqCst);
        LAST[1].store((*info).si_errno.into(), SeqCst);
        LAST[2].store(words.add(6).read().into(), SeqCst);
        LAST[3].store(words.add(7).cast::<u32>().read().into(), SeqCst);
        LAST[4].store(registers[REG_RAX as usize], SeqCst);
        let called = info.cast::<u64>().add(2).read_unaligned() as i64;
        NEXT.store((called == registers[REG_RIP as usize]).into(), SeqCst);
        registers[REG_RAX as usize] = 4711;
    }
}

fn show() {
    let last: Vec<i64> = LAST.iter().map(|word| word.load(SeqCst)).collect();
    println!("{} caught; {last:?}, next {}", CAUGHT.load(SeqCst), NEXT.load(SeqCst));
}

fn catch() {
    handle(SIGSYS, answer as *const () as usize, SA_SIGINFO, &[]);
}

/// Makes a call while the selector has this value. The handler puts it back.
macro_rules! with_selector {
    ($value:expr, $($call:tt)*) => {{
        SELECTOR.store($value, SeqCst);
        let result = sc!($($call)*);
        SELECTOR.store(LET_THROUGH, SeqCst);
        println!("{}: {result}", stringify!($($call)*));
    }};
}

fn arguments() {
    let byte = SELECTOR.as_ptr() as usize;
    let (top, end) = (1usize << 47, usize::MAX);
    for (mode, start, len, selector) in [
        (OFF, 0, 0, 0),
        (OFF, 1, 0, 0),
        (OFF, 0, 1, 0),
        (OFF, 0, 0, byte),
        (ON, 0, 0, byte),
        (ON, 0, end, byte),
        (ON, 0, end, 0),
        (ON, 1, 0, byte),
        (ON, 1, end, byte),
        (ON, 1, end - 1, byte),
        (ON, end, 1, byte),
        // All code is in the range: nobody reads the selector.
        (ON, 0, end, top - PAGE - 1),
        (ON, 0, end, top),
        (ON, 0, end, end),
        (ON, 1, 0, top),
        (3, 0, 0, 0),
        (end, 0, 0, 0),
    ] {
        let result = sc!(SYS_prctl, SET, mode, start, len, selector);
        sc!(SYS_prctl, SET, OFF, 0, 0, 0);
        println!("{mode} {start:x} {len:x} {} = {result}", selector == byte);
    }
}

fn calls_are_signals() {
    catch();
    must!(SYS_prctl, SET, ON, 0, 0, SELECTOR.as_ptr() as usize);
    t!(SYS_dup, 999);
    with_selector!(BLOCK, SYS_dup, 999);
    show();
    // One that does not exist, and one that would end the process.
    println!("{}", {
        SELECTOR.store(BLOCK, SeqCst);
        raw(9999, &[])
    });
    show();
    with_selector!(BLOCK, SYS_exit_group, 3);
    show();
    t!(SYS_prctl, SET, OFF, 0, 0, 0);
    with_selector!(BLOCK, SYS_dup, 999);
    show();
}

fn call_in_the_range() {
    catch();
    // The whole program's code, that of `raw` in it.
    let code = raw as *const () as usize;
    must!(SYS_prctl, SET, ON, code & !0xfff_ffff, 0x2000_0000, SELECTOR.as_ptr() as usize);
    with_selector!(BLOCK, SYS_dup, 999);
    show();
    must!(SYS_prctl, SET, ON, 4096, 4096, SELECTOR.as_ptr() as usize);
    with_selector!(BLOCK, SYS_dup, 999);
    show();
}

fn all_but_the_range() {
    catch();
    let code = raw as *const () as usize;
    let result = sc!(SYS_prctl, SET, INCLUSIVE, code & !0xfff_ffff, 0x2000_0000, SELECTOR.as_ptr() as usize);
    // Kernels before 6.16 have no such mode.
    if result.is_ok() {
        SELECTOR.store(BLOCK, SeqCst);
        sc!(SYS_dup, 999);
        assert_eq!(CAUGHT.load(SeqCst), 1, "a call from the range");
        must!(SYS_prctl, SET, INCLUSIVE, 4096, 4096, SELECTOR.as_ptr() as usize);
        SELECTOR.store(BLOCK, SeqCst);
        sc!(SYS_dup, 999);
        assert_eq!(CAUGHT.load(SeqCst), 1, "a call from elsewhere");
        SELECTOR.store(LET_THROUGH, SeqCst);
        assert_eq!(sc!(SYS_prctl, SET, INCLUSIVE, 0, 0, 0).0, -i64::from(EINVAL));
        assert_eq!(sc!(SYS_prctl, SET, INCLUSIVE, usize::MAX, 2, 0).0, -i64::from(EINVAL));
    }
}

/// Without a selector each call is a signal: sigreturn too, so the handler must not need it.
fn no_selector() {
    v!(in_child(|| {
        must!(SYS_prctl, SET, ON, 0, 0, 0);
        sc!(SYS_dup, 999);
    }));
    v!(in_child(|| {
        // The handler's own sigreturn is refused, while SIGSYS is blocked: that is the end.
        catch();
        must!(SYS_prctl, SET, ON, 0, 0, 0);
        sc!(SYS_dup, 999);
    }));
}

fn bad_selectors() {
    for value in [2, 255] {
        v!(in_child(|| {
            catch();
            must!(SYS_prctl, SET, ON, 0, 0, SELECTOR.as_ptr() as usize);
            SELECTOR.store(value, SeqCst);
            sc!(SYS_dup, 999);
        }));
    }
    for protection in [PROT_NONE, PROT_READ] {
        v!(in_child(|| {
            catch();
            handle(SIGSEGV, answer as *const () as usize, SA_SIGINFO, &[]);
            let page = map(PAGE, protection, ANON);
            must!(SYS_prctl, SET, ON, 0, 0, page + 8);
            t!(SYS_dup, 999);
        }));
    }
    v!(in_child(|| {
        handle(SIGSEGV, answer as *const () as usize, SA_SIGINFO, &[]);
        let page = map(PAGE, RW, ANON);
        must!(SYS_prctl, SET, ON, 0, 0, page);
        t!(SYS_munmap, page, PAGE);
        t!(SYS_dup, 999);
    }));
}

/// The signal cannot be held back.
fn blocked_signal() {
    v!(in_child(|| {
        catch();
        let mask = 1u64 << (SIGSYS - 1);
        must!(SYS_rt_sigprocmask, SIG_BLOCK, &mask, 0, 8);
        must!(SYS_prctl, SET, ON, 0, 0, SELECTOR.as_ptr() as usize);
        with_selector!(BLOCK, SYS_dup, 999);
    }));
    v!(in_child(|| {
        handle(SIGSYS, SIG_IGN, 0, &[]);
        must!(SYS_prctl, SET, ON, 0, 0, SELECTOR.as_ptr() as usize);
        with_selector!(BLOCK, SYS_dup, 999);
    }));
}

fn not_inherited() {
    catch();
    must!(SYS_prctl, SET, ON, 0, 0, SELECTOR.as_ptr() as usize);
    v!(in_child(|| with_selector!(BLOCK, SYS_dup, 999)));
    std::thread::scope(|scope| {
        scope.spawn(|| with_selector!(BLOCK, SYS_dup, 999));
    });
    with_selector!(BLOCK, SYS_dup, 999);
    show();
    v!(in_child(|| {
        must!(SYS_prctl, SET, ON, 0, 0, SELECTOR.as_ptr() as usize);
        let arguments = [c"/bin/true".as_ptr() as usize, 0];
        let result = sc!(SYS_execve, c"/bin/true", &arguments, &[0usize]);
        println!("{result}");
    }));
}

const GET_CONFIG: u32 = 0x4211;
const SET_CONFIG: u32 = 0x4210;

fn begins_by_tracer() {
    let pid = traced(|| with_selector!(BLOCK, SYS_dup, 999));
    let get = |size: usize| {
        let mut words = [7usize; 5];
        (pt(GET_CONFIG, pid, size, &mut words), words)
    };
    v!(get(32));
    v!(get(24));
    v!(get(40));
    let set = |words: [usize; 4], size: usize| pt(SET_CONFIG, pid, size, &words);
    v!(set([9, 0, 0, 0], 32));
    v!(set([ON, 0, 0, 0], 31));
    v!(set([ON, usize::MAX, 0, 0], 32));
    v!(set([ON, 0x1000, 0x2000, 0x3000], 32));
    v!(get(32));
    v!(set([OFF, 0, 0, 0], 32));
    v!(get(32));
    v!(pt(SET_CONFIG, pid, 32, 8));
    v!(pt(GET_CONFIG, pid, 32, 8));
    v!(set([ON, SELECTOR.as_ptr() as usize, 0, 0], 32));
    end(pid);
}

/// A call of the 32-bit interface.
fn old_calls() {
    catch();
    must!(SYS_prctl, SET, ON, 0, 0, SELECTOR.as_ptr() as usize);
    SELECTOR.store(BLOCK, SeqCst);
    let result: i64;
    // SAFETY: getpid, in registers that are named; rbx is the compiler's own and not touched.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") 20i64 => result, lateout("r8") _, lateout("r9") _,
            lateout("r10") _, lateout("r11") _);
    }
    v!(result);
    show();
}
