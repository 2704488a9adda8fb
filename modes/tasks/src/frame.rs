//! The frame that the host leaves when a signal takes a task out of user mode, and from which
//! sigreturn enters it again: all of a guest thread's user-mode state but two segment bases.

use crate::area::SLOT;
use umlab_abi::ucontext::{UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS};
use umlab_host::Result;
use umlab_host::xstate::{self, image_len, initial};

pub use umlab_abi::ucontext::UContext as Frame;

/// There is extended state in XSAVE layout; the stack segment counts, strictly.
const FLAGS: u64 = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
/// Room for the frame and its siginfo.
const FRAME_ROOM: usize = 1088;
/// No alternate stack while a handler runs, and this one again after the sigreturn.
const SS_AUTODISARM: u64 = 1 << 31;

/// Where a frame and its extended state are, within one slot.
#[derive(Clone, Copy)]
pub struct FrameAt {
    slot: usize,
    pub frame: *mut Frame,
    extended: *mut u8,
}

impl FrameAt {
    /// Makes a frame, of a thread that has none, in the half of the slot where the host puts none.
    ///
    /// # Safety
    /// The slot is the running task's own, and holds no frame there that is needed.
    pub unsafe fn make(slot: usize) -> FrameAt {
        let extended = (slot + SLOT / 2 - initial().len()) & !63;
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
        (frame.flags, frame.link, frame.mask) = (FLAGS, 0, crate::interception().user_mask());
        frame.stack = [self.slot as u64, SS_AUTODISARM, SLOT as u64];
        frame.extended = self.extended as u64;
    }

    pub fn extended(&mut self) -> &mut [u8] {
        // SAFETY: the host's frames and our own hold a state of this length there.
        unsafe { std::slice::from_raw_parts_mut(self.extended, image_len()) }
    }

    /// Makes `image` the extended state as the core handles it.
    pub fn read_image(&mut self, image: &mut Vec<u8>) {
        xstate::copy_image(self.extended(), image);
    }

    /// Makes the extended state the initial one.
    pub fn reset_image(&mut self) {
        let state = self.extended();
        state.copy_from_slice(&initial()[..state.len()]);
    }

    /// Replaces the extended state. EINVAL for what the host would not restore.
    pub fn set_extended_image(&mut self, image: &[u8]) -> Result<()> {
        xstate::check_image(image)?;
        let state = self.extended();
        let len = image.len().min(state.len());
        let software: [u8; xstate::SOFTWARE.end - xstate::SOFTWARE.start] =
            state[xstate::SOFTWARE].try_into().expect("software's words");
        state.fill(0);
        state[..len].copy_from_slice(&image[..len]);
        state[xstate::SOFTWARE].copy_from_slice(&software);
        Ok(())
    }
}
