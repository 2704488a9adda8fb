//! Results of `umlab bench`: a results file, or the head of a run and its journal with a NUL byte
//! between; and the report of what is accepted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::fs;
use tempfile::TempDir;
use umlab_bench::compare::compare;
use umlab_bench::report::{Report, texts};
use umlab_bench::schema::{Results, Sample};
use umlab_bench::store::load;

thread_local! {
    static FOLDER: RefCell<TempDir> = RefCell::new(tempfile::tempdir().expect("a folder"));
}

fuzz_target!(|data: &[u8]| {
    if let Some(results) = FOLDER.with_borrow(|folder| read(folder, data)) {
        report(&results);
    }
});

fn read(folder: &TempDir, data: &[u8]) -> Option<Results> {
    let [whole, head, journal] = ["results.json", "run.json", "samples.jsonl"].map(|name| folder.path().join(name));
    let write = |path, bytes: &[u8]| fs::write(path, bytes).expect("a file of our own");
    match data.iter().position(|&byte| byte == 0) {
        None => {
            write(&whole, data);
            load(&whole).ok()
        }
        Some(at) => {
            let _ = fs::remove_file(&whole);
            write(&head, &data[..at]);
            write(&journal, &data[at + 1..]);
            load(folder.path()).ok()
        }
    }
}

fn report(results: &Results) {
    let text = serde_json::to_string(results).expect("what was read can be written");
    let again = umlab_bench::schema::parse(&text);
    // Numbers that JSON does not have become null, and the last digit of others may change on the
    // way.
    if !text.contains("null") {
        let again = again.expect("what was written can be read");
        let names = |results: &Results| -> Vec<_> {
            let name = |sample: &Sample| (sample.round, sample.workload.clone(), sample.runner.clone(), sample.outcome);
            results.samples.iter().map(name).collect()
        };
        assert_eq!(names(&again), names(results));
        let plan = |results: &Results| (results.head.plan.runners.clone(), results.head.plan.absent.clone());
        assert_eq!(plan(&again), plan(results));
    }
    let document = Report::new(results).document();
    let files = texts(results, &document).expect("a report in memory");
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    // Each series and sample is there a few times, its name in each of the report's forms.
    assert!(bytes < (1 << 20) + 2000 * text.len(), "{bytes} bytes of report of {} bytes of results", text.len());
    for (name, _) in &files {
        assert!(!name.contains("..") && !name.starts_with('/'), "a file out of the folder: {name}");
    }
    let comparison = compare(results, results, 5.0, false);
    assert!(!comparison.is_regression(), "results are worse than themselves");
}
