//! What changed between two results.
//!
//! A model is compared by its times the host: when the machine got slower between two runs, so did
//! the host, and that is no regression of the model. The host itself is compared as it is and told,
//! but judged by nobody. With hundreds of comparisons an interval of 95 % would cry wolf a dozen
//! times, so here the intervals are of 99 %, and a change counts only when all of its interval lies
//! beyond the threshold, and when there are enough samples (five on each side are) that equal runs
//! would hardly come apart so by chance.

use crate::format;
use crate::options::CompareOptions;
use crate::schema::{HOST, Outcome, Results};
use crate::series::{Key, Series, series};
use crate::stats::{Estimate, change_estimate};
use crate::store::load;

const CONFIDENCE: f64 = 0.99;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Slower,
    Faster,
    Same,
    /// Too few samples on one side to say anything.
    Unclear,
}

#[derive(Debug)]
pub struct Change {
    pub runner: String,
    pub key: Key,
    /// How many times as slow as before.
    pub factor: Estimate,
    pub verdict: Verdict,
}

#[derive(Debug, Default)]
pub struct Comparison {
    /// Worst first.
    pub changes: Vec<Change>,
    /// Measured before and no more, or now and not before; and new failures.
    pub notes: Vec<String>,
    pub failures: usize,
    pub host: Option<Estimate>,
}

impl Comparison {
    pub fn is_regression(&self) -> bool {
        self.failures > 0 || self.changes.iter().any(|c| c.verdict == Verdict::Slower && c.runner != HOST)
    }
}

pub fn compare(before: &Results, after: &Results, threshold: f64, absolute: bool) -> Comparison {
    let (old, new) = (series(before), series(after));
    let mut comparison = Comparison::default();
    let mut host = Vec::new();
    for series in &new {
        let Some(earlier) = old.iter().find(|s| s.key == series.key && s.unit == series.unit) else { continue };
        for (runner, _) in &series.values {
            if earlier.of(runner).is_none() {
                continue;
            }
            let relative = *runner != HOST && !absolute;
            let (a, b) = (values(earlier, runner, relative), values(series, runner, relative));
            let Some(factor) = change_estimate(&b, &a, CONFIDENCE) else { continue };
            if *runner == HOST {
                host.push(factor.mid);
            }
            comparison.changes.push(Change {
                runner: runner.clone(),
                key: series.key.clone(),
                verdict: verdict(&factor, threshold, by_chance(a.len(), b.len())),
                factor,
            });
        }
    }
    comparison.host = crate::stats::median_estimate(&host, 0.95);
    comparison.changes.sort_by(|a, b| b.factor.mid.total_cmp(&a.factor.mid));
    note_differences(&mut comparison, before, after);
    comparison
}

/// A runner's values so that greater is slower; `relative`: times the host of the same round, where
/// there is one.
fn values(series: &Series, runner: &str, relative: bool) -> Vec<f64> {
    let pairs = series.pairs(runner, HOST);
    if relative && !pairs.is_empty() {
        return pairs.iter().filter(|(_, by)| *by > 0.0).map(|(of, by)| of / by).collect();
    }
    let invert = series.more_is_better();
    series.plain(runner).into_iter().filter(|v| *v > 0.0).map(|v| if invert { 1.0 / v } else { v }).collect()
}

/// How likely it is that all of `n` values of one run lie on one side of all `m` of another, when
/// nothing changed: of the ways to share n + m values in order among the two, it is two. The
/// intervals of few values assume a distribution that not all of ours have; this assumes none.
fn by_chance(n: usize, m: usize) -> f64 {
    let ways = (1..=n).fold(1.0, |ways, i| ways * (m + i) as f64 / i as f64);
    2.0 / ways
}

fn verdict(factor: &Estimate, threshold: f64, by_chance: f64) -> Verdict {
    if by_chance > 1.0 - CONFIDENCE {
        return Verdict::Unclear;
    }
    match (factor.low > 1.0 + threshold, factor.high < 1.0 / (1.0 + threshold)) {
        (true, _) => Verdict::Slower,
        (_, true) => Verdict::Faster,
        _ => Verdict::Same,
    }
}

