//! One mechanism of the kernel each, in a loop.

use crate::{About, Group, Size};

pub mod clock_read;
pub mod context_switch;
mod exchange;
pub mod files;
pub mod futex;
pub mod mmap_munmap;
pub mod null_call;
pub mod open_close;
pub mod page_fault;
pub mod pipe;
pub mod protection_fault;
pub mod read;
pub mod select;
pub mod signal_catch;
pub mod signal_install;
pub mod stat;
pub mod thread_create;
pub mod unix_socket;
pub mod write;

/// The sizes of one calibrated loop.
pub(crate) const LOOP: &[Size] = &[
    Size { name: "smoke", seconds: 0.02 },
    Size { name: "quick", seconds: 0.15 },
    Size { name: "full", seconds: 1.0 },
];

/// Of about four loops.
pub(crate) const LOOPS: &[Size] =
    &[Size { name: "smoke", seconds: 0.1 }, Size { name: "quick", seconds: 0.6 }, Size { name: "full", seconds: 5.0 }];

pub(crate) const fn about(
    name: &'static str,
    sizes: &'static [Size],
    summary: &'static str,
    definition: &'static str,
) -> About {
    About { name, group: Group::Micro, summary, definition, remark: "", sizes, params: &[], needs: &[] }
}
