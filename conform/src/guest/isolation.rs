//! Attacks on the kernel, past all traps: by memory that lies in a program's address space though
//! the program has not mapped it. On Linux there is none; a process model may have put some there,
//! its kernel's even.

use crate::guarded::{guarded, load, store};
use crate::tools::*;
use crate::verdict::{Not, Verdict, ensure, must};

/// One past the last address of user code.
const END: usize = 0x7fff_ffff_f000;
const WINDOW: usize = 2 << 20;
/// Where it is looked for: down from the end by steps, until so far from it. What a process model
/// has there is large, or at the top.
const STEPS: [(usize, usize); 3] = [(PAGE, WINDOW), (WINDOW, 2 << 30), (32 << 20, 128 << 30)];

std::arch::global_asm!(
    // attack_find(page, words): where the complements of the two words lie in the page; 1 when they
    // do not, 0 when all of it is zero. Registers hold no word that is looked for: a page may hold
    // the registers of this very thread.
    ".global attack_find, attack_touch, attack_store, attack_jump",
    "attack_find:",
    "mov r8, [rsi]",
    "mov r9, [rsi + 8]",
    "xor edx, edx",
    "lea rcx, [rdi + 4088]",
    "2:",
    "mov rax, [rdi]",
    "or rdx, rax",
    "not rax",
    "cmp rax, r8",
    "jne 3f",
    "mov rax, [rdi + 8]",
    "not rax",
    "cmp rax, r9",
    "je 4f",
    "3:",
    "add rdi, 8",
    "cmp rdi, rcx",
    "jb 2b",
    "xor eax, eax",
    "test rdx, rdx",
    "setne al",
    "ret",
    "4:",
    "mov rax, rdi",
    "ret",
    // Writes, and changes nothing, whoever else writes there.
    "attack_touch:",
    "lock or byte ptr [rdi], 0",
    "ret",
    "attack_store:",
    "mov [rdi], rsi",
    "ret",
    // attack_jump(code, place): goes to the code with the registers of a call that fills the place:
    // uname, as a 64-bit call or, where the code is int 0x80, as a 32-bit one.
    "attack_jump:",
    "mov rdx, rdi",
    "mov rdi, rsi",
    "mov rbx, rsi",
    "mov eax, 63",
    "cmp word ptr [rdx], 0x80cd",
    "jne 2f",
    "mov eax, 122",
    "2:",
    "jmp rdx",
);

unsafe extern "C" {
    fn attack_find(page: usize, words: usize) -> usize;
    fn attack_touch(at: usize, _: usize) -> usize;
    fn attack_store(at: usize, word: usize) -> usize;
    fn attack_jump(code: usize, place: usize) -> usize;
}

/// The ranges that the kernel lists for this process.
fn listed() -> Vec<(usize, usize)> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let range = |line: &str| {
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
    };
    maps.lines().filter_map(range).collect()
}

/// The first page, of readable memory that this process has not mapped, at which something is
/// found; those at the top come first. Where nothing but zeros is seen, no more is touched: it may
/// be large, and the host's memory with it.
fn search(mut find: impl FnMut(usize) -> Option<usize>) -> Option<usize> {
    let is_in = |own: &[(usize, usize)], at: usize| own.iter().any(|&(from, to)| (from..to).contains(&at));
    let own = listed();
    let holds = |at: usize| !is_in(&own, at) && load(at).is_ok();
    // It may have mapped more since.
    let mut find = |at: usize| find(at).filter(|_| !is_in(&listed(), at));
    let is_used = |window: usize, looks: usize| {
        let seen = |at: usize| guarded(attack_find, at, UNLIKELY.as_ptr() as usize);
        holds(window) && (window..window + WINDOW).step_by(WINDOW / looks).any(|at| seen(at) == Ok(1))
    };
    let mut in_pages = |from: usize, to: usize| (from..to).step_by(PAGE).filter(|&at| holds(at)).find_map(&mut find);
    let mut last = END;
    for (step, until) in STEPS {
        while last > END - until && last > step {
            last = (last - step) & !(step.min(WINDOW) - 1);
            let found = match step {
                PAGE => in_pages(last, last + PAGE),
                WINDOW if is_used(last, 32) => in_pages(last, last + WINDOW),
                // Between wide steps there is more.
                _ if step > WINDOW && is_used(last, 2) => in_pages(last - step / 2, last + step / 2),
                _ => None,
            };
            if found.is_some() {
                return found;
            }
        }
    }
    None
}

