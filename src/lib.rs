//! What the two binaries share: the options of a run, and the list of process models.

pub mod models;
pub mod options;
pub mod run;
