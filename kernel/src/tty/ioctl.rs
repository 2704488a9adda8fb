//! ioctl(2) of terminals (ioctl_tty(2)).

use super::termios::Termios;
use super::{Tty, packet};
use crate::mm::user::bytes_of;
use crate::sched::wait::{Sleep, wait_until};
use crate::task::Task;
use crate::task::creds::CAP_SYS_ADMIN;
use crate::vfs::file::OpenFile;
use crate::{Errno, Result};

// What libc has no names for.
const TCGETS2: u32 = 0x802c_542a;
const TCSETS2: u32 = 0x402c_542b;
const TCSETSW2: u32 = 0x402c_542c;
const TCSETSF2: u32 = 0x402c_542d;
const TIOCSTI: u32 = 0x5412;
const TIOCVHANGUP: u32 = 0x5437;
const TIOCGEXCL: u32 = 0x8004_5440;
const TIOCGDEV: u32 = 0x8004_5432;
const TIOCGETD: u32 = 0x5424;
const TIOCSETD: u32 = 0x5423;
const TIOCGSOFTCAR: u32 = 0x5419;
const TIOCSSOFTCAR: u32 = 0x541a;

const TCGETS: u32 = libc::TCGETS as u32;
const TCSETS: u32 = libc::TCSETS as u32;
const TCSETSW: u32 = libc::TCSETSW as u32;
const TCSETSF: u32 = libc::TCSETSF as u32;
const TCGETA: u32 = libc::TCGETA as u32;
const TCSETA: u32 = libc::TCSETA as u32;
const TCSETAW: u32 = libc::TCSETAW as u32;
const TCSETAF: u32 = libc::TCSETAF as u32;
const TCXONC: u32 = libc::TCXONC as u32;
const TCFLSH: u32 = libc::TCFLSH as u32;
const TCSBRK: u32 = libc::TCSBRK as u32;
const TCSBRKP: u32 = libc::TCSBRKP as u32;
const TIOCSBRK: u32 = 0x5427;
const TIOCCBRK: u32 = 0x5428;
const TIOCGWINSZ: u32 = libc::TIOCGWINSZ as u32;
const TIOCSWINSZ: u32 = libc::TIOCSWINSZ as u32;
const TIOCINQ: u32 = libc::TIOCINQ as u32;
const TIOCOUTQ: u32 = libc::TIOCOUTQ as u32;
const TIOCSCTTY: u32 = libc::TIOCSCTTY as u32;
const TIOCNOTTY: u32 = libc::TIOCNOTTY as u32;
const TIOCGPGRP: u32 = libc::TIOCGPGRP as u32;
const TIOCSPGRP: u32 = libc::TIOCSPGRP as u32;
const TIOCGSID: u32 = libc::TIOCGSID as u32;
const TIOCEXCL: u32 = libc::TIOCEXCL as u32;
const TIOCNXCL: u32 = libc::TIOCNXCL as u32;

/// When a change of settings takes effect.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Apply {
    Now,
    /// After output was taken.
    Drained,
    /// And drop what was typed.
    Flushed,
}

impl Tty {
    /// What a program does to its terminal.
    pub(super) fn ioctl(&self, file: &OpenFile, task: &Task, command: u32, arg: u64) -> Result<u64> {
        match command {
            TIOCSCTTY => {
                if !file.readable() && !task.creds().capable(CAP_SYS_ADMIN) {
                    return Err(Errno::EPERM);
                }
                self.claim(task, arg == 1)
            }
            TIOCNOTTY => self.give_up(task),
            TIOCINQ => {
                let count = {
                    let state = self.state.borrow();
                    state.discipline.count(&state.termios)
                };
                put(task, arg, &(count as i32))
            }
            TIOCOUTQ => {
                // What is in the master's queue has been sent.
                let waiting = if self.is_pty() { 0 } else { self.state.borrow().output.len() };
                put(task, arg, &(waiting as i32))
            }
            TIOCSTI => {
                // Faking someone's typing is how programs escape their sandbox: only for the
                // administrator, as Linux has it now.
                if !task.creds().capable(CAP_SYS_ADMIN) {
                    return Err(Errno::EIO);
                }
                let byte: u8 = task.space().read(arg)?;
                if self.typing_room() > 0 {
                    self.type_in(&[byte]);
                }
                Ok(0)
            }
            TIOCVHANGUP => {
                if !task.creds().capable(CAP_SYS_ADMIN) {
                    return Err(Errno::EPERM);
                }
                self.hang_up();
                Ok(0)
            }
            TCXONC => {
                self.check_foreground(task, libc::SIGTTOU)?;
                match arg as i32 {
                    libc::TCOOFF => self.set_stopped(true),
                    libc::TCOON => self.set_stopped(false),
                    libc::TCIOFF | libc::TCION => {
                        let key = if arg as i32 == libc::TCIOFF { libc::VSTOP } else { libc::VSTART };
                        let byte = self.termios().control(key);
                        self.state.borrow_mut().output.extend(byte);
                        self.output_changed();
                    }
                    _ => return Err(Errno::EINVAL),
                }
                Ok(0)
            }
            _ => self.shared_ioctl(task, command, arg, false),
        }
    }

