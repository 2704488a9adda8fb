use super::{Batch, Offered, Primitive};
use crate::timing::each;
use anyhow::{Result, ensure};
use std::arch::{asm, global_asm};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a system call costs at the least that was rewritten into a call of code that answers it
/// where it is made.
pub const REWRITTEN_CALL: Primitive = Primitive {
    name: "rewritten-call",
    summary: "a call in the place of a system call, answered in the process",
    definition: "a call of a function, through one that saves flags and all registers which a system call preserves \
                 and a function does not; the same with the vector registers",
    batches,
};

global_asm!(
    // What the place of a `syscall` calls: rax is the number, rdi, rsi, rdx, r10, r8 and r9 are the
    // arguments. As after a system call all is as before, but for rax, the result, and rcx and r11.
    // Steps over the red zone, in which the return address lies already: a rewriter has to jump
    // here and back instead where a function may use it.
    ".global umlab_rewritten_call, umlab_rewritten_call_vectors",
    ".macro umlab_save",
    "lea rsp, [rsp - 128]",
    "pushfq",
    "cld",
    "push rbp",
    "mov rbp, rsp",
    "push r9",
    "push r8",
    "push r10",
    "push rdx",
    "push rsi",
    "push rdi",
    "push rax",
    ".endm",
    ".macro umlab_restore",
    // Not the number: rax is the result.
    "lea rsp, [rbp - 48]",
    "pop rdi",
    "pop rsi",
    "pop rdx",
    "pop r10",
    "pop r8",
    "pop r9",
    "pop rbp",
    "popfq",
    "lea rsp, [rsp + 128]",
    "ret",
    ".endm",
    // The frame stays addressable by rbp, which functions preserve.
    "umlab_rewritten_call:",
    "umlab_save",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {answer}",
    "umlab_restore",
    "umlab_rewritten_call_vectors:",
    "umlab_save",
    "mov rdi, rsp",
    "sub rsp, 256",
    "and rsp, -16",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "movaps [rsp + 16 * \\n], xmm\\n",
    ".endr",
    "call {answer}",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "movaps xmm\\n, [rsp + 16 * \\n]",
    ".endr",
    "umlab_restore",
    ".purgem umlab_save",
    ".purgem umlab_restore",
    answer = sym answer,
);

/// What a process knows of itself, and a call asks for.
static IDENTITY: AtomicU64 = AtomicU64::new(4711);

/// What the trampoline saves, from the lowest address.
#[repr(C)]
struct Frame {
    number: u64,
    args: [u64; 6],
}

extern "C" fn answer(frame: &Frame) -> u64 {
    match frame.number as i64 {
        libc::SYS_getppid => IDENTITY.load(Relaxed).wrapping_add(frame.args[0]),
        _ => -i64::from(libc::ENOSYS) as u64,
    }
}

/// A place where a `syscall` was.
macro_rules! place {
    ($trampoline:literal) => {
        |argument: u64| -> u64 {
            let result;
            // SAFETY: the trampoline calls `answer` and keeps all else as it is, but for the vector
            // registers, if it does not save them. The compiler leaves the red zone free for it.
            unsafe {
                asm!(concat!("call ", $trampoline), inlateout("rax") libc::SYS_getppid => result, in("rdi") argument,
                    in("rsi") 0u64, in("rdx") 0u64, in("r10") 0u64, in("r8") 0u64, in("r9") 0u64,
                    lateout("rcx") _, lateout("r11") _, lateout("xmm0") _, lateout("xmm1") _, lateout("xmm2") _,
                    lateout("xmm3") _, lateout("xmm4") _, lateout("xmm5") _, lateout("xmm6") _, lateout("xmm7") _,
                    lateout("xmm8") _, lateout("xmm9") _, lateout("xmm10") _, lateout("xmm11") _, lateout("xmm12") _,
                    lateout("xmm13") _, lateout("xmm14") _, lateout("xmm15") _);
            }
            result
        }
    };
}

fn batches() -> Result<Vec<(&'static str, Offered)>> {
    Ok(vec![
        ("rewritten-call", Ok(calls(place!("umlab_rewritten_call")))),
        ("rewritten-call with vector registers", Ok(calls(place!("umlab_rewritten_call_vectors")))),
    ])
}

fn calls(call: impl Fn(u64) -> u64 + 'static) -> Batch {
    let mut argument = 0;
    Box::new(each(move || {
        argument += 1;
        let result = call(black_box(argument));
        ensure!(result == IDENTITY.load(Relaxed) + argument, "the answer is wrong: {result}");
        Ok(())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The registers that a system call preserves and a function need not, and the flags.
    #[test]
    fn all_is_as_before_but_the_result() {
        macro_rules! check {
            ($trampoline:literal, $($vectors:tt)*) => {{
                let [mut rdi, mut rsi, mut rdx, mut r10, mut r8, mut r9] = [1u64, 2, 3, 4, 5, 6];
                let (result, carry): (u64, u64);
                // SAFETY: as in `place`.
                unsafe {
                    asm!("stc", concat!("call ", $trampoline), "setc cl", "movzx ecx, cl",
                        inlateout("rax") libc::SYS_getppid => result, inout("rdi") rdi, inout("rsi") rsi,
                        inout("rdx") rdx, inout("r10") r10, inout("r8") r8, inout("r9") r9,
                        out("rcx") carry, lateout("r11") _, $($vectors)*);
                }
                assert_eq!([rdi, rsi, rdx, r10, r8, r9], [1, 2, 3, 4, 5, 6]);
                assert_eq!((result, carry), (4712, 1));
            }};
        }
        let (mut first, mut last) = (7.5f64, 8.5f64);
        check!("umlab_rewritten_call_vectors", inout("xmm0") first, inout("xmm15") last);
        assert_eq!((first, last), (7.5, 8.5));
        check!("umlab_rewritten_call", clobber_abi("C"));
    }
}
