use super::tool;
use crate::{About, Report, Setting, Workload};
use anyhow::Result;

/// An interpreter's start: a thousand look-ups, reads and small mappings, and then hardly any work.
pub struct Python;

const PROGRAM: &str = "
import collections, json, re, subprocess, hashlib
words = re.findall(r'[a-z]+', 'the quick brown fox jumps over the lazy dog ' * int(__import__('sys').argv[1]))
print(json.dumps(collections.Counter(words), sort_keys=True), hashlib.sha256(' '.join(words).encode()).hexdigest())
";

/// Debian's own: another one on the PATH may be a script that looks for it.
const PYTHON: &str = "/usr/bin/python3";

impl Workload for Python {
    fn about(&self) -> About {
        super::about(
            "python",
            "python3 starts, imports five modules, and ends",
            "/usr/bin/python3, 2, 20 or 150 times, one after another: five imports and a count of words",
            &[PYTHON],
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        let times = setting.amount(2, 20, 150);
        let said = report.phase("start-up", || {
            let mut said = Vec::new();
            for _ in 0..times {
                said.extend(tool(PYTHON).args(["-B", "-c", PROGRAM, "20"]).run()?);
            }
            Ok(said)
        })?;
        report.check_bytes("words", said)
    }
}
