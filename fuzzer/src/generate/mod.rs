//! From a seed to a program. The same seed gives the same program, everywhere.

pub mod frames;
pub mod ipc;
mod numbers;
pub mod structures;
pub mod system;
pub mod terminals;
pub mod tracing;

use crate::grammar::{self, Arg, Call};
use crate::program::{FdKind, Kind, Program, Region, Step, Value, Who};
use numbers::odd_number;
use oorandom::Rand64;

/// Makes values; it holds what they depend on.
pub struct Maker {
    random: Rand64,
    kind: Kind,
}

pub fn generate(kind: Kind, seed: u64) -> Program {
    let mut maker = Maker { random: Rand64::new(seed.into()), kind };
    let (processes, threads, steps) = match kind {
        Kind::Syscalls => (1 + maker.below(4), 1 + maker.below(3), 30 + maker.below(120)),
        Kind::Differential => (1, 1, 80),
        Kind::Mappings => (1 + maker.below(2), 1 + maker.below(4), 150 + maker.below(250)),
        Kind::Frames => (1 + maker.below(3), 1, 100),
    };
    let root = kind != Kind::Differential && seed % 2 == 1;
    // A program uses some calls much more often than others: more happens between them than when
    // all have their turn.
    let mut table: Vec<(&'static Call, u64)> = grammar::of(kind).map(|call| (call, call.weight.into())).collect();
    for (_, weight) in &mut table {
        *weight *= [1, 2, 2, 2, 12][maker.below(5) as usize];
    }
    let total = table.iter().map(|(_, weight)| weight).sum();
    let mut thread = || -> Vec<Step> {
        (0..steps)
            .map(|_| {
                let mut at = maker.below(total);
                let chosen = table.iter().find(|(_, weight)| {
                    let found = at < *weight;
                    at = at.saturating_sub(*weight);
                    found
                });
                let call = chosen.map_or(table[0].0, |(call, _)| call);
                Step { call, args: call.args.iter().map(|arg| maker.argument(arg)).collect() }
            })
            .collect()
    };
    let processes = (0..processes).map(|_| (0..threads).map(|_| thread()).collect()).collect();
    Program { kind, seed, root, processes }
}

impl Maker {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.random.rand_range(0..bound.max(1))
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// Whether the answers are to be compared, so that nothing may depend on time or on the
    /// kernel's choice.
    pub fn determined(&self) -> bool {
        self.kind == Kind::Differential
    }

    /// Whether a number is to be one that the call does not expect. The interpreter's own
    /// operations get what they expect.
    fn odd(&mut self) -> bool {
        matches!(self.kind, Kind::Syscalls | Kind::Differential) && self.one_in(60)
    }

    pub fn argument(&mut self, arg: &Arg) -> Value {
        match *arg {
            Arg::Fd(kinds) => self.descriptor(kinds),
            Arg::Path => self.path(),
            Arg::One(choices) if self.odd() => Value::Int(choices[0] ^ odd_number(self)),
            Arg::One(choices) => Value::Int(self.pick(choices)),
            Arg::Bits(_) if self.odd() => Value::Int(odd_number(self)),
            Arg::Bits(bits) => {
                let n = self.below(4);
                Value::Int((0..n).fold(0, |all, _| all | self.pick(bits)))
            }
            Arg::Below(_) if self.odd() => Value::Int(odd_number(self)),
            Arg::Below(bound) => Value::Int(self.below(bound)),
            Arg::Size => Value::Int(self.size()),
            Arg::Offset => Value::Int(self.offset()),
            Arg::Place => self.place(),
            Arg::Span => Value::Int(self.span()),
            Arg::In(len) if self.one_in(2) => structures::bytes(self, len),
            Arg::Out(len) if self.determined() || !self.one_in(4) => Value::Out(len),
            Arg::In(_) | Arg::Out(_) | Arg::Memory => self.memory(),
            Arg::Who => Value::Who(self.pick(&[Who::Own, Who::Own, Who::Thread, Who::Other, Who::Child, Who::Init])),
            Arg::Signal => {
                Value::Int(self.pick(&[0, 1, 2, 10, 11, 12, 13, 14, 15, 17, 18, 20, 23, 34, 40, 64, 65, 9, 19]))
            }
            Arg::Made(make) => make(self),
        }
    }

    fn descriptor(&mut self, kinds: &[FdKind]) -> Value {
        match self.below(40) {
            0 => Value::Int(self.pick(&[u64::MAX, 0xffff_ffff, 0x7fff_ffff, 900, -100_i64 as u64])),
            1..4 => Value::Fd(self.pick(FdKind::DESCRIPTORS), self.below(3) as u8),
            _ => Value::Fd(self.pick(kinds), self.below(3) as u8),
        }
    }

    fn path(&mut self) -> Value {
        const OWN: &[&str] = &[
            "a",
            "b",
            "c",
            "a",
            "b",
            "d",
            "d/x",
            "d/y",
            "d/e",
            "d/e/z",
            "d/../a",
            "./b",
            "link",
            "link/x",
            "loop",
            "pipe",
            "sock",
            ".",
            "..",
            "d/",
            "a/",
            "absent/x",
            "",
            "/dev/null",
            "/dev/zero",
        ];
        const GUEST: &[&str] = &[
            "/",
            "/tmp",
            "/dev/full",
            "/dev/tty",
            "/dev/ptmx",
            "/dev/pts/0",
            "/dev/kmsg",
            "/dev/random",
            "/dev/mem",
            "/dev/shm/s",
            "/proc/self/maps",
            "/proc/self/mem",
            "/proc/self/status",
            "/proc/self/fd",
            "/proc/self/fd/5",
            "/proc/self/task",
            "/proc/self/exe",
            "/proc/self/cwd/a",
            "/proc/self/root",
            "/proc/self/oom_score_adj",
            "/proc/self/clear_refs",
            "/proc/self/pagemap",
            "/proc/self/smaps",
            "/proc/self/stat",
            "/proc/self/environ",
            "/proc/self/comm",
            "/proc/self/fdinfo/5",
            "/proc/1/maps",
            "/proc/1/mem",
            "/proc/1/fd",
            "/proc/mounts",
            "/proc/meminfo",
            "/proc/stat",
            "/proc/sys/kernel/hostname",
            "/proc/sys/vm/overcommit_memory",
            "/sys",
            "/etc/passwd",
            "/etc",
            "/bin/true",
            "/fuzz/canary",
            "/fuzz/canary/file",
            "/fuzz/program",
            "/usr",
        ];
        if self.one_in(50) {
            let n = self.pick(&[254, 255, 256, 4094, 4095, 4096]);
            return Value::Text("n".repeat(n));
        }
        match !self.determined() && self.one_in(4) {
            true if self.one_in(4) => self.memory(),
            true => Value::Text(self.pick(GUEST).into()),
            false => Value::Text(self.pick(OWN).into()),
        }
    }

    fn size(&mut self) -> u64 {
        match self.below(if self.determined() { 9 } else { 12 }) {
            0 => 0,
            1 => 1,
            2..5 => self.below(64),
            5 => self.pick(&[8, 16, 24, 128]),
            6 => self.pick(&[255, 256, 511, 512, 1000]),
            7..9 => self.pick(&[4095, 4096, 4097, 8192, 12288]),
            9 => self.pick(&[65535, 65536, 65537, 1 << 20]),
            _ => odd_number(self),
        }
    }

    fn offset(&mut self) -> u64 {
        match self.below(8) {
            0 => odd_number(self),
            1..4 => self.below(9) * 4096,
            4 => self.below(9) * 4096 + 4095,
            _ => self.below(6000),
        }
    }

    /// Where a mapping is to be changed: mostly in the memory that is there for it.
    fn place(&mut self) -> Value {
        let field = |maker: &mut Maker| Value::At(Region::Field, (maker.below(64) * 4096) as i64);
        if self.determined() {
            return match self.below(10) {
                0 => Value::At(Region::Field, self.below(64 * 4096) as i64),
                1 => Value::At(self.pick(&[Region::ReadOnly, Region::Hole, Region::Forbidden]), 0),
                _ => field(self),
            };
        }
        match self.below(20) {
            0 => Value::Int(odd_number(self)),
            1 => self.memory(),
            2 => Value::At(Region::Vdso, self.below(4) as i64 * 4096 - 4096),
            3 => Value::At(Region::Top, self.below(5) as i64 * 4096 - 8192),
            4..6 => {
                let region =
                    self.pick(&[Region::Writable, Region::Shared, Region::File, Region::Copy, Region::ReadOnly]);
                Value::At(region, self.below(9) as i64 * 4096)
            }
            6 => Value::Int(0),
            7 => Value::At(Region::Field, self.below(64 * 4096) as i64),
            _ => field(self),
        }
    }

    fn span(&mut self) -> u64 {
        match self.below(20) {
            0 => 0,
            1 => self.pick(&[1, 4095, 4097]),
            2 if !self.determined() => odd_number(self),
            3 if !self.determined() => self.pick(&[1 << 20, 1 << 21, 1 << 25, 1 << 28, 1 << 30, 1 << 40]),
            _ => (1 + self.below(8)) * 4096,
        }
    }

    /// Any buffer: good memory mostly, and every border that there is.
    pub fn memory(&mut self) -> Value {
        let near = |maker: &mut Maker, pages: i64| pages * 4096 - maker.below(20) as i64;
        if self.one_in(2) {
            return Value::Out(self.pick(&[64, 128, 4096, 8192]));
        }
        match self.below(if self.determined() { 9 } else { 14 }) {
            0..3 => Value::At(Region::Writable, self.below(12 * 4096) as i64),
            3 => Value::At(Region::Writable, near(self, 16)),
            4 => Value::At(Region::ReadOnly, self.below(4096) as i64),
            5 => Value::At(Region::Shared, self.below(4096) as i64),
            6 => Value::At(self.pick(&[Region::Hole, Region::Forbidden]), 0),
            7 => Value::Int(self.pick(&[0, 1, 4095])),
            8 => Value::At(self.pick(&[Region::Hole, Region::ReadOnly, Region::Forbidden]), near(self, 0)),
            9 => {
                let region = self.pick(&[Region::File, Region::Copy]);
                Value::At(region, near(self, 7))
            }
            10 => Value::At(Region::Field, self.below(64 * 4096) as i64),
            11 => Value::At(self.pick(&[Region::Vdso, Region::Top]), near(self, 0)),
            _ => Value::Int(odd_number(self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::parse;

    #[test]
    fn a_seed_gives_the_same_program_and_its_text_too() {
        for kind in Kind::ALL {
            for seed in 0..50 {
                let program = generate(kind, seed);
                assert_eq!(program, generate(kind, seed));
                let text = program.to_string();
                assert_eq!(parse(&text).expect("its text is a program"), program, "{text}");
            }
        }
    }
}
