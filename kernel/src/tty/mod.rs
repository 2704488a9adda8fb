//! Terminals.
//!
//! A [`Tty`] is what programs see of a terminal: settings, a line discipline that makes lines of
//! keystrokes, output that is processed, a size, and a session that it controls. What is at the
//! other end differs: a program that holds the master of a pseudo terminal ([`pty`]), or the host
//! terminal that `uml` was started on ([`console`]).
//!
//! Bytes flow so: the other end calls [`Tty::type_in`], the discipline collects and echoes, readers
//! take lines; writers' output goes, processed, to `output`, from where the other end takes it.

pub mod console;
pub mod devpts;
mod discipline;
mod file;
mod ioctl;
pub mod job;
mod output;
pub mod pty;
pub mod termios;

use crate::Pid;
use crate::lock::KCell;
use crate::sched::preempt_point;
use crate::sched::wait::WaitQueue;
use crate::task::Session;
use crate::vfs::file::FileOps;
use crate::{Errno, Result};
use discipline::{Action, Discipline};
use file::TtyFile;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use termios::Termios;
use umlab_abi::termios::Winsize;
use umlab_host::terminal::WindowSize;

/// Output that the other end has not taken: more makes writers wait.
const OUTPUT_MAX: usize = 64 << 10;
/// Keystrokes that the discipline has no room for yet.
const TYPED_MAX: usize = 64 << 10;
/// So many keystrokes and bytes of echo are processed at a time.
const WORK_MAX: usize = 32 << 10;

/// Packet mode's status bits, as TIOCPKT's reader sees them.
pub mod packet {
    pub const FLUSH_READ: u8 = 1;
    pub const FLUSH_WRITE: u8 = 2;
    pub const STOP: u8 = 4;
    pub const START: u8 = 8;
    pub const NO_STOP: u8 = 16;
    pub const DO_STOP: u8 = 32;
}

/// Who takes the output.
enum OtherEnd {
    /// A pseudo terminal's master sleeps on this queue.
    Master(Arc<WaitQueue>),
    /// The host terminal.
    Host,
}

/// A terminal.
pub struct Tty {
    /// The device number, as /proc/PID/stat shows it.
    pub device: u64,
    me: Weak<Tty>,
    other_end: OtherEnd,
    state: KCell<State>,
    /// Woken when there may be something to read.
    readers: WaitQueue,
    /// Woken when there may be room for output, or for keystrokes at the other end.
    writers: WaitQueue,
    control: KCell<Control>,
}

/// The session a terminal controls, and the group that may read from it.
#[derive(Default)]
struct Control {
    session: Weak<Session>,
    /// A process group's id, 0 for none. It stays when the group has ended.
    foreground: Pid,
}

struct State {
    termios: Termios,
    size: Winsize,
    discipline: Discipline,
    typed: VecDeque<u8>,
    output: VecDeque<u8>,
    /// Echo that waits for held output to go on.
    held_echo: Vec<u8>,
    /// Output is held (Ctrl-S, TCOOFF).
    stopped: bool,
    /// The slave of a pseudo terminal cannot be opened yet.
    locked: bool,
    /// The master is gone.
    other_closed: bool,
    exclusive: bool,
    /// Open files of it now.
    opens: usize,
    /// It was opened, and the last open file closed.
    abandoned: bool,
    /// Rises with every hangup: open files of an earlier generation are dead.
    generation: u64,
    packet: bool,
    packet_status: u8,
}

/// The size of a host terminal, as guests are given it.
pub fn window_of(size: WindowSize) -> Winsize {
    let WindowSize { ws_row, ws_col, ws_xpixel, ws_ypixel } = size;
    Winsize { ws_row, ws_col, ws_xpixel, ws_ypixel }
}

