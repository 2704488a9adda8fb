//! A program of the fuzzer: for each thread a list of calls with symbolic arguments.
//!
//! Arguments are symbolic (`fd:pipe-read.1`, `rw+0xfff`) so that a step means the same when others
//! are taken away, on the host and in a guest, and however the kernel numbers things. A program has
//! a text, which is the only form in which it travels.

mod read;
mod write;

pub use read::parse;

use crate::grammar::Call;
use std::fmt;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Every call, several processes and threads; only its effects on the kernel are judged.
    Syscalls,
    /// One thread, calls whose answer is determined: the host must give the same.
    Differential,
    /// Changes of mappings, after which every byte must be the one that was written there.
    Mappings,
    /// Forged and changed frames of signals, each in a child.
    Frames,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Syscalls, Kind::Differential, Kind::Mappings, Kind::Frames];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Syscalls => "syscalls",
            Kind::Differential => "differential",
            Kind::Mappings => "mappings",
            Kind::Frames => "frames",
        }
    }

    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

#[derive(Clone, PartialEq, Debug)]
pub struct Program {
    pub kind: Kind,
    pub seed: u64,
    /// Whether its processes are the guest's root.
    pub root: bool,
    /// By process, by thread.
    pub processes: Vec<Vec<Vec<Step>>>,
}

impl Program {
    pub fn steps(&self) -> usize {
        self.processes.iter().flatten().map(Vec::len).sum()
    }
}

#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    pub call: &'static Call,
    pub args: Vec<Value>,
}

/// What an argument stands for until the program runs.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    Int(u64),
    /// One of the descriptors of a kind that the process has or had.
    Fd(FdKind, u8),
    /// An address in one of the regions that every process begins with.
    At(Region, i64),
    /// The address of a string.
    Text(String),
    /// The address of a structure; whether it ends where mapped memory ends.
    Data {
        fields: Vec<Field>,
        at_border: bool,
    },
    /// The address of so many zero bytes for the kernel to fill.
    Out(u32),
    /// A process or thread.
    Who(Who),
}

#[derive(Clone, PartialEq, Debug)]
pub struct Field {
    /// In bytes: 1, 2, 4 or 8.
    pub width: u8,
    pub value: Value,
}

/// Enums with names in the text of a program.
macro_rules! named {
    ($(#[$doc:meta])* $kind:ident { $($(#[$vdoc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $kind { $($(#[$vdoc])* $variant,)* }

        impl $kind {
            pub const ALL: &[$kind] = &[$($kind::$variant,)*];

            pub fn name(self) -> &'static str {
                match self { $($kind::$variant => $name,)* }
            }

            pub fn named(name: &str) -> Option<$kind> {
                $kind::ALL.iter().copied().find(|one| one.name() == name)
            }
        }
    };
}

named! {
    /// Descriptors by what they show, and the numbers of System V objects.
    FdKind {
        File = "file",
        Dir = "dir",
        /// By O_PATH.
        Place = "place",
        PipeRead = "pipe-read",
        PipeWrite = "pipe-write",
        Stream = "stream",
        Datagram = "datagram",
        Listener = "listener",
        Epoll = "epoll",
        Event = "event",
        Timer = "timer",
        Signal = "signal",
        Memory = "memory",
        Process = "process",
        Inotify = "inotify",
        Master = "pty",
        Terminal = "terminal",
        Device = "device",
        Messages = "messages",
        Segment = "segment",
        Semaphores = "semaphores",
        Queue = "queue",
    }
}

impl FdKind {
    /// Those that are descriptors.
    pub const DESCRIPTORS: &[FdKind] = FdKind::ALL.split_at(FdKind::Segment as usize).0;
}

named! {
    /// Memory that every process begins with, at fixed places; and two that the kernel chose.
    Region {
        /// Private and writable.
        Writable = "rw",
        ReadOnly = "ro",
        /// Mapped without rights.
        Forbidden = "none",
        /// Not mapped.
        Hole = "hole",
        /// Shared by all processes.
        Shared = "shared",
        /// A shared mapping of a file, whose end lies in the mapping.
        File = "file",
        /// A private mapping of the same.
        Copy = "copy",
        /// For calls that change mappings.
        Field = "field",
        Vdso = "vdso",
        /// The end of the highest area.
        Top = "top",
    }
}

named! {
    Who {
        Own = "self",
        Thread = "thread",
        /// Another process of the program.
        Other = "other",
        Child = "child",
        /// The first process of the guest.
        Init = "init",
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write::program(self, f)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write::step(self, f)
    }
}
