//! From the command line to what will be run. Every mistake is found here, before any work starts.

use crate::catalogue::Catalogue;
use crate::environment::project_root;
use crate::options::BenchOptions;
use crate::runner::{Model, PEERS, Runner};
use crate::schema::{Absent, Plan, WorkloadInfo};
use anyhow::{Context, Result, anyhow, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use umlab_workloads::protocol::Entry;

/// It needs a kernel tree and is measured with several numbers of CPUs.
pub const KERNEL_BUILD: &str = "kernel-build";

/// What `umlab bench` is told by its caller.
pub struct Setting {
    /// The program `umlab`.
    pub umlab: PathBuf,
    pub models: Vec<Model>,
    /// The host CPUs we may use.
    pub allowed: Vec<u32>,
}

/// A profile: how much time there is, and what fits in.
struct Profile {
    name: &'static str,
    rounds: u32,
    budget: f64,
    /// Sizes by preference; the first that a workload has is taken.
    sizes: &'static [&'static str],
    /// The same of single operations: their loops are as precise when they are short, and gain more
    /// by another round.
    loops: &'static [&'static str],
    /// The same of kernel builds: the slowest model needs ten times as long as the host, and
    /// several rounds.
    builds: &'static [&'static str],
    /// Seconds after which a sample hangs: a kernel build, and anything else.
    limits: (f64, f64),
}

const QUICK: Profile = Profile {
    name: "quick",
    rounds: 3,
    budget: 150.0,
    sizes: &["smoke", "quick"],
    loops: &["smoke", "quick"],
    builds: &["smoke", "quick"],
    limits: (90.0, 15.0),
};
const DEFAULT: Profile = Profile {
    name: "default",
    rounds: 5,
    budget: 1080.0,
    sizes: &["quick"],
    loops: &["smoke", "quick"],
    builds: &["part", "quick"],
    limits: (400.0, 60.0),
};
const FULL: Profile = Profile {
    name: "full",
    rounds: 5,
    budget: 1e9,
    sizes: &["full", "quick"],
    loops: &["full", "quick"],
    builds: &["full", "quick"],
    limits: (4.0 * 3600.0, 600.0),
};

impl Setting {
    fn profile(options: &BenchOptions) -> &'static Profile {
        match (options.quick, options.full) {
            (true, _) => &QUICK,
            (_, true) => &FULL,
            _ => &DEFAULT,
        }
    }

    pub fn plan(&self, options: &BenchOptions, catalogue: &Catalogue) -> Result<(Plan, Vec<Runner>)> {
        let profile = Setting::profile(options);
        let (runners, absent) = self.runners(options)?;
        let cpus = self.cpus(options)?;
        let entries = catalogue.select(&options.workloads)?;
        if let Some((name, _)) = options.sizes.iter().find(|(name, _)| !entries.iter().any(|e| e.name == *name)) {
            bail!("--sizes: there is no workload '{name}' among those to be measured");
        }
        let kernel_tree = match entries.iter().any(|entry| entry.name == KERNEL_BUILD) {
            true => Some(kernel_tree(options.kernel_tree.as_deref())?),
            false => None,
        };
        let workloads =
            entries.iter().map(|entry| workload(entry, profile, &cpus, options)).collect::<Result<_, _>>()?;
        let plan = Plan {
            profile: profile.name.into(),
            rounds: options.rounds.unwrap_or(profile.rounds),
            budget: match (options.budget, options.rounds) {
                (Some(minutes), _) => minutes * 60.0,
                // Who asks for rounds gets them.
                (None, Some(_)) => FULL.budget,
                (None, None) => profile.budget,
            },
            neighbours: options.neighbour,
            kernel_tree,
            runners: runners.iter().map(Runner::info).collect(),
            absent,
            workloads,
        };
        Ok((plan, runners))
    }

    /// A plan that was made before, of which samples have taken `used` seconds, with the rounds and
    /// the time that are asked for now.
    pub fn extended(plan: &Plan, options: &BenchOptions, used: f64) -> Result<Plan> {
        let rounds = options.rounds.unwrap_or(plan.rounds);
        if rounds < plan.rounds {
            bail!("--rounds: the run has {} rounds already, and can only have more", plan.rounds);
        }
        let budget = match options.budget {
            Some(minutes) => used + minutes * 60.0,
            None if rounds > plan.rounds => FULL.budget,
            None => plan.budget,
        };
        Ok(Plan { rounds, budget, ..plan.clone() })
    }

    /// The runners of a plan that was made before.
    pub fn runners_of(&self, plan: &Plan) -> Result<Vec<Runner>> {
        plan.runners.iter().map(|info| self.runner(&info.name)).collect()
    }

    fn runner(&self, name: &str) -> Result<Runner> {
        if name == crate::schema::HOST {
            return Ok(Runner::Host);
        }
        if let Some(model) = self.models.iter().find(|model| model.name == name) {
            return match &model.runs_here {
                Ok(()) => Ok(Runner::Umlab { umlab: self.umlab.clone(), model: model.clone() }),
                Err(reason) => Err(anyhow!("this host cannot run the model '{name}': {reason}")),
            };
        }
        match PEERS.iter().find(|peer| peer.name == name) {
            Some(peer) if peer.is_installed() => Ok(Runner::Peer(peer)),
            Some(peer) => Err(anyhow!("{name} is not installed; it is in the Debian package {}", peer.package)),
            None => {
                let names: Vec<&str> = self.models.iter().map(|model| model.name.as_str()).collect();
                let peers: Vec<&str> = PEERS.iter().map(|peer| peer.name).collect();
                let (names, peers) = (names.join(", "), peers.join(", "));
                Err(anyhow!("there is no model '{name}'; the models are: {names}; the peers: {peers}"))
            }
        }
    }

    /// The host first. What was asked for by name must be there; of the rest, what this host can
    /// run.
    fn runners(&self, options: &BenchOptions) -> Result<(Vec<Runner>, Vec<Absent>)> {
        let mut runners = vec![Runner::Host];
        let mut absent = Vec::new();
        let mut names: Vec<(&str, bool)> = options.models.iter().map(|name| (name.as_str(), true)).collect();
        if names.is_empty() {
            names.extend(self.models.iter().map(|model| (model.name.as_str(), false)));
        }
        if options.peers {
            names.extend(PEERS.iter().map(|peer| (peer.name, false)));
        }
        for (name, asked_for) in names {
            if runners.iter().any(|runner| runner.name() == name) {
                continue;
            }
            match self.runner(name) {
                Ok(runner) => runners.push(runner),
                Err(reason) if asked_for => return Err(reason),
                Err(reason) => absent.push(Absent { name: name.into(), reason: format!("{reason:#}") }),
            }
        }
        Ok((runners, absent))
    }

    fn cpus(&self, options: &BenchOptions) -> Result<Vec<u32>> {
        let most = self.allowed.len() as u32;
        let mut cpus = match options.cpus.as_slice() {
            [] if options.quick => vec![1],
            [] if options.full => (1..=most.min(8)).collect(),
            [] => vec![1, 2.min(most)],
            given => given.to_vec(),
        };
        cpus.sort_unstable();
        cpus.dedup();
        match cpus.iter().find(|&&n| n > most) {
            Some(n) => Err(anyhow!("--cpus {n}: only {most} CPUs may be used here")),
            None => Ok(cpus),
        }
    }
}