impl Tty {
    fn new(device: u64, other_end: OtherEnd) -> Arc<Tty> {
        Arc::new_cyclic(|me| Tty {
            device,
            me: me.clone(),
            other_end,
            state: KCell::new(State {
                termios: Termios::initial(),
                size: Winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 },
                discipline: Discipline::default(),
                typed: VecDeque::new(),
                output: VecDeque::new(),
                held_echo: Vec::new(),
                stopped: false,
                locked: false,
                other_closed: false,
                exclusive: false,
                opens: 0,
                abandoned: false,
                generation: 0,
                packet: false,
                packet_status: 0,
            }),
            readers: WaitQueue::new(),
            writers: WaitQueue::new(),
            control: KCell::default(),
        })
    }

    fn arc(&self) -> Arc<Tty> {
        self.me.upgrade().expect("a terminal that is being used has an owner")
    }

    fn is_pty(&self) -> bool {
        matches!(self.other_end, OtherEnd::Master(_))
    }

    fn termios(&self) -> Termios {
        self.state.borrow().termios
    }

    /// Opens it for a guest program.
    fn open(self: &Arc<Tty>) -> Result<Arc<dyn FileOps>> {
        {
            let mut state = self.state.borrow_mut();
            if state.locked || state.other_closed {
                return Err(Errno::EIO);
            }
            if state.exclusive && state.opens > 0 && !job::may_administer() {
                return Err(Errno::EBUSY);
            }
            state.opens += 1;
            state.abandoned = false;
        }
        let generation = self.state.borrow().generation;
        Ok(Arc::new(TtyFile::new(self.clone(), generation)))
    }

    /// An open file was closed for good.
    fn closed(&self) {
        {
            let mut state = self.state.borrow_mut();
            state.opens = state.opens.saturating_sub(1);
            if state.opens > 0 {
                return;
            }
            state.abandoned = true;
            state.exclusive = false;
        }
        self.output_changed();
    }

    /// Tells the other end that there is output, or news.
    fn output_changed(&self) {
        match &self.other_end {
            OtherEnd::Master(queue) => queue.wake(abi::EPOLLIN | abi::EPOLLRDNORM | abi::EPOLLPRI),
            OtherEnd::Host => console::flush(self),
        }
    }

    /// Room for keystrokes.
    fn typing_room(&self) -> usize {
        TYPED_MAX.saturating_sub(self.state.borrow().typed.len())
    }

    /// Keystrokes come in from the other end; at most `typing_room` of them.
    fn type_in(&self, bytes: &[u8]) {
        self.state.borrow_mut().typed.extend(bytes);
        self.process_typed();
    }

    /// Passes keystrokes through the discipline, as far as it has room.
    fn process_typed(&self) {
        while self.process_some() {
            preempt_point();
        }
    }

    /// As `process_typed`, for a while only: a key may show a whole line again. True when there is
    /// more to do.
    fn process_some(&self) -> bool {
        let mut echo = Vec::new();
        let mut signals: Vec<i32> = Vec::new();
        let (mut took, mut shown, mut work) = (false, false, 0);
        let more = {
            let mut state = self.state.borrow_mut();
            let state = &mut *state;
            let ready = |state: &State| !state.typed.is_empty() && state.discipline.has_room(&state.termios);
            while work < WORK_MAX && ready(state) {
                let Some(byte) = state.typed.pop_front() else { break };
                took = true;
                match state.discipline.receive(byte, &state.termios, state.stopped, &mut echo) {
                    Some(Action::Signal { signal, flush }) => {
                        if flush {
                            state.output.clear();
                            state.held_echo.clear();
                            state.note_packet(packet::FLUSH_READ | packet::FLUSH_WRITE);
                        }
                        // A key that interrupts also lets held output go on.
                        if state.termios.input(abi::IXON) {
                            state.set_stopped(false);
                        }
                        signals.push(signal);
                    }
                    Some(Action::Stop) => state.set_stopped(true),
                    Some(Action::Start) => state.set_stopped(false),
                    None => {}
                }
                shown |= !echo.is_empty() || state.packet_status != 0;
                work += 1 + echo.len();
                state.put_echo(&mut echo);
            }
            ready(state)
        };
        if !took {
            return false;
        }
        for signal in signals {
            self.signal_foreground(signal);
        }
        if shown {
            self.output_changed();
        }
        self.readers.wake(abi::EPOLLIN | abi::EPOLLRDNORM);
        self.writers.wake(abi::EPOLLOUT | abi::EPOLLWRNORM);
        more
    }

    /// Holds output or lets it go on (Ctrl-S and Ctrl-Q, tcflow).
    fn set_stopped(&self, stopped: bool) {
        {
            let mut state = self.state.borrow_mut();
            state.set_stopped(stopped);
            state.put_echo(&mut Vec::new());
        }
        self.writers.wake(abi::EPOLLOUT | abi::EPOLLWRNORM);
        self.output_changed();
    }

    /// Takes output, for the other end.
    fn take_output(&self, max: usize) -> Vec<u8> {
        let bytes: Vec<u8> = {
            let mut state = self.state.borrow_mut();
            let n = state.output.len().min(max);
            state.output.drain(..n).collect()
        };
        if !bytes.is_empty() {
            self.writers.wake(abi::EPOLLOUT | abi::EPOLLWRNORM);
        }
        bytes
    }

    /// Changes the size; SIGWINCH to the foreground group if it is another one.
    pub fn resize(&self, size: Winsize) {
        let old = std::mem::replace(&mut self.state.borrow_mut().size, size);
        if (old.ws_row, old.ws_col, old.ws_xpixel, old.ws_ypixel)
            != (size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel)
        {
            self.signal_foreground(abi::SIGWINCH);
        }
    }

    /// The size.
    pub fn size(&self) -> Winsize {
        self.state.borrow().size
    }
}

