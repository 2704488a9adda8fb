//! The layers of the kernel: a module imports only what stands before it in the table of
//! `docs/architecture.md`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").into()
}

/// The modules in the order of the page's table, the lowest first.
fn order() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/architecture.md")).expect("the page");
    let table = page.split_once("| in `kernel/src` |").expect("the page has the table").1;
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let modules = rows.flat_map(|row| {
        let cell = row.split('|').nth(1).expect("a first column");
        cell.split('`').skip(1).step_by(2).map(|name| name.trim_end_matches(".rs").trim_end_matches('/').to_string())
    });
    modules.collect()
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        let name = entry.file_name().expect("a name").to_string_lossy().into_owned();
        match entry.is_dir() {
            true if name != "tests" => sources(&entry, found),
            false if name.ends_with(".rs") && !name.ends_with("tests.rs") => found.push(entry),
            _ => {}
        }
    }
}

/// A file without comments and without its unit tests, which may use what they like.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source file");
    let end = text.find("\nmod tests {").unwrap_or(text.len());
    text[..end].lines().map(|line| line.split("//").next().unwrap_or("").to_string() + "\n").collect()
}

/// The first name of each path that begins with `crate::`, those in braces included.
fn imports(code: &str) -> BTreeSet<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for (at, prefix) in code.match_indices("crate::") {
        let rest = &code[at + prefix.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(name(rest));
            continue;
        };
        let (mut depth, mut start) = (0, true);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if start && !c.is_whitespace() => {
                    found.insert(name(&list[at..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn imports_are_found() {
    let found =
        imports("use crate::mm::map;\nuse crate::{lock, vfs::{file, inode}, Result};\nlet at = crate::time::now();");
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), ["Result", "lock", "mm", "time", "vfs"]);
}

#[test]
fn no_arrow_runs_up() {
    let order = order();
    let source = root().join("kernel/src");
    let mut files = Vec::new();
    sources(&source, &mut files);
    for file in files {
        let inside = file.strip_prefix(&source).expect("below the root");
        let module = inside.iter().next().expect("a name").to_string_lossy().trim_end_matches(".rs").to_string();
        if module == "lib" {
            continue;
        }
        let place = |name: &str| order.iter().position(|known| known == name);
        let here = place(&module).unwrap_or_else(|| panic!("`{module}` is not in the table of docs/architecture.md"));
        for to in imports(&code(&file)) {
            let above = place(&to).is_some_and(|there| there > here);
            assert!(!above, "{} imports `{to}`, which is a layer above `{module}`", inside.display());
        }
    }
}