/// Words that are nowhere in a row.
const UNLIKELY: [u64; 2] = [0x9d3c_5f01_77aa_e2c4, 0x1b6e_08d2_93f5_4c7a];

/// What nobody but the kernel and another process has.
struct Secret {
    /// Their complements.
    words: [u64; 2],
    /// The other process, and what it waits at.
    keeper: i32,
    gate: Gate,
}

impl Secret {
    fn hide() -> Result<Secret, Not> {
        const PAGES: usize = 32768;
        let mut words = [0u64; 2];
        // SAFETY: room for so many bytes.
        must("getrandom", unsafe { libc::getrandom(words.as_mut_ptr().cast(), 16, 0) } as i64)?;
        let gate = Gate::new()?;
        let keeper = child(|| {
            let at = map(PAGES, WRITE, false)?;
            // SAFETY: the memory that was just made.
            let all = unsafe { std::slice::from_raw_parts_mut(at as *mut [u64; 2], PAGES * PAGE / 16) };
            all.fill(words);
            gate.open();
            pause(60_000);
            Ok(())
        })?;
        gate.wait();
        let mut pipe = [0; 2];
        // SAFETY: room for two descriptors, and the words.
        unsafe {
            must("pipe", libc::pipe(pipe.as_mut_ptr()).into())?;
            for _ in 0..1000 {
                must("write", libc::write(pipe[1], words.as_ptr().cast(), 16) as i64)?;
            }
        }
        Ok(Secret { words: words.map(|word| !word), keeper, gate })
    }

    /// Where it lies in memory that is not this process's.
    fn find(&self) -> Option<usize> {
        search(|page| match guarded(attack_find, page, self.words.as_ptr() as usize) {
            Ok(0 | 1) | Err(_) => None,
            Ok(at) => Some(at),
        })
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.gate.open();
        kill(self.keeper, libc::SIGKILL);
        let _ = wait_for(self.keeper);
    }
}

pub fn core_read() -> Verdict {
    let secret = Secret::hide()?;
    let found = secret.find();
    ensure!(found.is_none(), "what another process has is readable at {:#x}", found.unwrap_or(0));
    Ok(())
}

pub fn core_write() -> Verdict {
    let secret = Secret::hide()?;
    let Some(at) = secret.find() else { return Ok(()) };
    ensure!(store(at, 0).is_err(), "what another process has is writable at {at:#x}");
    Ok(())
}

pub fn writable() -> Verdict {
    let found = search(|page| guarded(attack_touch, page, 0).is_ok().then_some(page));
    ensure!(found.is_none(), "{:#x} is writable, and nobody has mapped it", found.unwrap_or(0));
    Ok(())
}

/// Writes all over the memory that the program has not mapped, while its other thread traps in many
/// ways: if that harms anybody, it is the program.
pub fn scribbled() -> Verdict {
    let pages = writable_pages()?;
    if pages.is_empty() {
        return Ok(());
    }
    for seed in 0..5 {
        let scribbler = child(|| scribble(&pages, seed))?;
        let beside = child(compute)?;
        pause(200);
        kill(scribbler, libc::SIGKILL);
        // However it ended.
        wait_for(scribbler)?;
        join(beside)?;
    }
    compute()
}

/// Pages that can be written and were not mapped: some, if there are many. Another process looks
/// for them, because what it touches on the way may make its traps slow.
fn writable_pages() -> Result<Vec<usize>, Not> {
    let found = map(1, WRITE, true)? as *mut [usize; PAGE / 8];
    join(child(|| {
        let mut count = 0;
        search(|page| {
            if guarded(attack_touch, page, 0).is_ok() {
                // SAFETY: the page that was just made, which nobody else writes.
                unsafe { (*found)[count] = page };
                count += 1;
            }
            (count == PAGE / 8).then_some(page)
        });
        Ok(())
    })?)?;
    // SAFETY: as above; the writer has ended.
    Ok(unsafe { *found }.into_iter().take_while(|&page| page != 0).collect())
}

