//! System calls: the table, and what a handler is given.
//!
//! One file an area. A handler decodes its arguments and calls the subsystem, which knows nothing
//! of registers.

mod attributes;
mod clock;
mod descriptor;
mod epoll;
mod eventfd;
mod exec;
mod futex;
mod identity;
mod inotify;
mod inspect;
mod io;
mod ipc;
mod lock;
mod membarrier;
mod memory;
mod message;
mod mount;
mod mqueue;
mod msg_queue;
mod names;
mod open;
mod pipe;
mod place;
mod poll;
mod prctl;
mod process;
mod ptrace;
mod resource;
mod sched;
mod semaphore;
mod signal;
mod socket;
mod special;
mod stat;
mod syslog;
mod system;
mod timeout;
mod timer;
pub mod trace;
mod xattr;

use crate::task::Call;
use crate::{Errno, Result, stats};
use abi::number::to_usize;

pub type Handler = fn(&mut Call<'_>) -> Result<u64>;

/// A row of the table.
pub struct Entry {
    pub number: i64,
    pub name: &'static str,
    /// How `--trace` shows the arguments, a letter each: d int, u unsigned, x hex, o octal, f
    /// descriptor, p path, s string, b buffer with its length in the next argument, v iovec with
    /// its count in the next, P pointer, - not shown.
    pub args: &'static str,
    pub handler: Handler,
}

pub const fn entry(number: i64, name: &'static str, args: &'static str, handler: Handler) -> Entry {
    Entry { number, name, args, handler }
}

/// Every area's rows. An area adds itself here.
#[rustfmt::skip]
const AREAS: &[&[Entry]] = &[
    xattr::CALLS,
    attributes::CALLS,
    names::CALLS,
    open::CALLS,
    descriptor::CALLS,
    io::CALLS,
    ipc::CALLS,
    lock::CALLS,
    epoll::CALLS,
    exec::CALLS,
    membarrier::CALLS,
    memory::CALLS,
    mount::CALLS,
    eventfd::CALLS,
    message::CALLS,
    mqueue::CALLS,
    msg_queue::CALLS,
    pipe::CALLS,
    place::CALLS,
    poll::CALLS,
    socket::CALLS,
    stat::CALLS,
    futex::CALLS,
    process::CALLS,
    ptrace::CALLS,
    signal::CALLS,
    identity::CALLS,
    inotify::CALLS,
    inspect::CALLS,
    prctl::CALLS,
    resource::CALLS,
    sched::CALLS,
    semaphore::CALLS,
    special::CALLS,
    syslog::CALLS,
    system::CALLS,
    clock::CALLS,
    timer::CALLS,
];

/// Above the highest number that there is.
const NUMBERS: usize = 512;

/// The rows by number. Two rows for one number do not compile.
static TABLE: [Option<&Entry>; NUMBERS] = {
    let mut table: [Option<&Entry>; NUMBERS] = [None; NUMBERS];
    let mut area = 0;
    while area < AREAS.len() {
        let mut row = 0;
        while row < AREAS[area].len() {
            let entry = &AREAS[area][row];
            let number = to_usize(entry.number.cast_unsigned());
            assert!(table[number].is_none(), "two rows for one system call");
            table[number] = Some(entry);
            row += 1;
        }
        area += 1;
    }
    table
};

/// The handler of a number, None for what does not exist.
pub fn lookup(number: u64) -> Option<&'static Entry> {
    TABLE.get(usize::try_from(number).ok()?).copied().flatten()
}

/// ENOSYS for what the core does not have.
pub fn dispatch(call: &mut Call<'_>) -> Result<u64> {
    let entry = lookup(call.number);
    stats::count_call(call.number);
    let traced = crate::trace::is_on().then(|| trace::describe(call.task, entry, call.number, &call.args));
    let result = match entry {
        Some(entry) => (entry.handler)(call),
        None => {
            stats::count_missing(call.number);
            Err(Errno::ENOSYS)
        }
    };
    if let Some(described) = traced {
        trace::finish(call.task, &described, &result);
    }
    result
}
