//! The extended state of a thread (x87, SSE, AVX, ...) as signal frames hold it: the XSAVE layout
//! of the CPU (Intel SDM, volume 1, 13.4), and software's words in it (asm/sigcontext.h).
//!
//! An *image* is what the kernel handles: the state without the magic number that ends a frame's,
//! and of software's words only the mask of the features there are.

use crate::{Errno, Result};
use std::sync::OnceLock;
use umlab_abi::ucontext::UContext;

const MAGIC1: u32 = 0x4650_5853;
const LEGACY: usize = 512;
/// Software's words in the legacy area: the two sizes and the features of a frame.
pub const SOFTWARE: std::ops::Range<usize> = 464..512;
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
        let frame = context.cast::<UContext>();
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

/// The initial state as a frame of the host's holds it. Empty before [`init`].
pub fn initial() -> &'static [u8] {
    INITIAL.get().map_or(&[], Vec::as_slice)
}

/// How long an image is that is no frame's: without the second magic number.
pub fn image_len() -> usize {
    word(initial(), SOFTWARE.start + 16) as usize
}

/// The image of the initial state, as the core handles it: the first of software's words tells the
/// features.
pub fn read_initial_image(image: &mut Vec<u8>) {
    copy_image(&initial()[..image_len()], image);
}

/// The features that the host saves.
pub fn features() -> u64 {
    word64(initial(), SOFTWARE.start + 8)
}

/// Makes an image of a frame's state.
pub fn copy_image(state: &[u8], image: &mut Vec<u8>) {
    image.clear();
    image.extend_from_slice(state);
    name_features(image);
}

/// Makes software's words of a frame's state those of an image. Not from what stands there: a guest
/// may have written over them.
pub fn name_features(state: &mut [u8]) {
    state[SOFTWARE].fill(0);
    state[SOFTWARE.start..SOFTWARE.start + 8].copy_from_slice(&features().to_le_bytes());
}

/// Judges an image as the CPU would.
pub fn check_image(image: &[u8]) -> Result<()> {
    let header = image.get(LEGACY..LEGACY + 64).ok_or(Errno::EINVAL)?;
    let mask = match word(initial(), MXCSR + 4) {
        0 => 0xffff,
        mask => mask,
    };
    if word64(header, 0) & !features() != 0 || header[8..].iter().any(|&b| b != 0) || word(image, MXCSR) & !mask != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(())
}