    /// What a program and the holder of the master both can do.
    pub(super) fn shared_ioctl(&self, task: &Task, command: u32, arg: u64, master: bool) -> Result<u64> {
        let space = task.space();
        match command {
            TCGETS => put(task, arg, &self.termios().to_kernel()),
            TCGETS2 => put(task, arg, &self.termios().to_kernel2()),
            TCGETA => put(task, arg, &self.termios().to_termio()),
            TCSETS | TCSETSW | TCSETSF => {
                let mut new = self.termios();
                new.set_kernel(&space.read(arg)?);
                self.set_termios(task, new, [Apply::Now, Apply::Drained, Apply::Flushed][(command - TCSETS) as usize])
            }
            TCSETS2 | TCSETSW2 | TCSETSF2 => {
                let mut new = self.termios();
                new.set_kernel2(&space.read(arg)?);
                self.set_termios(task, new, [Apply::Now, Apply::Drained, Apply::Flushed][(command - TCSETS2) as usize])
            }
            TCSETA | TCSETAW | TCSETAF => {
                let mut new = self.termios();
                new.set_termio(&space.read(arg)?);
                self.set_termios(task, new, [Apply::Now, Apply::Drained, Apply::Flushed][(command - TCSETA) as usize])
            }
            TCFLSH => {
                self.check_foreground(task, libc::SIGTTOU)?;
                let (input, output) = match arg as i32 {
                    libc::TCIFLUSH => (true, false),
                    libc::TCOFLUSH => (false, true),
                    libc::TCIOFLUSH => (true, true),
                    _ => return Err(Errno::EINVAL),
                };
                // The master's input is what was written to the slave.
                if master {
                    self.flush_master(input)
                } else {
                    self.flush_queues(input, output)
                }
                Ok(0)
            }
            TCSBRK | TCSBRKP => {
                self.check_foreground(task, libc::SIGTTOU)?;
                self.drain()?;
                Ok(0)
            }
            // There is no line to break.
            TIOCSBRK | TIOCCBRK => Ok(0),
            TIOCGWINSZ => put(task, arg, &self.size()),
            TIOCSWINSZ => {
                self.resize(space.read(arg)?);
                Ok(0)
            }
            TIOCGPGRP => put(task, arg, &self.foreground_for(task, master)?),
            TIOCSPGRP => self.set_foreground(task, space.read(arg)?),
            TIOCGSID => put(task, arg, &self.session_for(task, master)?),
            TIOCEXCL | TIOCNXCL => {
                self.state.borrow_mut().exclusive = command == TIOCEXCL;
                Ok(0)
            }
            TIOCGEXCL => put(task, arg, &(self.state.borrow().exclusive as i32)),
            TIOCGDEV => put(task, arg, &(self.device as u32)),
            TIOCGETD => put(task, arg, &0i32),
            TIOCSETD => match space.read::<i32>(arg)? {
                // The only line discipline there is (N_TTY).
                0 => Ok(0),
                _ => Err(Errno::EINVAL),
            },
            TIOCGSOFTCAR => put(task, arg, &((self.termios().cflag & libc::CLOCAL != 0) as i32)),
            TIOCSSOFTCAR => {
                let on: i32 = space.read(arg)?;
                let mut new = self.termios();
                new.cflag = if on != 0 { new.cflag | libc::CLOCAL } else { new.cflag & !libc::CLOCAL };
                self.set_termios(task, new, Apply::Now)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn set_termios(&self, task: &Task, mut new: Termios, apply: Apply) -> Result<u64> {
        self.check_foreground(task, libc::SIGTTOU)?;
        if apply != Apply::Now {
            self.drain()?;
        }
        if apply == Apply::Flushed {
            self.flush_queues(true, false);
        }
        // A line without hardware always carries eight bits.
        new.cflag = new.cflag & !(libc::CSIZE | libc::PARENB) | libc::CS8 | libc::CREAD;
        {
            let mut state = self.state.borrow_mut();
            let old = std::mem::replace(&mut state.termios, new);
            if old.canonical() != new.canonical() {
                state.discipline.mode_changed(new.canonical());
            }
            // Flow control that nobody can undo any more is undone.
            if old.input(libc::IXON) && !new.input(libc::IXON) && state.stopped {
                state.set_stopped(false);
                state.put_echo(&mut Vec::new());
            }
            let keys = |t: &Termios| t.input(libc::IXON) && t.is(libc::VSTOP, 0x13) && t.is(libc::VSTART, 0x11);
            if keys(&old) != keys(&new) {
                state.note_packet(if keys(&new) { packet::DO_STOP } else { packet::NO_STOP });
            }
        }
        self.process_typed();
        self.output_changed();
        self.readers.wake_all();
        self.writers.wake_all();
        Ok(0)
    }

    /// Waits until the other end has taken all output. A master that takes none is not waited for:
    /// a pseudo terminal counts its output as gone once it is in the master's queue.
    fn drain(&self) -> Result<()> {
        if self.is_pty() {
            return Ok(());
        }
        let empty = || {
            let state = self.state.borrow();
            (state.output.is_empty() || state.stopped || state.other_closed).then_some(())
        };
        wait_until(&[&self.writers], None, Sleep::Interruptible, empty)
    }

    /// tcflush(3) of a pseudo terminal's master: drops what the slave's side has written. What the
    /// master wrote has arrived already.
    fn flush_master(&self, input: bool) {
        if input {
            self.state.borrow_mut().output.clear();
            self.writers.wake_all();
            self.output_changed();
        }
    }

    /// Drops what waits to be read, or written (tcflush). What was written to a pseudo terminal has
    /// arrived at its master already.
    pub(super) fn flush_queues(&self, input: bool, output: bool) {
        {
            let mut state = self.state.borrow_mut();
            if input {
                state.discipline.flush();
                state.typed.clear();
                state.note_packet(packet::FLUSH_READ);
            }
            if output {
                if !self.is_pty() {
                    state.output.clear();
                    state.held_echo.clear();
                }
                state.note_packet(packet::FLUSH_WRITE);
            }
        }
        self.writers.wake_all();
        self.output_changed();
    }
}

pub(super) fn put<T: crate::mm::user::Plain>(task: &Task, addr: u64, value: &T) -> Result<u64> {
    task.space().write_bytes(addr, bytes_of(value))?;
    Ok(0)
}
