//! Where the time goes: what each model counted, times what one of it costs on this host.

use super::super::Report;
use super::super::costs::PARTS;
use super::super::document::{Block, Chart, Section, Text};
use super::super::table::{Cell, Table};
use super::file_name;
use crate::chart::stack;
use crate::format;

pub fn section(report: &Report) -> Option<Section> {
    let mut blocks = vec![Block::Paragraph(explanation())];
    blocks.push(match report.costs.units.is_empty() {
        true => Block::Notice(
            "The host's primitives were not measured in this run, so only the program's own computing is known.".into(),
        ),
        false => Block::Table(units_table(report)),
    });
    for reckoning in &report.costs.list {
        blocks.push(Block::Heading(reckoning.workload.clone()));
        let description = format!("Where the time of {} goes, per model", reckoning.workload);
        let mut names = PARTS.to_vec();
        names.push("kernel (of the host)");
        blocks.push(Block::Chart(Chart {
            id: format!("time-{}", file_name(&reckoning.workload)),
            caption: String::new(),
            scene: stack(&description, &names, &reckoning.bars),
        }));
        for (runner, excess) in &reckoning.excess {
            let seconds = crate::progress::seconds(*excess);
            blocks.push(Block::text(format!(
                "{runner}: the parts come to {seconds} more than the whole, so the unit costs are too high here."
            )));
        }
    }
    if report.costs.list.is_empty() {
        blocks.push(Block::text("Nothing in this run can be reckoned so."));
    }
    if !report.costs.uncosted.is_empty() {
        let names = report.costs.uncosted.join(", ");
        blocks.push(Block::Small(format!("Counted, but without a cost of their own: {names}.")));
    }
    Some(Section { title: "Where the time goes".into(), blocks })
}

fn explanation() -> Text {
    Text::default()
        .plain("A reckoning: what each model counted, times what one of it costs on this host (measured in the same run). ")
        .term("User")
        .plain(" is the program's own computing, taken from the host's run; ")
        .term("core")
        .plain(
            " is all computing of the guest's processes in user mode beyond that: the guest kernel, the tracer's own code, and the cost \
             of cold caches. ",
        )
        .term("Traps")
        .plain(" are the stops at which a guest enters its kernel, with the registers that are read and written; ")
        .term("tracer")
        .plain(" all other stops and hand-overs; ")
        .term("mapping")
        .plain(" the host's mmap, munmap and mprotect for guests, and the page faults it answers; ")
        .term("protection")
        .plain(
            " the time that a model spends on protecting the core, which it measures itself. The rest is hatched. Shown for workloads that \
             are a fixed amount of work, on one CPU.",
        )
}

/// What one of each costs on this host.
fn units_table(report: &Report) -> Table {
    let rows = report.costs.units.iter().map(|(name, seconds)| {
        let e = crate::stats::Estimate { low: *seconds, mid: *seconds, high: *seconds, n: 1 };
        vec![Cell::text(name.clone()), Cell::number(format::quantity(&e, "s"), "")]
    });
    Table { head: vec![Cell::text("primitive of the host"), Cell::number("cost of one", "")], rows: rows.collect() }
}
