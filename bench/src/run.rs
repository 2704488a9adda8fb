//! The matrix: every runner with every workload, in interleaved rounds.
//!
//! A round runs each workload once with every runner, the host first to be compared with and the
//! others behind it in an order that turns from round to round; so a machine that changes over the
//! hours changes for all of them alike. The first pass, the warm-up, runs the host alone: it brings
//! files into the host's memory, and its results are what every later sample has to match.

use crate::catalogue::Catalogue;
use crate::measure::{Lab, Order, Scratch, blank};
use crate::plan::KERNEL_BUILD;
use crate::progress::Progress;
use crate::runner::Runner;
use crate::schedule::{Item, thin};
use crate::schema::*;
use crate::stats::median;
use crate::store::Store;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use umlab_watch::Interrupt;

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    Complete,
    Interrupted,
}

struct Cell {
    workload: usize,
    cpus: u32,
}

pub struct Matrix<'a> {
    pub runners: &'a [Runner],
    pub catalogue: &'a Catalogue,
    pub allowed: &'a [u32],
    pub interrupt: &'a Interrupt,
}

/// A run in progress.
struct Run<'a> {
    matrix: &'a Matrix<'a>,
    store: &'a mut Store,
    plan: Plan,
    cells: Vec<Cell>,
    items: Vec<(usize, Item)>, // with the index of its runner
    scratch: Scratch,
    /// What samples begin with, by workload.
    prepared: BTreeMap<String, PathBuf>,
    progress: Progress,
    used: f64,
}

/// What to do after a sample.
type Step = Result<Option<Ended>>;

pub fn run(matrix: &Matrix, store: &mut Store) -> Result<Ended> {
    let plan = store.results.head.plan.clone();
    let mut cells = Vec::new();
    for (workload, info) in plan.workloads.iter().enumerate() {
        cells.extend(info.cpus.iter().map(|&cpus| Cell { workload, cpus }));
    }
    let mut items = Vec::new();
    for (at, cell) in cells.iter().enumerate() {
        for (r, runner) in matrix.runners.iter().enumerate() {
            let is_host = matches!(runner, Runner::Host);
            let able = plan.runners[r].most_cpus.is_none_or(|most| cell.cpus <= most);
            if is_host || (able && !plan.workloads[cell.workload].host_only) {
                // The build on as few CPUs as there are is what the first chart and the claims are
                // about.
                let info = &plan.workloads[cell.workload];
                let fewest = info.cpus.iter().min() == Some(&cell.cpus);
                let (weight, least) = if info.name == KERNEL_BUILD && fewest { (8.0, 2) } else { (1.0, 0) };
                items.push((r, Item { cell: at, is_host, seconds: 0.0, weight, least, last_round: plan.rounds }));
            }
        }
    }
    let all = plan.workloads.len() + items.len() * plan.rounds as usize;
    let mut run = Run {
        matrix,
        used: store.results.seconds(),
        store,
        cells,
        items,
        scratch: Scratch::new()?,
        prepared: BTreeMap::new(),
        progress: Progress::new(all as u64),
        plan,
    };
    let ended = run.rounds();
    run.progress.finish();
    ended
}

