//! Threads execute a site while it is rewritten and restored thousands of times, and while signals
//! hit them wherever they are.

mod common;

use common::{carry_out, memory, read, write};
use std::arch::global_asm;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use umlab_rewrite::*;

/// What the entry answers.
const ANSWER: u64 = 4711;

global_asm!(".global umlab_race_entry", "umlab_race_entry:", "mov eax, 4711", "jmp rcx",);

unsafe extern "C" {
    fn umlab_race_entry();
}

/// One test at a time has the handlers.
static ONE: Mutex<()> = Mutex::new(());
static PATCHES: AtomicPtr<Patches> = AtomicPtr::new(std::ptr::null_mut());
static RETRIES: AtomicU64 = AtomicU64::new(0);
static IN_DETOUR: AtomicU64 = AtomicU64::new(0);

fn patches() -> &'static Patches {
    // SAFETY: it is set before there are signals, to what is never freed.
    unsafe { &*PATCHES.load(SeqCst) }
}

/// A model's part: who met the first byte tries again.
extern "C" fn illegal(_: i32, _: *mut libc::siginfo_t, context: *mut libc::ucontext_t) {
    // SAFETY: the host made it for this handler.
    let ip = unsafe { (*context).uc_mcontext.gregs[libc::REG_RIP as usize] } as u64;
    if let Some((_, Spot::First)) = patches().locate(ip) {
        RETRIES.fetch_add(1, SeqCst);
    } else {
        std::process::abort();
    }
}

/// A signal that shows the program its own address, and lets it go on there.
extern "C" fn interrupt(_: i32, _: *mut libc::siginfo_t, context: *mut libc::ucontext_t) {
    // SAFETY: the host made it for this handler.
    let ip = unsafe { &mut (*context).uc_mcontext.gregs[libc::REG_RIP as usize] };
    match patches().locate(*ip as u64) {
        Some((_, Spot::Ours(original))) => {
            *ip = original.ip() as i64;
            IN_DETOUR.fetch_add(1, SeqCst);
        }
        Some((_, Spot::Inside)) => std::process::abort(),
        Some((_, Spot::First)) | None => {}
    }
}

fn handle(signal: i32, handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::ucontext_t)) {
    // SAFETY: the handlers are for SA_SIGINFO, and neither allocate nor lock.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        assert_eq!(libc::sigaction(signal, &raw const action, std::ptr::null_mut()), 0);
    }
}

/// `code` is a function without arguments at `start`, with a `syscall` at `site`, that makes a call
/// with number `number`.
fn race(start: u64, code: &[u8], site: u64, number: u64, room: &Room, expected: Form) {
    let _one = ONE.lock();
    write(start, code);
    let window = read(start, code.len());
    let mut registers = Registers { general: [0x5555_0000_0000; 16], flags: 0x246 };
    registers.general[0] = number;
    let accessible = &|_| false;
    let window = Window::first(start, &window);
    let site = Site { address: site, window, registers: &registers, starts: &[], text: Text::Private, accessible };
    let mut set = Patches::new(1);
    let rewrite = set.consider(&site, room, umlab_race_entry as *const () as u64).unwrap();
    assert_eq!(rewrite.form(), expected);
    set.insert(rewrite.clone()).unwrap();
    PATCHES.store(Box::into_raw(Box::new(set)), SeqCst);
    handle(libc::SIGILL, illegal);
    handle(libc::SIGUSR1, interrupt);

    // SAFETY: the code is such a function.
    let function: extern "C" fn() -> u64 = unsafe { std::mem::transmute(start as usize) };
    let plain = function();
    assert_ne!(plain, ANSWER);
    let end = Arc::new(AtomicBool::new(false));
    let counts = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (end, counts) = (end.clone(), counts.clone());
            std::thread::spawn(move || {
                let mut own = [0, 0];
                while !end.load(SeqCst) {
                    let result = function();
                    assert!(result == plain || result == ANSWER, "{result:#x}");
                    own[usize::from(result == ANSWER)] += 1;
                }
                (0..2).for_each(|at| _ = counts[at].fetch_add(own[at], SeqCst));
            })
        })
        .collect();
    use std::os::unix::thread::JoinHandleExt;
    let (begin, mut rounds) = (Instant::now(), 0u64);
    let rest = |rounds: u64| {
        if rounds.is_multiple_of(16) {
            std::thread::sleep(Duration::from_micros(50));
        }
    };
    while rounds < 4000 || begin.elapsed() < Duration::from_secs(2) {
        carry_out(&rewrite.apply());
        // SAFETY: the threads are not joined yet.
        threads.iter().for_each(|thread| _ = unsafe { libc::pthread_kill(thread.as_pthread_t(), libc::SIGUSR1) });
        rest(rounds);
        carry_out(&rewrite.patch().undo());
        rest(rounds);
        rounds += 1;
    }
    carry_out(&rewrite.apply());
    let answered = function();
    end.store(true, SeqCst);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(answered, ANSWER);
    let [trapped, answered] = [0, 1].map(|at: usize| counts[at].load(SeqCst));
    println!(
        "{expected:?}: {rounds} rounds, {trapped} calls of the host, {answered} of the entry, {} retries, \
         {} signals in the detour",
        RETRIES.swap(0, SeqCst),
        IN_DETOUR.swap(0, SeqCst),
    );
    assert!(trapped > 0 && answered > 0);
}

const GETPID: u32 = libc::SYS_getpid as u32;

#[test]
fn a_near_jump() {
    let code = memory(None);
    // Across two cache lines.
    let start = code + 0x100 - 3;
    let bytes = [&[0xb8][..], &GETPID.to_le_bytes(), &[0x0f, 0x05, 0xc3]].concat();
    race(start, &bytes, start + 5, GETPID.into(), &Room::near(code + 0x8000..code + 0x9000), Form::Near);
}

#[test]
fn a_near_jump_behind_a_prefix() {
    let code = memory(None);
    let start = code + 0x100 - 1;
    let bytes = [&[0x48, 0xc7, 0xc0][..], &GETPID.to_le_bytes(), &[0x0f, 0x05, 0xc3]].concat();
    race(start, &bytes, start + 7, GETPID.into(), &Room::near(code + 0x8000..code + 0x9000), Form::Near);
}

#[test]
fn a_jump_through_the_table() {
    let (code, detours, _table) = (memory(Some(0x1234_5679_0000)), memory(None), memory(Some(TABLE.start)));
    let start = code + 0x100 - 4;
    let bytes = [&[0xb8][..], &GETPID.to_le_bytes(), &[0x0f, 0x05, 0xc3]].concat();
    let room = Room::with_table(detours..detours + 0x1000, TABLE);
    race(start, &bytes, start + 5, GETPID.into(), &room, Form::Table);
}

#[test]
fn a_short_jump() {
    let code = memory(None);
    // read() with any arguments but no descriptor: push %rdi; mov $-1,%edi; xor %eax,%eax; syscall;
    // pop %rdi; ret
    let start = code + 0x100 - 7;
    let mut bytes = vec![0x57, 0xbf, 0xff, 0xff, 0xff, 0xff, 0x31, 0xc0, 0x0f, 0x05, 0x5f, 0xc3];
    let site = start + 8;
    bytes.resize(bytes.len() + 11, 0x90);
    race(start, &bytes, site, 0, &Room::near(code + 0x8000..code + 0x9000), Form::Short);
}
