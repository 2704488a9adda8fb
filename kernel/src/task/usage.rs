//! What tasks used of the machine: getrusage(2).

use umlab_abi::resource::Rusage;
use umlab_abi::time::Timeval;

/// Counts of one thread, one process, or of the children a process has waited for.
#[derive(Clone, Copy, Default, Debug)]
pub struct Usage {
    /// Nanoseconds in user mode.
    pub user: u64,
    /// Nanoseconds in the core.
    pub system: u64,
    pub minor_faults: u64,
    pub major_faults: u64,
    /// Blocks of 512 bytes.
    pub blocks_in: u64,
    pub blocks_out: u64,
    pub voluntary_switches: u64,
    pub involuntary_switches: u64,
    /// Largest resident set, in KiB.
    pub max_resident: u64,
}

impl Usage {
    /// Nanoseconds in user mode and in the core.
    pub fn total(&self) -> u64 {
        self.user.saturating_add(self.system)
    }

    /// Adds what an ended child used.
    pub fn add(&mut self, other: &Usage) {
        self.user = self.user.saturating_add(other.user);
        self.system = self.system.saturating_add(other.system);
        self.minor_faults += other.minor_faults;
        self.major_faults += other.major_faults;
        self.blocks_in += other.blocks_in;
        self.blocks_out += other.blocks_out;
        self.voluntary_switches += other.voluntary_switches;
        self.involuntary_switches += other.involuntary_switches;
        self.max_resident = self.max_resident.max(other.max_resident);
    }

    pub fn to_rusage(&self) -> Rusage {
        let mut out: Rusage = crate::mm::user::zeroed();
        out.ru_utime = timeval(self.user);
        out.ru_stime = timeval(self.system);
        out.ru_maxrss = self.max_resident.cast_signed();
        out.ru_minflt = self.minor_faults.cast_signed();
        out.ru_majflt = self.major_faults.cast_signed();
        out.ru_inblock = self.blocks_in.cast_signed();
        out.ru_oublock = self.blocks_out.cast_signed();
        out.ru_nvcsw = self.voluntary_switches.cast_signed();
        out.ru_nivcsw = self.involuntary_switches.cast_signed();
        out
    }
}

pub fn timeval(ns: u64) -> Timeval {
    Timeval { tv_sec: (ns / 1_000_000_000).cast_signed(), tv_usec: (ns % 1_000_000_000 / 1000).cast_signed() }
}

/// Nanoseconds as ticks of the 100 Hz clock that times(2) and /proc count in.
pub fn ticks(ns: u64) -> i64 {
    (ns / 10_000_000).cast_signed()
}
