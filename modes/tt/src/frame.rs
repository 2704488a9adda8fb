//! The frame that the host leaves when a signal takes a task out of user mode, and from which
//! sigreturn enters it again: all of a guest thread's user-mode state but two segment bases.

use crate::area::SLOT;
use std::sync::OnceLock;
use umlab_host::{Errno, Result};
use umlab_model::Regs;

/// The host's `struct ucontext`, which the frame begins with.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Frame {
    pub flags: u64,
    pub link: u64,
    pub stack: [u64; 3],
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rsp: u64,
    pub rip: u64,
    pub eflags: u64,
    pub cs: u16,
    pub gs: u16,
    pub fs: u16,
    pub ss: u16,
    pub error: u64,
    pub trap: u64,
    pub old_mask: u64,
    pub cr2: u64,
    /// The extended state.
    pub extended: u64,
    pub reserved: [u64; 8],
    pub mask: u64,
}

pub const USER_CS: u16 = 0x33;
const USER_CS32: u16 = 0x23;
const USER_DS: u16 = 0x2b;
/// There is extended state in XSAVE layout; the stack segment counts, strictly.
const FLAGS: u64 = 1 | 2 | 4;
/// Room for the frame and its siginfo.
const FRAME_ROOM: usize = 1088;
/// No alternate stack while a handler runs, and this one again after the sigreturn.
const SS_AUTODISARM: u64 = 1 << 31;

const MAGIC1: u32 = 0x4650_5853;
const LEGACY: usize = 512;
/// Software's words in the legacy area: the two sizes and the features of a frame.
const SOFTWARE: std::ops::Range<usize> = 464..512;
const MXCSR: usize = 24;

/// What the host puts into a frame, in the state that a program starts with; the second magic
/// number stands at the end.
static INITIAL: OnceLock<Vec<u8>> = OnceLock::new();

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_le_bytes(b.try_into().expect("four bytes")))
}

fn word64(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

/// Finds out how this host's frames look, by a signal to ourselves.
pub fn init() -> Result<()> {
    static SEEN: SharedSlot = SharedSlot(std::cell::UnsafeCell::new(Vec::new()));
    extern "C" fn look(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        let frame = context.cast::<Frame>();
        // SAFETY: the host's frame; its extended state says how long it is. Only one signal is ever
        // sent, and waited for.
        unsafe {
            let at = (*frame).extended as *const u8;
            let legacy = std::slice::from_raw_parts(at, LEGACY);
            let len =
                if word(legacy, SOFTWARE.start) == MAGIC1 { word(legacy, SOFTWARE.start + 4) as usize } else { 0 };
            let seen = &mut *SEEN.0.get();
            let len = len.min(seen.len());
            std::ptr::copy_nonoverlapping(at, seen.as_mut_ptr(), len);
            seen.truncate(len);
        }
    }
    struct SharedSlot(std::cell::UnsafeCell<Vec<u8>>);
    // SAFETY: used by this function alone, which is called once.
    unsafe impl Sync for SharedSlot {}
    // SAFETY: the handler has the type that SA_SIGINFO asks for; it only copies into memory that
    // was made before. raise(3) returns after it.
    let mut state = unsafe {
        *SEEN.0.get() = vec![0; 16 << 10];
        let mut action: libc::sigaction = std::mem::zeroed();
        let mut old: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = look as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGURG, &raw const action, &raw mut old);
        libc::raise(libc::SIGURG);
        libc::sigaction(libc::SIGURG, &raw const old, std::ptr::null_mut());
        std::mem::take(&mut *SEEN.0.get())
    };
    if state.len() < LEGACY + 64 + 4 {
        return Err(Errno::EOPNOTSUPP);
    }
    let (software, mask) = (state[SOFTWARE].to_vec(), state[MXCSR + 4..MXCSR + 8].to_vec());
    let end = state.len() - 4;
    state[..end].fill(0);
    state[MXCSR + 4..MXCSR + 8].copy_from_slice(&mask);
    state[0..2].copy_from_slice(&0x037fu16.to_le_bytes());
    state[MXCSR..MXCSR + 4].copy_from_slice(&0x1f80u32.to_le_bytes());
    state[SOFTWARE].copy_from_slice(&software);
    let _ = INITIAL.set(state);
    Ok(())
}

fn initial() -> &'static [u8] {
    INITIAL.get().map_or(&[], Vec::as_slice)
}

/// How long an image is that is no frame's: without the second magic number.
fn image_len() -> usize {
    word(initial(), SOFTWARE.start + 16) as usize
}

/// The image of the initial state, as the core handles it: the first of software's words tells the
/// features.
pub fn initial_image() -> Vec<u8> {
    as_image(initial()[..image_len()].to_vec())
}

