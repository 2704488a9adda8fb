//! What a process can learn of those that had its host objects before: where their memory was, and
//! what was in their registers.

use crate::Verdict;
use crate::tools::*;

/// An address that nothing but the victim has.
const SECRET: usize = 0x1357_9bdf_0000;

const PAGES: usize = 200;

/// Has memory at that address, changes all of it at once, has the address in every register, and
/// ends.
fn victim() {
    const WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;
    for at in (0..PAGES).map(|i| SECRET + i * PAGE) {
        map_at(at, PAGE, if (at / PAGE).is_multiple_of(2) { WRITE } else { WRITE | libc::PROT_EXEC });
        store(at, 1);
    }
    // SAFETY: pages that were just made.
    unsafe { libc::syscall(libc::SYS_mprotect, SECRET, PAGES * PAGE, libc::PROT_READ) };
    const ARCH_SET_GS: i32 = 0x1001;
    // SAFETY: nothing is behind GS, and the last block changes registers and ends the process.
    unsafe {
        libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, SECRET);
        std::arch::asm!(
            "movq xmm0, r15", "punpcklqdq xmm0, xmm0",
            "movdqa xmm1, xmm0", "movdqa xmm2, xmm0", "movdqa xmm3, xmm0", "movdqa xmm4, xmm0", "movdqa xmm5, xmm0",
            "movdqa xmm6, xmm0", "movdqa xmm7, xmm0", "movdqa xmm8, xmm0", "movdqa xmm9, xmm0", "movdqa xmm10, xmm0",
            "movdqa xmm11, xmm0", "movdqa xmm12, xmm0", "movdqa xmm13, xmm0", "movdqa xmm14, xmm0", "movdqa xmm15, xmm0",
            "fldpi", "fldpi",
            "mov rdx, r15", "mov rsi, r15", "mov rbp, r15", "mov r8, r15", "mov r9, r15", "mov r10, r15", "mov r12, r15",
            "mov r13, r15", "mov r14, r15", "mov rbx, r15",
            "xor edi, edi", "syscall",
            in("r15") SECRET, in("eax") libc::SYS_exit_group as u32, options(noreturn)
        );
    }
}

/// Looks through everything that can be read outside of what the kernel lists for this process, in
/// the highest part of the address space.
pub fn pages_of_the_model() -> Verdict {
    for _ in 0..8 {
        in_child(|| {
            victim();
            Ok(())
        });
        let looker = in_child(|| {
            let mut at = END - (1 << 20);
            while at < END {
                let word = (0..8).map_while(|i| load(at + i)).collect::<Vec<u8>>();
                let Ok(word) = <[u8; 8]>::try_from(word) else {
                    at = (at / PAGE + 1) * PAGE;
                    continue;
                };
                let word = u64::from_ne_bytes(word) as usize;
                if (SECRET..SECRET + PAGES * PAGE).contains(&word) {
                    return Err(format!("an ended process's address is readable at {at:#x}"));
                }
                at += 8;
            }
            Ok(())
        });
        verdict_of(looker)?;
    }
    Ok(())
}

std::arch::global_asm!(
    // A whole program: writes the registers it begins with to its standard output.
    ".global attacks_dump, attacks_dump_end",
    "attacks_dump:",
    "push rax",
    "push rbx",
    "push rcx",
    "push rdx",
    "push rsi",
    "push rdi",
    "push rbp",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "push 0",
    "push 0",
    "mov rbx, rsp",
    "sub rsp, 512",
    "and rsp, -16",
    "fxsave [rsp]",
    // ARCH_GET_FS and ARCH_GET_GS
    "mov eax, 158",
    "mov edi, 0x1003",
    "mov rsi, rbx",
    "syscall",
    "mov eax, 158",
    "mov edi, 0x1004",
    "lea rsi, [rbx + 8]",
    "syscall",
    // The general registers and the bases, then the others.
    "mov eax, 1",
    "mov edi, 1",
    "mov rsi, rbx",
    "mov edx, 136",
    "syscall",
    "mov eax, 1",
    "mov edi, 1",
    "mov rsi, rsp",
    "mov edx, 416",
    "syscall",
    "mov eax, 231",
    "xor edi, edi",
    "syscall",
    "attacks_dump_end:",
);

unsafe extern "C" {
    static attacks_dump: u8;
    static attacks_dump_end: u8;
}

/// An executable of that program: a file in memory, by its descriptor.
fn dump_program() -> i32 {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    // SAFETY: the symbols delimit the assembly above.
    let code = unsafe {
        let start = &raw const attacks_dump;
        std::slice::from_raw_parts(start, (&raw const attacks_dump_end).offset_from(start) as usize)
    };
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |file: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    let word = |file: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    let long = |file: &mut Vec<u8>, values: &[u64]| values.iter().for_each(|v| file.extend(v.to_le_bytes()));
    // An executable for x86-64, its entry, and where its only program header is.
    half(&mut file, &[2, 62]);
    word(&mut file, &[1]);
    long(&mut file, &[BASE + HEADERS, 64, 0]);
    word(&mut file, &[0]);
    half(&mut file, &[64, 56, 1, 64, 0, 0]);
    // All of the file, to be loaded and executed.
    word(&mut file, &[1, 5]);
    let len = HEADERS + code.len() as u64;
    long(&mut file, &[0, BASE, BASE, len, len, PAGE as u64]);
    file.extend(code);
    // SAFETY: a string; a buffer and its length.
    unsafe {
        let fd = must("memfd_create", i64::from(libc::memfd_create(c"dump".as_ptr(), 0))) as i32;
        must("write", libc::write(fd, file.as_ptr().cast(), file.len()) as i64);
        fd
    }
}

fn registers_at_start(program: i32) -> Vec<u8> {
    let output = std::process::Command::new(format!("/proc/self/fd/{program}")).output();
    let output = output.expect("the program that shows its registers");
    assert!(output.status.success() && output.stdout.len() == 136 + 416, "{output:?}");
    output.stdout
}

/// Registers of a process that has ended, in programs that begin after it.
pub fn registers() -> Verdict {
    let program = dump_program();
    let right = registers_at_start(program);
    for _ in 0..8 {
        in_child(|| {
            victim();
            Ok(())
        });
        let found = registers_at_start(program);
        if let Some(at) = (0..right.len()).find(|&at| found[at] != right[at]) {
            return Err(format!("a fresh program's registers differ at byte {at}: {found:02x?}"));
        }
    }
    Ok(())
}
