//! How it was measured, on what, and every value.

use super::super::Report;
use super::super::document::{Block, Section, Text};
use super::super::table::{Cell, Table};
use crate::format;
use crate::schema::Kind;
use crate::series::Series;
use crate::stats::{CONFIDENCE, ENOUGH};

pub fn section(report: &Report) -> Option<Section> {
    let mut blocks = vec![Block::Heading("Method".into())];
    blocks.extend(method(report).into_iter().chain(noise_text(report)).map(Block::text));
    if report.runners().any(|(_, runner)| runner.kind == Kind::Peer) {
        blocks.push(Block::text(
            "Peers see the host's file tree as umlab's guests do: User Mode Linux through hostfs, gVisor through its gofer; User Mode \
             Linux has one CPU.",
        ));
    }
    blocks.push(Block::Heading("Workloads".into()));
    blocks.push(Block::Table(workloads_table(report)));
    blocks.push(Block::Heading("Environment".into()));
    blocks.push(Block::Table(environment_table(report)));
    blocks.push(Block::Heading("Raw numbers".into()));
    let emulated = report.results.head.environment.is_emulated();
    let times = if emulated { "; the times there are those of an emulated processor" } else { "" };
    let files = Text::default().plain("Every value of every round is in ").file("results.csv").plain(" and ");
    blocks.push(Block::Paragraph(files.file("results.json").plain(format!("{times}."))));
    if !emulated {
        blocks.push(Block::Folded { title: "Every value of every round".into(), table: raw_table(report) });
    }
    Some(Section { title: "Method, environment, raw numbers".into(), blocks })
}

/// The method, a paragraph each.
fn method(report: &Report) -> Vec<String> {
    let plan = &report.results.head.plan;
    let rounds = plan.rounds;
    let mut paragraphs = vec![
        format!(
            "Profile {}, up to {rounds} rounds. A round runs every workload once with every runner: the host first, then the \
             others in an order that turns from round to round. Before the first round every workload runs once on the host, \
             uncounted; its results are what each later sample must match, or it does not count.",
            plan.profile
        ),
        "Every sample is a fresh guest. Host, guests and peers run the same static program with the same arguments, environment \
         and CPUs, and write to memory. Phases are timed by the host's clock from outside; a metric that a workload computes itself \
         (a call's nanoseconds) is timed by the clock it sees, which in umlab's guests is the host's."
            .into(),
        format!(
            "Figures are medians. Ratios are taken to the host of the same round, and their median is shown. Intervals are of {:.0} %. With \
             {ENOUGH} samples and more they are percentile bootstrap intervals from 4000 resamples. Fewer samples do not tell by themselves how \
             far off they may all be: with them the interval is that of Student’s t on logarithms, which is wide for two or three. \
             One sample has none. In charts an interval without a stroke at its end goes on beyond the axis.",
            CONFIDENCE * 100.0
        ),
    ];
    if let Some(beside) = plan.beside() {
        paragraphs.push(format!(
            "Beside every sample there is {beside}: a shell in an endless loop, pinned to that CPU, with the sample's nice value. They \
             spin before the sample begins and are ended after it. The harness itself waits on any CPU that it may use."
        ));
    }
    let fewer: Vec<String> = report
        .results
        .head
        .plan
        .runners
        .iter()
        .filter_map(|runner| {
            let short = |s: &&Series| s.of(&runner.name).is_some_and(|v| !v.is_empty() && (v.len() as u32) < rounds);
            let n = report.series.iter().filter(short).count();
            (n > 0 && runner.kind != Kind::Host).then(|| format!("{} in {n}", runner.name))
        })
        .collect();
    if !fewer.is_empty() {
        paragraphs.push(format!(
            "When the time does not suffice for all rounds, what takes longest gives up its last ones. Fewer than {rounds} rounds have: \
             {} measurements.",
            fewer.join(", ")
        ));
    }
    paragraphs
}

