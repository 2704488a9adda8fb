//! An open file of a terminal: reading with VMIN and VTIME, writing, polling.

use super::Tty;
use crate::mm::IoBuf;
use crate::mm::pressure::room_for;
use crate::sched::wait::{Sleep, WaitQueue, wait_until};
use crate::vfs::file::{Events, FileOps, OpenFile};
use crate::{Errno, Result, sched, task, time};
use smallvec::{SmallVec, smallvec};
use std::any::Any;
use std::sync::Arc;

/// Output is put through in pieces of this size.
const PIECE: usize = 2048;
/// VTIME counts in these.
const TENTH: u64 = 100_000_000;

pub(super) struct TtyFile {
    pub tty: Arc<Tty>,
    /// The hangup generation it was opened in.
    generation: u64,
}

impl TtyFile {
    pub fn new(tty: Arc<Tty>, generation: u64) -> TtyFile {
        TtyFile { tty, generation }
    }

    pub fn hung_up(&self) -> bool {
        self.tty.state.borrow().generation != self.generation
    }

    /// Sleeps until there are `amount` bytes or a line, or the terminal was hung up. False when the
    /// deadline passed.
    fn wait_input(&self, amount: usize, deadline: Option<u64>) -> Result<bool> {
        let ready = || {
            let state = self.tty.state.borrow();
            let hung = state.generation != self.generation || state.other_closed;
            (hung || state.discipline.readable(&state.termios, amount)).then_some(true)
        };
        match wait_until(&[&self.tty.readers], deadline, Sleep::Interruptible, ready) {
            Err(Errno::ETIMEDOUT) => Ok(false),
            other => other,
        }
    }

    fn read_lines(&self, file: &OpenFile, buf: &mut IoBuf<'_>) -> Result<usize> {
        loop {
            if self.hung_up() {
                return Ok(0);
            }
            let got = {
                let mut state = self.tty.state.borrow_mut();
                // Another reader may have changed the mode meanwhile.
                if !state.termios.canonical() {
                    return Ok(0);
                }
                state.discipline.read_line(buf)?
            };
            if let Some(n) = got {
                return Ok(n);
            }
            if self.tty.state.borrow().other_closed {
                return Err(Errno::EIO);
            }
            if file.nonblocking() {
                return Err(Errno::EAGAIN);
            }
            self.wait_input(1, None)?;
        }
    }

    fn read_raw(&self, file: &OpenFile, buf: &mut IoBuf<'_>) -> Result<usize> {
        let (min, tenths) = {
            let termios = self.tty.termios();
            (termios.cc[abi::VMIN] as usize, u64::from(termios.cc[abi::VTIME]))
        };
        // Without a minimum the time runs from the start, with one it runs between bytes.
        let mut deadline = (min == 0).then(|| time::now() + tenths * TENTH);
        while !buf.is_empty() {
            if self.hung_up() {
                break;
            }
            let taken = self.tty.state.borrow_mut().discipline.read_raw(buf);
            let n = match taken {
                Ok(n) => n,
                Err(_) if buf.done() > 0 => break,
                Err(e) => return Err(e),
            };
            if n > 0 {
                self.tty.process_typed();
                if buf.done() >= min.max(1) {
                    break;
                }
                deadline = (tenths > 0).then(|| time::now() + tenths * TENTH);
                continue;
            }
            let stop = if self.tty.state.borrow().other_closed {
                Err(Errno::EIO)
            } else if min == 0 && tenths == 0 {
                break;
            } else if file.nonblocking() {
                Err(Errno::EAGAIN)
            } else {
                self.wait_input(1, deadline)
            };
            match stop {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) if buf.done() > 0 => break,
                Err(e) => return Err(e),
            }
        }
        Ok(buf.done())
    }

    fn write_out(&self, file: &OpenFile, buf: &mut IoBuf<'_>) -> Result<usize> {
        let mut piece = [0; PIECE];
        let mut processed = Vec::new();
        while !buf.is_empty() {
            if self.hung_up() || self.tty.state.borrow().other_closed {
                return Err(Errno::EIO);
            }
            let room = self.tty.state.borrow().output_room();
            if room == 0 {
                if file.nonblocking() {
                    return Err(Errno::EAGAIN);
                }
                wait_until(&[&self.tty.writers], None, Sleep::Interruptible, || {
                    let state = self.tty.state.borrow();
                    let hung = state.generation != self.generation || state.other_closed;
                    (hung || state.output_room() > 0).then_some(())
                })?;
                continue;
            }
            room_for(PIECE)?;
            let n = buf.take(&mut piece[..room.min(PIECE)])?;
            {
                let mut state = self.tty.state.borrow_mut();
                let termios = state.termios;
                processed.clear();
                state.discipline.column.write(&piece[..n], &termios, &mut processed);
                state.output.extend(&processed);
            }
            self.tty.output_changed();
            sched::killable_point()?;
        }
        Ok(buf.done())
    }
}

impl FileOps for TtyFile {
    fn read(&self, file: &OpenFile, buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        if self.hung_up() {
            return Ok(0);
        }
        self.tty.check_foreground(&task::current(), abi::SIGTTIN)?;
        if buf.is_empty() {
            return Ok(0);
        }
        let result = loop {
            let canonical = self.tty.termios().canonical();
            let result = if canonical { self.read_lines(file, buf) } else { self.read_raw(file, buf) };
            // The mode changed while it slept: start again in the new one.
            if result == Ok(0) && canonical && !self.tty.termios().canonical() && !self.hung_up() {
                continue;
            }
            break result;
        };
        // There is room again for what waits behind.
        self.tty.process_typed();
        if matches!(self.tty.other_end, super::OtherEnd::Host) {
            super::console::listen(&self.tty);
        }
        result
    }

    fn write(&self, file: &OpenFile, buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        if self.hung_up() {
            return Err(Errno::EIO);
        }
        if self.tty.termios().local(abi::TOSTOP) {
            self.tty.check_foreground(&task::current(), abi::SIGTTOU)?;
        }
        match self.write_out(file, buf) {
            Err(_) if buf.done() > 0 => Ok(buf.done()),
            other => other,
        }
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        if self.hung_up() {
            return Events::IN | Events::OUT | Events::ERR | Events::HUP | Events::RDNORM | Events::WRNORM;
        }
        let state = self.tty.state.borrow();
        let mut events = Events::empty();
        let (min, time) = (state.termios.cc[abi::VMIN] as usize, state.termios.cc[abi::VTIME]);
        if state.discipline.readable(&state.termios, if time == 0 { min } else { 1 }) {
            events |= Events::IN | Events::RDNORM;
        }
        if state.other_closed {
            events |= Events::HUP;
        }
        if state.output_room() > 0 {
            events |= Events::OUT | Events::WRNORM;
        }
        events
    }

    fn poll_queues(&self) -> Option<SmallVec<[&WaitQueue; 2]>> {
        Some(smallvec![&self.tty.readers, &self.tty.writers])
    }

    fn ioctl(&self, file: &OpenFile, command: u32, arg: u64) -> Result<u64> {
        if self.hung_up() {
            return Err(if command == abi::TIOCSPGRP { Errno::ENOTTY } else { Errno::EIO });
        }
        self.tty.ioctl(file, command, arg)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for TtyFile {
    fn drop(&mut self) {
        self.tty.closed();
    }
}
