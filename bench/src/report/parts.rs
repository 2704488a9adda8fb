//! The tables and charts of the report's parts.

use super::claims::build;
use super::growth::growths;
use super::table::{Cell, Table};
use super::{Chart, Report};
use crate::chart::{DotRow, Row, dots, growth, stack, times};
use crate::format;
use crate::schema::{HOST, Kind, WARM_UP};
use crate::series::Series;
use crate::stats::{CONFIDENCE, ENOUGH};

pub const MAIN: &str = "kernel-build";

/// The groups that have a table and a chart of their own, in their order.
pub fn groups(report: &Report) -> Vec<String> {
    let mut groups: Vec<String> = ["kernel-build", "fork-exec", "micro", "apps", "primitives"].map(String::from).into();
    for series in &report.series {
        if !groups.contains(&series.group) {
            groups.push(series.group.clone());
        }
    }
    groups.retain(|group| report.series.iter().any(|s| s.group == *group));
    groups
}

pub fn title(group: &str) -> String {
    match group {
        "kernel-build" => "Kernel build".into(),
        "fork-exec" => "Fork and exec".into(),
        "micro" => "Single operations".into(),
        "apps" => "Programs".into(),
        "primitives" => "Primitives of the host".into(),
        other => other.into(),
    }
}

pub fn charts(report: &Report) -> Vec<Chart> {
    let mut charts = Vec::new();
    charts.extend(main_chart(report));
    for group in groups(report) {
        if group != "kernel-build" {
            charts.extend(group_chart(report, &group));
        }
    }
    for reckoning in &report.costs.list {
        let description = format!("Where the time of {} goes, per model", reckoning.workload);
        let mut names = super::costs::PARTS.to_vec();
        names.push("kernel (of the host)");
        charts.push(Chart {
            id: format!("time-{}", file_name(&reckoning.workload)),
            title: reckoning.workload.clone(),
            caption: String::new(),
            scene: stack(&description, &names, &reckoning.bars),
        });
    }
    for g in growths(report.results, &report.series) {
        let description = format!("{}: cost by {}", g.title, g.x_title);
        let y_title = match g.unit.as_str() {
            rate if rate.ends_with("/s") => format!("rate, {rate}"),
            ratio if ratio.starts_with("times") => ratio.to_string(),
            unit => format!("time, {unit}"),
        };
        charts.push(Chart {
            id: format!("growth-{}", file_name(&g.title)),
            title: g.title.clone(),
            caption: String::new(),
            scene: growth(&description, &g.x_title, &y_title, &g.lines),
        });
    }
    charts
}

/// Letters, digits and hyphens.
fn file_name(text: &str) -> String {
    let plain: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    plain.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

/// The kernel build on as few and on as many CPUs as were measured.
fn main_chart(report: &Report) -> Option<Chart> {
    let cpus = &report.results.workload(crate::plan::KERNEL_BUILD)?.cpus;
    let builds: Vec<&Series> = cpus.iter().filter_map(|&n| build(&report.series, n)).collect();
    let groups = builds.iter().map(|series| {
        let n = series.key.cpus;
        let title = if builds.len() > 1 { format!("{n} CPU{} and job{}", s(n), s(n)) } else { String::new() };
        (title, rows(report, series))
    });
    let groups: Vec<_> = groups.collect();
    if groups.is_empty() {
        return None;
    }
    let size = &builds[0].key.metric;
    Some(Chart {
        id: MAIN.into(),
        title: "A kernel build, every model against the host".into(),
        caption: format!(
            "Linux, tinyconfig, phase “{size}”: median of the rounds' ratios to the host of the same round, with {:.0} % intervals; \
             behind it the median time. Shorter is faster.",
            CONFIDENCE * 100.0
        ),
        scene: times("The kernel build's time on every model as a multiple of the host's time", &groups),
    })
}

fn s(n: u32) -> &'static str {
    if n == 1 { "" } else { "s" }
}

fn rows(report: &Report, series: &Series) -> Vec<Row> {
    let mut rows = Vec::new();
    for (which, runner) in report.runners() {
        if runner.most_cpus.is_some_and(|most| most < series.key.cpus) {
            continue;
        }
        let estimate = if runner.kind == Kind::Host {
            series.estimate(HOST, CONFIDENCE).map(|e| e.map(|_| 1.0))
        } else {
            series.times_host(&runner.name, CONFIDENCE)
        };
        let emulated = report.results.head.environment.is_emulated();
        let time =
            series.estimate(&runner.name, CONFIDENCE).filter(|_| !emulated).map(|e| format::quantity(&e, &series.unit));
        rows.push(Row {
            label: runner.name.clone(),
            which,
            value: estimate.ok_or_else(|| why_not(report, &runner.name, &series.key.workload, series.key.cpus)),
            note: time.map(|time| format!("({time})")).unwrap_or_default(),
            published: super::claims::published_to_host(&runner.name),
        });
    }
    for absent in &report.results.head.plan.absent {
        rows.push(Row {
            label: absent.name.clone(),
            which: 0,
            value: Err(absent.reason.clone()),
            note: String::new(),
            published: None,
        });
    }
    rows
}

/// Why a runner has no value.
pub fn why_not(report: &Report, runner: &str, workload: &str, cpus: u32) -> String {
    let of = |s: &&crate::schema::Sample| {
        s.runner == runner && s.workload == workload && s.cpus == cpus && s.round != WARM_UP
    };
    let failed = report.results.samples.iter().filter(of).find(|s| !s.is_ok());
    failed.and_then(|s| s.reason.clone()).unwrap_or_else(|| "no sample yet".into())
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
    Some(Chart {
        id: format!("group-{group}"),
        title: title(group),
        caption: String::new(),
        scene: dots(&description, &names, &rows),
    })
}

/// A group's figures: absolute, and below it times the host.
pub fn group_table(report: &Report, group: &str) -> Table {
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

pub fn claims_table(report: &Report) -> Table {
    let head = ["Claim of 2002", "Ratio", "Published", "Measured", "Verdict", "Why it differs"];
    let rows = report.claims.iter().map(|judged| {
        let measured = judged.measured.map(|e| format::times_interval(&e)).unwrap_or_else(|| "–".into());
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

/// What one of each costs on this host.
pub fn units_table(report: &Report) -> Table {
    let rows = report.costs.units.iter().map(|(name, seconds)| {
        let e = crate::stats::Estimate { low: *seconds, mid: *seconds, high: *seconds, n: 1 };
        vec![Cell::text(name.clone()), Cell::number(format::quantity(&e, "s"), "")]
    });
    Table { head: vec![Cell::text("primitive of the host"), Cell::number("cost of one", "")], rows: rows.collect() }
}

/// Every value of every series.
pub fn raw_table(report: &Report) -> Table {
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

pub fn environment_table(report: &Report) -> Table {
    let e = &report.results.head.environment;
    let pinned: Vec<String> = e.pinned.iter().map(u32::to_string).collect();
    let mut pairs = vec![
        ("measured", e.started.clone()),
        ("umlab", format!("{} (commit {})", e.umlab_version, e.commit)),
        ("CPU", format!("{}, {} CPUs, measured on CPUs {}", e.cpu, e.cpus, pinned.join(", "))),
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

/// What each workload does, and what was left out of it.
pub fn workloads_table(report: &Report) -> Table {
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

/// The method, a paragraph each.
pub fn method(report: &Report) -> Vec<String> {
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

/// What must be said of the whole before any figure.
pub fn label_text(report: &Report) -> Option<String> {
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

/// What the reader must know of the machine's quiet.
pub fn noise_text(report: &Report) -> Vec<String> {
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