/// What the reader must know of the machine's quiet.
pub(super) fn noise_text(report: &Report) -> Vec<String> {
    let noise = &report.noise;
    let verdict = if noise.is_noisy() {
        "The machine was noisy: read the intervals, not the medians."
    } else {
        "The machine was quiet."
    };
    let mut lines = vec![format!(
        "{verdict} Between samples, when the harness did nothing, the measuring CPUs were {:.1} % busy with other work; the hypervisor took \
         {:.1} % of their time; the host's own samples lie {:.1} % from their median, in the middle of all its measurements.",
        noise.busy * 100.0,
        noise.stolen * 100.0,
        noise.host_spread * 100.0
    )];
    if noise.outliers.is_empty() {
        lines.push(format!("None of {} values lies far from the others of its kind.", noise.values));
    } else {
        let list: Vec<String> = noise
            .outliers
            .iter()
            .take(12)
            .map(|o| {
                format!(
                    "{} on {}, round {}: × {} of the median",
                    o.key.label(),
                    o.runner,
                    o.round,
                    format::times(o.value / o.median)
                )
            })
            .collect();
        let more =
            if noise.outliers.len() > 12 { format!("; and {} more", noise.outliers.len() - 12) } else { String::new() };
        lines.push(format!(
            "{} of {} values lie far from the others of their kind. They are kept: {}{more}.",
            noise.outliers.len(),
            noise.values,
            list.join("; ")
        ));
    }
    lines
}

/// What each workload does, and what was left out of it.
fn workloads_table(report: &Report) -> Table {
    let rows = report.results.head.plan.workloads.iter().map(|workload| {
        let what = if workload.definition.is_empty() { &workload.summary } else { &workload.definition };
        let samples = report.results.samples.iter().filter(|s| s.workload == workload.name);
        let mut left_out: Vec<String> = samples
            .flat_map(|s| s.left_out.iter().map(|l| format!("without {} on {}: {}", l.name, s.runner, l.reason)))
            .collect();
        left_out.dedup();
        left_out.sort();
        left_out.dedup();
        let cell = Cell { main: what.clone(), below: left_out.join("; "), number: false };
        vec![Cell::text(workload.name.clone()), Cell::text(workload.size.clone()), cell]
    });
    Table { head: ["workload", "size", "what is done"].map(Cell::text).into(), rows: rows.collect() }
}

fn environment_table(report: &Report) -> Table {
    let e = &report.results.head.environment;
    let pinned: Vec<String> = e.pinned.iter().map(u32::to_string).collect();
    let mut pairs = vec![
        ("measured", e.started.clone()),
        ("umlab", format!("{} (commit {})", e.umlab_version, e.commit)),
        ("CPU", format!("{}, {} CPUs, measured on CPUs {}", e.cpu, e.cpus, pinned.join(", "))),
        ("neighbours", report.results.head.plan.beside().unwrap_or_default()),
        ("virtual machine", e.virtualization.clone()),
        (
            "memory",
            if e.memory_bytes > 0 {
                format!("{:.1} GiB", e.memory_bytes as f64 / (1u64 << 30) as f64)
            } else {
                String::new()
            },
        ),
        ("host kernel", e.kernel.clone()),
        ("distribution", e.distribution.clone()),
        (
            "frequency governor",
            if e.governor.is_empty() { "not told by this machine".into() } else { e.governor.clone() },
        ),
        ("load at the start", format!("{:.2}", e.load_at_start)),
    ];
    pairs.retain(|(_, value)| !value.is_empty());
    let mut rows: Vec<Vec<Cell>> =
        pairs.into_iter().map(|(name, value)| vec![Cell::text(name), Cell::text(value)]).collect();
    rows.extend(e.versions.iter().map(|(name, version)| vec![Cell::text(name.clone()), Cell::text(version.clone())]));
    rows.extend(
        e.mitigations
            .iter()
            .map(|(name, state)| vec![Cell::text(format!("mitigation: {name}")), Cell::text(state.clone())]),
    );
    Table { head: vec![Cell::text("what"), Cell::text("value")], rows }
}

/// Every value of every series.
fn raw_table(report: &Report) -> Table {
    let head = ["measurement", "runner", "unit", "n", "median", "95 % interval", "values by round"];
    let mut rows = Vec::new();
    for series in &report.series {
        for (runner, values) in &series.values {
            let Some(e) = series.estimate(runner, CONFIDENCE) else { continue };
            let half = (e.high - e.low) / 2.0;
            let n = |v: f64| format::number(v, half / 10.0);
            let interval = if e.has_interval() { format!("{}–{}", n(e.low), n(e.high)) } else { "–".into() };
            let values: Vec<String> = values.iter().map(|(_, v)| n(*v)).collect();
            rows.push(vec![
                Cell::text(series.key.label()),
                Cell::text(runner.clone()),
                Cell::text(series.unit.replace("us", "µs")),
                Cell::number(e.n.to_string(), ""),
                Cell::number(n(e.mid), ""),
                Cell::text(interval),
                Cell::text(values.join(" ")),
            ]);
        }
    }
    Table { head: head.map(Cell::text).into(), rows }
}
