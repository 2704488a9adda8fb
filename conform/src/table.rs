//! What is printed in the end: a line for each check, and the reasons.

use crate::checks::Check;
use crate::verdict::Verdict;
use std::fmt;

/// All verdicts, a column for each number of CPUs.
pub struct Table {
    pub columns: Vec<usize>,
    pub rows: Vec<(&'static Check, Vec<Verdict>)>,
}

pub fn cpus_text(cpus: usize) -> String {
    if cpus == 1 { "1 CPU".into() } else { format!("{cpus} CPUs") }
}

impl Table {
    pub fn count(&self, is: impl Fn(&Verdict) -> bool) -> usize {
        self.rows.iter().flat_map(|(_, verdicts)| verdicts).filter(|verdict| is(verdict)).count()
    }

    pub fn has_failed(&self) -> bool {
        self.count(|verdict| matches!(verdict, Verdict::Failed(_) | Verdict::NotRun)) > 0
    }

    /// The checks whose verdicts are such, with the reasons; once where all columns have the same.
    fn reasons(&self, f: &mut fmt::Formatter<'_>, title: &str, is: impl Fn(&Verdict) -> bool) -> fmt::Result {
        if self.count(&is) > 0 {
            writeln!(f, "\n{title}:")?;
        }
        for (check, verdicts) in &self.rows {
            let mut told: Vec<(String, &str)> = Vec::new();
            for (cpus, verdict) in self.columns.iter().zip(verdicts).filter(|(_, verdict)| is(verdict)) {
                let reason = verdict.reason().unwrap_or_default();
                match told.iter_mut().find(|(_, other)| *other == reason) {
                    Some((where_, _)) => *where_ += &format!(" and {}", cpus_text(*cpus)),
                    None => told.push((cpus_text(*cpus), reason)),
                }
            }
            for (where_, reason) in told {
                writeln!(f, "  {}, {where_}: {reason}", check.name)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|(check, _)| check.name.len()).max().unwrap_or_default();
        let line = |f: &mut fmt::Formatter<'_>, name: &str, cells: Vec<String>| {
            let cells: String = cells.iter().map(|cell| format!("  {cell:<8}")).collect();
            writeln!(f, "{}", format!("{name:<width$}{cells}").trim_end())
        };
        line(f, "check", self.columns.iter().map(|&cpus| cpus_text(cpus)).collect())?;
        for (check, verdicts) in &self.rows {
            line(f, check.name, verdicts.iter().map(Verdict::to_string).collect())?;
        }
        self.reasons(f, "skipped", |verdict| matches!(verdict, Verdict::Skipped(_)))?;
        self.reasons(f, "known failures of the model", |verdict| matches!(verdict, Verdict::Known(_)))?;
        self.reasons(f, "open, which the model does not promise to close", |v| matches!(v, Verdict::Open(_)))?;
        self.reasons(f, "FAILED", |verdict| matches!(verdict, Verdict::Failed(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::CHECKS;

    #[test]
    fn a_reason_stands_once_where_it_is_the_same() {
        let failed = |text: &str| Verdict::Failed(text.into());
        let table = Table {
            columns: vec![1, 2],
            rows: vec![
                (&CHECKS[0], vec![Verdict::Ok, failed("r12 is 0")]),
                (&CHECKS[1], vec![failed("hangs"), failed("hangs")]),
                (&CHECKS[2], vec![Verdict::Skipped("no".into()), Verdict::Ok]),
            ],
        };
        let expected = "\
check           1 CPU     2 CPUs
traps/syscall   ok        FAILED
traps/int80     FAILED    FAILED
traps/sysenter  skipped   ok

skipped:
  traps/sysenter, 1 CPU: no

FAILED:
  traps/syscall, 2 CPUs: r12 is 0
  traps/int80, 1 CPU and 2 CPUs: hangs
";
        assert_eq!(table.to_string(), expected);
        assert!(table.has_failed());
    }
}
