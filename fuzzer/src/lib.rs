//! `umlab fuzz`: random programs of calls, run in guests, and judged.
//!
//! A seed gives a program ([`generate`]), made of the calls in [`grammar`]; it travels as text
//! ([`program`]). The program `umlab-fuzz-guest` runs it (src/guest), in a guest or, where the
//! answers are compared ([`differential`]), on the host. A [`round`] is one program in one guest,
//! [watched](umlab_watch) from outside; a [`find`] is confirmed and [`reduce`]d by the [`command`].

#![forbid(unsafe_code)]

pub mod command;
mod coverage;
mod differential;
mod find;
pub mod generate;
pub mod grammar;
pub mod memory;
pub mod options;
mod place;
pub mod program;
mod reduce;
mod round;

use umlab_watch::Interrupt;

const STATUS_FINDS: i32 = 1;
const STATUS_OWN: i32 = 125;
