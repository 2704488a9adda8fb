//! Job control: which session a terminal controls, who may use it, and hangup.

use super::{Control, Tty};
use crate::Pid;
use crate::task::group::ControllingTty;
use crate::task::signal::{self, SigInfo};
use crate::task::{self, Process, Session, Task};
use crate::{Errno, Result};
use std::any::Any;
use std::sync::Arc;

/// The terminal that controls a process.
pub fn controlling_tty(process: &Process) -> Option<Arc<Tty>> {
    if process.settings.borrow().no_tty {
        return None;
    }
    let tty = process.group().session.tty.cloned()?;
    tty.as_any().downcast_ref::<Tty>().map(Tty::arc)
}

fn blocked_or_ignored(task: &Task, signal: i32) -> bool {
    task.signals.borrow().mask.contains(signal) || task.actions.borrow().borrow().ignores(signal)
}

pub(super) fn may_administer() -> bool {
    task::current().creds().capable(abi::CAP_SYS_ADMIN)
}

impl ControllingTty for Tty {
    fn release(&self, session: &Arc<Session>, hangup: bool) {
        let foreground = self.control.take().foreground;
        let tell = |signal| {
            // A group that has ended is told nothing.
            let _ = signal::send_to_group(foreground, SigInfo::kernel(signal));
        };
        tell(abi::SIGHUP);
        if !hangup {
            tell(abi::SIGCONT);
        } else if !self.is_pty() {
            // The open files of a line die with its session; those of a pseudo terminal with its
            // master.
            self.kill_open_files();
        }
        debug_assert!(session.tty.borrow().is_none());
    }

    fn device(&self) -> u64 {
        self.device
    }