impl Run<'_> {
    fn rounds(&mut self) -> Result<Ended> {
        if !self.prepare()? {
            return Ok(Ended::Interrupted);
        }
        for at in 0..self.plan.workloads.len() {
            // With the most CPUs it warms up fastest, and its results are the same.
            let cpus = self.plan.workloads[at].cpus.iter().copied().max().unwrap_or(1);
            if let Some(ended) = self.sample(WARM_UP, 0, at, cpus)? {
                return Ok(ended);
            }
        }
        for round in 1..=self.plan.rounds {
            self.schedule(round);
            for cell in self.cheapest_first() {
                let mut due: Vec<usize> = self
                    .items
                    .iter()
                    .filter(|(_, i)| i.cell == cell && i.last_round >= round)
                    .map(|(r, _)| *r)
                    .collect();
                // The host's place is the first; the others take turns.
                if due.len() > 2 {
                    let turn = (round as usize - 1) % (due.len() - 1);
                    due[1..].rotate_left(turn);
                }
                for runner in due {
                    let Cell { workload, cpus } = self.cells[cell];
                    if let Some(ended) = self.sample(round, runner, workload, cpus)? {
                        return Ok(ended);
                    }
                }
            }
        }
        Ok(Ended::Complete)
    }

    /// Makes what samples begin with; false when we were interrupted.
    fn prepare(&mut self) -> Result<bool> {
        for workload in &self.plan.workloads {
            let Some(size) = self.matrix.catalogue.prepared_by(workload) else { continue };
            self.progress.begins(&format!("preparing: {}", workload.name));
            match self.lab().prepare(workload, size)? {
                Some(Some(dir)) => drop(self.prepared.insert(workload.name.clone(), dir)),
                Some(None) => {}
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn lab(&self) -> Lab<'_> {
        Lab {
            catalogue: self.matrix.catalogue,
            kernel_tree: self.plan.kernel_tree.as_deref(),
            neighbours: self.plan.neighbours,
            allowed: self.matrix.allowed,
            prepared: &self.prepared,
            scratch: &self.scratch,
            interrupt: self.matrix.interrupt,
        }
    }

    /// The order of the cells within a round: should the first round take all of the time, then
    /// what is short was measured.
    fn cheapest_first(&self) -> Vec<usize> {
        let cost =
            |cell: usize| -> f64 { self.items.iter().filter(|(_, i)| i.cell == cell).map(|(_, i)| i.seconds).sum() };
        let mut cells: Vec<usize> = (0..self.cells.len()).collect();
        cells.sort_by(|a, b| cost(*a).total_cmp(&cost(*b)));
        cells
    }

    /// Decides what is run in this round and after it.
    fn schedule(&mut self, round: u32) {
        let samples = &self.store.results.samples;
        for (r, item) in &mut self.items {
            let (runner, cell) = (self.matrix.runners[*r].name(), &self.cells[item.cell]);
            let workload = &self.plan.workloads[cell.workload].name;
            let of_item = |s: &&Sample| s.runner == runner && s.workload == *workload && s.cpus == cell.cpus;
            let durations: Vec<f64> =
                samples.iter().filter(of_item).filter(|s| s.round > 0).map(Sample::cost).collect();
            let warm_up = samples.iter().find(|s| s.workload == *workload && s.round == WARM_UP);
            // Before the first round: a guess that only the time left, as it is shown, depends on.
            let guess = warm_up.map_or(1.0, |s| s.seconds * if item.is_host { 1.0 } else { 2.5 });
            item.seconds = median(&durations).unwrap_or(guess);
            // What hung once, or crashed twice, will again.
            let bad = |outcome| samples.iter().filter(of_item).filter(|s| s.outcome == outcome).count();
            if bad(Outcome::Timeout) > 0 || bad(Outcome::Failed) > 1 || bad(Outcome::Skipped) > 0 {
                item.last_round = item.last_round.min(round.saturating_sub(1));
            }
        }
        if round > 1 {
            let mut items: Vec<Item> = self.items.iter().map(|(_, item)| item.clone()).collect();
            thin(&mut items, round, self.plan.budget - self.used);
            for ((_, item), thinned) in self.items.iter_mut().zip(items) {
                *item = thinned;
            }
        }
    }

    fn sample(&mut self, round: u32, runner: usize, workload: usize, cpus: u32) -> Step {
        let runner = &self.matrix.runners[runner];
        let info = &self.plan.workloads[workload];
        let same =
            |s: &&Sample| s.round == round && s.runner == runner.name() && s.workload == info.name && s.cpus == cpus;
        let what = format!(
            "{}: {} on {}{}",
            if round == WARM_UP { "warm-up".into() } else { format!("round {round}") },
            info.name,
            runner.name(),
            if info.cpus.len() > 1 {
                format!(", {cpus} CPU{}", if cpus == 1 { "" } else { "s" })
            } else {
                String::new()
            }
        );
        if self.store.results.samples.iter().find(same).is_some() {
            self.progress.ended(&format!("{what}: there already"), self.all(), self.left(round));
            return Ok(None);
        }
        let warm_up = self.store.results.samples.iter().find(|s| s.round == WARM_UP && s.workload == info.name);
        let grace = if self.plan.budget <= 300.0 { 20.0 } else { 60.0 };
        let order = Order {
            round,
            runner,
            workload: info,
            cpus,
            // On a slow machine nothing hangs that takes some times as long as the host.
            limit: info
                .limit
                .max(warm_up.map_or(0.0, |s| s.seconds * 15.0))
                .min((self.plan.budget - self.used).max(0.0) + grace),
            expected: warm_up.map(|s| &s.checks),
        };
        let skip = match warm_up {
            Some(s) if !s.is_ok() => Some("the host itself cannot run it".to_string()),
            _ if self.used > self.plan.budget => Some("the time of this run was used up".to_string()),
            _ => None,
        };
        self.progress.starts(&what, self.left(round));
        let (mut sample, log) = match skip {
            Some(reason) => (Sample { outcome: Outcome::Skipped, reason: Some(reason), ..blank(&order) }, Vec::new()),
            None => match self.lab().take(&order)? {
                Some(taken) => taken,
                None => return Ok(Some(Ended::Interrupted)),
            },
        };
        if !sample.is_ok() && !log.is_empty() {
            let name = format!("{round:02}-{}-{}-{cpus}", sample.workload, sample.runner);
            sample.log = self.store.keep_log(&name, &log);
        }
        self.used += sample.cost();
        let told = match &sample.outcome {
            Outcome::Ok => format!("{what}: {}", crate::progress::seconds(sample.seconds)),
            Outcome::Skipped => format!("{what}: skipped, {}", sample.reason.as_deref().unwrap_or_default()),
            _ => format!("{what}: FAILED, {}", sample.reason.as_deref().unwrap_or_default()),
        };
        if !sample.is_ok() && self.progress.is_terminal() {
            self.progress.say(&told);
        }
        self.store.append(sample)?;
        self.progress.ended(&told, self.all(), self.left(round));
        Ok(None)
    }

    /// How many samples there will be, as it looks now.
    fn all(&self) -> u64 {
        self.plan.workloads.len() as u64 + self.items.iter().map(|(_, item)| u64::from(item.last_round)).sum::<u64>()
    }

    /// The seconds that are left, as it looks now.
    fn left(&self, round: u32) -> f64 {
        if round == WARM_UP {
            return (self.plan.budget - self.used).max(0.0);
        }
        let done: BTreeSet<(&str, &str, u32, u32)> = self
            .store
            .results
            .samples
            .iter()
            .map(|s| (s.runner.as_str(), s.workload.as_str(), s.cpus, s.round))
            .collect();
        let mut left = 0.0;
        for (r, item) in &self.items {
            let cell = &self.cells[item.cell];
            let (runner, workload) = (self.matrix.runners[*r].name(), self.plan.workloads[cell.workload].name.as_str());
            for n in round.max(1)..=item.last_round {
                if !done.contains(&(runner, workload, cell.cpus, n)) {
                    left += item.seconds;
                }
            }
        }
        left.min((self.plan.budget - self.used).max(0.0))
    }
}
