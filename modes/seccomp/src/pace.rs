//! How a CPU of the core and the runner that works for it wait for each other.
//!
//! *Together*, on one host CPU: whoever waits sleeps, and the other runs. That takes two switches a
//! hand-over. *Apart*, on two host CPUs: whoever waits looks into the slot for a while before it
//! sleeps. Then a hand-over takes the time in which a cache line moves, but one that finds the
//! other asleep takes several times as long as together, because a host CPU has to be woken; and
//! the second host CPU is used up while it looks.
//!
//! So a CPU goes apart while a host CPU is free, and while it pays: that is a matter of how long
//! user code and the core work between two hand-overs, which is measured all the time, in either
//! way. When nothing happens for longer than the looks last, both sleep, and no host CPU is used.

use crate::cpu::{self, Loan, count};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use umlab_host::claims::Claim;
use umlab_host::{clock, thread};

/// For so long the core looks for a report, and a runner for its answer (ns).
const CORE_LOOKS: u64 = 200_000;
const RUNNER_LOOKS: u64 = 50_000;
/// What a hand-over without a call gains against one that takes two switches, and what one that
/// has to wake a host CPU loses (ns): see the workload group `primitives`.
const GAIN: i64 = 4_000;
const LOSS: i64 = 35_000;
/// So many hand-overs are judged together.
const WINDOW: u32 = 256;
/// Who was wrong about going apart tries again after so long, and after twice as long each time.
const PATIENCE: Duration = Duration::from_millis(50);
const LONGEST_PATIENCE: Duration = Duration::from_secs(4);

/// How to let a runner go on.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// How often the core looks for a report before it sleeps; never when together.
    pub core_looks: u32,
    /// The host CPU for the runner when apart.
    apart: Option<usize>,
}

impl Way {
    pub const TOGETHER: Way = Way { core_looks: 0, apart: None };

    /// The host CPU that the runner is to be on.
    pub fn host_cpu(self) -> usize {
        self.apart.unwrap_or_else(|| umlab_threads::this().host_cpu())
    }
}

/// When to go apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Apart {
    /// While it pays, and a host CPU is free.
    WhileItPays,
    Never,
    /// As long as there is another host CPU, whoever uses it.
    Always,
}

/// A host CPU that is free.
enum Partner {
    /// No guest has it.
    Claimed(Claim),
    /// A CPU of this guest has it, and nothing to do.
    Lent(Loan),
}

impl Partner {
    /// None if it is not free any more.
    fn host_cpu(&self) -> Option<usize> {
        match self {
            Partner::Claimed(claim) => Some(claim.cpu),
            Partner::Lent(loan) => loan.host_cpu(),
        }
    }
}

/// Of one CPU.
pub struct Pace {
    apart: Apart,
    /// The host CPU on which runners are while apart.
    partner: Option<Partner>,
    /// When user mode was last left, and who ran there.
    left: u64,
    runner: i32,
    /// What going apart has gained, or would have, in how many hand-overs (ns).
    gain: i64,
    seen: u32,
    /// It is not tried again before.
    not_before: Instant,
    patience: Duration,
    /// What was gained since it went apart (ns).
    gained: i64,
    /// The host CPUs that there are for all.
    allowed: Vec<usize>,
}

impl Pace {
    /// Called before CPUs are pinned.
    pub fn new(apart: Apart) -> Pace {
        let now = Instant::now();
        Pace {
            apart,
            partner: None,
            left: 0,
            runner: 0,
            gain: 0,
            seen: 0,
            not_before: now,
            patience: PATIENCE,
            gained: 0,
            allowed: thread::allowed_cpus(),
        }
    }

    /// The way in which the next hand-over is to be done.
    pub fn way(&mut self) -> Way {
        let own = umlab_threads::this().host_cpu();
        let partner = match self.apart {
            Apart::Always => self.allowed.iter().copied().find(|&cpu| cpu != own),
            Apart::Never => None,
            Apart::WhileItPays => {
                let cpu = self.partner.as_ref().and_then(Partner::host_cpu);
                if cpu.is_none() && self.partner.is_some() {
                    self.come_back();
                }
                cpu
            }
        };
        match partner.filter(|&partner| partner != own) {
            Some(cpu) => Way { core_looks: looks(CORE_LOOKS), apart: Some(cpu) },
            None => Way::TOGETHER,
        }
    }

    /// Takes note of a hand-over: whose, and between which times user mode was entered and left
    /// ([`clock::monotonic`]).
    pub fn note(&mut self, runner: i32, entered: u64, left: u64) {
        let core = entered.saturating_sub(self.left);
        let user = left.saturating_sub(entered);
        let same = std::mem::replace(&mut self.runner, runner) == runner;
        self.left = left;
        let late = u32::from(user > CORE_LOOKS) + u32::from(!same || core > RUNNER_LOOKS);
        let gain = if late == 0 { GAIN } else { -LOSS * i64::from(late) };
        self.gain += gain;
        self.gained += gain;
        self.seen += 1;
        let loses = self.partner.is_some() && self.gain < -LOSS * 8;
        if self.apart == Apart::WhileItPays && (self.seen >= WINDOW || loses) {
            self.judge();
        }
    }

    fn judge(&mut self) {
        let gains = std::mem::take(&mut self.gain) > 0;
        self.seen = 0;
        let now = Instant::now();
        match (&self.partner, gains) {
            (None, true) if now >= self.not_before => {
                let claimed = || self.allowed.iter().find_map(|&cpu| Claim::at(cpu, 0));
                self.partner = cpu::borrow().map(Partner::Lent).or_else(|| claimed().map(Partner::Claimed));
                self.gained = 0;
                match &self.partner {
                    Some(_) => count(|c| &c.went_apart, 1),
                    None => self.not_before = now + PATIENCE,
                }
            }
            (Some(_), false) => self.come_back(),
            _ => {}
        }
    }

    /// It does not pay to be apart, or the host CPU is not free any more.
    fn come_back(&mut self) {
        count(|c| &c.went_together, 1);
        self.partner = None;
        let mistake = self.gained < 0;
        self.patience = if mistake { (2 * self.patience).min(LONGEST_PATIENCE) } else { PATIENCE };
        self.not_before = Instant::now() + self.patience;
    }
}

/// How often a runner looks for its answer.
pub fn runner_looks() -> u32 {
    looks(RUNNER_LOOKS)
}

/// How many looks take so long (ns).
fn looks(ns: u64) -> u32 {
    static IN_A_MILLISECOND: OnceLock<u64> = OnceLock::new();
    let per_millisecond = *IN_A_MILLISECOND.get_or_init(|| {
        const TRIED: u64 = 10_000;
        let start = clock::monotonic();
        (0..TRIED).for_each(|_| std::hint::spin_loop());
        let took = (clock::monotonic() - start).max(1);
        TRIED * 1_000_000 / took
    });
    (ns * per_millisecond / 1_000_000).max(1) as u32
}
