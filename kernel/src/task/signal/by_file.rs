//! Signals that files cause: the file layer's upcalls.

use super::{SigInfo, send_to_process, send_to_task};
use crate::task::{Process, find, find_group, find_process};
use crate::vfs::async_io::{OWNER_GROUP, OWNER_THREAD, Owner};

/// si_code: there is something to read.
const POLL_IN: i32 = 1;

/// The current thread wrote beyond its RLIMIT_FSIZE.
pub fn size_exceeded() {
    let task = crate::task::current();
    // A standard signal always gets through.
    let _ = send_to_task(&task, SigInfo::kill(abi::SIGXFSZ, task.pid(), task.creds().uid));
}

/// A file with O_ASYNC became ready: tells its owner (F_SETOWN and F_SETSIG of fcntl(2)), if who
/// named the owner may send it signals.
pub fn file_ready(owner: &Owner, signal: i32, events: u32) {
    let info = match signal {
        0 => SigInfo::kernel(abi::SIGIO),
        signal => SigInfo::poll(signal, POLL_IN, events.into(), 0),
    };
    let setter = [owner.setter.euid, owner.setter.uid];
    let may_tell = |target: &Process| {
        let creds = target.creds();
        owner.setter.euid == 0 || setter.iter().any(|id| [creds.uid, creds.suid].contains(id))
    };
    // An owner that is gone hears nothing, and a full queue of signals is as good as one more.
    match owner.kind {
        OWNER_THREAD => {
            if let Some(task) = find(owner.id).filter(|task| may_tell(&task.process)) {
                let _ = send_to_task(&task, info);
            }
        }
        OWNER_GROUP => {
            let members = find_group(owner.id).map(|group| group.members()).unwrap_or_default();
            for process in members.iter().filter(|process| may_tell(process)) {
                let _ = send_to_process(process, info);
            }
        }
        _ => {
            if let Some(process) = find_process(owner.id).filter(|process| may_tell(process)) {
                let _ = send_to_process(&process, info);
            }
        }
    }
}
