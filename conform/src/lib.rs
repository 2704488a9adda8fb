//! `umlab conform`: whether a process model does what the guest kernel and its programs rely on.
//!
//! A check is a question with one right answer, which Linux gives ([`checks`]). The program
//! `umlab-conform-guest` asks it (src/guest), in a guest of its own for each check and number of
//! CPUs ([`run`]): a kernel that hangs or dies fails that check alone. What can only be done from
//! outside, as killing host processes, is in [`lost`]. The [`command`] goes through all of them and
//! prints a [`table`].
//!
//! Some checks are attacks. What a model promises there ([`umlab_model::Isolation`]) is its own
//! choice; that it keeps its promise is checked.

#![forbid(unsafe_code)]

pub mod checks;
pub mod command;
mod lost;
pub mod options;
mod run;
mod table;
mod verdict;

const STATUS_FAILED: i32 = 1;
const STATUS_OWN: i32 = 125;
