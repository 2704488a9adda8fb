//! Rewriting of `syscall` instructions into jumps to the kernel, for models whose kernel can be
//! called by user code.
//!
//! A `syscall` that traps costs microseconds, a jump costs nanoseconds. So the site that trapped is
//! rewritten. This crate decides whether that can be done, and writes down what has to be done. It
//! touches no memory but its own: the model reads the code, and carries out the [`Step`]s.
//!
//! # What is changed
//!
//! Only bytes of one instruction *before* the `syscall`, the **lead**. It becomes a jump to the
//! **detour**: code of ours that does what the lead did, and what stands between it and the
//! `syscall`, and then jumps to the kernel's **entry**. The entry comes back behind the `syscall`.
//!
//! The `syscall` itself always stays, and with it everything from the lead's end on. Whoever jumps
//! to the `syscall`, with whatever number, traps as before. A thread that sleeps in the call, a
//! signal frame that was saved at any instruction, a jump that joins behind the call: all addresses
//! where code can be entered still hold the old instructions. Only the inside of the lead does not.
//!
//! | form | the lead | bytes changed |
//! |---|---|---|
//! | [`Form::Near`] | at least 5 bytes, mostly `mov $n,%eax` | `jmp rel32` |
//! | [`Form::Table`] | the same, where no detour fits in reach | `jmp *slot`, see [`TABLE`] |
//! | [`Form::Short`] | at least 2 bytes, as `xor %eax,%eax` | `jmp rel8` to padding behind the function, which gets one of the jumps above |
//!
//! # The evidence
//!
//! Bytes before the `syscall` are ambiguous: `b8 27 00 00 00` may be `mov $39,%eax` or the tail of
//! something longer. One instruction start is certain, the `syscall` that trapped. The rest is
//! [`Proof`]:
//!
//! - [`Proof::Decoded`]: the model knows an earlier start (a symbol, an entry of `.eh_frame_hdr`,
//!   where a signal interrupted a thread), and decoding from there meets the lead.
//! - [`Proof::Registers`]: the lead loads a constant number, and the trapped thread has exactly
//!   that in rax. And each other way to read the bytes, from every start that would change them,
//!   does not reach the `syscall`, or contradicts the registers: it would have left another value,
//!   or have accessed memory where there is none.
//!
//! `Registers` assumes that the thread came from above, or that nothing else does. Code that both
//! jumps to the `syscall` with number n, and also falls into it from an instruction that ends in
//! the bytes of `mov $n,%eax`, deceives it; so do data that end in them, just before code that is
//! reached by a jump, which are changed then. No compiler writes that, and a program that does
//! hurts itself only. A model that wants to be certain takes only patches whose [`Rewrite::proof`]
//! is `Decoded`.
//!
//! # Threads in the middle of it
//!
//! [`Patch::apply`] gives the order. The first byte becomes [`TRAP`], which is no instruction in
//! 64-bit mode, then the others are changed, and at last the first one. Between these stands
//! [`Step::Serialize`]. So a thread that comes along executes the old instruction, the new one, or
//! none: then it gets SIGILL, with an instruction pointer for which [`Patches::locate`] says
//! [`Spot::First`], and is to try again.
//!
//! # The entry
//!
//! The detour jumps to the entry. Nothing is pushed, and the stack need not be valid. On arrival:
//!
//! - rax is the number; rdi, rsi, rdx, r10, r8 and r9 are the arguments;
//! - rcx is the address behind the `syscall`, as the instruction itself leaves it. It is an
//!   allegation: a guest can jump to the entry with any value;
//! - r11 is free, the flags are the program's, and all else is as the program has it: rsp with 128
//!   bytes below it in use, the segment bases, vector registers, the direction flag.
//!
//! The entry keeps all but rax, rcx and r11, puts the result into rax, and jumps to the address it
//! found in rcx. A program that looks finds its flags in r11 after a `syscall`; so it should there.
//!
//! # What the model has to do
//!
//! - Serialise work on one address space: no two patches are written at once, and no fork takes
//!   place in the middle of one.
//! - Write to memory that is this address space's own ([`Text::Private`]). Detours are at
//!   addresses, so a patched frame must not show up elsewhere.
//! - On fork, clone [`Patches`] with the memory. On exec, [`Patches::clear`]. When code is
//!   unmapped, replaced, made writable or written to (by a tracer that sets a breakpoint),
//!   [`Patch::undo`] what is [`Patches::within`], and then [`Patches::remove`] it. The room of a
//!   detour is free again when no thread is in it.
//! - At SIGILL, ask [`Patches::locate`], and then [`Patches::is_stale`].
//! - Show the old bytes to whoever reads the code: [`Patches::restore`].
//! - Translate the instruction pointer of every signal frame, core dump and stop of a tracer by
//!   [`Patches::locate`].
//! - For a task that is single-stepped: after a step into a detour, continue at the original
//!   address, where the program's own instructions are. If that is where the step began, nothing of
//!   the program was executed yet: step again, in the detour.

#![forbid(unsafe_code)]

mod code;
mod detour;
mod evidence;
mod patch;
mod patches;
mod plan;
mod room;
mod site;
mod why;

pub use detour::{Detour, MAX_DETOUR, Original, Slot};
pub use evidence::Proof;
pub use patch::{Change, Patch, Spot, Step, TRAP};
pub use patches::Patches;
pub use plan::{Form, Rewrite, plan};
pub use room::{Room, TABLE};
pub use site::{AFTER, BEFORE, FAR_BEFORE, Registers, Site, Text, Window};
pub use why::Why;

#[cfg(test)]
mod tests;
