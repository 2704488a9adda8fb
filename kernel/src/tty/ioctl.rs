//! ioctl(2) of terminals (ioctl_tty(2)).

use super::termios::Termios;
use super::{Tty, packet};
use crate::mm::user::bytes_of;
use crate::sched::wait::{Sleep, wait_until};
use crate::task::Task;
use crate::vfs::file::OpenFile;
use crate::{Errno, Result};
use abi::number::{Low, saturated_i32};

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
    pub(super) fn ioctl(&self, file: &OpenFile, command: u32, arg: u64) -> Result<u64> {
        let task = &crate::task::current();
        match command {
            abi::TIOCSCTTY => {
                if !file.readable() && !task.creds().capable(abi::CAP_SYS_ADMIN) {
                    return Err(Errno::EPERM);
                }
                self.claim(task, arg.low_i32() == 1)
            }
            abi::TIOCNOTTY => self.give_up(task),
            abi::TIOCINQ => {
                let count = {
                    let state = self.state.borrow();
                    state.discipline.count(&state.termios)
                };
                put(task, arg, &saturated_i32(count))
            }
            abi::TIOCOUTQ => {
                // What is in the master's queue has been sent.
                let waiting = if self.is_pty() { 0 } else { self.state.borrow().output.len() };
                put(task, arg, &saturated_i32(waiting))
            }
            abi::TIOCSTI => {
                // Faking someone's typing is how programs escape their sandbox: only for the
                // administrator, as Linux has it now.
                if !task.creds().capable(abi::CAP_SYS_ADMIN) {
                    return Err(Errno::EIO);
                }
                let byte: u8 = task.space().read(arg)?;
                if self.typing_room() > 0 {
                    self.type_in(&[byte]);
                }
                Ok(0)
            }
            abi::TIOCVHANGUP => {
                if !task.creds().capable(abi::CAP_SYS_ADMIN) {
                    return Err(Errno::EPERM);
                }
                self.hang_up();
                Ok(0)
            }
            abi::TCXONC => {
                self.check_foreground(task, abi::SIGTTOU)?;
                match i32::try_from(arg) {
                    Ok(abi::TCOOFF) => self.set_stopped(true),
                    Ok(abi::TCOON) => self.set_stopped(false),
                    Ok(action @ (abi::TCIOFF | abi::TCION)) => {
                        let key = if action == abi::TCIOFF { abi::VSTOP } else { abi::VSTART };
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
            abi::TCGETS => put(task, arg, &self.termios().to_kernel()),
            abi::TCGETS2 => put(task, arg, &self.termios().to_kernel2()),
            abi::TCGETA => put(task, arg, &self.termios().to_termio()),
            abi::TCSETS | abi::TCSETSW | abi::TCSETSF => {
                let mut new = self.termios();
                new.set_kernel(&space.read(arg)?);
                self.set_termios(
                    task,
                    new,
                    [Apply::Now, Apply::Drained, Apply::Flushed][(command - abi::TCSETS) as usize],
                )
            }
            abi::TCSETS2 | abi::TCSETSW2 | abi::TCSETSF2 => {
                let mut new = self.termios();
                new.set_kernel2(&space.read(arg)?);
                self.set_termios(
                    task,
                    new,
                    [Apply::Now, Apply::Drained, Apply::Flushed][(command - abi::TCSETS2) as usize],
                )
            }
            abi::TCSETA | abi::TCSETAW | abi::TCSETAF => {
                let mut new = self.termios();
                new.set_termio(&space.read(arg)?);
                self.set_termios(
                    task,
                    new,
                    [Apply::Now, Apply::Drained, Apply::Flushed][(command - abi::TCSETA) as usize],
                )
            }
            abi::TCFLSH => {
                self.check_foreground(task, abi::SIGTTOU)?;
                let (input, output) = match i32::try_from(arg) {
                    Ok(abi::TCIFLUSH) => (true, false),
                    Ok(abi::TCOFLUSH) => (false, true),
                    Ok(abi::TCIOFLUSH) => (true, true),
                    _ => return Err(Errno::EINVAL),
                };
                // The master's input is what was written to the slave.
                if master {
                    self.flush_master(input);
                } else {
                    self.flush_queues(input, output);
                }
                Ok(0)
            }
            abi::TCSBRK | abi::TCSBRKP => {
                self.check_foreground(task, abi::SIGTTOU)?;
                self.drain()?;
                Ok(0)
            }
            // There is no line to break.
            abi::TIOCSBRK | abi::TIOCCBRK => Ok(0),
            abi::TIOCGWINSZ => put(task, arg, &self.size()),
            abi::TIOCSWINSZ => {
                self.resize(space.read(arg)?);
                Ok(0)
            }
            abi::TIOCGPGRP => put(task, arg, &self.foreground_for(task, master)?),
            abi::TIOCSPGRP => self.set_foreground(task, space.read(arg)?),
            abi::TIOCGSID => put(task, arg, &self.session_for(task, master)?),
            abi::TIOCEXCL | abi::TIOCNXCL => {
                self.state.borrow_mut().exclusive = command == abi::TIOCEXCL;
                Ok(0)
            }
            abi::TIOCGEXCL => put(task, arg, &i32::from(self.state.borrow().exclusive)),
            abi::TIOCGDEV => put(task, arg, &self.device.low_u32()),
            abi::TIOCGETD => put(task, arg, &0i32),
            abi::TIOCSETD => match space.read::<i32>(arg)? {
                // The only line discipline there is (N_TTY).
                0 => Ok(0),
                _ => Err(Errno::EINVAL),
            },
            abi::TIOCGSOFTCAR => put(task, arg, &i32::from(self.termios().cflag & abi::CLOCAL != 0)),
            abi::TIOCSSOFTCAR => {
                let on: i32 = space.read(arg)?;
                let mut new = self.termios();
                new.cflag = if on != 0 { new.cflag | abi::CLOCAL } else { new.cflag & !abi::CLOCAL };
                self.set_termios(task, new, Apply::Now)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn set_termios(&self, task: &Task, mut new: Termios, apply: Apply) -> Result<u64> {
        self.check_foreground(task, abi::SIGTTOU)?;
        if apply != Apply::Now {
            self.drain()?;
        }
        if apply == Apply::Flushed {
            self.flush_queues(true, false);
        }
        // A line without hardware always carries eight bits.
        new.cflag = new.cflag & !(abi::CSIZE | abi::PARENB) | abi::CS8 | abi::CREAD;
        {
            let mut state = self.state.borrow_mut();
            let old = std::mem::replace(&mut state.termios, new);
            if old.canonical() != new.canonical() {
                state.discipline.mode_changed(new.canonical());
            }
            // Flow control that nobody can undo any more is undone.
            if old.input(abi::IXON) && !new.input(abi::IXON) && state.stopped {
                state.set_stopped(false);
                state.put_echo(&mut Vec::new());
            }
            let keys = |t: &Termios| t.input(abi::IXON) && t.is(abi::VSTOP, 0x13) && t.is(abi::VSTART, 0x11);
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