    fn foreground(&self) -> Pid {
        self.control.borrow().foreground
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Tty {
    fn session(&self) -> Option<Arc<Session>> {
        self.control.borrow().session.upgrade()
    }

    /// Whether it controls the process's session.
    pub(super) fn controls(&self, process: &Process) -> bool {
        let own = process.group().session.sid;
        self.session().is_some_and(|s| s.sid == own) && controlling_tty(process).is_some_and(|t| t.is(self))
    }

    pub(super) fn is(&self, other: &Tty) -> bool {
        std::ptr::eq(self, other)
    }

    /// Sends a signal to the foreground group.
    pub(super) fn signal_foreground(&self, signal: i32) {
        let group = self.control.borrow().foreground;
        // An empty group is no error here, nor is none.
        let _ = signal::send_to_group(group, SigInfo::kernel(signal));
    }

    /// Whether the current task may read from it (SIGTTIN) or change it (SIGTTOU) now: background
    /// groups are stopped.
    ///
    /// # Errors
    /// EIO for those that could never be continued, ERESTARTSYS once the signal was sent.
    pub(super) fn check_foreground(&self, task: &Task, signal: i32) -> Result<()> {
        if !self.controls(&task.process) {
            return Ok(());
        }
        let own = task.process.group();
        let foreground = self.control.borrow().foreground;
        if foreground == 0 || foreground == own.pgid {
            return Ok(());
        }
        if blocked_or_ignored(task, signal) {
            return if signal == abi::SIGTTIN { Err(Errno::EIO) } else { Ok(()) };
        }
        if own.is_orphaned(None) {
            return Err(Errno::EIO);
        }
        let _ = signal::send_to_group(own.pgid, SigInfo::kernel(signal));
        Err(Errno::ERESTARTSYS)
    }

    /// Makes it the controlling terminal of a session, with the leader's group in the foreground.
    pub fn make_controlling(&self, leader: &Process) {
        let group = leader.group();
        let session = group.session.clone();
        self.control.set(Control { session: Arc::downgrade(&session), foreground: group.pgid });
        session.tty.set(Some(self.arc()));
        leader.settings.borrow_mut().no_tty = false;
    }

    /// A session leader without a terminal gets the one it opens, if nobody has it.
    pub(super) fn adopt_by_open(&self) {
        let process = &task::current().process;
        let session = process.group().session.clone();
        if process.pid == session.sid && session.tty.borrow().is_none() && self.session().is_none() {
            self.make_controlling(process);
        }
    }

    /// TIOCSCTTY.
    pub(super) fn claim(&self, task: &Task, steal: bool) -> Result<u64> {
        let process = &task.process;
        let session = process.group().session.clone();
        if process.pid == session.sid && self.session().is_some_and(|s| s.sid == session.sid) {
            return Ok(0);
        }
        if process.pid != session.sid || session.tty.borrow().is_some() {
            return Err(Errno::EPERM);
        }
        if let Some(owner) = self.session() {
            if !(steal && task.creds().capable(abi::CAP_SYS_ADMIN)) {
                return Err(Errno::EPERM);
            }
            owner.tty.set(None);
        }
        self.make_controlling(process);
        Ok(0)
    }

    /// TIOCNOTTY.
    pub(super) fn give_up(&self, task: &Task) -> Result<u64> {
        let process = &task.process;
        if !self.controls(process) {
            return Err(Errno::ENOTTY);
        }
        let session = process.group().session.clone();
        if process.pid != session.sid {
            process.settings.borrow_mut().no_tty = true;
            return Ok(0);
        }
        let tty = session.tty.take();
        if let Some(tty) = tty {
            tty.release(&session, false);
        }
        Ok(0)
    }

    /// TIOCGPGRP. The master of a pseudo terminal may ask without being controlled by it.
    pub(super) fn foreground_for(&self, task: &Task, master: bool) -> Result<Pid> {
        if !master && !self.controls(&task.process) {
            return Err(Errno::ENOTTY);
        }
        Ok(self.control.borrow().foreground)
    }

    /// TIOCGSID.
    pub(super) fn session_for(&self, task: &Task, master: bool) -> Result<Pid> {
        if !master && !self.controls(&task.process) {
            return Err(Errno::ENOTTY);
        }
        self.session().map(|s| s.sid).ok_or(Errno::ENOTTY)
    }

    /// TIOCSPGRP.
    pub(super) fn set_foreground(&self, task: &Task, pgid: Pid) -> Result<u64> {
        self.check_foreground(task, abi::SIGTTOU).map_err(|e| if e == Errno::EIO { Errno::ENOTTY } else { e })?;
        if !self.controls(&task.process) {
            return Err(Errno::ENOTTY);
        }
        if pgid < 0 {
            return Err(Errno::EINVAL);
        }
        let group = crate::task::find_group(pgid).ok_or(Errno::ESRCH)?;
        if group.session.sid != task.process.group().session.sid {
            return Err(Errno::EPERM);
        }
        self.control.borrow_mut().foreground = group.pgid;
        Ok(0)
    }

    /// The line is cut: the session's leader gets SIGHUP and SIGCONT, and all open files of the
    /// terminal are dead.
    pub fn hang_up(&self) {
        let control = self.control.take();
        if let Some(session) = control.session.upgrade() {
            session.tty.set(None);
            // What the leader leaves behind when it ends is told then, see `leader_ended`.
            session.old_foreground.set(control.foreground);
            if let Some(leader) = crate::task::find_process(session.sid) {
                let _ = signal::send_to_process(&leader, SigInfo::kernel(abi::SIGHUP));
                let _ = signal::send_to_process(&leader, SigInfo::kernel(abi::SIGCONT));
            }
        }
        self.kill_open_files();
    }

    fn kill_open_files(&self) {
        {
            let mut state = self.state.borrow_mut();
            state.generation += 1;
            state.discipline.flush();
            state.typed.clear();
            state.output.clear();
            state.held_echo.clear();
            state.stopped = false;
            state.termios = super::Termios::initial();
        }
        self.readers.wake_all();
        self.writers.wake_all();
        self.output_changed();
    }
}

/// vhangup(2): cuts the line of the caller's terminal.
pub fn vhangup(task: &Task) -> Result<u64> {
    if !task.creds().capable(abi::CAP_SYS_TTY_CONFIG) {
        return Err(Errno::EPERM);
    }
    if let Some(tty) = controlling_tty(&task.process) {
        tty.hang_up();
    }
    Ok(0)
}