fn workload(entry: &Entry, profile: &Profile, cpus: &[u32], options: &BenchOptions) -> Result<WorkloadInfo> {
    let kernel = entry.name == KERNEL_BUILD;
    let built_in: &[&str] = if kernel { &["gcc", "ld", "make", "flex", "bison", "bc", "perl"] } else { &[] };
    let needs = entry.needs.iter().map(String::as_str).chain(built_in.iter().copied());
    for program in needs {
        if !on_path(program) {
            bail!(
                "the workload '{}' needs the program '{program}', which is not installed; scripts/setup installs it, \
                 or leave the workload out with --workloads",
                entry.name
            );
        }
    }
    let sizes = match entry.group.as_str() {
        "micro" => profile.loops,
        _ if kernel => profile.builds,
        _ => profile.sizes,
    };
    let size = match options.sizes.iter().find(|(name, _)| *name == entry.name) {
        Some((_, size)) if entry.sizes.contains(size) => Some(size.as_str()),
        Some((name, size)) => {
            bail!("{name} has no size '{size}'; its sizes are: {}", entry.sizes.join(", "));
        }
        None => sizes.iter().copied().find(|size| entry.sizes.iter().any(|s| s == size)),
    };
    let limit = if kernel { profile.limits.0 } else { profile.limits.1 };
    Ok(WorkloadInfo {
        name: entry.name.clone(),
        group: entry.group.clone(),
        summary: entry.summary.clone(),
        definition: entry.definition.clone(),
        remark: entry.remark.clone(),
        size: size.map(|s| s.to_string()).unwrap_or_default(),
        // Everything but the build is about one task's costs, or about two that hand over to each
        // other; but who names CPUs gets them.
        cpus: if kernel || !options.cpus.is_empty() { cpus.to_vec() } else { cpus[..1].to_vec() },
        host_only: entry.host_only || entry.group == "primitives",
        // With N neighbours a sample has a share of 1 in N + 1 of its CPU.
        limit: options.limit.map_or(limit * f64::from(1 + options.neighbour), f64::from),
    })
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .any(|dir| nix::unistd::access(&dir.join(program), nix::unistd::AccessFlags::X_OK).is_ok())
}

/// The tree to build; fetched when none is named and none is there.
fn kernel_tree(given: Option<&Path>) -> Result<String> {
    let text =
        |path: &Path| path.to_str().map(String::from).with_context(|| format!("'{}' is no UTF-8 path", path.display()));
    if let Some(given) = given {
        let tree = given.canonicalize().with_context(|| format!("no kernel source in '{}'", given.display()))?;
        return match tree.join("Kconfig").is_file() && tree.join("Makefile").is_file() {
            true => text(&tree),
            false => Err(anyhow!("no kernel source in '{}': it has no Kconfig", given.display())),
        };
    }
    let Some(root) = project_root() else {
        bail!("no kernel source: name a Linux 6.1 tree with --kernel-tree");
    };
    let output = Command::new(root.join("scripts/fetch-kernel")).output();
    match output {
        Ok(output) if output.status.success() => text(Path::new(String::from_utf8_lossy(&output.stdout).trim())),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("it fails").to_string();
            Err(anyhow!("no kernel source, and it cannot be fetched ({said}); name a Linux tree with --kernel-tree"))
        }
        Err(e) => Err(anyhow!("no kernel source, and scripts/fetch-kernel cannot run: {e}; use --kernel-tree")),
    }
}
