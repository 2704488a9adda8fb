//! The claims of 2002 beside the same ratios measured here.

use super::super::Report;
use super::super::document::{Block, Section};
use super::super::table::{Cell, Table};
use crate::format;

pub fn section(report: &Report) -> Option<Section> {
    // The claims are about a machine that is not shared.
    if report.results.head.plan.neighbours > 0 {
        return None;
    }
    let text = "The announcement of skas in November 2002 compared it with the tracing-thread model that came before. Its claims, and the \
                same ratios measured here. A verdict follows from the interval alone: reproduced, when all of it lies in the range that \
                the words are taken for; not reproduced, when all of it lies outside; reversed, when it lies on the other side of one. \
                Where it lies on both sides of an end of the range, the median decides whether the measurement is consistent with the \
                claim or the question open, and more rounds would settle it.";
    Some(Section {
        title: "Published and measured".into(),
        blocks: vec![Block::text(text), Block::Table(claims_table(report))],
    })
}

fn claims_table(report: &Report) -> Table {
    let head = ["Claim of 2002", "Ratio", "Published", "Measured", "Verdict", "Why it differs"];
    let rows = report.claims.iter().map(|judged| {
        let measured = judged.measured.map_or_else(|| "–".into(), |e| format::times_interval(&e));
        vec![
            Cell::text(judged.claim.statement),
            Cell::text(judged.claim.ratio_of(&report.series)),
            Cell { below: judged.claim.taken_as(), ..Cell::text(judged.claim.published) },
            Cell::number(measured, ""),
            Cell::text(judged.verdict.name()),
            Cell::text(judged.why.clone()),
        ]
    });
    Table { head: head.map(Cell::text).into(), rows: rows.collect() }
}
