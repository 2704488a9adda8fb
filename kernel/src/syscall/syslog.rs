//! syslog(2): the guest kernel's log.
//!
//! It has one line, the kernel's name. What the core has to say goes to the person who runs the
//! guest, not into the guest.

use super::{Call, Entry, entry};
use crate::lock::KCell;
use crate::mm::user::check_range;
use crate::sched::wait::{WaitQueue, wait_on};
use crate::{Errno, Result, uts};

pub const CALLS: &[Entry] = &[entry(abi::SYS_syslog, "syslog", "dPd", sys_syslog)];

const READ: i32 = 2;
const READ_ALL: i32 = 3;
const READ_CLEAR: i32 = 4;
const CLEAR: i32 = 5;
const CONSOLE_LEVEL: i32 = 8;
const SIZE_UNREAD: i32 = 9;
const SIZE_BUFFER: i32 = 10;
/// What the log could hold.
const BUFFER_SIZE: u64 = 1 << 17;

/// How far the log was read, and from where on it is shown.
static POSITION: KCell<(usize, usize)> = KCell::new((0, 0));
/// Who waits for more. There never is any.
static READERS: WaitQueue = WaitQueue::new();

fn log() -> Vec<u8> {
    format!("<5>[    0.000000] Linux version {} {}\n", uts::RELEASE, uts::VERSION).into_bytes()
}

fn sys_syslog(call: &mut Call<'_>) -> Result<u64> {
    let (command, addr, len) = (call.int(0), call.args[1], call.int(2));
    let creds = call.task.creds();
    if !creds.capable(abi::CAP_SYSLOG) && !creds.capable(abi::CAP_SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    if matches!(command, READ | READ_ALL | READ_CLEAR) {
        let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
        if addr == 0 {
            return Err(Errno::EINVAL);
        }
        if len == 0 {
            return Ok(0);
        }
        check_range(addr, len as u64)?;
        return if command == READ { read(call, addr, len) } else { show(call, addr, len, command == READ_CLEAR) };
    }
    match command {
        // Opening and closing mean nothing, and there is no console that the log goes to.
        0 | 1 | 6 | 7 => Ok(0),
        CLEAR => {
            POSITION.borrow_mut().1 = log().len();
            Ok(0)
        }
        CONSOLE_LEVEL if (1..=8).contains(&len) => Ok(0),
        SIZE_UNREAD => Ok((log().len() - POSITION.get().0) as u64),
        SIZE_BUFFER => Ok(BUFFER_SIZE),
        _ => Err(Errno::EINVAL),
    }
}

/// What was not read yet; waits until there is something.
fn read(call: &Call<'_>, addr: u64, len: usize) -> Result<u64> {
    let log = log();
    let from = wait_on(&READERS, || Some(POSITION.get().0).filter(|&from| from < log.len()))?;
    let part = &log[from..log.len().min(from + len)];
    call.task.space().write_bytes(addr, part)?;
    POSITION.borrow_mut().0 += part.len();
    Ok(part.len() as u64)
}

/// The last whole messages that fit.
fn show(call: &Call<'_>, addr: u64, len: usize, clear: bool) -> Result<u64> {
    let log = log();
    let part = match &log[POSITION.get().1..] {
        part if part.len() <= len => part,
        _ => &[],
    };
    call.task.space().write_bytes(addr, part)?;
    if clear {
        POSITION.borrow_mut().1 = log.len();
    }
    Ok(part.len() as u64)
}
