//! A guest without host processes: the kernel with one CPU and one task, whose kernel context is
//! the fuzzer's own thread.
//!
//! The kernel needs a process model. This one, [`Fuzzed`], has nothing that runs user code: the
//! target is the user code, and calls the kernel as a trap would. A thread of its own runs the idle
//! context until the scheduler first goes on in the task; there it stays, and the fuzzer's thread
//! goes on in its place, with the big lock. A task that is put to sleep would sleep for ever, so
//! that is a find.

use crate::thread::FuzzedThread;
use std::any::Any;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use umlab_kernel::creds::Creds;
use umlab_kernel::fs::{memfs::MemFs, procfs};
use umlab_kernel::limits::{Inherited, Limits};
use umlab_kernel::mm::{AddressSpace, PageRange, frames, map::MapRequest};
use umlab_kernel::syscall;
use umlab_kernel::task::{Call, Task, init};
use umlab_kernel::vfs::mount::{self, Mount, MountFlags};
use umlab_kernel::vfs::{FdTable, FsContext};
use umlab_kernel::{Errno, Result, lock, sched, vfs};
use umlab_model::{
    Context, ContextMain, Machine, Mapping, ModelSpace, ProcessModel, Prot, TASK_SIZE, UserThread, Vdso, When,
};

/// The guest's memory.
const MEMORY: u64 = 256 << 20;

static TASK: OnceLock<Arc<Task>> = OnceLock::new();
/// Whether the scheduler has come to the task, and the fuzzer's thread is to go on.
static ARRIVED: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

/// The guest's one task, root's, in a tree of memory with /proc. Boots the guest when it is first
/// asked for.
pub fn task() -> &'static Arc<Task> {
    TASK.get_or_init(boot)
}

fn boot() -> Arc<Task> {
    static MADE: OnceLock<Arc<Task>> = OnceLock::new();
    umlab_kernel::boot::connect_layers();
    lock::with(|| {
        sched::set_model(Box::new(Fuzzed));
        frames::init(MEMORY).expect("memory of the host");
    });
    let first = || {
        let task = first_task().expect("the first process");
        assert!(MADE.set(task.clone()).is_ok(), "the guest is booted once");
        sched::start(&task);
    };
    std::thread::spawn(move || sched::run(1, &first));
    let mut arrived = ARRIVED.0.lock().expect("nothing panics with it");
    while !*arrived {
        arrived = ARRIVED.1.wait(arrived).expect("nothing panics with it");
    }
    sched::finish_switch();
    MADE.get().expect("made before the switch").clone()
}

fn first_task() -> Result<Arc<Task>> {
    let creds = Arc::new(Creds::user(0, 0, Vec::new()));
    mount::set_root(&Mount::new(MemFs::new(None, 0o755, 0, 0), b"root", MountFlags::empty()));
    let root = mount::root();
    init::boot(FsContext::new(root.clone(), root.clone()), creds.clone())?;
    let inherited = Inherited { umask: 0, limits: Limits::initial(1000), nice: 0 };
    let own = FsContext::new(root.clone(), root.clone());
    own.umask.set(0);
    let task = init::new_command(AddressSpace::new()?, FdTable::new(), own, creds, &inherited)?;
    for directory in ["/proc", "/tree"] {
        vfs::namei::make(&task, libc::AT_FDCWD, directory.as_bytes(), &vfs::inode::NewNode::Directory, 0o755)?;
    }
    let proc = vfs::walk::lookup(&task, libc::AT_FDCWD, b"/proc", vfs::walk::Walk::empty())?;
    mount::attach(&Mount::new(procfs::file_system(), b"proc", MountFlags::empty()), &proc)?;
    task.sched.set_context(Arc::new(Here));
    Ok(task)
}

/// Makes a system call with the registers of `user`.
pub fn call(user: &mut dyn UserThread, number: i64, args: [u64; 6]) -> Result<u64> {
    syscall::dispatch(&mut Call { task: task(), user, number: number as u64, args })
}

/// Maps `len` bytes of zeros at `addr`, over what is there.
pub fn map_zeros(addr: u64, len: u64) {
    let flags = libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_ANONYMOUS;
    let prot = (libc::PROT_READ | libc::PROT_WRITE) as u32;
    task().space().mmap(&MapRequest { addr, len, prot, flags, file: None, offset: 0 }).expect("room for a mapping");
    settle();
}

/// What the trap loop does on its way to user mode: lets go of what no user code can reach any
/// more.
pub fn settle() {
    task().space().collect();
    lock::assert_no_borrows();
}

struct Fuzzed;

struct Here;

impl Context for Here {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl ProcessModel for Fuzzed {
    fn name(&self) -> &'static str {
        "fuzzed"
    }

    fn machine(&self) -> &dyn Machine {
        self
    }

    fn user_top(&self) -> u64 {
        TASK_SIZE
    }

    fn vdso(&self) -> Option<Vdso> {
        None
    }

    fn new_space(&self) -> Result<Box<dyn ModelSpace>> {
        Ok(Box::new(Space))
    }

    fn new_thread(&self) -> Box<dyn UserThread> {
        Box::new(FuzzedThread::new(0))
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

impl Machine for Fuzzed {
    fn new_context(&self, _space: Option<&dyn ModelSpace>, _main: ContextMain) -> Result<Arc<dyn Context>> {
        Err(Errno::EAGAIN)
    }

    fn switch(&self, _from: &dyn Context, _to: &dyn Context) {
        let mut arrived = ARRIVED.0.lock().expect("nothing panics with it");
        assert!(!*arrived, "the guest's only task goes to sleep");
        *arrived = true;
        ARRIVED.1.notify_one();
        drop(arrived);
        loop {
            std::thread::park();
        }
    }

    fn run_cpus(&self, _count: usize, main: &(dyn Fn(usize, Arc<dyn Context>) + Sync)) {
        lock::with(|| main(0, Arc::new(Here)));
    }

    fn current_cpu(&self) -> usize {
        0
    }

    fn kick(&self, _cpu: usize) {}

    fn idle(&self, _deadline: Option<u64>) {
        panic!("the guest's only task ended");
    }

    fn set_alarm(&self, _deadline: Option<u64>) {}
}

/// Host mappings are a cache of what the core knows, and nobody looks at these.
struct Space;

impl ModelSpace for Space {
    fn reserve(&self) -> Result<()> {
        Ok(())
    }

    fn map(&self, _mapping: Mapping, _when: When) {}

    fn unmap(&self, _range: PageRange) {}

    fn protect(&self, _range: PageRange, _prot: Prot) {}

    fn sync(&self) {}

    fn as_any(&self) -> &dyn Any {
        self
    }
}
