use crate::apps::tool;
use crate::{About, Group, Report, Setting, Size, Workload};
use anyhow::{Result, ensure};

/// What configure scripts and makefiles do most: a shell that starts small programs.
pub struct ShellLoop;

const LOOP: &str = "for ((i = 0; i < $0; i++)); do /bin/true || exit; done; echo $i";

impl Workload for ShellLoop {
    fn about(&self) -> About {
        About {
            name: "shell-loop",
            group: Group::ForkExec,
            summary: "bash runs /bin/true 300 times",
            definition: "one bash, started before; it runs /bin/true 30, 300 or 3000 times, one after another",
            remark: "",
            sizes: &[
                Size { name: "smoke", seconds: 0.05 },
                Size { name: "quick", seconds: 0.3 },
                Size { name: "full", seconds: 2.5 },
            ],
            params: &[],
            needs: &["bash"],
        }
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        let times = setting.amount("30", "300", "3000");
        let said = report.phase(&format!("{times} x /bin/true"), || tool("bash").args(["-c", LOOP, times]).run())?;
        ensure!(said.trim_ascii() == times.as_bytes(), "the loop ended early: {:?}", String::from_utf8_lossy(&said));
        report.check("times", times)
    }
}
