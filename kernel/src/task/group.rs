//! Process groups and sessions (setpgid(2), setsid(2), credentials(7)).
//!
//! A group holds its session, a process its group; from above they are listed weakly, so a group
//! ends with its last member.

use super::{Process, pid};
use crate::Pid;
use crate::lock::KCell;
use crate::{Errno, Result};
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// What a session asks of its controlling terminal.
pub trait ControllingTty: Send + Sync {
    /// The session gives the terminal up: its leader ended (`hangup`: the foreground group gets
    /// SIGHUP and SIGCONT), or asked for that with TIOCNOTTY. The session's `tty` is already None.
    fn release(&self, session: &Arc<Session>, hangup: bool);
    /// The device number, as /proc/PID/stat shows it.
    fn device(&self) -> u64;
    /// The foreground process group's id, 0 for none.
    fn foreground(&self) -> Pid;
    fn as_any(&self) -> &dyn Any;
}

/// A session: groups that share a controlling terminal.
pub struct Session {
    pub sid: Pid,
    pub tty: KCell<Option<Arc<dyn ControllingTty>>>,
    /// The foreground group when the terminal hung up, 0 for none: it is told when the leader ends.
    pub old_foreground: KCell<Pid>,
    groups: KCell<BTreeMap<Pid, Weak<ProcessGroup>>>,
}

/// A process group: what job control and signals to many address.
pub struct ProcessGroup {
    pub pgid: Pid,
    pub session: Arc<Session>,
    members: KCell<BTreeMap<Pid, Weak<Process>>>,
}

impl Session {
    pub fn new(sid: Pid) -> Arc<Session> {
        let session =
            Arc::new(Session { sid, tty: KCell::new(None), old_foreground: KCell::new(0), groups: KCell::default() });
        pid::set_session(sid, &session);
        session
    }

    /// Its groups that have members.
    pub fn groups(&self) -> Vec<Arc<ProcessGroup>> {
        self.groups.borrow().values().filter_map(Weak::upgrade).collect()
    }

    /// The group with this id, if it is of this session.
    pub fn group(&self, pgid: Pid) -> Option<Arc<ProcessGroup>> {
        self.groups.borrow().get(&pgid)?.upgrade()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        pid::clear_session(self.sid);
    }
}

impl ProcessGroup {
    pub fn new(pgid: Pid, session: &Arc<Session>) -> Arc<ProcessGroup> {
        let group = Arc::new(ProcessGroup { pgid, session: session.clone(), members: KCell::default() });
        session.groups.borrow_mut().insert(pgid, Arc::downgrade(&group));
        pid::set_group(pgid, &group);
        group
    }

    /// The processes in it, zombies included.
    pub fn members(&self) -> Vec<Arc<Process>> {
        self.members.borrow().values().filter_map(Weak::upgrade).collect()
    }

    /// Adds a new process, whose `group` field names this group.
    pub(super) fn enter(&self, process: &Arc<Process>) {
        self.members.borrow_mut().insert(process.pid, Arc::downgrade(process));
    }

    pub(super) fn leave(&self, pid: Pid) {
        self.members.borrow_mut().remove(&pid);
    }

    /// Whether no member has a parent in another group of the same session who could continue it:
    /// such a group gets no stop signals from the terminal. `without` is not counted: it is about
    /// to leave.
    pub fn is_orphaned(&self, without: Option<&Process>) -> bool {
        !self.members().iter().any(|member| {
            if without.is_some_and(|w| w.pid == member.pid) || member.ended() {
                return false;
            }
            let Some(parent) = member.parent() else { return false };
            let parent_group = parent.group();
            !parent.is_init() && parent_group.pgid != self.pgid && parent_group.session.sid == self.session.sid
        })
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.session.groups.borrow_mut().remove(&self.pgid);
        pid::clear_group(self.pgid);
    }
}

/// setpgid(2): moves the process `pid` (0: the caller's) to the group `pgid` (0: one with its own
/// PID).
pub fn set_group(caller: &Process, pid: Pid, pgid: Pid) -> Result<()> {
    let pid = if pid == 0 { caller.pid } else { pid };
    let pgid = if pgid == 0 { pid } else { pgid };
    if pgid < 0 {
        return Err(Errno::EINVAL);
    }
    let Some(process) = pid::find_process(pid) else {
        // A thread that is not its process's first one.
        return Err(if pid::find(pid).is_some() { Errno::EINVAL } else { Errno::ESRCH });
    };
    let session = caller.session();
    if process.pid != caller.pid {
        if process.parent().is_none_or(|parent| parent.pid != caller.pid) {
            return Err(Errno::ESRCH);
        }
        if process.session().sid != session.sid {
            return Err(Errno::EPERM);
        }
        if process.life.borrow().did_exec {
            return Err(Errno::EACCES);
        }
    }
    if process.session().sid == process.pid {
        return Err(Errno::EPERM);
    }
    let old = process.group();
    if old.pgid == pgid {
        return Ok(());
    }
    let group = match session.group(pgid) {
        Some(group) => group,
        None if pgid == process.pid => ProcessGroup::new(pgid, &session),
        None => return Err(Errno::EPERM),
    };
    move_to(&process, group);
    Ok(())
}

/// setsid(2): makes the process leader of a new session without a terminal.
pub fn new_session(process: &Arc<Process>) -> Result<Pid> {
    // Whoever leads a group cannot leave it, nor may one with its number exist already.
    if pid::find_group(process.pid).is_some() || pid::find_session(process.pid).is_some() {
        return Err(Errno::EPERM);
    }
    let session = Session::new(process.pid);
    move_to(process, ProcessGroup::new(process.pid, &session));
    Ok(session.sid)
}

fn move_to(process: &Arc<Process>, group: Arc<ProcessGroup>) {
    group.enter(process);
    let old = process.group.replace(group);
    old.leave(process.pid);
}