fn scribble(pages: &[usize], seed: u64) -> Verdict {
    // It has nothing to report: what happens to it is its own affair.
    for fd in 0..3 {
        // SAFETY: a number.
        unsafe { libc::close(fd) };
    }
    let pages = pages.to_vec();
    std::thread::spawn(move || {
        let mut chance = Chance::new(seed);
        loop {
            let at = pages[chance.below(pages.len())] + chance.below(PAGE / 8) * 8;
            let value = match chance.below(4) {
                0 => 0,
                1 => at as u64,
                2 => pages[chance.below(pages.len())] as u64 + 8 * chance.next() % PAGE as u64,
                _ => chance.next(),
            };
            let _ = guarded(attack_store, at, value as usize);
        }
    });
    let nowhere = map(1, libc::PROT_NONE, false)?;
    loop {
        call(libc::SYS_getppid, [0; 4]);
        let _ = load(nowhere);
        let at = map(4, WRITE, false)?;
        let _ = store(at, 1);
        unmap(at, 4)?;
        kill(call(libc::SYS_getpid, [0; 4]) as i32, libc::SIGURG);
    }
}

/// What any process can do, and finds right.
fn compute() -> Verdict {
    for round in 0..100u8 {
        let at = map(2, WRITE, false)?;
        let _ = store(at, round);
        let found = load(at);
        ensure!(found == Ok(round), "a process beside finds {found:?} where it wrote {round}");
        unmap(at, 2)?;
        let sum = child(move || if load(at).is_err() { Ok(()) } else { exit(1) })?;
        join(sum)?;
    }
    Ok(())
}

/// So many places are tried, and so far from the end.
const JUMPS: usize = 150;
const CODE: usize = 64 << 20;

/// Jumps to the instructions for a system call that lie in foreign memory: the kernel answers them
/// as any other, or the process ends.
pub fn host_call() -> Verdict {
    const SYSCALL: [u8; 2] = [0x0f, 0x05];
    const INT80: [u8; 2] = [0xcd, 0x80];
    // Where a 32-bit call can write to.
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
    // SAFETY: the kernel chooses a free place.
    let place = must("mmap", unsafe { libc::mmap(std::ptr::null_mut(), PAGE, WRITE, flags, -1, 0) } as i64)? as usize;
    // The kernel's names, in fields of 65 bytes. What comes after the call may write there as well,
    // and leaves no text, or not in all.
    let answer = || {
        // SAFETY: the page that was just made, which is longer than the answer.
        let all = unsafe { std::ptr::read_volatile(place as *const [[u8; 65]; 6]) };
        all.map(|field| String::from_utf8_lossy(&field).trim_end_matches('\0').to_string())
    };
    let is_text = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    call(libc::SYS_uname, [place, 0, 0, 0]);
    let right = answer();
    let mut places = Vec::new();
    // Code is near the end, if there is any.
    search(|page| {
        if page < END - CODE {
            return Some(page);
        }
        let bytes: Vec<u8> = (page..page + PAGE).map_while(|at| load(at).ok()).collect();
        let calls = bytes.windows(2).enumerate().filter(|(_, two)| *two == SYSCALL || *two == INT80);
        places.extend(calls.map(|(offset, _)| page + offset));
        None
    });
    for &code in places.iter().step_by(places.len() / JUMPS + 1) {
        // SAFETY: the page that was just made.
        unsafe { (place as *mut u8).write_bytes(0, PAGE) };
        let jumper = child(|| {
            // Whatever comes after the call, it ends soon.
            // SAFETY: numbers.
            unsafe { libc::alarm(1) };
            let _ = guarded(attack_jump, code, place);
            exit(0)
        })?;
        wait_for(jumper)?;
        let other = answer().into_iter().zip(&right).find(|(found, right)| is_text(found) && found != *right);
        if let Some((found, right)) = other {
            return Err(format!("a call at {code:#x} is answered by the kernel '{found}', and not by '{right}'").into());
        }
    }
    Ok(())
}
