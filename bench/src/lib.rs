//! The harness: runs the matrix of models and workloads, keeps every sample, compares and reports.
//!
//! It drives the built programs from outside, as a user would, and takes its times by the host's
//! clock; so another user-mode kernel is measured by the same code as umlab's own models, and what
//! is measured cannot tell its own time. Adding a model or a workload needs no change here: both
//! are asked for what they are.
//!
//! From the command line to a sample: `command`, `plan`, `run` (with `schedule`), `measure`,
//! `runner`, `process` (and `keeper`, `neighbours`), `store`. From samples to what is said of them: `series`,
//! `stats`, `noise`, then `compare` or `report`.

#![forbid(unsafe_code)]

pub mod catalogue;
pub mod chart;
pub mod command;
pub mod compare;
pub mod environment;
pub mod format;
mod keeper;
pub mod measure;
mod neighbours;
pub mod noise;
pub mod options;
pub mod plan;
pub mod process;
pub mod progress;
pub mod report;
pub mod run;
pub mod runner;
pub mod schedule;
pub mod schema;
mod schema_v0;
pub mod series;
pub mod stats;
pub mod store;

#[cfg(test)]
mod testing;