fn note_differences(comparison: &mut Comparison, before: &Results, after: &Results) {
    let (a, b) = (&before.head.environment, &after.head.environment);
    for (what, a, b) in
        [("CPU", &a.cpu, &b.cpu), ("kernel", &a.kernel, &b.kernel), ("distribution", &a.distribution, &b.distribution)]
    {
        if a != b {
            comparison.notes.push(format!("another {what}: {a} before, {b} after"));
        }
    }
    if before.head.plan.profile != after.head.plan.profile {
        comparison
            .notes
            .push(format!("another profile: {} before, {} after", before.head.plan.profile, after.head.plan.profile));
    }
    let (a, b) = (before.head.plan.neighbours, after.head.plan.neighbours);
    if a != b {
        comparison.notes.push(format!("another number of neighbours on each CPU: {a} before, {b} after"));
    }
    let cells = |results: &Results, ok: bool| -> std::collections::BTreeSet<(String, String, u32)> {
        let wanted =
            |outcome| if ok { outcome == Outcome::Ok } else { !matches!(outcome, Outcome::Ok | Outcome::Skipped) };
        let samples = results.samples.iter().filter(|s| s.round > 0 && wanted(s.outcome));
        samples.map(|s| (s.workload.clone(), s.runner.clone(), s.cpus)).collect()
    };
    let (was_ok, is_ok, was_bad, is_bad) =
        (cells(before, true), cells(after, true), cells(before, false), cells(after, false));
    for (workload, runner, cpus) in is_bad.difference(&was_bad) {
        // New only when it worked before; what was not measured then is not worse now.
        if was_ok.contains(&(workload.clone(), runner.clone(), *cpus)) {
            comparison.failures += usize::from(runner != HOST);
            comparison.notes.push(format!("fails now, worked before: {workload} on {runner}, {cpus} CPU"));
        }
    }
    let only = |a: &std::collections::BTreeSet<(String, String, u32)>,
                b: &std::collections::BTreeSet<(String, String, u32)>| {
        a.difference(b)
            .filter(|cell| !is_bad.contains(*cell))
            .map(|(w, r, n)| format!("{w} on {r}, {n} CPU"))
            .collect::<Vec<_>>()
    };
    let (gone, come) = (only(&was_ok, &is_ok), only(&is_ok, &was_ok));
    for (what, list) in [("measured before only", gone), ("measured after only", come)] {
        if !list.is_empty() {
            comparison.notes.push(format!("{what}: {}", list.join("; ")));
        }
    }
}

/// `umlab compare`: prints, and returns the exit status: 1 for a regression, 2 when it cannot be
/// told.
pub fn command(options: &CompareOptions) -> i32 {
    let read = || anyhow::Ok((load(&options.before)?, load(&options.after)?));
    let (before, after) = match read() {
        Ok(both) => both,
        Err(error) => {
            eprintln!("umlab compare: {error:#}");
            return crate::command::USAGE;
        }
    };
    let comparison = compare(&before, &after, options.threshold / 100.0, options.absolute);
    print(&comparison, options);
    if comparison.changes.is_empty() {
        eprintln!("umlab compare: the two have nothing in common that could be compared");
        return crate::command::USAGE;
    }
    i32::from(comparison.is_regression())
}

