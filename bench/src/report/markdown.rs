//! The same report as Markdown, for places that show that and no pages; its charts are the files beside it.

use super::html::lead;
use super::parts::*;
use super::remarks::remarks;
use super::{Chart, Report};
use crate::command::failures;

pub fn render(report: &Report, charts: &[Chart]) -> String {
    let environment = &report.results.head.environment;
    let mut text = format!(
        "# User-mode kernels, measured beside their host\n\n{} · {} · Linux {} · umlab {}\n",
        environment.started, environment.cpu, environment.kernel, environment.commit
    );
    if let Some(label) = label_text(report) {
        text += &format!("\n**{label}**\n");
    }
    if !report.results.finished {
        text += "\n**This run has not come to its end: figures may change.**\n";
    }
    let picture = |chart: &Chart| {
        let caption = if chart.caption.is_empty() { String::new() } else { format!("\n{}\n", chart.caption) };
        format!("\n![{}](charts/{}.svg)\n{caption}", chart.scene.description, chart.id)
    };
    text += &format!("\n## 1. A kernel build\n\n{}\n", lead(report));
    match charts.iter().find(|chart| chart.id == MAIN) {
        Some(chart) => text += &picture(chart),
        None => text += "\nThe kernel build was not measured in this run.\n",
    }
    text.push('\n');
    for (_, runner) in report.runners() {
        text += &format!("- **{}**: {}\n", runner.name, runner.description);
    }
    for absent in &report.results.head.plan.absent {
        text += &format!("- **{}**: not measured: {}\n", absent.name, absent.reason);
    }
    text += "\n## 2. Published and measured\n\n";
    text += &claims_table(report).markdown();
    text += "\n## 3. Operations\n\nMedians, and below them how many times as slow as the host.\n";
    for group in groups(report) {
        text += &format!("\n### {}\n", title(&group));
        if let Some(chart) = charts.iter().find(|chart| chart.id == format!("group-{group}")) {
            text += &picture(chart);
        }
        text += &format!("\n{}", group_table(report, &group).markdown());
        for (name, remark) in remarks(report, &group) {
            text += &format!("\n**{name}**: {remark}\n");
        }
    }
    if let Some(part) = super::patched::part(report) {
        text += &format!("\n## {}\n\n{}\n\n{}", part.title, part.paragraphs.join("\n\n"), part.table.markdown());
    }
    text += "\n## 4. Where the time goes\n\n";
    text +=
        "What each model counted, times what one of it costs on this host; what that does not explain is hatched.\n";
    if !report.costs.units.is_empty() {
        text += &format!("\n{}", units_table(report).markdown());
    }
    for chart in charts.iter().filter(|chart| chart.id.starts_with("time-")) {
        text += &format!("\n### {}\n{}", chart.title, picture(chart));
    }
    if !report.costs.uncosted.is_empty() {
        text += &format!("\nCounted, but without a cost of their own: {}.\n", report.costs.uncosted.join(", "));
    }
    text += "\n## 5. How cost grows\n";
    for chart in charts.iter().filter(|chart| chart.id.starts_with("growth-")) {
        text += &format!("\n### {}\n{}", chart.title, picture(chart));
    }
    text += "\n## 6. Method, environment, raw numbers\n\n";
    for paragraph in method(report).into_iter().chain(noise_text(report)) {
        text += &format!("{paragraph}\n\n");
    }
    let failed = failures(report.results);
    if !failed.is_empty() {
        text += "Failed or left out:\n\n";
        for line in failed {
            text += &format!("- {line}\n");
        }
        text.push('\n');
    }
    text += &format!("{}\n", workloads_table(report).markdown());
    text += &environment_table(report).markdown();
    text += "\nEvery value is in [results.csv](results.csv).\n";
    text
}