impl State {
    fn set_stopped(&mut self, stopped: bool) {
        if stopped != self.stopped {
            self.stopped = stopped;
            self.note_packet(if stopped { packet::STOP } else { packet::START });
        }
    }

    /// Notes news for a master in packet mode; stop and start cancel each other.
    fn note_packet(&mut self, bits: u8) {
        if !self.packet {
            return;
        }
        for (a, b) in [(packet::STOP, packet::START), (packet::DO_STOP, packet::NO_STOP)] {
            if bits & a != 0 {
                self.packet_status &= !b;
            }
            if bits & b != 0 {
                self.packet_status &= !a;
            }
        }
        self.packet_status |= bits;
    }

    /// Puts echo out, or keeps it while output is held.
    fn put_echo(&mut self, echo: &mut Vec<u8>) {
        self.held_echo.append(echo);
        if !self.stopped {
            self.output.extend(self.held_echo.drain(..));
        }
        // Nobody takes it: what a terminal cannot show is lost.
        self.held_echo.truncate(discipline::CAPACITY);
        self.output.truncate(2 * OUTPUT_MAX);
    }

    fn output_room(&self) -> usize {
        if self.stopped { 0 } else { OUTPUT_MAX.saturating_sub(self.output.len()) }
    }
}

/// Opens /dev/tty, /dev/console or /dev/ptmx.
pub fn open_special(minor: u32, flags: i32) -> Result<Arc<dyn FileOps>> {
    match minor {
        0 => job::controlling_tty(&crate::task::current().process).ok_or(Errno::ENXIO)?.open(),
        1 => console::open(),
        2 => pty::open_master(flags),
        _ => Err(Errno::ENXIO),
    }
}

/// Opens the slave of a pseudo terminal by its number.
pub fn open_slave(index: u32, flags: i32) -> Result<Arc<dyn FileOps>> {
    let tty = pty::slave(index).ok_or(Errno::EIO)?;
    let ops = tty.open()?;
    if flags & abi::O_NOCTTY == 0 && flags & abi::O_ACCMODE != abi::O_WRONLY {
        tty.adopt_by_open();
    }
    Ok(ops)
}

#[cfg(test)]
mod tests;
