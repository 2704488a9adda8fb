//! /sys: as much of it as programs look at to learn about CPUs and memory.

use super::procfs::cpu_list;
use super::pseudo::{Entry, Found, Listed, Listing, Node, PseudoFs, Subject, Tree, dir, text};
use crate::vfs::device;
use crate::vfs::mount::FileSystem;
use crate::{Errno, Result, mm, sched};
use abi::number::saturated_i32;
use std::sync::Arc;

const MAGIC: u64 = 0x6265_6572;

/// The file system, for mounting on /sys.
pub fn file_system() -> Arc<dyn FileSystem> {
    Arc::new(PseudoFs { kind: "sysfs", magic: MAGIC, tree: &TREE })
}

static TREE: Tree = Tree {
    dev: device::number(0, 23),
    root: Entry { name: "", mode: 0o555, node: Node::Directory(ROOT), guard: None },
    owner: |_| Ok((0, 0)),
    lookups_fail: false,
};

const ROOT: &[Entry] = &[
    dir("block", &[]),
    dir("bus", &[]),
    dir("class", &[dir("block", &[]), dir("net", &[]), dir("tty", &[])]),
    dir("dev", &[dir("block", &[]), dir("char", &[])]),
    dir("devices", &[dir("system", &[CPUS, dir("node", NODES)]), dir("virtual", &[])]),
    dir("firmware", &[]),
    dir("fs", &[dir("cgroup", &[])]),
    dir("kernel", KERNEL),
    dir("module", &[]),
    dir("power", &[]),
];

const KERNEL: &[Entry] = &[dir(
    "mm",
    &[dir(
        "transparent_hugepage",
        &[
            text("defrag", |_| Ok(b"always defer defer+madvise madvise [never]\n".to_vec())),
            text("enabled", |_| Ok(b"always madvise [never]\n".to_vec())),
        ],
    )],
)];

/// One node, with all memory and all CPUs.
const NODES: &[Entry] = &[
    text("has_cpu", |_| Ok(b"0\n".to_vec())),
    text("has_memory", |_| Ok(b"0\n".to_vec())),
    dir(
        "node0",
        &[
            text("cpulist", online),
            text("cpumap", |_| Ok(format!("{:x}\n", all_cpus()).into_bytes())),
            text("distance", |_| Ok(b"10\n".to_vec())),
            text("meminfo", |_| {
                let total = mm::frames::limit() >> 10;
                let used = (mm::frames::used() >> 10).min(total);
                let free = total - used;
                Ok(format!(
                    "Node 0 MemTotal: {total:>15} kB\nNode 0 MemFree:  {free:>15} kB\nNode 0 MemUsed:  {used:>15} kB\n"
                )
                .into_bytes())
            }),
        ],
    ),
    text("online", |_| Ok(b"0\n".to_vec())),
    text("possible", |_| Ok(b"0\n".to_vec())),
];

const CPUS: Entry = Entry {
    name: "cpu",
    mode: 0o555,
    node: Node::Listing(
        &[
            text("isolated", |_| Ok(b"\n".to_vec())),
            text("kernel_max", |_| Ok(b"63\n".to_vec())),
            text("offline", |_| Ok(b"\n".to_vec())),
            text("online", online),
            text("possible", online),
            text("present", online),
        ],
        &EachCpu,
    ),
    guard: None,
};

struct EachCpu;

/// One CPU's directory.
static CPU: Entry = dir("cpuN", &[dir("topology", TOPOLOGY)]);

/// Every guest CPU is a core of one package.
const TOPOLOGY: &[Entry] = &[
    text("core_cpus", own_mask),
    text("core_cpus_list", own),
    text("core_id", own),
    text("core_siblings", |_| Ok(format!("{:x}\n", all_cpus()).into_bytes())),
    text("core_siblings_list", online),
    text("die_id", |_| Ok(b"0\n".to_vec())),
    text("package_cpus", |_| Ok(format!("{:x}\n", all_cpus()).into_bytes())),
    text("package_cpus_list", online),
    text("physical_package_id", |_| Ok(b"0\n".to_vec())),
    text("thread_siblings", own_mask),
    text("thread_siblings_list", own),
];

fn all_cpus() -> u64 {
    u64::MAX >> (64 - sched::cpu_count().clamp(1, 64))
}

fn online(_: Subject) -> Result<Vec<u8>> {
    Ok(format!("{}\n", cpu_list(all_cpus())).into_bytes())
}

fn own(subject: Subject) -> Result<Vec<u8>> {
    Ok(format!("{}\n", subject.id).into_bytes())
}

fn own_mask(subject: Subject) -> Result<Vec<u8>> {
    Ok(format!("{:x}\n", 1u64 << (subject.id & 63)).into_bytes())
}

impl Listing for EachCpu {
    fn find(&self, _subject: Subject, name: &[u8]) -> Result<Found> {
        let number = std::str::from_utf8(name).ok().and_then(|name| name.strip_prefix("cpu"));
        let cpu: i32 = number.and_then(|n| n.parse().ok()).ok_or(Errno::ENOENT)?;
        let exists = (0..saturated_i32(sched::cpu_count())).contains(&cpu) && name == format!("cpu{cpu}").as_bytes();
        if exists { Ok(Found { entry: &CPU, subject: Subject { id: cpu, sub: 0 } }) } else { Err(Errno::ENOENT) }
    }

    fn list(&self, _subject: Subject) -> Result<Vec<Listed>> {
        let listed = (0..saturated_i32(sched::cpu_count())).map(|cpu| Listed {
            key: cpu.cast_unsigned(),
            name: format!("cpu{cpu}").into_bytes(),
            found: Found { entry: &CPU, subject: Subject { id: cpu, sub: 0 } },
        });
        Ok(listed.collect())
    }

    fn directories(&self, _subject: Subject) -> usize {
        sched::cpu_count()
    }
}
