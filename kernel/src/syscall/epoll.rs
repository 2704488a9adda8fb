//! epoll(7).

use super::timeout::{deadline, read_timespec};
use super::{Call, Entry, entry};
use crate::event::epoll::EpollFile;
use crate::task::signal::{read_mask, with_temporary_mask};
use crate::vfs::anon::AnonKind;
use crate::vfs::file::OpenFile;
use crate::{Errno, Result};
use abi::number::{Low, extended};
use std::sync::Arc;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_epoll_create, "epoll_create", "d", |call| match call.int(0) {
        1.. => create(call, 0),
        _ => Err(Errno::EINVAL),
    }),
    entry(abi::SYS_epoll_create1, "epoll_create1", "x", |call| create(call, call.int(0))),
    entry(abi::SYS_epoll_ctl, "epoll_ctl", "fdfP", control),
    entry(abi::SYS_epoll_wait, "epoll_wait", "fPdd", |call| wait(call, milliseconds(call.int(3)))),
    entry(abi::SYS_epoll_pwait, "epoll_pwait", "fPddPu", |call| {
        masked_wait(call, milliseconds(call.int(3)), call.args[4], call.args[5])
    }),
    entry(abi::SYS_epoll_pwait2, "epoll_pwait2", "fPdPPu", |call| {
        let timeout = read_timespec(&call.task.space(), call.args[3])?;
        masked_wait(call, timeout, call.args[4], call.args[5])
    }),
];

/// sizeof(struct epoll_event), which is packed.
const EVENT_SIZE: u64 = 12;

fn create(call: &Call<'_>, flags: i32) -> Result<u64> {
    if flags & !abi::EPOLL_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    let file = OpenFile::anonymous(AnonKind::Other("[eventpoll]"), EpollFile::new(), abi::O_RDWR);
    call.task.files().install(file, flags & abi::EPOLL_CLOEXEC != 0).map(extended)
}

fn control(call: &mut Call<'_>) -> Result<u64> {
    let (op, fd) = (call.int(1), call.int(2));
    let [events, low, high] = match op {
        abi::EPOLL_CTL_DEL => [0; 3],
        _ => call.task.space().read::<[u32; 3]>(call.args[3])?,
    };
    let data = u64::from(low) | u64::from(high) << 32;
    let files = call.task.files();
    let epoll_file = files.get_io(call.int(0))?;
    let file = files.get_io(fd)?;
    if file.poll_queues().is_none() {
        return Err(Errno::EPERM);
    }
    let epoll = epoll_file.ops_as::<EpollFile>().ok_or(Errno::EINVAL)?.epoll();
    if Arc::ptr_eq(&file, &epoll_file) {
        return Err(Errno::EINVAL);
    }
    match op {
        abi::EPOLL_CTL_ADD => epoll.add(&epoll_file, fd, &file, events, data)?,
        abi::EPOLL_CTL_MOD => epoll.modify(fd, &file, events, data)?,
        abi::EPOLL_CTL_DEL => epoll.remove(fd, &file)?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

fn milliseconds(timeout: i32) -> Option<u64> {
    u64::try_from(timeout).ok().map(|ms| ms * 1_000_000)
}

fn masked_wait(call: &Call<'_>, timeout: Option<u64>, mask: u64, size: u64) -> Result<u64> {
    let mask = read_mask(call.task, mask, size)?;
    with_temporary_mask(call.task, mask, || wait(call, timeout))
}

fn wait(call: &Call<'_>, timeout: Option<u64>) -> Result<u64> {
    let file = call.task.files().get_io(call.int(0))?;
    // A negative number is too large as well.
    let max = call.uint(2);
    if max == 0 || u64::from(max) > i32::MAX as u64 / EVENT_SIZE {
        return Err(Errno::EINVAL);
    }
    let epoll = file.ops_as::<EpollFile>().ok_or(Errno::EINVAL)?.epoll();
    let events = epoll.wait(max as usize, deadline(timeout))?;
    let space = call.task.space();
    for (i, event) in events.iter().enumerate() {
        let raw = [event.events, event.data.low_u32(), (event.data >> 32).low_u32()];
        space.write(call.args[1].wrapping_add(i as u64 * EVENT_SIZE), &raw)?;
    }
    Ok(events.len() as u64)
}