fn as_image(mut state: Vec<u8>) -> Vec<u8> {
    let features = word64(&state, SOFTWARE.start + 8);
    state[SOFTWARE].fill(0);
    state[SOFTWARE.start..SOFTWARE.start + 8].copy_from_slice(&features.to_le_bytes());
    state
}

/// Where a frame and its extended state are, within one slot.
#[derive(Clone, Copy)]
pub struct FrameAt {
    slot: usize,
    pub frame: *mut Frame,
    extended: *mut u8,
}

impl FrameAt {
    /// Makes the first frame of a thread where the host will put the next ones.
    ///
    /// # Safety
    /// The slot is the running task's own, and holds no frame that is needed.
    pub unsafe fn first(slot: usize) -> FrameAt {
        let extended = (slot + SLOT - initial().len()) & !63;
        let at = FrameAt { slot, frame: ((extended - FRAME_ROOM) & !63) as *mut Frame, extended: extended as *mut u8 };
        // SAFETY: within the slot, which is longer than any state.
        unsafe {
            std::ptr::write_bytes(at.frame, 0, 1);
            std::ptr::copy_nonoverlapping(initial().as_ptr(), at.extended, initial().len());
        }
        at
    }

    /// The frame that the host has just left at `frame`, if it lies in the slot as it should.
    pub fn left(slot: usize, frame: *mut Frame) -> Option<FrameAt> {
        let within = |at: usize, len: usize| (slot..slot + SLOT - len).contains(&at);
        if !within(frame as usize, size_of::<Frame>()) {
            return None;
        }
        // SAFETY: within the slot, which is mapped.
        let extended = unsafe { (*frame).extended } as *mut u8;
        within(extended as usize, image_len()).then_some(FrameAt { slot, frame, extended })
    }

    /// Makes of the frame what the host would have: another thread's user code may have written
    /// there since. The registers and the extended state, which are left, are the thread's own, and
    /// harmless whatever they are.
    pub fn seal(self) {
        // SAFETY: the frame is in the slot, and the running task is the only one that uses it now.
        let frame = unsafe { &mut *self.frame };
        (frame.flags, frame.link, frame.mask) = (FLAGS, 0, 0);
        frame.stack = [self.slot as u64, SS_AUTODISARM, SLOT as u64];
        frame.extended = self.extended as u64;
    }

    fn extended(&mut self) -> &mut [u8] {
        // SAFETY: the host's frames and our own hold a state of this length there.
        unsafe { std::slice::from_raw_parts_mut(self.extended, image_len()) }
    }

    pub fn extended_image(&mut self) -> Vec<u8> {
        as_image(self.extended().to_vec())
    }

    /// Replaces the extended state. EINVAL for what the host would not restore.
    pub fn set_extended_image(&mut self, image: &[u8]) -> Result<()> {
        check_image(image)?;
        let state = self.extended();
        let len = image.len().min(state.len());
        let software = state[SOFTWARE].to_vec();
        state.fill(0);
        state[..len].copy_from_slice(&image[..len]);
        state[SOFTWARE].copy_from_slice(&software);
        Ok(())
    }
}

impl Frame {
    /// The registers, but for the segment bases.
    pub fn regs(&self) -> Regs {
        // SAFETY: all-zero is a valid register set.
        let mut regs: Regs = unsafe { std::mem::zeroed() };
        macro_rules! copy { ($($name:ident)*) => { $(regs.$name = self.$name;)* } }
        copy!(r8 r9 r10 r11 r12 r13 r14 r15 rdi rsi rbp rbx rdx rax rcx rsp rip eflags);
        regs.cs = u64::from(self.cs);
        regs.ss = u64::from(self.ss);
        regs.orig_rax = u64::MAX;
        regs
    }

    /// Sets the registers. Selectors are made those that user code may have; flags are cut by the
    /// host.
    pub fn set_regs(&mut self, regs: &Regs) {
        macro_rules! copy { ($($name:ident)*) => { $(self.$name = regs.$name;)* } }
        copy!(r8 r9 r10 r11 r12 r13 r14 r15 rdi rsi rbp rbx rdx rax rcx rsp rip eflags);
        self.cs = if regs.cs == u64::from(USER_CS32) { USER_CS32 } else { USER_CS };
        self.ss = USER_DS;
    }
}

/// Judges an image as the CPU would.
pub fn check_image(image: &[u8]) -> Result<()> {
    let known = word64(initial(), SOFTWARE.start + 8);
    let header = image.get(LEGACY..LEGACY + 64).ok_or(Errno::EINVAL)?;
    let mask = match word(initial(), MXCSR + 4) {
        0 => 0xffff,
        mask => mask,
    };
    if word64(header, 0) & !known != 0 || header[8..].iter().any(|&b| b != 0) || word(image, MXCSR) & !mask != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(())
}
