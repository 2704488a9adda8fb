//! Published and measured: each claim of the announcement of 2002 that can be measured, its figure,
//! ours, and a verdict that is computed from the interval of ours, never written by hand.

use crate::schema::{HOST, Results};
use crate::series::Series;
use crate::stats::{CONFIDENCE, Estimate, ratio_estimate};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Reproduced,
    NotReproduced,
    Reversed,
    /// The median is what was claimed, but the interval reaches beyond: more rounds would tell.
    Consistent,
    /// The median is not what was claimed, but the interval reaches there: more rounds would tell.
    Open,
    /// One sample, which has no interval.
    Unjudged,
    NotMeasured,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Reproduced => "reproduced",
            Verdict::NotReproduced => "not reproduced",
            Verdict::Reversed => "reversed",
            Verdict::Consistent => "consistent, but the interval reaches beyond the claim",
            Verdict::Open => "open: the interval reaches into the claim",
            Verdict::Unjudged => "open: one sample only",
            Verdict::NotMeasured => "not measured",
        }
    }
}

/// What two values are compared.
enum Subject {
    /// The kernel build's last phase, on one CPU: how many times as slow the one is as the other.
    Build { of: &'static str, by: &'static str },
    /// Two of the host's own primitives; each by the names it may have.
    Primitives { of: &'static [&'static str], by: &'static [&'static str] },
}

pub struct Claim {
    pub statement: &'static str,
    pub published: &'static str,
    /// What the ratio measures, in words.
    pub ratio: &'static str,
    subject: Subject,
    /// The ratios that one would call by the words of the claim.
    range: (f64, f64),
    why_less: &'static str,
    why_more: &'static str,
}

pub const CLAIMS: &[Claim] = &[
    Claim {
        statement: "skas: a kernel build is about 30\u{a0}% slower than on the host",
        published: "1.3",
        ratio: "skas : host",
        subject: Subject::Build { of: "skas", by: HOST },
        range: (1.2, 1.4),
        why_less: "The core answers many look-ups and page faults for less than the host does, and maps whole ranges at once, \
                   which outweighs more of the ptrace stops than it did in 2002.",
        why_more: "Every system call costs a ptrace stop, which has become dearer relative to the work that a compiler does \
                   between two calls; and this host has no skas patch, so mappings are made by orders to a stub.",
    },
    Claim {
        statement: "tt: a kernel build is about 100\u{a0}% slower than on the host",
        published: "2.0",
        ratio: "tt : host",
        subject: Subject::Build { of: "tt", by: HOST },
        range: (1.8, 2.2),
        why_less: "Processors compute more between two system calls than those of 2002, and the core saves calls and faults.",
        why_more: "A system call is three or four stops of the tracing thread and a signal, each a switch between two host tasks, and \
                   those have not become cheaper as computing has.",
    },
    Claim {
        statement: "skas approaches twice the speed of tt in kernel builds",
        published: "nearly 2",
        ratio: "tt : skas",
        subject: Subject::Build { of: "tt", by: "skas" },
        range: (1.5, 2.0),
        why_less: "The compilers' own computing, which is the same in both, is a larger part of the build than the traps are.",
        why_more: "tt takes three or four stops and a signal where skas takes one stop, and here the stops are most of the difference.",
    },
    Claim {
        statement: "jail is many times slower than tt",
        published: "many times",
        ratio: "tt-jail : tt",
        subject: Subject::Build { of: "tt-jail", by: "tt" },
        range: (3.0, f64::INFINITY),
        why_less: "The core keeps the memory that has to be protected small, and two calls of mprotect over few pages cost \
                   little beside tt's own stops.",
        why_more: "",
    },
    Claim {
        statement: "A full process switch is several times faster than a signal delivery within a process",
        published: "several times",
        ratio: "signal delivery : process switch",
        subject: Subject::Primitives {
            of: &["signal-delivery", "signal delivery", "signal"],
            by: &["process-switch", "process switch", "context-switch", "switch"],
        },
        range: (2.0, f64::INFINITY),
        why_less: "A switch of processes also changes address spaces and runs the scheduler, whose cost grew with the \
                   mitigations of this decade, while a signal's frame is written and read in the caches.",
        why_more: "",
    },
];

impl Claim {
    /// The ratios that we take the claim's words for.
    pub fn taken_as(&self) -> String {
        match self.range {
            (low, high) if high.is_finite() => format!("taken as {low} to {high}"),
            (low, _) => format!("taken as {low} or more"),
        }
    }

    /// The ratio in words, with what was built: a quick run builds less than a kernel.
    pub fn ratio_of(&self, series: &[Series]) -> String {
        match (&self.subject, build(series, 1)) {
            (Subject::Build { .. }, Some(build)) => format!("{} ({})", self.ratio, build.key.metric),
            _ => self.ratio.into(),
        }
    }
}

/// What the announcement gives as a model's kernel build, times the host's.
pub fn published_to_host(model: &str) -> Option<f64> {
    let of_host = |claim: &&Claim| matches!(claim.subject, Subject::Build { of, by } if of == model && by == HOST);
    CLAIMS.iter().find(of_host)?.published.parse().ok()
}

