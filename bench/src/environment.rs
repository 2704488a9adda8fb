//! What a reader must know of the machine to judge the figures.

use crate::schema::{EMULATED, Environment};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The project's folder, where this program was built and as long as it is still there.
pub fn project_root() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    root.join("scripts/fetch-kernel").exists().then(|| root.to_path_buf())
}

pub fn now() -> String {
    jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default().to_string()
}

pub fn look(pinned: &[u32]) -> Environment {
    let mitigations: BTreeMap<String, String> = fs::read_dir("/sys/devices/system/cpu/vulnerabilities")
        .map(|entries| {
            let pairs = entries.flatten().filter_map(|entry| {
                let text = fs::read_to_string(entry.path()).ok()?;
                Some((entry.file_name().to_string_lossy().into_owned(), text.trim().to_string()))
            });
            // What does not concern this CPU says nothing about the figures.
            pairs.filter(|(_, state)| state != "Not affected").collect()
        })
        .unwrap_or_default();
    let programs = [
        ("gcc", "--version"),
        ("ld", "--version"),
        ("make", "--version"),
        ("bash", "--version"),
        ("git", "--version"),
        ("python3", "--version"),
        ("sqlite3", "--version"),
        ("linux.uml", "--version"),
        ("runsc", "--version"),
    ];
    let versions =
        programs.iter().filter_map(|(name, flag)| Some((name.to_string(), first_line(name, flag)?))).collect();
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into());
    Environment {
        started: now(),
        label: if is_emulator(&cpu) { EMULATED.into() } else { String::new() },
        umlab_version: env!("CARGO_PKG_VERSION").into(),
        commit: commit().unwrap_or_else(|| "unknown".into()),
        cpu,
        cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
        pinned: pinned.to_vec(),
        memory_bytes: field("/proc/meminfo", "MemTotal")
            .and_then(|text| text.trim_end_matches(" kB").parse::<u64>().ok())
            .map_or(0, |kib| kib << 10),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().into(),
        distribution: fs::read_to_string("/etc/os-release")
            .ok()
            .and_then(|text| {
                text.lines().find_map(|line| Some(line.strip_prefix("PRETTY_NAME=")?.trim_matches('"').to_string()))
            })
            .unwrap_or_default(),
        virtualization: virtualization(),
        governor: fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
            .unwrap_or_default()
            .trim()
            .into(),
        mitigations,
        versions,
        load_at_start: load(),
    }
}

/// Whether a processor of this name is QEMU's translator. One that is told to look like another
/// processor is not known by it: who runs that says `--label emulated`.
fn is_emulator(cpu: &str) -> bool {
    cpu.starts_with("QEMU TCG") || cpu.starts_with("QEMU Virtual CPU")
}

/// The number of tasks that wanted a CPU, over the last minute.
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

fn commit() -> Option<String> {
    let root = project_root()?;
    let output = Command::new("git").arg("-C").arg(root).args(["describe", "--always", "--dirty"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
}

fn virtualization() -> String {
    let hypervisor = fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| {
        text.lines()
            .find(|line| line.starts_with("flags"))
            .is_some_and(|line| line.split(' ').any(|flag| flag == "hypervisor"))
    });
    let name = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_string()).unwrap_or_default();
    match (hypervisor, name("/sys/class/dmi/id/sys_vendor")) {
        (false, _) => "none seen".into(),
        (true, vendor) if vendor.is_empty() => "virtual machine".into(),
        (true, vendor) => format!("virtual machine ({vendor})"),
    }
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':').map(|value| value.trim().to_string()))
}

fn first_line(program: &str, flag: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_string();
    (!text.is_empty()).then_some(text)
}

/// CPU time by what the host's kernel counted, over the CPUs given, in its ticks.
#[derive(Clone, Copy, Default)]
pub struct Ticks {
    busy: u64,
    stolen: u64,
    all: u64,
}

pub fn ticks(cpus: &[u32]) -> Ticks {
    let mut sum = Ticks::default();
    for line in fs::read_to_string("/proc/stat").unwrap_or_default().lines() {
        let mut words = line.split_whitespace();
        let cpu = words.next().and_then(|word| word.strip_prefix("cpu")).and_then(|number| number.parse::<u32>().ok());
        if !cpu.is_some_and(|cpu| cpus.contains(&cpu)) {
            continue;
        }
        // user, nice, system, idle, iowait, irq, softirq, steal; guests' time is in user already.
        let fields: Vec<u64> = words.take(8).map(|word| word.parse().unwrap_or(0)).collect();
        let get = |at: usize| fields.get(at).copied().unwrap_or(0);
        let all: u64 = fields.iter().sum();
        sum.all += all;
        sum.stolen += get(7);
        sum.busy += all - get(3) - get(4);
    }
    sum
}

impl Ticks {
    /// The parts that were busy, and that were stolen, from an earlier look to this one.
    pub fn since(self, earlier: Ticks) -> (f64, f64) {
        let all = self.all.saturating_sub(earlier.all).max(1) as f64;
        (self.busy.saturating_sub(earlier.busy) as f64 / all, self.stolen.saturating_sub(earlier.stolen) as f64 / all)
    }
}

#[cfg(test)]
mod tests {
    use super::is_emulator;

    #[test]
    fn emulators_are_told_from_processors() {
        assert!(is_emulator("QEMU TCG CPU version 2.5+") && is_emulator("QEMU Virtual CPU version 2.5+"));
        assert!(!is_emulator("AMD EPYC 9R14") && !is_emulator("unknown"));
    }
}
