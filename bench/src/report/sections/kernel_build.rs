//! A kernel build: the figure that the announcement begins with.

use super::super::Report;
use super::super::claims::{build, published_to_host};
use super::super::document::{Block, Chart, Section};
use crate::chart::{Row, times};
use crate::format;
use crate::schema::{HOST, Kind, WARM_UP};
use crate::series::Series;
use crate::stats::CONFIDENCE;

pub fn section(report: &Report) -> Option<Section> {
    let mut blocks = vec![Block::text(lead(report))];
    blocks.push(match main_chart(report) {
        Some(chart) => Block::Chart(chart),
        None => Block::text("The kernel build was not measured in this run."),
    });
    blocks.push(Block::Heading("What is compared".into()));
    let mut terms: Vec<(String, String)> =
        report.runners().map(|(_, runner)| (runner.name.clone(), runner.description.clone())).collect();
    let absent = report.results.head.plan.absent.iter();
    terms.extend(absent.map(|absent| (absent.name.clone(), format!("not measured: {}", absent.reason))));
    blocks.push(Block::Terms(terms));
    Some(Section { title: "A kernel build".into(), blocks })
}

/// The result in a sentence.
fn lead(report: &Report) -> String {
    let ratios: Vec<String> = report
        .others()
        .filter_map(|(_, runner)| {
            let build = build(&report.series, 1)?;
            let e = build.times_host(&runner.name, CONFIDENCE)?;
            Some(format!("{} × {}", runner.name, format::times_interval(&e)))
        })
        .collect();
    match ratios.is_empty() {
        true => "How much longer the same build takes in a guest than on its host.".into(),
        false => {
            let beside = report.results.head.plan.beside().map(|beside| format!(", beside {beside},"));
            format!(
                "On one CPU{} the build takes, as a multiple of the host's time: {}.",
                beside.unwrap_or_default(),
                ratios.join("; ")
            )
        }
    }
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
        id: "kernel-build".into(),
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
            // What was published is about a machine that is not shared.
            published: published_to_host(&runner.name).filter(|_| report.results.head.plan.neighbours == 0),
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
fn why_not(report: &Report, runner: &str, workload: &str, cpus: u32) -> String {
    let of = |s: &&crate::schema::Sample| {
        s.runner == runner && s.workload == workload && s.cpus == cpus && s.round != WARM_UP
    };
    let failed = report.results.samples.iter().filter(of).find(|s| !s.is_ok());
    failed.and_then(|s| s.reason.clone()).unwrap_or_else(|| "no sample yet".into())
}
