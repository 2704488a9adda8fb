//! Extended state (x87, SSE, AVX, ...) in handler frames.
//!
//! A frame holds it as XSAVE lays it out, with a few words in the part that the CPU leaves to
//! software: they say how long it is and what is in it. Programs may hand back a shorter or an
//! older form (FXSAVE alone), or nonsense.

use crate::mm::AddressSpace;
use crate::{Errno, Result};
use abi::number::{Low, to_usize};
use umlab_model::UserThread;

const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
/// The FXSAVE image: x87 and SSE.
const LEGACY: usize = 512;
/// With the XSAVE header.
const MIN_XSAVE: usize = LEGACY + 64;
/// Where software's words begin.
const SOFTWARE: usize = 464;
const MXCSR: usize = 24;
const INITIAL_MXCSR: u32 = 0x1f80;
const X87_SSE: u64 = 3;
/// SSE and AVX: MXCSR is loaded with either.
const WITH_MXCSR: u64 = 6;
/// The second magic number, after the state.
const TRAILER: u32 = 4;

fn word32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_le_bytes(b.try_into().expect("four bytes")))
}

fn word64(bytes: &[u8], at: usize) -> u64 {
    u64::from(word32(bytes, at)) | u64::from(word32(bytes, at + 4)) << 32
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// A thread's images on their way to and from frames. Kept, so that a signal allocates nothing.
#[derive(Default)]
pub struct Images {
    image: Vec<u8>,
    /// Known once the thread's state was read.
    layout: Option<Layout>,
}

/// What all images of a thread have in common: the CPU and the host decide it.
#[derive(Clone, Copy)]
struct Layout {
    len: usize,
    /// The components there are, a bit each.
    features: u64,
}

impl Images {
    /// The thread's state, complete for a frame.
    pub(super) fn for_frame(&mut self, user: &mut dyn UserThread) -> &[u8] {
        let layout = self.read(user);
        complete(&mut self.image, layout);
        &self.image
    }

    /// Reads the thread's state. The first of software's words is, in what the host gives, the mask
    /// of the features there are.
    fn read(&mut self, user: &mut dyn UserThread) -> Layout {
        user.read_extended_state(&mut self.image);
        self.image.resize(self.image.len().max(MIN_XSAVE), 0);
        let features = word64(&self.image, SOFTWARE) | word64(&self.image, LEGACY) | X87_SSE;
        let layout = Layout { len: self.image.len(), features };
        self.layout = Some(layout);
        layout
    }

    /// Takes the state from a frame; null stands for the initial one. What the CPU would refuse is
    /// an error.
    pub(super) fn restore(&mut self, space: &AddressSpace, user: &mut dyn UserThread, addr: u64) -> Result<()> {
        if addr == 0 {
            user.reset_extended_state();
            return Ok(());
        }
        if !addr.is_multiple_of(64) {
            return Err(Errno::EFAULT);
        }
        let Layout { len: size, features: known } = match self.layout {
            Some(layout) => layout,
            None => self.read(user),
        };
        let mut legacy = [0u8; LEGACY];
        space.read_bytes(addr, &mut legacy)?;
        self.image.clear();
        self.image.resize(size, 0);
        let features = match xsave_size(space, addr, &legacy, size) {
            Some(len) => {
                space.read_bytes(addr, &mut self.image[..len])?;
                word64(&legacy, SOFTWARE + 8)
            }
            None => {
                put(&mut self.image, 0, &legacy);
                put(&mut self.image, LEGACY, &X87_SSE.to_le_bytes());
                X87_SSE
            }
        };
        accept(&mut self.image, features, known)?;
        user.set_extended_state(&self.image)
    }
}

/// Completes a thread's state for a frame.
fn complete(state: &mut Vec<u8>, layout: Layout) {
    let (size, features) = (state.len().low_u32(), layout.features);
    let present = word64(state, LEGACY);
    put(state, SOFTWARE, &[0; 48]);
    put(state, SOFTWARE, &MAGIC1.to_le_bytes());
    put(state, SOFTWARE + 4, &(size + TRAILER).to_le_bytes());
    put(state, SOFTWARE + 8, &features.to_le_bytes());
    put(state, SOFTWARE + 16, &size.to_le_bytes());
    // Programs that only know FXSAVE change those parts without telling the header.
    put(state, LEGACY, &(present | X87_SSE).to_le_bytes());
    state.extend_from_slice(&MAGIC2.to_le_bytes());
}

/// The length of the XSAVE image in a frame, None when there is only an FXSAVE image.
fn xsave_size(space: &AddressSpace, addr: u64, legacy: &[u8], max: usize) -> Option<usize> {
    let extended = to_usize(u64::from(word32(legacy, SOFTWARE + 4)));
    let len = to_usize(u64::from(word32(legacy, SOFTWARE + 16)));
    if word32(legacy, SOFTWARE) != MAGIC1 || len < MIN_XSAVE || len > max || len > extended {
        return None;
    }
    let magic2 = space.read::<u32>(addr.wrapping_add(len as u64)).ok()?;
    (magic2 == MAGIC2).then_some(len)
}

/// Judges the state that a tracer sets in the place of `now`: FXSAVE's part alone, or all of it.
/// EINVAL for what the CPU would refuse.
pub(crate) fn judge(now: &[u8], new: &[u8]) -> Result<Vec<u8>> {
    let mut state = now.to_vec();
    state.resize(state.len().max(MIN_XSAVE), 0);
    let known = word64(&state, SOFTWARE) | word64(&state, LEGACY) | X87_SSE;
    let (software, mask) = (state[SOFTWARE..LEGACY].to_vec(), word32(&state, MXCSR + 4));
    let len = new.len().min(state.len());
    state[..len].copy_from_slice(&new[..len]);
    state[SOFTWARE..LEGACY].copy_from_slice(&software);
    put(&mut state, MXCSR + 4, &mask.to_le_bytes());
    if len <= LEGACY {
        let present = word64(&state, LEGACY) | X87_SSE;
        put(&mut state, LEGACY, &present.to_le_bytes());
    }
    accept(&mut state, known, known).map_err(|_| Errno::EINVAL)?;
    Ok(state)
}

/// Judges an image as XRSTOR does, and limits it to what its frame says that it holds. It is judged
/// here, because a model may load it only when user code is about to run, and has nobody then to
/// give the error to.
fn accept(state: &mut [u8], features: u64, known: u64) -> Result<()> {
    let present = word64(state, LEGACY);
    let reserved_zero = state[LEGACY + 8..MIN_XSAVE].iter().all(|&b| b == 0);
    if present & !known != 0 || !reserved_zero {
        return Err(Errno::EFAULT);
    }
    if features & WITH_MXCSR == 0 {
        put(state, MXCSR, &INITIAL_MXCSR.to_le_bytes());
    } else if word32(state, MXCSR) & !umlab_host::fpu::mxcsr_mask() != 0 {
        return Err(Errno::EFAULT);
    }
    put(state, LEGACY, &(present & features).to_le_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The state a program starts with.
    fn initial(size: usize) -> Vec<u8> {
        let mut state = vec![0; size];
        put(&mut state, MXCSR, &INITIAL_MXCSR.to_le_bytes());
        put(&mut state, LEGACY, &X87_SSE.to_le_bytes());
        state
    }

    /// What `accept` makes of an image.
    fn accepted(mut state: Vec<u8>, features: u64, known: u64) -> Result<Vec<u8>> {
        accept(&mut state, features, known).map(|()| state)
    }

    #[test]
    fn frame_image_says_what_it_holds() {
        let mut state = vec![0u8; 2432];
        put(&mut state, SOFTWARE, &0xe7u64.to_le_bytes());
        put(&mut state, LEGACY, &4u64.to_le_bytes());
        let layout = Layout { len: state.len(), features: 0xe7 };
        let mut image = state;
        complete(&mut image, layout);
        assert_eq!(image.len(), 2436);
        assert_eq!((word32(&image, SOFTWARE), word32(&image, SOFTWARE + 4)), (MAGIC1, 2436));
        assert_eq!((word64(&image, SOFTWARE + 8), word32(&image, SOFTWARE + 16)), (0xe7, 2432));
        assert_eq!(word64(&image, LEGACY), 7);
        assert_eq!(word32(&image, 2432), MAGIC2);
    }

    #[test]
    fn what_the_cpu_refuses_is_refused() {
        let image = |at: usize, byte: u8| {
            let mut state = initial(2432);
            state[at] = byte;
            state
        };
        assert!(accepted(image(0, 0), 0xe7, 0xe7).is_ok());
        assert!(accepted(image(LEGACY, 0x18), 0xe7, 0xe7).is_err(), "a component the CPU does not have");
        assert!(accepted(image(LEGACY + 15, 0x80), 0xe7, 0xe7).is_err(), "the compacted form");
        assert_eq!(word64(&accepted(image(LEGACY, 7), 3, 0xe7).unwrap(), LEGACY), 3);
    }

    #[test]
    fn reserved_bits_of_mxcsr_are_refused_where_it_is_loaded() {
        let mut state = initial(2432);
        put(&mut state, MXCSR, &0x8000_1f80u32.to_le_bytes());
        for features in [2, 4, 0xe7] {
            assert!(accepted(state.clone(), features, 0xe7).is_err(), "{features:#x}");
        }
        assert_eq!(word32(&accepted(state, 1, 0xe7).unwrap(), MXCSR), INITIAL_MXCSR);
    }
}