fn print(comparison: &Comparison, options: &CompareOptions) {
    for note in &comparison.notes {
        println!("note: {note}");
    }
    if let Some(host) = comparison.host {
        println!(
            "the host itself took {} times as long as before (median of {} series)",
            format::times_interval(&host),
            host.n
        );
    }
    let shown =
        |c: &&Change| options.all || (matches!(c.verdict, Verdict::Slower | Verdict::Faster) && c.runner != HOST);
    for change in comparison.changes.iter().filter(shown) {
        let verdict = match change.verdict {
            Verdict::Slower => "slower",
            Verdict::Faster => "faster",
            Verdict::Same => "same",
            Verdict::Unclear => "too few samples",
        };
        let factor = format::times_interval(&change.factor);
        println!("{verdict:<16} {:<10} {:<44} took {factor} times as long", change.runner, change.key.label());
    }
    let count = |verdict| comparison.changes.iter().filter(|c| c.verdict == verdict && c.runner != HOST).count();
    println!(
        "{} slower, {} faster, {} the same within {} %, {} with too few samples to tell (99 % intervals{})",
        count(Verdict::Slower),
        count(Verdict::Faster),
        count(Verdict::Same),
        options.threshold,
        count(Verdict::Unclear),
        if options.absolute { "" } else { ", times the host" }
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use rand::SeedableRng;
    use rand_distr::{Distribution, LogNormal};
    use rand_pcg::Pcg64Mcg;

    /// A run in which skas takes `slow` milliseconds on a host whose every round is another
    /// machine.
    fn results(seed: u64, slow: f64) -> Results {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let (drift, noise) = (LogNormal::new(0.0, 0.2).unwrap(), LogNormal::new(0.0, 0.01).unwrap());
        let mut samples = Vec::new();
        for round in 1..=5 {
            let machine: f64 = drift.sample(&mut rng);
            samples.push(testing::sample(round, HOST, machine * noise.sample(&mut rng)));
            samples.push(testing::sample(round, "skas", slow * machine * noise.sample(&mut rng)));
        }
        Results { head: testing::head(), finished: true, samples }
    }

    #[test]
    fn a_slower_model_is_found_on_a_drifting_machine_and_equal_ones_are_equal() {
        for seed in 0..40 {
            let (a, same, slower) = (results(seed, 2.0), results(seed + 100, 2.0), results(seed + 200, 2.3));
            assert!(!compare(&a, &same, 0.05, false).is_regression(), "seed {seed}");
            let found = compare(&a, &slower, 0.05, false);
            assert!(found.is_regression(), "seed {seed}");
            let worst = &found.changes.iter().find(|c| c.verdict == Verdict::Slower).unwrap();
            assert_eq!((worst.runner.as_str(), worst.key.metric.as_str()), ("skas", "call"));
            assert!(worst.factor.low <= 1.15 && 1.15 <= worst.factor.high * 1.02, "{:?}", worst.factor);
            // The other way round it is an improvement, and beyond a threshold of 20 % it is
            // nothing.
            assert!(!compare(&slower, &a, 0.05, false).is_regression());
            assert!(!compare(&a, &slower, 0.20, false).is_regression());
        }
    }

    #[test]
    fn rates_are_worse_when_they_fall() {
        let rate = |seed, slow| {
            let mut results = results(seed, slow);
            for metric in results.samples.iter_mut().flat_map(|s| &mut s.metrics) {
                (metric.value, metric.unit) = (1e3 / metric.value, "MB/s".into());
            }
            results
        };
        assert!(compare(&rate(1, 2.0), &rate(2, 2.4), 0.05, false).is_regression());
        assert!(!compare(&rate(1, 2.4), &rate(2, 2.0), 0.05, false).is_regression());
    }

    #[test]
    fn a_new_failure_is_a_regression() {
        let (a, mut b) = (results(1, 2.0), results(2, 2.0));
        for sample in b.samples.iter_mut().filter(|s| s.runner == "skas") {
            sample.outcome = Outcome::Timeout;
        }
        let comparison = compare(&a, &b, 0.05, false);
        assert!(
            comparison.is_regression() && comparison.notes.iter().any(|n| n.contains("fails now")),
            "{:?}",
            comparison.notes
        );
        assert!(!compare(&b, &a, 0.05, false).is_regression());
    }

    #[test]
    fn chance_by_counting() {
        for (n, m, expected) in [(1, 1, 1.0), (3, 3, 0.1), (4, 4, 2.0 / 70.0), (5, 5, 2.0 / 252.0), (3, 9, 2.0 / 220.0)]
        {
            assert!((by_chance(n, m) - expected).abs() < 1e-12, "{n} {m}");
        }
    }

    #[test]
    fn another_number_of_neighbours_is_told() {
        let (alone, mut beside) = (results(1, 2.0), results(2, 2.0));
        beside.head.plan.neighbours = 1;
        let notes = |a, b| compare(a, b, 0.05, false).notes;
        assert_eq!(notes(&alone, &beside), ["another number of neighbours on each CPU: 0 before, 1 after"]);
        assert_eq!((notes(&alone, &alone), notes(&beside, &beside)), (vec![], vec![]));
    }

    #[test]
    fn two_samples_prove_nothing() {
        let few = |seed, slow| {
            let mut results = results(seed, slow);
            results.samples.retain(|s| s.round <= 2);
            results
        };
        assert!(!compare(&few(1, 2.0), &few(2, 4.0), 0.05, false).is_regression());
    }
}
