//! The form of comments and prose: lines fit into 100 columns.

use std::path::Path;
use std::process::Command;

const COLUMNS: usize = 100;

/// What is written by programs, or quoted.
const EXEMPT: [&str; 2] = ["results/", "bench/tests/"];

#[test]
fn comments_and_prose_fit_into_100_columns() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = Command::new("git").args(["ls-files", "*.rs", "*.md"]).current_dir(root).output();
    let list = String::from_utf8(list.expect("git lists its files").stdout).expect("names are UTF-8");
    let mut long = Vec::new();
    let files = list.lines().filter(|file| !EXEMPT.iter().any(|exempt| file.starts_with(exempt)));
    for file in files {
        let Ok(text) = std::fs::read_to_string(root.join(file)) else { continue };
        let judge = if file.ends_with(".md") { too_long_prose } else { too_long_comments };
        long.extend(judge(&text).into_iter().map(|number| format!("{file}:{number}")));
    }
    assert!(long.is_empty(), "longer than {COLUMNS} columns:\n{}", long.join("\n"));
}

/// The numbers of comment lines that are too long.
fn too_long_comments(text: &str) -> Vec<usize> {
    too_long(text, |line| {
        let comment = line.trim_start().strip_prefix("//")?;
        let comment = comment.trim_start_matches(['/', '!']);
        Some(comment.strip_prefix(' ').unwrap_or(comment))
    })
}

/// The numbers of lines of prose that are too long.
fn too_long_prose(text: &str) -> Vec<usize> {
    too_long(text, |line| Some(line))
}

/// `prose` finds the prose in a line. Tables and code do not count, nor what could not be broken: a
/// rule, or a long address.
fn too_long(text: &str, prose: impl Fn(&str) -> Option<&str>) -> Vec<usize> {
    let mut fenced = false;
    let mut long = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let Some(prose) = prose(line) else {
            fenced = false;
            continue;
        };
        fenced ^= prose.starts_with("```");
        let literal = fenced || prose.starts_with(['|', '`', '!']) || prose.starts_with("    ");
        if !literal && line.chars().count() > COLUMNS && prose.split_whitespace().count() > 1 {
            long.push(number);
        }
    }
    long
}

#[test]
fn long_lines_are_found() {
    let long = "word ".repeat(30);
    assert_eq!(too_long_comments(&format!("let a = 1; // {long}\n// {long}\n    /// {long}\n// short")), [2, 3]);
    assert_eq!(too_long_prose(&format!("{long}\n| {long} |\n```\n{long}\n```\n{long}")), [1, 6]);
}
