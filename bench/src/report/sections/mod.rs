//! The report's sections, a file each. A new one is a file and a row in [`SECTIONS`].

mod growth;
mod kernel_build;
mod method;
mod notices;
mod operations;
mod patched;
mod published;
mod time;

use super::Report;
use super::document::{Document, Section};

/// A section of a report; none where nothing of it was measured.
pub type Make = fn(&Report) -> Option<Section>;

/// In the order of the document.
const SECTIONS: &[Make] = &[
    kernel_build::section,
    published::section,
    operations::section,
    patched::section,
    time::section,
    growth::section,
    method::section,
];

pub fn document(report: &Report) -> Document {
    let environment = &report.results.head.environment;
    let beside = report.results.head.plan.beside().map(|beside| format!(" · beside {beside}"));
    Document {
        title: "User-mode kernels, measured beside their host".into(),
        line: format!(
            "{} · {} · Linux {} · umlab {}{}",
            environment.started,
            environment.cpu,
            environment.kernel,
            environment.commit,
            beside.unwrap_or_default()
        ),
        notices: notices::notices(report),
        sections: SECTIONS.iter().filter_map(|make| make(report)).collect(),
    }
}

/// Letters, digits and hyphens, for the name of a chart's file.
fn file_name(text: &str) -> String {
    let plain: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    plain.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}
