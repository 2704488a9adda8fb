use super::{Offered, Primitive};
use crate::children::{Child, Line};
use crate::timing::each;
use anyhow::{Result, ensure};

/// What entering skas' kernel costs at the least: another process runs, in another address space.
pub const PROCESS_SWITCH: Primitive = Primitive {
    name: "process-switch",
    summary: "a switch from one process to another",
    definition: "half of a round trip of one byte between two processes by pipes, both on one CPU: write, read, switch",
    batches,
};

fn batches() -> Result<Vec<(&'static str, Offered)>> {
    let (child, mut line) = Child::partner(Line::pipes()?, |mut line| line.answer())?;
    let mut trip = each(move || {
        ensure!(line.ask(41)? == 42, "the answer is wrong");
        Ok(())
    });
    let batch = move |n| {
        // It lives as long as we ask.
        let _ = &child;
        trip(n).map(|took| took / 2)
    };
    Ok(vec![("process-switch", Ok(Box::new(batch)))])
}
