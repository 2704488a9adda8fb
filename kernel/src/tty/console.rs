//! The guest's console: a terminal whose other end is the host terminal that `uml` was started on.
//!
//! The host terminal is raw, so every key comes here and the guest's line discipline decides what
//! it means. When `uml` was started without a terminal, /dev/console exists all the same: nothing
//! is ever typed, and its output goes to standard error.

use super::termios::Termios;
use super::{OtherEnd, Tty};
use crate::Result;
use crate::lock::KCell;
use crate::sched::events::{HostReady, Watch};
use crate::vfs::device::{TTY_SPECIAL, number};
use crate::vfs::file::FileOps;
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use umlab_host::memory::Window;
use umlab_host::stream::Stream;
use umlab_host::{Errno, terminal};

struct Console {
    tty: Arc<Tty>,
    input: Option<Stream>,
    output: Option<Stream>,
    input_watch: KCell<Option<(Watch, Arc<dyn HostReady>)>>,
    output_watch: KCell<Option<(Watch, Arc<dyn HostReady>)>>,
    /// Output that the host did not take yet.
    unwritten: KCell<VecDeque<u8>>,
}

static CONSOLE: OnceLock<Console> = OnceLock::new();

/// Bytes taken from the host at once.
const PIECE: usize = 1024;
/// No more output than this waits for the host.
const UNWRITTEN_MAX: usize = 64 << 10;

struct InputReady;
struct OutputReady;

impl HostReady for InputReady {
    fn ready(&self, _events: u32) {
        if let Some(console) = CONSOLE.get() {
            console.read_host();
        }
    }
}

impl HostReady for OutputReady {
    fn ready(&self, _events: u32) {
        if let Some(console) = CONSOLE.get() {
            flush(&console.tty);
        }
    }
}

fn console() -> &'static Console {
    CONSOLE.get_or_init(|| Console {
        tty: Tty::new(number(TTY_SPECIAL, 1), OtherEnd::Host),
        input: None,
        output: Stream::standard(2),
        input_watch: KCell::new(None),
        output_watch: KCell::new(None),
        unwritten: KCell::default(),
    })
}

/// Connects the console with the host terminal on descriptors 0 and 1, and makes that raw. Called
/// once, by boot, before anything of the guest runs; `restore` is its counterpart.
pub fn attach() -> Result<()> {
    let (Some(input), Some(output)) = (Stream::standard(0), Stream::standard(1)) else { return Err(Errno::ENOTTY) };
    let host = terminal::settings(input.fd())?;
    terminal::make_raw(input.fd())?;
    let tty = Tty::new(number(TTY_SPECIAL, 1), OtherEnd::Host);
    tty.state.borrow_mut().termios.take_habits(&Termios::of_host(&host));
    let fresh = Console {
        tty,
        input: Some(input),
        output: Some(output),
        input_watch: KCell::new(None),
        output_watch: KCell::new(None),
        unwritten: KCell::default(),
    };
    if CONSOLE.set(fresh).is_err() {
        return Err(Errno::EBUSY);
    }
    host_signal(abi::SIGWINCH);
    console().listen();
    Ok(())
}

/// Writes out what the guest said last, waiting a little if need be, and gives the host terminal
/// back. Called when the guest has ended; harmless without a console.
pub fn restore() {
    if let Some(console) = CONSOLE.get() {
        flush(&console.tty);
        for _ in 0..100 {
            if console.unwritten.borrow().is_empty() && console.tty.state.borrow().output.is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
            flush(&console.tty);
        }
    }
    terminal::restore();
}

/// The console as a terminal, for boot to make it the first session's.
pub fn tty() -> Arc<Tty> {
    console().tty.clone()
}

pub(super) fn open() -> Result<Arc<dyn FileOps>> {
    console().tty.open()
}

/// A host signal that concerns the terminal.
pub fn host_signal(signal: i32) {
    let Some(console) = CONSOLE.get() else { return };
    let Some(input) = &console.input else { return };
    match signal {
        abi::SIGTSTP => terminal::stop_self(input.fd()),
        abi::SIGCONT => terminal::continued(input.fd()),
        _ => {}
    }
    // The size may have changed while we were stopped, too.
    if let Ok(size) = terminal::size(input.fd()) {
        console.tty.resize(super::window_of(size));
    }
    console.listen();
}

/// Asks for keystrokes again, when there is room for them.
pub(super) fn listen(tty: &Tty) {
    if let Some(console) = CONSOLE.get()
        && console.tty.is(tty)
    {
        console.listen();
    }
}

/// Passes the terminal's output to the host, as far as it takes it.
pub(super) fn flush(tty: &Tty) {
    let Some(console) = CONSOLE.get() else { return };
    let Some(output) = &console.output else {
        tty.take_output(usize::MAX);
        return;
    };
    loop {
        if console.unwritten.borrow().is_empty() {
            let stopped_or_empty = tty.state.borrow().output.is_empty();
            if stopped_or_empty {
                return;
            }
            let bytes = tty.take_output(UNWRITTEN_MAX);
            console.unwritten.borrow_mut().extend(bytes);
        }
        let result = {
            let mut unwritten = console.unwritten.borrow_mut();
            let result = output.write(Window::of(unwritten.make_contiguous()));
            if let Ok(n) = result {
                unwritten.drain(..n);
            }
            result
        };
        match result {
            Ok(_) => {}
            Err(Errno::EAGAIN) => {
                console.await_output(output);
                return;
            }
            Err(Errno::EINTR) => {}
            Err(_) => {
                // The host terminal is gone.
                console.unwritten.borrow_mut().clear();
                tty.take_output(usize::MAX);
                return;
            }
        }
    }
}

impl Console {
    fn listen(&self) {
        let Some(input) = &self.input else { return };
        if self.tty.typing_room() < PIECE {
            return;
        }
        let mut watch = self.input_watch.borrow_mut();
        let (watch, _) = watch.get_or_insert_with(|| {
            let target: Arc<dyn HostReady> = Arc::new(InputReady);
            (Watch::new(&target), target)
        });
        let _ = watch.arm(input.fd(), abi::EPOLLIN);
    }

    fn await_output(&self, output: &Stream) {
        let mut watch = self.output_watch.borrow_mut();
        let (watch, _) = watch.get_or_insert_with(|| {
            let target: Arc<dyn HostReady> = Arc::new(OutputReady);
            (Watch::new(&target), target)
        });
        let _ = watch.arm(output.fd(), abi::EPOLLOUT);
    }

    fn read_host(&self) {
        let Some(input) = &self.input else { return };
        let mut piece = [0; PIECE];
        match input.read(Window::of_mut(&mut piece)) {
            Ok(0) | Err(Errno::EIO) => {
                // The host terminal was hung up.
                self.tty.hang_up();
                return;
            }
            Ok(n) => self.tty.type_in(&piece[..n]),
            Err(_) => {}
        }
        self.listen();
    }
}
