//! Which calls were asked, and how they were answered: what a run is worth.

use crate::grammar;
use crate::round::{Calls, Round};
use std::collections::BTreeMap;
use std::fmt;

#[derive(Default)]
pub struct Coverage {
    pub rounds: u32,
    pub steps: u64,
    pub peak: u64,
    calls: BTreeMap<i64, Calls>,
    known: BTreeMap<&'static str, u32>,
}

impl Coverage {
    pub fn add(&mut self, round: &Round) {
        self.rounds += 1;
        self.steps += round.steps;
        self.peak = self.peak.max(round.peak);
        for calls in &round.calls {
            let sum = self.calls.entry(calls.number).or_insert(Calls { asked: 0, missing: 0, ..*calls });
            sum.asked += calls.asked;
            sum.missing += calls.missing;
            for (all, new) in sum.errors.iter_mut().zip(calls.errors) {
                *all |= new;
            }
        }
        for reason in &round.known {
            *self.known.entry(reason).or_default() += 1;
        }
    }

    pub fn asked(&self) -> u64 {
        self.calls.values().map(|calls| calls.asked).sum()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let answered = self.calls.values().filter(|calls| calls.missing < calls.asked).count();
        let errors: u32 = self.calls.values().flat_map(|calls| calls.errors).map(u64::count_ones).sum();
        writeln!(
            f,
            "{} rounds, {} steps, {} system calls; at most {} MiB of the host",
            self.rounds,
            self.steps,
            self.asked(),
            self.peak >> 20
        )?;
        writeln!(f, "{answered} different calls were answered, with {errors} different pairs of call and error")?;
        let missing = self.calls.values().filter(|calls| calls.missing == calls.asked);
        let missing: Vec<&str> = missing.filter_map(|calls| grammar::name_of(calls.number)).collect();
        if !missing.is_empty() {
            writeln!(f, "answered by ENOSYS alone: {}", missing.join(", "))?;
        }
        for (reason, times) in &self.known {
            writeln!(f, "known difference, in {times} rounds: {reason}")?;
        }
        Ok(())
    }
}
