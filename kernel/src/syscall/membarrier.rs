//! membarrier(2).
//!
//! The commands that belong to restartable sequences are not known, because there are none.

use super::{Call, Entry, entry};
use crate::mm::AddressSpace;
use crate::sched::barrier;
use crate::task::{Task, pid};
use crate::{Errno, Result};
use abi::number::extended;

pub const CALLS: &[Entry] = &[entry(abi::SYS_membarrier, "membarrier", "dxd", membarrier)];

const QUERY: i32 = 0;
const GLOBAL: i32 = 1;
const GLOBAL_EXPEDITED: i32 = 1 << 1;
const REGISTER_GLOBAL_EXPEDITED: i32 = 1 << 2;
const PRIVATE_EXPEDITED: i32 = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED: i32 = 1 << 4;
const PRIVATE_EXPEDITED_SYNC_CORE: i32 = 1 << 5;
const REGISTER_PRIVATE_EXPEDITED_SYNC_CORE: i32 = 1 << 6;
const GET_REGISTRATIONS: i32 = 1 << 9;

const KNOWN: i32 = GLOBAL
    | GLOBAL_EXPEDITED
    | REGISTER_GLOBAL_EXPEDITED
    | PRIVATE_EXPEDITED
    | REGISTER_PRIVATE_EXPEDITED
    | PRIVATE_EXPEDITED_SYNC_CORE
    | REGISTER_PRIVATE_EXPEDITED_SYNC_CORE
    | GET_REGISTRATIONS;

fn membarrier(call: &mut Call<'_>) -> Result<u64> {
    let (command, flags) = (call.int(0), call.int(1));
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let space = call.task.space();
    let registered = |register: i32| {
        if space.barriers.get() & register != 0 { Ok(()) } else { Err(Errno::EPERM) }
    };
    match command {
        QUERY => return Ok(KNOWN as u64),
        GET_REGISTRATIONS => return Ok(extended(space.barriers.get())),
        GLOBAL => barrier(|_| true),
        GLOBAL_EXPEDITED => barrier(|thread| {
            let space = Task::of(thread).space.borrow();
            space.as_ref().is_some_and(|space| space.barriers.get() & REGISTER_GLOBAL_EXPEDITED != 0)
        }),
        PRIVATE_EXPEDITED => {
            registered(REGISTER_PRIVATE_EXPEDITED)?;
            barrier_in(&space);
        }
        PRIVATE_EXPEDITED_SYNC_CORE => {
            registered(REGISTER_PRIVATE_EXPEDITED_SYNC_CORE)?;
            // A thread in a system call may have read ahead code that has changed.
            for process in pid::processes() {
                for thread in process.threads() {
                    if thread
                        .space
                        .borrow()
                        .as_ref()
                        .is_some_and(|other| std::ptr::eq(&raw const **other, &raw const *space))
                    {
                        thread.serialize_later();
                    }
                }
            }
            barrier_in(&space);
        }
        REGISTER_GLOBAL_EXPEDITED | REGISTER_PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED_SYNC_CORE => {
            *space.barriers.borrow_mut() |= command;
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// A barrier in all threads of an address space.
fn barrier_in(space: &AddressSpace) {
    barrier(|thread| thread.space_id() == Some(space.id));
}
