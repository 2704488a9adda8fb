//! What must be known before any figure.

use super::super::Report;
use super::super::document::Block;
use super::method::noise_text;
use crate::command::failures;

pub fn notices(report: &Report) -> Vec<Block> {
    let mut notices: Vec<Block> = label(report).into_iter().chain(beside(report)).map(Block::Notice).collect();
    if !report.results.finished {
        notices.push(Block::Notice("This run has not come to its end: figures may change.".into()));
    }
    if report.noise.is_noisy() {
        notices.push(Block::Notice(noise_text(report).swap_remove(0)));
    }
    let failed = failures(report.results);
    if !failed.is_empty() {
        let title = format!("{} of the planned measurements failed or were left out", failed.len());
        notices.push(Block::List { title, items: failed });
    }
    notices
}

/// Who had a part of the CPUs, where that was meant.
fn beside(report: &Report) -> Option<String> {
    let text = report.results.head.plan.beside()?;
    let spins = if report.results.head.plan.neighbours == 1 { "a process that spins" } else { "processes that spin" };
    Some(format!(
        "Measured beside {text}: {spins} while a sample runs, for the host's own samples as for all others. Times and ratios \
         are those of a machine that is shared."
    ))
}

/// Where and by whom it was measured, if that changes what the figures mean.
fn label(report: &Report) -> Option<String> {
    let environment = &report.results.head.environment;
    match environment.label.as_str() {
        "" => None,
        _ if environment.is_counted() => Some(
            "Measured on an emulated processor whose clock counts its instructions: the tables show ratios of instructions, those of the host's \
             kernel included. They repeat to a hundredth or so, but know nothing of caches, nor of what it costs a real processor to enter a kernel \
             or to change address spaces beyond the instructions for it; and a repeated string instruction counts once for each repetition, so copies \
             are dearer than they are."
                .into(),
        ),
        _ if environment.is_emulated() => Some(
            "Measured on an emulated processor: its times mean nothing, so the tables show ratios to its own host only; and \
             what is dear there is not what is dear on a real one."
                .into(),
        ),
        label => Some(format!("Labelled by who measured: {label}.")),
    }
}
