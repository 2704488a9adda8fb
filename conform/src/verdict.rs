//! What a check came to in a guest.

use std::fmt;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    Ok,
    /// An attack got through that the model does not promise to withstand: how.
    Open(String),
    /// It failed as the model says it does: why.
    Known(String),
    /// It could not be asked: why.
    Skipped(String),
    Failed(String),
    /// The time was over before its turn came.
    NotRun,
}

impl Verdict {
    /// As in the table.
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Open(_) => "open",
            Verdict::Known(_) => "known",
            Verdict::Skipped(_) => "skipped",
            Verdict::Failed(_) => "FAILED",
            Verdict::NotRun => "not run",
        }
    }

    pub fn reason(&self) -> Option<&str> {
        match self {
            Verdict::Ok | Verdict::NotRun => None,
            Verdict::Open(reason) | Verdict::Known(reason) | Verdict::Skipped(reason) | Verdict::Failed(reason) => {
                Some(reason)
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
