//! What a check comes to.

/// Why a check is not ok.
pub enum Not {
    /// The kernel does what Linux does not.
    Failed(String),
    /// It cannot be asked here.
    Skipped(String),
}

pub type Verdict = Result<(), Not>;

impl From<String> for Not {
    fn from(reason: String) -> Not {
        Not::Failed(reason)
    }
}

pub fn skipped(reason: &str) -> Verdict {
    Err(Not::Skipped(reason.into()))
}

/// The check fails, with this reason, unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($reason:tt)+) => {
        if !$holds {
            return Err(format!($($reason)+).into());
        }
    };
}
pub(crate) use ensure;

/// The result of a call of the C library that a check needs; -1 fails it.
pub fn must(what: &str, result: i64) -> Result<i64, Not> {
    if result < 0 {
        return Err(format!("{what}: {}", std::io::Error::last_os_error()).into());
    }
    Ok(result)
}
