//! Frames that are free, during an audit: they are kept from use for as long as can be, and whoever
//! still writes to them is found.

use super::report;
use crate::mm::PAGE;
use crate::mm::frames::{Fill, Frames, frame_count};
use std::collections::VecDeque;
use umlab_host::memory::Window;
use umlab_model::PAGE_SIZE;

/// Runs of free frames in the order in which they were freed.
#[derive(Default)]
pub struct Quarantine {
    runs: VecDeque<(u32, u32)>,
    frames: u64,
}

impl Quarantine {
    pub const fn new() -> Quarantine {
        Quarantine { runs: VecDeque::new(), frames: 0 }
    }

    pub fn put(&mut self, first: u32, count: u32) {
        self.runs.push_back((first, count));
        self.frames += u64::from(count);
    }

    /// How many frames there are.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The run that was freed first, if there are more frames than `most`.
    pub fn take_beyond(&mut self, most: u64) -> Option<(u32, u32)> {
        if self.frames <= most {
            return None;
        }
        let (first, count) = self.runs.pop_front()?;
        self.frames -= u64::from(count);
        Some((first, count))
    }
}

/// Frames are about to be used again: nobody has written to them. They hold something that nobody
/// expects, where they need not be zero.
pub fn leave(frames: &Frames, fill: Fill) {
    let page = |index: u32| frames.window(index as usize * PAGE, PAGE);
    // No others are looked at: the host would have to give memory for them.
    for index in frames.resident().into_iter().flat_map(|(index, count)| index..index + count) {
        let number = frame_count(frames.offset() / PAGE_SIZE) + index;
        report((!is_empty(page(index))).then(|| written_to(number)));
    }
    if fill == Fill::Garbage {
        for index in 0..frames.count() {
            let _ = page(index).write(&[GARBAGE; PAGE]);
        }
    }
}

const GARBAGE: u8 = 0xa5;

pub fn is_empty(window: Window<'_>) -> bool {
    let mut page = [0; PAGE];
    let _ = window.read(&mut page);
    page.iter().all(|&byte| byte == 0)
}

pub fn written_to(frame: u32) -> String {
    format!("{:#x} of physmem was written to while it was free", u64::from(frame) * PAGE_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_let_go_first() {
        let mut quarantine = Quarantine::new();
        quarantine.put(10, 5);
        quarantine.put(100, 5);
        assert_eq!(quarantine.take_beyond(10), None);
        assert_eq!(quarantine.take_beyond(9), Some((10, 5)));
        assert_eq!(quarantine.take_beyond(5), None);
        assert_eq!(quarantine.take_beyond(0), Some((100, 5)));
        assert_eq!(quarantine.take_beyond(0), None);
    }
}