pub struct Judged {
    pub claim: &'static Claim,
    pub measured: Option<Estimate>,
    pub verdict: Verdict,
    /// Why it differs, or why there is nothing.
    pub why: String,
}

pub fn judge(results: &Results, series: &[Series]) -> Vec<Judged> {
    let one = |claim: &'static Claim| {
        let measured = measure(claim, series);
        let (verdict, why) = match measured {
            None => (Verdict::NotMeasured, missing(claim, results, series)),
            Some(e) => {
                let verdict = verdict(&e, claim.range);
                let why = match verdict {
                    Verdict::NotReproduced | Verdict::Reversed if e.mid < claim.range.0 => claim.why_less,
                    Verdict::NotReproduced | Verdict::Reversed => claim.why_more,
                    _ => "",
                };
                (verdict, why.to_string())
            }
        };
        Judged { claim, measured, verdict, why }
    };
    CLAIMS.iter().map(one).collect()
}

fn measure(claim: &Claim, series: &[Series]) -> Option<Estimate> {
    match &claim.subject {
        Subject::Build { of, by } => build(series, 1)?.times(of, by, CONFIDENCE),
        Subject::Primitives { of, by } => {
            let (of, by) = (primitive(series, of)?, primitive(series, by)?);
            let by = by.of(HOST)?;
            let value = |round: u32| by.iter().find(|(r, _)| *r == round).map(|(_, v)| *v);
            let pairs: Vec<(f64, f64)> = of.of(HOST)?.iter().filter_map(|(r, v)| Some((*v, value(*r)?))).collect();
            ratio_estimate(&pairs, CONFIDENCE)
        }
    }
}

/// The kernel build's last phase.
pub fn build(series: &[Series], cpus: u32) -> Option<&Series> {
    series.iter().rfind(|s| s.key.workload == crate::plan::KERNEL_BUILD && s.key.cpus == cpus && s.unit == "s")
}

/// A primitive of the host by one of its names, as a metric or as a workload's only one.
pub fn primitive<'a>(series: &'a [Series], names: &[&str]) -> Option<&'a Series> {
    names.iter().find_map(|name| {
        let fits = |s: &&Series| s.group == "primitives" && (s.key.metric == *name || s.key.workload == *name);
        series.iter().find(fits)
    })
}

fn verdict(e: &Estimate, (low, high): (f64, f64)) -> Verdict {
    let inside = |v: f64| low <= v && v <= high;
    match e {
        e if e.n < 2 => Verdict::Unjudged,
        e if inside(e.low) && inside(e.high) => Verdict::Reproduced,
        e if e.high < low || e.low > high => match (low > 1.0 && e.high < 1.0) || (high < 1.0 && e.low > 1.0) {
            true => Verdict::Reversed,
            false => Verdict::NotReproduced,
        },
        e if inside(e.mid) => Verdict::Consistent,
        _ => Verdict::Open,
    }
}

fn missing(claim: &Claim, results: &Results, series: &[Series]) -> String {
    let Subject::Build { of, by } = &claim.subject else {
        return "The workloads of the group primitives were not run.".into();
    };
    let Some(build) = build(series, 1) else {
        return "The kernel build was not run on one CPU.".into();
    };
    let lacking = [*of, *by].into_iter().find(|name| build.of(name).is_none()).unwrap_or(of);
    if let Some(absent) = results.head.plan.absent.iter().find(|absent| absent.name == lacking) {
        return format!("No samples of {lacking}: {}.", absent.reason.trim_end_matches('.'));
    }
    let failed = results.samples.iter().find(|s| s.runner == lacking && s.workload == build.key.workload && !s.is_ok());
    match failed.and_then(|sample| sample.reason.as_deref()) {
        Some(reason) => format!("No samples of {lacking}: {reason}."),
        None => format!("The model {lacking} was not among those that were run."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_follow_from_the_interval() {
        let e = |low, mid, high| Estimate { low, mid, high, n: 5 };
        for (estimate, range, expected) in [
            (e(1.25, 1.30, 1.35), (1.2, 1.4), Verdict::Reproduced),
            (e(1.15, 1.25, 1.30), (1.2, 1.4), Verdict::Consistent),
            (e(1.42, 1.50, 1.60), (1.2, 1.4), Verdict::NotReproduced),
            (e(1.35, 1.50, 1.60), (1.2, 1.4), Verdict::Open),
            (e(1.05, 1.10, 1.15), (1.2, 1.4), Verdict::NotReproduced),
            (e(0.80, 0.90, 0.99), (1.2, 1.4), Verdict::Reversed),
            (e(0.80, 0.90, 1.01), (1.2, 1.4), Verdict::NotReproduced),
            (e(4.00, 9.00, 20.0), (3.0, f64::INFINITY), Verdict::Reproduced),
            (e(0.40, 0.50, 0.60), (2.0, f64::INFINITY), Verdict::Reversed),
        ] {
            assert_eq!(verdict(&estimate, range), expected, "{estimate:?} {range:?}");
        }
        assert_eq!(verdict(&Estimate { n: 1, ..e(1.3, 1.3, 1.3) }, (1.2, 1.4)), Verdict::Unjudged);
    }
}
