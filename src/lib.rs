//! What the two binaries share: command lines, and the list of process models.

#![forbid(unsafe_code)]

pub mod command;
pub mod models;
pub mod options;
pub mod run;
