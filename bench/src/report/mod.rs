//! The report: what was measured, for people who will judge the method before they look at a bar.
//!
//! Everything is computed here from the results alone, once; the page, the Markdown and the charts
//! only show it. A model that was not measured has its row and says so.

mod claims;
mod costs;
mod csv;
mod document;
mod growth;
mod html;
mod markdown;
mod sections;
mod table;

use crate::noise::{Noise, noise};
use crate::options::ReportOptions;
use crate::schema::{Kind, Results, RunnerInfo};
use crate::series::{Series, series};
use crate::store::{load, write_atomically};
use anyhow::{Context, Result};
use document::{Chart, Document};
use std::path::{Path, PathBuf};

pub struct Report<'a> {
    pub results: &'a Results,
    pub series: Vec<Series>,
    pub noise: Noise,
    pub claims: Vec<claims::Judged>,
    pub costs: costs::Reckonings,
}

impl<'a> Report<'a> {
    pub fn new(results: &'a Results) -> Report<'a> {
        let series = series(results);
        let (claims, costs) = (claims::judge(results, &series), costs::reckon(results, &series));
        Report { results, noise: noise(results), claims, costs, series }
    }

    /// The runners that were to be measured, with their place in the plan.
    pub fn runners(&self) -> impl Iterator<Item = (usize, &RunnerInfo)> {
        self.results.head.plan.runners.iter().enumerate()
    }

    pub fn others(&self) -> impl Iterator<Item = (usize, &RunnerInfo)> {
        self.runners().filter(|(_, runner)| runner.kind != Kind::Host)
    }

    pub fn document(&self) -> Document {
        sections::document(self)
    }
}

/// `umlab report`: writes the files; the exit status.
pub fn command(options: &ReportOptions) -> i32 {
    match write(&options.results, options.out.as_deref()) {
        Ok(page) => {
            println!("{}", page.display());
            0
        }
        Err(error) => {
            eprintln!("umlab report: {error:#}");
            crate::command::USAGE
        }
    }
}

/// Writes report.html, report.md, results.csv and the charts; returns the page's path.
pub fn write(path: &Path, out: Option<&Path>) -> Result<PathBuf> {
    let results = load(path)?;
    let beside = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
    let out = out.unwrap_or(beside);
    let folder = out.join("charts");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot write to '{}'", out.display()))?;
    let document = Report::new(&results).document();
    for (name, bytes) in texts(&results, &document)? {
        let path = out.join(name);
        write_atomically(&path, &bytes).with_context(|| format!("cannot write '{}'", path.display()))?;
    }
    for chart in document.charts() {
        chart.scene.write_png(&folder.join(format!("{}.png", chart.id)))?;
    }
    Ok(out.join("report.html"))
}

/// The files of a report by name, but for the pictures of its charts in dots.
///
/// # Errors
/// A file that could not be made.
pub fn texts(results: &Results, document: &Document) -> Result<Vec<(String, Vec<u8>)>> {
    let svg = |chart: &Chart| (format!("charts/{}.svg", chart.id), chart.scene.standalone_svg().into_bytes());
    let mut files: Vec<_> = document.charts().map(svg).collect();
    files.push(("results.csv".into(), csv::render(results)?));
    files.push(("report.md".into(), markdown::render(document).into_bytes()));
    files.push(("report.html".into(), html::render(document).into_bytes()));
    Ok(files)
}
