use crate::children::{Child, Line};
use crate::memory::{Mapping, PAGE};
use crate::{About, Report, Setting, Workload};
use anyhow::{Context, Result, ensure};
use nix::sys::mman::{MapFlags, ProtFlags};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// The first touch of a page, one after another.
pub struct PageFault;

/// Pages of one mapping.
const MOST: u64 = 2048;

impl Workload for PageFault {
    fn about(&self) -> About {
        super::about(
            "page-fault",
            super::LOOPS,
            "page faults: anonymous, of a file, copy on write",
            "the first touch of each page of a mapping, in order, without mmap and munmap: a write to anonymous memory; a read \
             of a file's private mapping (lmbench: page fault); a write by a child to what it shares with its parent",
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        report.measure("page-fault, anonymous", setting.effort(), |n| {
            in_parts(n, |pages| {
                let memory = Mapping::anonymous(pages * PAGE)?;
                let start = Instant::now();
                memory.touch();
                Ok(start.elapsed())
            })
        })?;

        let scratch = setting.scratch()?;
        let content: Vec<u8> = (0..MOST as usize * PAGE).map(|i| (i / PAGE) as u8).collect();
        fs::write(scratch.file("file"), content)?;
        let file = File::open(scratch.file("file"))?;
        report.measure("page-fault, file", setting.effort(), |n| {
            in_parts(n, |pages| {
                let memory = Mapping::file(&file, pages * PAGE, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE)?;
                let start = Instant::now();
                let right = (0..pages).filter(|page| memory.read(page * PAGE) == *page as u8).count();
                let took = start.elapsed();
                ensure!(right == pages, "{} of {pages} pages of a file are wrong", pages - right);
                Ok(took)
            })
        })?;

        report.measure("page-fault, copy on write", setting.effort(), |n| in_parts(n, copy_on_write))
    }
}

fn in_parts(n: u64, mut part: impl FnMut(usize) -> Result<Duration>) -> Result<Duration> {
    let mut took = Duration::ZERO;
    let mut left = n;
    while left > 0 {
        let pages = left.min(MOST);
        took += part(pages as usize)?;
        left -= pages;
    }
    Ok(took)
}

/// The child takes the time: what it measures is its writes alone.
fn copy_on_write(pages: usize) -> Result<Duration> {
    let memory = Mapping::anonymous(pages * PAGE)?;
    memory.touch();
    let (child, mut line) = Child::partner(Line::pipes()?, |mut line| {
        let start = Instant::now();
        for page in 0..pages {
            memory.write(page * PAGE, 2);
        }
        let took = start.elapsed();
        line.to.write_all(&(took.as_nanos() as u64).to_ne_bytes()).context("cannot tell the time")
    })?;
    let mut took = [0; 8];
    line.from.read_exact(&mut took).context("the child did not tell its time")?;
    child.wait()?;
    let changed = (0..pages).filter(|page| memory.read(page * PAGE) != 1).count();
    ensure!(changed == 0, "a child's writes changed {changed} pages of its parent");
    Ok(Duration::from_nanos(u64::from_ne_bytes(took)))
}
