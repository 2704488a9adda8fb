//! Named pipes: one pipe for each inode, and an open(2) that waits for its partner.

use super::{Pipe, PipeEnd};
use crate::lock::KCell;
use crate::sched::wait::wait_on;
use crate::vfs::file::FileOps;
use crate::{Errno, Result};
use std::sync::{Arc, Weak};

/// What the inode of a named pipe keeps: the pipe, as long as anyone has it open.
#[derive(Default)]
pub struct Fifo {
    pipe: KCell<Weak<Pipe>>,
}

impl Fifo {
    pub fn new() -> Arc<Fifo> {
        Arc::default()
    }

    fn pipe(&self) -> Arc<Pipe> {
        let mut known = self.pipe.borrow_mut();
        known.upgrade().unwrap_or_else(|| {
            let pipe = Arc::new(Pipe::new());
            *known = Arc::downgrade(&pipe);
            pipe
        })
    }
}

/// Opens a named pipe with the flags of open(2): for reading it waits for a writer and the other
/// way round, unless O_NONBLOCK says not to; opening both sides (O_RDWR) never waits.
///
/// # Errors
/// ENXIO for a writer that will not wait when there is no reader; ERESTARTSYS when a signal came
/// first.
pub fn open_fifo(fifo: &Fifo, flags: i32) -> Result<Arc<dyn FileOps>> {
    let pipe = &fifo.pipe();
    let nonblock = flags & abi::O_NONBLOCK != 0;
    let end: PipeEnd = match flags & abi::O_ACCMODE {
        abi::O_RDONLY => {
            let end = pipe.open_end(true, false);
            let (writers, seen) = {
                let state = pipe.state.borrow();
                (state.writers, state.writer_opens)
            };
            if writers == 0 {
                if nonblock {
                    end.expect_writer();
                } else {
                    wait_on(&pipe.opened, || (pipe.state.borrow().writer_opens != seen).then_some(()))?;
                }
            }
            end
        }
        abi::O_WRONLY => {
            if nonblock && pipe.state.borrow().readers == 0 {
                return Err(Errno::ENXIO);
            }
            let end = pipe.open_end(false, true);
            let (readers, seen) = {
                let state = pipe.state.borrow();
                (state.readers, state.reader_opens)
            };
            if readers == 0 {
                wait_on(&pipe.opened, || (pipe.state.borrow().reader_opens != seen).then_some(()))?;
            }
            end
        }
        abi::O_RDWR => pipe.open_end(true, true),
        _ => return Err(Errno::EINVAL),
    };
    Ok(Arc::new(end))
}

/// Opens a pipe without a name once more, through /proc/PID/fd: without waiting for a partner.
pub fn reopen(pipe: &Arc<Pipe>, flags: i32) -> Result<Arc<dyn FileOps>> {
    let (reads, writes) = match flags & abi::O_ACCMODE {
        abi::O_RDONLY => (true, false),
        abi::O_WRONLY => (false, true),
        abi::O_RDWR => (true, true),
        _ => return Err(Errno::EINVAL),
    };
    Ok(Arc::new(pipe.open_end(reads, writes)))
}
