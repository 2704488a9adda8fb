use crate::children::{Child, Line};
use crate::{About, Report, Setting, Workload};
use anyhow::{Context, Result, ensure};
use nix::unistd::pipe;
use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::time::Instant;

/// A token that goes round a ring of processes: one runs, all others sleep.
pub struct ContextSwitch;

impl Workload for ContextSwitch {
    fn about(&self) -> About {
        super::about(
            "context-switch",
            super::LOOPS,
            "a token round a ring of 2, 8, 16 processes",
            "one hop: a byte through a pipe to the next process, which sums its working set of 0 or 64 KiB (lmbench: lat_ctx, which \
             subtracts the pipe and the sum; here they are in)",
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        for kib in [0, 64] {
            for processes in [2, 8, 16] {
                ring(&format!("context-switch, {processes} processes, {kib}K"), processes, kib, setting, report)?;
            }
        }
        Ok(())
    }
}

fn ring(name: &str, processes: usize, kib: usize, setting: &Setting, report: &mut Report) -> Result<()> {
    // Process i reads pipe i and writes to that of its successor.
    let (from, mut to): (Vec<File>, Vec<File>) = (0..processes)
        .map(|_| pipe().map(|(from, to)| (from.into(), to.into())))
        .collect::<Result<Vec<_>, _>>()
        .context("pipe")?
        .into_iter()
        .unzip();
    to.rotate_left(1);
    let mut lines: Vec<Option<Line>> = from.into_iter().zip(to).map(|(from, to)| Some(Line { from, to })).collect();
    let mut children = Vec::new();
    for i in 1..processes {
        children.push(Child::fork(|| {
            let own = lines[i].take().context("a line is missing")?;
            // The others' ends: whoever keeps one open never sees its end.
            lines.clear();
            setting.pin(i)?;
            hand_on(own, kib)
        })?);
        lines[i] = None;
    }
    let mut own = lines[0].take().context("a line is missing")?;
    let mut set = WorkingSet::new(kib);
    report.measure(name, setting.effort(), |n| {
        // Whole rounds only; the time is that of as many hops as were asked for.
        let rounds = n.div_ceil(processes as u64);
        let start = Instant::now();
        for round in 0..rounds {
            let byte = own.ask(round as u8)?;
            ensure!(byte == (round as u8).wrapping_add(processes as u8 - 1), "the token was changed on its way");
            set.sum();
        }
        let hops = rounds * processes as u64;
        Ok(start.elapsed().mul_f64(n as f64 / hops as f64))
    })?;
    drop(own);
    children.into_iter().try_for_each(Child::wait)
}

/// Gives the token to the next, each time one greater, until the ring is broken.
fn hand_on(mut line: Line, kib: usize) -> Result<()> {
    let mut set = WorkingSet::new(kib);
    let mut byte = [0];
    while line.from.read(&mut byte)? == 1 {
        set.sum();
        byte[0] = byte[0].wrapping_add(1);
        line.to.write_all(&byte)?;
    }
    Ok(())
}

struct WorkingSet(Vec<u64>);

impl WorkingSet {
    fn new(kib: usize) -> WorkingSet {
        WorkingSet(vec![1; kib * 128])
    }

    fn sum(&mut self) {
        black_box(black_box(&self.0).iter().sum::<u64>());
    }
}
