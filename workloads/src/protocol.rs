//! What `umlab-workload` and its reader, the harness, agree on, in JSON: the list of workloads, and
//! the lines that a workload prints while it runs.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A workload, as a row of `umlab-workload list --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub name: String,
    pub group: String,
    #[serde(default)]
    pub summary: String,
    /// What one operation is, exactly.
    #[serde(default)]
    pub definition: String,
    /// What a reader of its figures has to know, where they are not what one would expect.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remark: String,
    /// Smallest first.
    #[serde(default)]
    pub sizes: Vec<String>,
    /// By size, what it takes on a machine of 2026, in seconds.
    #[serde(default)]
    pub seconds: BTreeMap<String, f64>,
    /// By key, what a parameter sets.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// By size, the size whose output it can begin with, so that this is made only once.
    #[serde(default)]
    pub prepared: BTreeMap<String, String>,
    /// Programs that must be on the PATH.
    #[serde(default)]
    pub needs: Vec<String>,
    /// There is nothing to run in a guest.
    #[serde(default)]
    pub host_only: bool,
}

/// A line of `umlab-workload run`. Each is written at once, because the reader takes the time when
/// it sees one. Other lines between them (a console's messages) are none of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// A phase begins, which the reader times by its own clock: `{"begin":"lib"}`.
    Begin { begin: String },
    /// `{"end":"lib"}`
    End { end: String },
    /// A figure that the workload took itself:
    /// `{"metric":"null-call","unit":"ns","value":171.0,"n":10000,"batches":[171.0,170.0,172.0]}`.
    Metric {
        metric: String,
        /// `ns`, or what a larger value is more of, as `MB/s`.
        unit: String,
        /// The median of the batches.
        value: f64,
        /// How many operations were timed.
        #[serde(default)]
        n: Option<u64>,
        /// The means of the batches.
        #[serde(default)]
        batches: Vec<f64>,
    },
    /// A result that must be the same on every kernel: `{"check":"objects","value":"..."}`.
    Check { check: String, value: String },
    /// What was not measured, and why: `{"skip":"fork+exit, 512 MiB","reason":"..."}`.
    Skip { skip: String, reason: String },
    /// The end, without which the run does not count: `{"done":true}`.
    Done { done: bool },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written() {
        let metric = Line::Metric {
            metric: "call".into(),
            unit: "ns".into(),
            value: 171.5,
            n: Some(3),
            batches: vec![171.5, 170.0, 172.0],
        };
        let lines = [
            (Line::Begin { begin: "lib".into() }, r#"{"begin":"lib"}"#),
            (Line::End { end: "lib".into() }, r#"{"end":"lib"}"#),
            (metric, r#"{"metric":"call","unit":"ns","value":171.5,"n":3,"batches":[171.5,170.0,172.0]}"#),
            (Line::Check { check: "a".into(), value: "b".into() }, r#"{"check":"a","value":"b"}"#),
            (Line::Skip { skip: "\"a\"".into(), reason: "b".into() }, r#"{"skip":"\"a\"","reason":"b"}"#),
            (Line::Done { done: true }, r#"{"done":true}"#),
        ];
        for (line, text) in lines {
            assert_eq!(serde_json::to_string(&line).unwrap(), text);
            assert_eq!(serde_json::from_str::<Line>(text).unwrap(), line);
        }
    }

    #[test]
    fn other_lines_are_none() {
        for text in ["", "[    0.1] a console's message", r#"{"beginning":"lib"}"#, r#"{"metric":"call","value":null}"#]
        {
            assert!(serde_json::from_str::<Line>(text).is_err(), "{text}");
        }
    }
}
