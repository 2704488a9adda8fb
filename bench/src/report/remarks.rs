//! What a reader has to know of a workload, where its figures are not what one would expect.

use super::Report;

const REMARKS: [(&str, &str); 2] = [
    (
        "fork-exit",
        "A fork costs the host a copy of the parent's page tables, a page at a time. umlab's core keeps the pages of a large process in runs, \
         shares these, and has them mapped when they are touched; so its models beat the host once the parent is large.",
    ),
    (
        "posix-spawn",
        "The C library's posix_spawn asks for the handler of every signal, some 120 system calls for each process, so it is dear where \
         system calls are.",
    ),
];

/// Those of a group's workloads that were measured on anything beside the host: the workload, and
/// what to know.
pub fn remarks(report: &Report, group: &str) -> Vec<(&'static str, &'static str)> {
    let measured = |name: &str| {
        let mut series = report.series.iter().filter(|series| series.group == group && series.key.workload == name);
        series.any(|series| series.values.len() > 1)
    };
    REMARKS.iter().copied().filter(|(name, _)| measured(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{HOST, Results};
    use crate::testing::{head, sample};

    #[test]
    fn only_of_what_was_measured() {
        let mut head = head();
        head.plan.workloads[0].group = "fork-exec".into();
        let samples = vec![sample(1, HOST, 1.0), sample(1, "skas", 2.0)];
        let mut results = Results { head, samples, finished: true };
        assert!(remarks(&Report::new(&results), "fork-exec").is_empty());
        results.head.plan.workloads[0].name = "posix-spawn".into();
        for sample in &mut results.samples {
            sample.workload = "posix-spawn".into();
        }
        let found = remarks(&Report::new(&results), "fork-exec");
        assert!(found.len() == 1 && found[0].0 == "posix-spawn", "{found:?}");
        results.samples.pop();
        assert!(remarks(&Report::new(&results), "fork-exec").is_empty(), "the host alone surprises nobody");
    }
}
