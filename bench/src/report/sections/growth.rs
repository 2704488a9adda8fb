//! How cost grows with an amount.

use super::super::Report;
use super::super::document::{Block, Chart, Section};
use super::super::growth::growths;
use super::file_name;
use crate::chart::growth;

pub fn section(report: &Report) -> Option<Section> {
    let mut blocks = Vec::new();
    for g in growths(report.results, &report.series) {
        let description = format!("{}: cost by {}", g.title, g.x_title);
        let y_title = match g.unit.as_str() {
            rate if rate.ends_with("/s") => format!("rate, {rate}"),
            ratio if ratio.starts_with("times") => ratio.to_string(),
            unit => format!("time, {unit}"),
        };
        blocks.push(Block::Heading(g.title.clone()));
        blocks.push(Block::Chart(Chart {
            id: format!("growth-{}", file_name(&g.title)),
            caption: String::new(),
            scene: growth(&description, &g.x_title, &y_title, &g.lines),
        }));
    }
    if blocks.is_empty() {
        blocks.push(Block::text("Nothing was measured with more than one amount."));
    }
    Some(Section { title: "How cost grows".into(), blocks })
}
