use crate::children::Child;
use crate::timing::each;
use crate::{About, Group, Report, Setting, Size, Workload};
use anyhow::{Context, Result, ensure};
use nix::unistd::pipe;
use std::fs::File;
use std::io::{Read, Write};

/// A tree of processes: each makes its children, all at once, and waits for them. As many are alive
/// together as it has nodes.
pub struct ProcessTree;

const FAN_OUT: u32 = 3;
const DEPTH: u32 = 4;
/// 3 + 9 + 27 + 81.
const NODES: usize = 120;

impl Workload for ProcessTree {
    fn about(&self) -> About {
        About {
            name: "process-tree",
            group: Group::ForkExec,
            summary: "a tree of 120 processes, forked and waited for",
            definition: "each process forks three children, four levels deep, and waits for them; each writes a byte to one pipe",
            remark: "",
            sizes: &[
                Size { name: "smoke", seconds: 0.2 },
                Size { name: "quick", seconds: 0.5 },
                Size { name: "full", seconds: 2.0 },
            ],
            params: &[],
            needs: &[],
        }
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        let mut counted = 0;
        report.measure(
            "process-tree",
            setting.effort(),
            each(|| {
                let (mut from, to) = pipe().map(|(from, to)| (File::from(from), File::from(to))).context("pipe")?;

                grow(DEPTH, &to)?;
                drop(to);
                let mut bytes = Vec::new();
                from.read_to_end(&mut bytes)?;
                counted = bytes.len();
                ensure!(counted == NODES, "{counted} of {NODES} processes ran");
                Ok(())
            }),
        )?;
        report.check("processes", counted)
    }
}

fn grow(depth: u32, to: &File) -> Result<()> {
    if depth == 0 {
        return Ok(());
    }
    let children: Vec<Child> = (0..FAN_OUT)
        .map(|_| {
            Child::fork(|| {
                (&mut &*to).write_all(b"x").context("cannot write to the pipe")?;
                grow(depth - 1, to)
            })
        })
        .collect::<Result<_>>()?;
    children.into_iter().try_for_each(Child::wait)
}
