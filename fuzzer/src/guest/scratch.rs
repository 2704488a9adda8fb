//! Where a thread puts the structures of a step, and gives the kernel room.

use crate::memory::{Regions, map_at};
use crate::{descriptors, processes};
use anyhow::Result;
use umlab_fuzzer::program::{Step, Value};

const START: usize = 0x2000_0000;
const APART: usize = 0x10_0000;
const ROOM: usize = 64 * PAGE;
const BORDERS: usize = 16;
const PAGE: usize = 4096;

pub struct Scratch {
    start: usize,
    used: usize,
    /// Pages each followed by a hole, for structures that end there.
    borders: usize,
    borders_used: usize,
    regions: Regions,
    pub outs: [Option<(usize, usize)>; 6],
}

impl Scratch {
    pub fn new(thread: usize, regions: Regions) -> Result<Scratch> {
        let start = START + thread * APART;
        let map = |at, len| {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            map_at(at, len, libc::PROT_READ | libc::PROT_WRITE, flags, -1)
        };
        map(start, ROOM)?;
        let borders = start + ROOM + PAGE;
        for n in 0..BORDERS {
            map(borders + 2 * n * PAGE, PAGE)?;
        }
        Ok(Scratch { start, used: 0, borders, borders_used: 0, regions, outs: [None; 6] })
    }

    /// The arguments of a step.
    pub fn arguments(&mut self, step: &Step) -> [u64; 6] {
        // SAFETY: our own room, which nothing refers to any more.
        unsafe { std::ptr::write_bytes(self.start as *mut u8, 0, self.used) };
        (self.used, self.borders_used, self.outs) = (0, 0, [None; 6]);
        let mut args = [0; 6];
        for (n, value) in step.args.iter().enumerate().take(6) {
            args[n] = self.number(value);
            if let Value::Out(len) = value {
                self.outs[n] = (args[n] != 0).then_some((args[n] as usize, *len as usize));
            }
        }
        args
    }

    pub fn out(&self, n: usize) -> Option<&[u8]> {
        let (at, len) = self.outs[n]?;
        // SAFETY: room of ours that only the kernel writes to, which it has done.
        Some(unsafe { std::slice::from_raw_parts(at as *const u8, len) })
    }

    fn number(&mut self, value: &Value) -> u64 {
        match value {
            Value::Int(n) => *n,
            Value::Fd(kind, n) => descriptors::find(*kind, *n) as u64,
            Value::At(region, offset) => self.regions.address(*region, *offset),
            Value::Who(who) => processes::find(*who) as u64,
            Value::Text(text) => {
                let at = self.take(text.len() + 1);
                if at != 0 {
                    // SAFETY: as much room was taken.
                    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), at as *mut u8, text.len()) };
                }
                at as u64
            }
            Value::Out(len) => self.take(*len as usize) as u64,
            Value::Data { fields, at_border } => {
                let len = fields.iter().map(|field| usize::from(field.width)).sum();
                let mut at = if *at_border { self.take_border(len) } else { self.take(len) };
                if at == 0 {
                    return 0;
                }
                let start = at;
                for field in fields {
                    let bytes = self.number(&field.value).to_le_bytes();
                    let width = usize::from(field.width).min(8);
                    // SAFETY: within what was taken, byte by byte, so at any address.
                    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at as *mut u8, width) };
                    at += width;
                }
                start as u64
            }
        }
    }

    /// Zero bytes; none (0) when there is no more room.
    fn take(&mut self, len: usize) -> usize {
        let end = (self.used + len).next_multiple_of(16);
        if end > ROOM {
            return 0;
        }
        let at = self.start + self.used;
        self.used = end;
        at
    }

    fn take_border(&mut self, len: usize) -> usize {
        if len > PAGE || self.borders_used == BORDERS {
            return self.take(len);
        }
        self.borders_used += 1;
        self.borders + 2 * (self.borders_used - 1) * PAGE + PAGE - len
    }
}
