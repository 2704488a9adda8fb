//! The calls that programs are made of, a row each: what it takes, what it makes, and how far its
//! answer is determined.
//!
//! One file an area. To add a call is to add its row; docs/fuzzing.md shows how.

mod descriptors;
mod files;
mod frames;
mod ipc;
mod mappings;
mod memory;
mod messages;
mod paths;
mod processes;
mod queues;
mod signals;
mod system;
mod terminals;
mod times;
mod tracing;

pub use mappings::PAGES as MAPPING_PAGES;

use crate::generate::Maker;
use crate::program::{FdKind, Kind, Value};

/// Added to a call's number: the same call with another row.
const ALSO: i64 = 1000;

/// Reads or writes memory in the program itself, at some pages.
pub const TOUCH: i64 = -30;

/// Opens a file, reads it or lists it from some offset on, and closes it.
pub const READ_FILE: i64 = -31;

/// Opens a file, writes to it once, and closes it.
pub const WRITE_FILE: i64 = -32;

/// Makes a child that has itself traced and stops, and waits until it has.
pub const FORK_TRACED: i64 = -33;

/// A system call, or an operation of the interpreter's own (numbers below zero).
#[derive(Debug)]
pub struct Call {
    pub name: &'static str,
    pub number: i64,
    /// How often it is taken, against the others of its kind.
    pub weight: u32,
    pub args: &'static [Arg],
    pub makes: Makes,
    pub seen: Seen,
}

impl Call {
    /// The number to ask the kernel with, None for the interpreter's own operations.
    pub fn system_call(&self) -> Option<i64> {
        (self.number >= 0).then_some(self.number % ALSO)
    }
}

impl PartialEq for Call {
    fn eq(&self, other: &Call) -> bool {
        self.number == other.number
    }
}

/// How an argument is made.
#[derive(Clone, Copy, Debug)]
pub enum Arg {
    /// A descriptor of these kinds, mostly.
    Fd(&'static [FdKind]),
    Path,
    /// One of these, mostly.
    One(&'static [u64]),
    /// Some of these bits, mostly.
    Bits(&'static [u64]),
    Below(u64),
    /// A length or a count, odd ones too.
    Size,
    Offset,
    /// Where a mapping call works, and on how many bytes.
    Place,
    Span,
    /// So many bytes to be read by the kernel.
    In(u32),
    /// Room to be filled by the kernel.
    Out(u32),
    /// Any buffer.
    Memory,
    Who,
    Signal,
    Made(fn(&mut Maker) -> Value),
}

#[derive(Clone, Copy, Debug)]
pub enum Makes {
    Nothing,
    Fd(FdKind),
    /// Two descriptors, written to where this argument points.
    Pair(usize, FdKind, FdKind),
    /// A process, which the interpreter has to take care of.
    Process,
}

/// How much of the answer depends on nothing but the program.
#[derive(Clone, Copy, Debug)]
pub enum Seen {
    /// Nothing, or the call could harm a host: not a call for comparing.
    Leave,
    /// Whether it fails, and with which error.
    Success,
    /// The returned value, too.
    Return,
    /// And what it wrote to where an `out` points.
    Written,
    /// And this part of that: offset and length.
    Part(u32, u32),
}

pub const fn call(name: &'static str, number: i64, weight: u32, args: &'static [Arg]) -> Call {
    Call { name, number, weight, args, makes: Makes::Nothing, seen: Seen::Leave }
}

impl Call {
    pub const fn makes(mut self, kind: FdKind) -> Call {
        self.makes = Makes::Fd(kind);
        self
    }

    pub const fn makes_pair(mut self, arg: usize, first: FdKind, second: FdKind) -> Call {
        self.makes = Makes::Pair(arg, first, second);
        self
    }

    pub const fn makes_process(mut self) -> Call {
        self.makes = Makes::Process;
        self
    }

    pub const fn seen(mut self, seen: Seen) -> Call {
        self.seen = seen;
        self
    }
}

const SYSCALLS: &[&[Call]] = &[
    descriptors::CALLS,
    files::CALLS,
    ipc::CALLS,
    memory::CALLS,
    messages::CALLS,
    paths::CALLS,
    processes::CALLS,
    queues::CALLS,
    signals::CALLS,
    system::CALLS,
    terminals::CALLS,
    times::CALLS,
    tracing::CALLS,
];

/// The calls that a program of this kind can have.
pub fn of(kind: Kind) -> impl Iterator<Item = &'static Call> {
    let areas: &[&[Call]] = match kind {
        Kind::Syscalls | Kind::Differential => SYSCALLS,
        Kind::Mappings => &[mappings::CALLS],
        Kind::Frames => &[frames::CALLS],
    };
    let compared = move |call: &&Call| kind != Kind::Differential || !matches!(call.seen, Seen::Leave);
    areas.iter().copied().flatten().filter(compared)
}

pub fn named(name: &str) -> Option<&'static Call> {
    let areas = SYSCALLS.iter().chain(&[mappings::CALLS, frames::CALLS]);
    areas.copied().flatten().find(|call| call.name == name)
}

/// The name of a system call by its number.
pub fn name_of(number: i64) -> Option<&'static str> {
    SYSCALLS.iter().copied().flatten().find(|call| call.number == number).map(|call| call.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_given_once() {
        let all: Vec<&Call> = SYSCALLS.iter().chain(&[mappings::CALLS, frames::CALLS]).copied().flatten().collect();
        for (at, call) in all.iter().enumerate() {
            assert!(call.args.len() <= 6, "{}", call.name);
            for other in &all[at + 1..] {
                assert!(call.name != other.name && call.number != other.number, "{} and {}", call.name, other.name);
            }
        }
    }
}
