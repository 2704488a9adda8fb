//! The page: one file, without a script and without the network; for screens, light and dark, and for paper.

use super::parts::*;
use super::remarks::remarks;
use super::{Chart, Report};
use crate::command::failures;
use crate::format;
use crate::schema::Kind;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

pub fn render(report: &Report, charts: &[Chart]) -> String {
    let environment = &report.results.head.environment;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "umlab: process models measured" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "User-mode kernels, measured beside their host" }
                    p.meta { (environment.started) " · " (environment.cpu) " · Linux " (environment.kernel) " · umlab " (environment.commit) }
                    (notices(report))
                }
                main {
                    (main_part(report, charts))
                    (published(report))
                    (operations(report, charts))
                    (patched_host(report))
                    (time(report, charts))
                    (growth(charts))
                    (method_part(report))
                }
                footer { p { "Every value: " code { "results.csv" } ", " code { "results.json" } " in the same folder." } }
            }
        }
    };
    page.into_string()
}

fn notices(report: &Report) -> Markup {
    let failed = failures(report.results);
    html! {
        @if let Some(text) = label_text(report) { p.notice { (text) } }
        @if !report.results.finished { p.notice { "This run has not come to its end: figures may change." } }
        @if report.noise.is_noisy() { p.notice { (noise_text(report)[0]) } }
        @if !failed.is_empty() {
            details.notice open[failed.len() <= 6] {
                summary { (failed.len()) " of the planned measurements failed or were left out" }
                ul { @for line in &failed { li { (line) } } }
            }
        }
    }
}

fn figure(chart: &Chart) -> Markup {
    html! {
        figure id=(chart.id) {
            (PreEscaped(chart.scene.svg()))
            @if !chart.caption.is_empty() { figcaption { (chart.caption) } }
        }
    }
}

fn main_part(report: &Report, charts: &[Chart]) -> Markup {
    html! {
        section {
            h2 { "1. A kernel build" }
            p { (lead(report)) }
            @match charts.iter().find(|chart| chart.id == MAIN) {
                Some(chart) => (figure(chart)),
                None => p { "The kernel build was not measured in this run." },
            }
            h3 { "What is compared" }
            dl {
                @for (_, runner) in report.runners() { dt { (runner.name) } dd { (runner.description) } }
                @for absent in &report.results.head.plan.absent { dt { (absent.name) } dd { "not measured: " (absent.reason) } }
            }
        }
    }
}

/// The result in a sentence.
pub fn lead(report: &Report) -> String {
    let told: Vec<String> = report
        .others()
        .filter_map(|(_, runner)| {
            let build = super::claims::build(&report.series, 1)?;
            let e = build.times_host(&runner.name, crate::stats::CONFIDENCE)?;
            Some(format!("{} × {}", runner.name, format::times_interval(&e)))
        })
        .collect();
    match told.is_empty() {
        true => "How much longer the same build takes in a guest than on its host.".into(),
        false => format!("On one CPU the build takes, as a multiple of the host's time: {}.", told.join("; ")),
    }
}

fn published(report: &Report) -> Markup {
    html! {
        section {
            h2 { "2. Published and measured" }
            p {
                "The announcement of skas in November 2002 compared it with the tracing-thread model that came before. Its claims, and the same "
                "ratios measured here. A verdict follows from the interval alone: reproduced, when all of it lies in the range that the words are taken "
                "for; not reproduced, when all of it lies outside; reversed, when it lies on the other side of one. Where it lies on both sides of an end of the "
                "range, the median says whether the measurement is consistent with the claim or the question open, and more rounds would tell."
            }
            (claims_table(report).html())
        }
    }
}

fn operations(report: &Report, charts: &[Chart]) -> Markup {
    html! {
        section {
            h2 { "3. Operations" }
            p { "Medians, and below them how many times as slow as the host: more than one is slower, for rates too. Marks show medians, lines their intervals." }
            @for group in groups(report) {
                h3 { (title(&group)) }
                @if let Some(chart) = charts.iter().find(|chart| chart.id == format!("group-{group}")) { (figure(chart)) }
                (group_table(report, &group).html())
                @for (name, remark) in remarks(report, &group) { p { b { (name) } ": " (remark) } }
            }
        }
    }
}

fn patched_host(report: &Report) -> Markup {
    html! {
        @if let Some(part) = super::patched::part(report) {
            section {
                h2 { (part.title) }
                @for paragraph in &part.paragraphs { p { (paragraph) } }
                (part.table.html())
            }
        }
    }
}

fn time(report: &Report, charts: &[Chart]) -> Markup {
    html! {
        section {
            h2 { "4. Where the time goes" }
            p {
                "A reckoning: what each model counted, times what one of it costs on this host (measured in the same run). "
                em { "User" } " is what the program itself computes, taken from the host's run; " em { "core" } " is what all processes of the guest compute beyond "
                "that in user mode: the guest kernel, the tracer's own code, and what caches cost. " em { "Traps" } " are the stops at which a guest enters its kernel, with the registers that are "
                "read and written; " em { "tracer" } " all other stops and hand-overs; " em { "mapping" } " the host's mmap, munmap and mprotect for guests, and the page faults it answers; " em { "protection" }
                " the time that tt-jail spends on protecting the core, which it measures itself. What these do not explain is hatched. Shown for workloads that are a fixed "
                "amount of work, on one CPU."
            }
            @if report.costs.units.is_empty() {
                p.notice { "The host's primitives were not measured in this run, so nothing but the program's own computing can be told." }
            } @else {
                (units_table(report).html())
            }
            @for reckoning in &report.costs.list {
                h3 { (reckoning.workload) }
                @for chart in charts.iter().filter(|chart| chart.id.starts_with("time-") && chart.title == reckoning.workload) { (figure(chart)) }
                @for (runner, excess) in &reckoning.excess {
                    p { (runner) ": the parts come to " (crate::progress::seconds(*excess)) " more than the whole, so the unit costs are too high here." }
                }
            }
            @if report.costs.list.is_empty() { p { "Nothing in this run can be reckoned so." } }
            @if !report.costs.uncosted.is_empty() {
                p.small { "Counted, but without a cost of their own: " (report.costs.uncosted.join(", ")) "." }
            }
        }
    }
}

fn growth(charts: &[Chart]) -> Markup {
    let of_growth = || charts.iter().filter(|chart| chart.id.starts_with("growth-"));
    html! {
        section {
            h2 { "5. How cost grows" }
            @for chart in of_growth() {
                h3 { (chart.title) }
                (figure(chart))
            }
            @if of_growth().next().is_none() { p { "Nothing was measured with more than one amount." } }
        }
    }
}

fn method_part(report: &Report) -> Markup {
    html! {
        section {
            h2 { "6. Method, environment, raw numbers" }
            h3 { "Method" }
            @for paragraph in method(report) { p { (paragraph) } }
            @for line in noise_text(report) { p { (line) } }
            @if report.runners().any(|(_, runner)| runner.kind == Kind::Peer) {
                p { "Peers see the host's file tree as umlab's guests do: User Mode Linux through hostfs, gVisor through its gofer; User Mode Linux has one CPU." }
            }
            h3 { "Workloads" }
            (workloads_table(report).html())
            h3 { "Environment" }
            (environment_table(report).html())
            h3 { "Raw numbers" }
            @if report.results.head.environment.is_emulated() {
                p { "Every value of every round is in results.csv; the times there are those of an emulated processor." }
            } @else {
                details {
                    summary { "Every value of every round" }
                    (raw_table(report).html())
                }
            }
        }
    }
}
