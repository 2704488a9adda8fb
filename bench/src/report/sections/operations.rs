//! Every measurement, by groups of workloads.

use super::super::Report;
use super::super::document::{Block, Chart, Section, Text};
use super::super::table::{Cell, Table};
use crate::chart::{DotRow, dots};
use crate::format;
use crate::schema::{HOST, Kind, WorkloadInfo};
use crate::stats::CONFIDENCE;

pub fn section(report: &Report) -> Option<Section> {
    let mut blocks = vec![Block::text(
        "Medians, and below them how many times as slow as the host: more than one is slower, for rates too. Marks show medians, \
         lines their intervals.",
    )];
    for group in groups(report) {
        blocks.push(Block::Heading(title(&group)));
        // The kernel build has the first section's.
        if group != crate::plan::KERNEL_BUILD {
            blocks.extend(group_chart(report, &group).map(Block::Chart));
        }
        blocks.push(Block::Table(group_table(report, &group)));
        for workload in remarkable(report, &group) {
            blocks
                .push(Block::Paragraph(Text::default().strong(&workload.name).plain(format!(": {}", workload.remark))));
        }
    }
    Some(Section { title: "Operations".into(), blocks })
}

/// Those of a group's workloads that have a remark, and were measured on anything beside the host:
/// the host alone surprises nobody.
fn remarkable<'a>(report: &'a Report, group: &str) -> Vec<&'a WorkloadInfo> {
    let measured = |name: &str| {
        let mut series = report.series.iter().filter(|series| series.key.workload == name);
        series.any(|series| series.values.len() > 1)
    };
    let workloads = report.results.head.plan.workloads.iter().filter(|workload| workload.group == group);
    workloads.filter(|workload| !workload.remark.is_empty() && measured(&workload.name)).collect()
}

/// The groups that have a table and a chart of their own, in their order.
fn groups(report: &Report) -> Vec<String> {
    let mut groups: Vec<String> = ["kernel-build", "fork-exec", "micro", "apps", "primitives"].map(String::from).into();
    for series in &report.series {
        if !groups.contains(&series.group) {
            groups.push(series.group.clone());
        }
    }
    groups.retain(|group| report.series.iter().any(|s| s.group == *group));
    groups
}

fn title(group: &str) -> String {
    match group {
        "kernel-build" => "Kernel build".into(),
        "fork-exec" => "Fork and exec".into(),
        "micro" => "Single operations".into(),
        "apps" => "Programs".into(),
        "primitives" => "Primitives of the host".into(),
        other => other.into(),
    }
}

fn group_chart(report: &Report, group: &str) -> Option<Chart> {
    let names: Vec<(usize, &str)> = report.others().map(|(which, runner)| (which, runner.name.as_str())).collect();
    let mut rows = Vec::new();
    for series in report.series.iter().filter(|s| s.group == group) {
        let values: Vec<_> =
            names.iter().filter_map(|(which, name)| Some((*which, series.times_host(name, CONFIDENCE)?))).collect();
        if !values.is_empty() {
            rows.push(DotRow { label: series.key.label(), values });
        }
    }
    if rows.is_empty() {
        return None;
    }
    let description = format!("{}: every measurement as a multiple of the host's, per model", title(group));
    Some(Chart { id: format!("group-{group}"), caption: String::new(), scene: dots(&description, &names, &rows) })
}

/// A group's figures: absolute, and below it times the host.
fn group_table(report: &Report, group: &str) -> Table {
    let host_only =
        report.series.iter().filter(|s| s.group == group).all(|s| s.values.iter().all(|(name, _)| name == HOST));
    let shown: Vec<_> = report.runners().filter(|(_, r)| r.kind == Kind::Host || !host_only).map(|(_, r)| r).collect();
    let mut head = vec![Cell::text("")];
    head.extend(shown.iter().map(|runner| Cell::number(runner.name.clone(), "")));
    let mut rows = Vec::new();
    for series in report.series.iter().filter(|s| s.group == group) {
        let mut row = vec![Cell::text(series.key.label())];
        for runner in &shown {
            let Some(e) = series.estimate(&runner.name, CONFIDENCE) else {
                row.push(Cell::number("–", ""));
                continue;
            };
            let below = match runner.kind {
                Kind::Host => String::new(),
                _ => series
                    .times_host(&runner.name, CONFIDENCE)
                    .map(|t| format!("× {}", format::times_interval(&t)))
                    .unwrap_or_default(),
            };
            // An emulated processor's times are nobody's: only ratios are told.
            match (report.results.head.environment.is_emulated(), runner.kind) {
                (false, _) => row.push(Cell::number(format::quantity(&e, &series.unit), below)),
                (true, Kind::Host) => row.push(Cell::number("1", "")),
                (true, _) => row.push(Cell::number(below, "")),
            }
        }
        rows.push(row);
    }
    Table { head, rows }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Results;
    use crate::testing::{head, sample};

    #[test]
    fn remarks_are_of_what_was_measured_beside_the_host() {
        let samples = vec![sample(1, HOST, 1.0), sample(1, "skas", 2.0)];
        let mut results = Results { head: head(), samples, finished: true };
        let count = |results: &Results, group: &str| remarkable(&Report::new(results), group).len();
        assert_eq!(count(&results, "micro"), 0, "it has none");
        results.head.plan.workloads[0].remark = "It is odd.".into();
        assert_eq!((count(&results, "micro"), count(&results, "apps")), (1, 0));
        results.samples.pop();
        assert_eq!(count(&results, "micro"), 0);
    }
}
