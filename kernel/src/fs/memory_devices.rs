//! The devices without hardware: null, zero, full, random, urandom and kmsg.

use crate::mm::object::MapObject;
use crate::mm::{IoBuf, PAGE};
use crate::vfs::file::{Events, FileOps, OpenFile};
use crate::{Errno, Result, sched};
use std::any::Any;
use std::sync::Arc;
use umlab_model::Prot;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Device {
    Null,
    Zero,
    Full,
    Random,
    Log,
}

/// Opens one by its minor number (Linux's admin-guide/devices).
pub fn open(minor: u32) -> Result<Arc<dyn FileOps>> {
    let device = match minor {
        3 => Device::Null,
        5 => Device::Zero,
        7 => Device::Full,
        8 | 9 => Device::Random,
        11 => Device::Log,
        _ => return Err(Errno::ENXIO),
    };
    Ok(Arc::new(MemoryDevice(device)))
}

struct MemoryDevice(Device);

const ZEROS: [u8; PAGE] = [0; PAGE];

impl FileOps for MemoryDevice {
    fn read(&self, _file: &OpenFile, buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        match self.0 {
            Device::Null => return Ok(0),
            // Nothing is kept of what is written there.
            Device::Log => return Err(Errno::EAGAIN),
            Device::Zero | Device::Full => fill(buf, |window| window.copy_from_slice(&ZEROS[..window.len()]))?,
            Device::Random => fill(buf, umlab_host::random::fill)?,
        }
        Ok(buf.done())
    }

    fn write(&self, _file: &OpenFile, buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        match self.0 {
            Device::Full => Err(Errno::ENOSPC),
            // Null does not look at the memory, so a bad address is no error.
            Device::Null | Device::Zero => Ok(buf.remaining()),
            Device::Random | Device::Log => {
                let mut sink = [0; 4096];
                loop {
                    match buf.take(&mut sink) {
                        Ok(0) => break,
                        Ok(_) => {}
                        Err(_) if buf.done() > 0 => break,
                        Err(e) => return Err(e),
                    }
                    // A record of the log is not seekable, and comes as one.
                    if sched::killable_point().is_err() {
                        break;
                    }
                }
                Ok(buf.done())
            }
        }
    }

    fn is_splice_source(&self, _file: &OpenFile) -> bool {
        self.0 != Device::Null
    }

    fn seekable(&self) -> bool {
        self.0 != Device::Log
    }

    fn seek_special(&self, _file: &OpenFile, _offset: i64, _whence: i32) -> Result<u64> {
        Ok(0)
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        match self.0 {
            Device::Log => Events::OUT | Events::WRNORM,
            _ => Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM,
        }
    }

    fn ioctl(&self, _file: &OpenFile, command: u32, arg: u64) -> Result<u64> {
        let task = &crate::task::current();
        /// _IOR('R', 0, int), and the ones that feed the pool.
        const RNDGETENTCNT: u32 = 0x8004_5200;
        const RNDADDTOENTCNT: u32 = 0x4004_5201;
        const RNDRESEEDCRNG: u32 = 0x5207;
        match (self.0, command) {
            (Device::Random, RNDGETENTCNT) => {
                task.space().write(arg, &256i32)?;
                Ok(0)
            }
            (Device::Random, RNDADDTOENTCNT | RNDRESEEDCRNG) if !task.creds().capable(abi::CAP_SYS_ADMIN) => {
                Err(Errno::EPERM)
            }
            (Device::Random, RNDADDTOENTCNT | RNDRESEEDCRNG) => Ok(0),
            (Device::Random, _) => Err(Errno::EINVAL),
            _ => Err(Errno::ENOTTY),
        }
    }

    fn map(&self, _file: &OpenFile, _prot: Prot, _shared: bool) -> Result<MapObject> {
        match self.0 {
            Device::Zero => Ok(MapObject::Zeros),
            _ => Err(Errno::ENODEV),
        }
    }

    fn fsync(&self, _file: &OpenFile, _data_only: bool) -> Result<()> {
        Err(Errno::EINVAL)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Fills the whole buffer, a page at a time.
fn fill(buf: &mut IoBuf<'_>, source: impl Fn(&mut [u8])) -> Result<()> {
    let mut page = ZEROS;
    while !buf.is_empty() {
        let n = buf.remaining().min(page.len());
        source(&mut page[..n]);
        match buf.put(&page[..n]) {
            Ok(_) => {}
            Err(_) if buf.done() > 0 => break,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
