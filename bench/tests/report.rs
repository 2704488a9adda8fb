//! The report of a small results file, against what was looked at and found right.
//!
//! After a change that is meant: `UMLAB_UPDATE_GOLDEN=1 cargo test -p umlab-bench --test report`,
//! and look at the differences.

use std::fs;
use std::path::{Path, PathBuf};
use umlab_bench::report::write;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn rendered() -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    write(&golden().join("results.json"), Some(out.path())).unwrap();
    out
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()))
}

#[test]
fn the_report_is_as_it_was_found_right() {
    let out = rendered();
    let files = [
        "report.md",
        "results.csv",
        "charts/kernel-build.svg",
        "charts/group-micro.svg",
        "charts/time-kernel-build.svg",
        "charts/growth-fork-exit.svg",
    ];
    for file in files {
        let (now, kept) = (read(out.path().join(file)), golden().join(file));
        if std::env::var_os("UMLAB_UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(kept.parent().unwrap()).unwrap();
            fs::write(&kept, &now).unwrap();
        }
        let before = read(&kept);
        let first = before.lines().zip(now.lines()).find(|(a, b)| a != b);
        assert!(before == now, "{file} changed, first at (before, now): {first:#?}");
    }
}

#[test]
fn the_page_has_its_parts_and_needs_nothing_else() {
    let out = rendered();
    let page = read(out.path().join("report.html"));
    let parts = [
        "A kernel build",
        "Published and measured",
        "Operations",
        "Where the time goes",
        "How cost grows",
        "Method, environment",
    ];
    let places = parts.map(|part| page.find(&format!(". {part}")).unwrap_or_else(|| panic!("no heading '{part}'")));
    assert!(places.is_sorted(), "{places:?}");
    for foreign in ["<script", "<link", "<img", "src=", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert_eq!(page.matches("<svg ").count(), page.matches("</svg>").count());
    assert_eq!(
        page.matches("<figure").count(),
        page.matches("role=\"img\" aria-label=").count(),
        "every chart has words"
    );
    // The one absent model, and the one that hung, say so.
    assert!(page.contains("tt-jail") && page.contains("this host has no such thing"));
    assert!(page.contains("not at its end after 60 s"));
}

#[test]
fn every_verdict_is_the_intervals() {
    let text = read(rendered().path().join("report.md"));
    let verdict = |ratio: &str| {
        let row = text.lines().find(|line| line.contains(&format!("| {ratio}"))).unwrap_or_else(|| panic!("{ratio}"));
        row.split(" | ").nth(4).unwrap().to_string()
    };
    // The file was made with skas at 1.38, which is near the end of what one calls 30 %, tt at 2.6,
    // a signal at 2.4 and a switch at 2.6.
    assert_eq!(verdict("skas : host (lib)"), "consistent, but the interval reaches beyond the claim");
    assert_eq!(verdict("tt : host (lib)"), "not reproduced");
    assert_eq!(verdict("tt : skas (lib)"), "reproduced");
    assert_eq!(verdict("tt-jail : tt (lib)"), "not measured");
    assert_eq!(verdict("signal delivery : process switch"), "reversed");
}

#[test]
fn a_run_beside_neighbours_says_so_and_judges_no_claim() {
    let out = tempfile::tempdir().unwrap();
    let alone = read(golden().join("results.json"));
    let path = out.path().join("results.json");
    for (number, words) in [(1, "1 neighbour on each CPU"), (3, "3 neighbours on each CPU")] {
        let plan = format!("\"plan\": {{ \"neighbours\": {number},");
        fs::write(&path, alone.replacen("\"plan\": {", &plan, 1)).unwrap();
        write(&path, None).unwrap();
        let report = read(out.path().join("report.md"));
        let mut lines = report.lines().filter(|line| !line.is_empty()).skip(1);
        assert!(lines.next().unwrap().ends_with(&format!("beside {words}")), "{report}");
        assert!(lines.next().unwrap().starts_with(&format!("**Measured beside {words}: ")), "{report}");
        assert!(report.contains(&format!("On one CPU, beside {words}, the build takes")), "{report}");
        assert!(report.contains(&format!("| neighbours | {words} |")), "{report}");
        assert!(!report.contains("Published and measured"), "{report}");
    }
    assert!(!read(rendered().path().join("report.md")).contains("neighbour"));
}

#[test]
fn the_results_that_are_kept_can_be_read() {
    let kept = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../results")).unwrap();
    let runs: Vec<PathBuf> = kept.flatten().map(|entry| entry.path()).filter(|path| is_reference(path)).collect();
    assert!(runs.len() >= 5, "{runs:?}");
    for run in runs {
        let results = umlab_bench::store::load(&run).unwrap_or_else(|e| panic!("{}: {e:#}", run.display()));
        assert!(results.samples.len() > 10 && results.head.plan.neighbours == 0, "{}", run.display());
    }
}

fn is_reference(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("reference-"))
}

#[test]
fn pictures_are_pictures() {
    let out = rendered();
    let mut pictures = 0;
    for entry in fs::read_dir(out.path().join("charts")).unwrap().flatten() {
        let bytes = fs::read(entry.path()).unwrap();
        match entry.path().extension().and_then(|e| e.to_str()) {
            Some("png") => {
                assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 3000, "{:?}", entry.path());
                // Width in the header: twice the units of the SVG.
                assert_eq!(u32::from_be_bytes(bytes[16..20].try_into().unwrap()), 1520);
                pictures += 1;
            }
            _ => assert!(
                bytes.starts_with(b"<svg ") && bytes.trim_ascii_end().ends_with(b"</svg>"),
                "{:?}",
                entry.path()
            ),
        }
    }
    assert!(pictures >= 6, "{pictures}");
}

#[test]
fn an_earlier_version_is_still_read() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("old.json");
    let sides = |name: &str, host: &str, guest: &str| {
        format!(
            r#"{{ "name": "{name}", "cpus": 1, "side": "host", "unit": "us", "samples": [{host}] }},
               {{ "name": "{name}", "cpus": 1, "side": "guest", "unit": "us", "samples": [{guest}] }}"#
        )
    };
    let measurements = [
        sides("prepare", "4700000, 4800000", "6600000, 6700000"),
        sides("lib", "17400000, 17500000", "24400000, 24300000"),
        sides("fork", "230000, 231000", "500000, 510000"),
        sides("start", "1000, 1100", "7000, 7100"),
    ];
    let text = format!(
        r#"{{ "time": "2026-01-01T00:00:00Z", "commit": "abc", "model": "default",
            "machine": {{ "kernel": "6.1", "cpu": "x", "cpus": 2 }}, "measurements": [{}] }}"#,
        measurements.join(",")
    );
    fs::write(&path, text).unwrap();
    write(&path, Some(out.path())).unwrap();
    let report = read(out.path().join("report.md"));
    assert!(report.contains("| kernel-build: lib | 17.4"), "{report}");
    assert!(report.contains("× 1.40"), "{report}");
}
