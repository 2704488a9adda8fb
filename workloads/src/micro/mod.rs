//! One mechanism of the kernel each, in a loop.

use crate::Size;

pub mod null_call;

/// The sizes of one calibrated loop; several take as many times as long.
pub(crate) const LOOP: &[Size] = &[
    Size { name: "smoke", seconds: 0.02 },
    Size { name: "quick", seconds: 0.15 },
    Size { name: "full", seconds: 1.0 },
];
