//! Stub processes: the host processes whose address spaces guests have.
//!
//! What a stub process has in its address space, from the top down: the stub's code (read and
//! execute), the order pages (read only; the core writes them through its own mapping), slots for
//! signal frames, one for each runner, and the host's vDSO with its data, moved to where all guests
//! expect it. Its first thread is the mapper; runners are made as they are needed (see
//! [`crate::code`]).
//!
//! The first one, the *template*, begins as a fork of the core that gives up everything it
//! inherited. No guest ever has it: all others are forks of it, which have nothing to give up.
//!
//! Nobody traces it: any CPU can have its orders carried out, and let its runners go on.

use crate::code::{self, Hand, Head, SLOTS_AT, SLOTS_LEN};
use crate::cpu::{self, count};
use crate::runner::Runner;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::*};
use umlab_host::fork::{self, Child};
use umlab_host::memory::{PAGE, SharedMemory, Window};
use umlab_host::{Errno, Result, file, lock, thread};
use umlab_model::lock::KCell;
use umlab_model::{HostView, Prot, TASK_SIZE};
use umlab_stubs::reaper::Watched;
use umlab_stubs::{CODE, END, ORDERS, Order, Outcome, SLOT, SLOT_COUNT, SLOTS, clear_orders, vdso};
use zerocopy::IntoBytes;

/// The process that all others are forks of.
static TEMPLATE: KCell<Option<Process>> = KCell::new(None);

/// A stub process. It ends when it is dropped.
pub struct Process {
    pub watched: Watched,
    /// The order pages, then the slots.
    memory: SharedMemory,
    turn: AtomicU32,
    mapper_place: Place,
    pub runners: KCell<Vec<Arc<Runner>>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.watched.kill();
    }
}

impl Process {
    /// A new one, with a runner.
    ///
    /// # Errors
    /// EAGAIN or ENOMEM when the host refuses what that takes.
    pub fn new() -> Result<Arc<Process>> {
        Process::make().map_err(|error| match error {
            // As many descriptors as there can be: fewer processes would do.
            Errno::EMFILE | Errno::ENFILE => Errno::EAGAIN,
            // Somebody has killed it, or the template.
            Errno::ESRCH => Errno::EAGAIN,
            error => error,
        })
    }

    fn make() -> Result<Arc<Process>> {
        count(|c| &c.stubs_made, 1);
        let memory = new_memory()?;
        let pid = Process::fork_template(&memory)?;
        let process = Process::of(pid, memory, Place::here());
        let runner = process.make_runner(0, true).inspect_err(|_| process.report_end())?;
        process.runners.borrow_mut().push(runner);
        Ok(Arc::new(process))
    }

    fn of(pid: i32, memory: SharedMemory, mapper_place: Place) -> Process {
        Process {
            watched: Watched::new(pid, cpu::wake),
            memory,
            turn: AtomicU32::new(0),
            mapper_place,
            runners: KCell::new(Vec::new()),
        }
    }

    fn make_template() -> Result<Process> {
        let memory = new_memory()?;
        // SAFETY: the function makes system calls only.
        let pid = unsafe { fork::spawn(Plan { code: code::fd(), memory: memory.fd().as_raw_fd() }, child_main) }?;
        let template = Process::of(pid, memory, Place::unknown());
        let todo: Vec<Order> = vdso::move_orders().chain(clear_orders()).collect();
        match template.run_batch(&todo).inspect_err(|_| template.report_end())?.failed {
            Some((_, error)) => Err(error),
            None => Ok(template),
        }
    }

    /// Makes a fork of the template with such memory for orders and slots, and the template if
    /// there is none. Returns the fork's number.
    fn fork_template(memory: &SharedMemory) -> Result<i32> {
        let mut place = TEMPLATE.borrow_mut();
        loop {
            let is_new = place.as_ref().is_none_or(|template| template.watched.is_over());
            if is_new {
                *place = Some(Process::make_template()?);
            }
            let template = place.as_ref().expect("it was made");
            match template.fork(memory) {
                // Somebody has killed it: once more, with another.
                Err(_) if template.watched.is_over() && !is_new => {}
                result => return result,
            }
        }
    }

    /// Makes a fork of this one, the template.
    fn fork(&self, memory: &SharedMemory) -> Result<i32> {
        let words = [memory.fd().as_raw_fd(), std::process::id() as i32];
        self.memory.window(std::mem::offset_of!(Head, memory), 8).write(words.as_bytes())?;
        // The template has no runner to use its slots. The host writes the number there before the
        // fork runs: it is known also if the template ends meanwhile, and zero if there is none.
        let number = self.memory.window(SLOTS_AT, 4);
        number.write(&[0; 4])?;
        let outcome = self.run_batch(&[Order::process(SLOTS)]).inspect_err(|_| self.report_end());
        let mut pid = [0; 4];
        number.read(&mut pid)?;
        match i32::from_ne_bytes(pid) {
            pid if pid > 0 => Ok(pid),
            _ => Err(outcome?.failed.map_or(Errno::EAGAIN, |(_, error)| error)),
        }
    }

    fn report_end(&self) {
        if let Some(step) = self.watched.status() {
            umlab_model::log_few!(Error, "a stub process could not be set up (step or signal {step})");
        }
    }

    /// Has the mapper carry out at most [`code::MAX`] orders, up to the first that fails. With or
    /// without the big lock, but for one caller at a time.
    pub fn run_batch(&self, orders: &[Order]) -> Result<Outcome> {
        count(|c| &c.order_batches, 1);
        count(|c| &c.orders, orders.len() as u64);
        assert!(orders.len() <= code::MAX);
        let size = size_of::<Order>();
        for (i, order) in orders.iter().enumerate() {
            self.memory
                .window(code::FIRST + i * size, size)
                .write(order.words().map(u64::to_ne_bytes).as_flattened())?;
        }
        let len = size_of_val(orders);
        self.memory.window(code::FIRST + len, 8).write(&END.to_ne_bytes())?;
        let done = self.take_turn();
        // Guests need not read where others have their memory, and what it is to the host.
        self.memory.window(code::FIRST, len + 8).zero();
        let failed = if done? == 1 { None } else { Some(self.what_failed()?) };
        // Kicks are kept until user mode is entered.
        Ok(Outcome { failed, interrupted: false })
    }

    /// Wakes the mapper and waits for it.
    fn take_turn(&self) -> Result<u64> {
        let cpu = cpu::this();
        self.mapper_place.bring(self.watched.pid);
        self.memory.window(std::mem::offset_of!(Head, done), 4).write(&cpu.done.as_raw_fd().to_ne_bytes())?;
        let turn = self.turn.fetch_add(1, Relaxed) + 1;
        // SAFETY: the object begins with this word, aligned; nobody else writes it.
        let word = unsafe { &*self.memory.base().cast::<AtomicU32>() };
        word.store(turn, SeqCst);
        lock::futex_wake(word, 1);
        cpu.await_done(&self.watched)
    }

    /// The index and the error of the order that failed.
    fn what_failed(&self) -> Result<(usize, Errno)> {
        let position = file::seek(self.memory.fd(), 0, libc::SEEK_CUR)?;
        let at = (position >> 12) as usize;
        let index = at.checked_sub(code::FIRST).ok_or(Errno::EIO)? / size_of::<Order>();
        Ok((index, Errno::from_raw((position & 0xfff) as i32)))
    }

    /// A guest CPU that is in user mode there, if one is.
    pub fn cpu_in_user_mode(&self) -> Option<usize> {
        let runners = self.runners.borrow();
        runners.iter().find_map(|runner| {
            let now = runner.now.borrow();
            now.in_user.then_some(now.cpu)
        })
    }

    /// Whether there can be one more runner that reads time stamps, or does not.
    pub fn has_room(&self, timestamps: bool) -> bool {
        let runners = self.runners.borrow();
        runners.iter().filter(|runner| runner.timestamps == timestamps).count() < most_runners()
    }

    /// Makes a runner in a slot that no runner has yet, and waits for its first report. With or
    /// without the big lock, while nobody else has orders carried out. No guest code of the process
    /// runs meanwhile, as far as the core knows.
    ///
    /// # Errors
    /// The process has been ended: it may have a thread that nobody knows.
    pub fn make_runner(&self, slot: usize, timestamps: bool) -> Result<Arc<Runner>> {
        let made = self.start_runner(slot, timestamps);
        if made.is_err() {
            self.watched.kill();
        }
        made
    }

    fn start_runner(&self, slot: usize, timestamps: bool) -> Result<Arc<Runner>> {
        let base = SLOTS + (slot * SLOT) as u64;
        let stack = [base, 0, code::STACK as u64];
        self.memory.window(std::mem::offset_of!(Head, stack), 24).write(stack.as_bytes())?;
        let hand = self.hand(slot);
        hand.core_sleeps.store(1, SeqCst);
        hand.listener.store(0, SeqCst);
        let make = [Order::timestamps(timestamps), Order::thread(), Order::timestamps(true)];
        let make = if timestamps { &make[1..2] } else { &make[..] };
        if let Some((_, error)) = self.run_batch(make)?.failed {
            return Err(error);
        }
        count(|c| &c.runners_made, 1);
        Ok(Arc::new(Runner::await_first_report(self, slot, timestamps)?))
    }

    /// How a runner hands over: guests may write there at any moment.
    pub fn hand(&self, slot: usize) -> &Hand {
        assert!(slot < SLOT_COUNT);
        // SAFETY: within the object, which is mapped as long as it lives, and aligned. All of it is
        // atomics, so others may write there.
        unsafe { &*self.memory.base().add(SLOTS_AT + slot * SLOT + code::STACK).cast::<Hand>() }
    }

    /// A runner's slot: guests may write there at any moment.
    pub fn slot(&self, slot: usize) -> Window<'_> {
        self.memory.window(SLOTS_AT + slot * SLOT, SLOT)
    }

    /// For the audit: what it has mapped now, but for what every stub process has.
    pub fn view(&self) -> Option<HostView> {
        let mut view = HostView::of_process(self.watched.pid, TASK_SIZE)?;
        let memory = self.memory.fd().as_raw_fd();
        view.leave_out(|shown| {
            shown.is_all_of(CODE, TASK_SIZE, Prot::READ | Prot::EXEC, code::fd())
                || shown.is_all_of(ORDERS, CODE, Prot::READ, memory)
                || shown.is_part_of(SLOTS, SLOTS + SLOTS_LEN as u64, Prot::READ | Prot::WRITE, memory, SLOTS_AT)
        });
        Some(view)
    }
}

/// Memory for the order pages and the slots of a process that has carried out nothing yet.
fn new_memory() -> Result<SharedMemory> {
    let memory = SharedMemory::new(c"umlab-stub", SLOTS_AT + SLOTS_LEN)?;
    let channel = memory.fd().as_raw_fd() as u64;
    let head = Head { turn: 0, done: -1, good: 1, bad: 2, channel, stack: [0; 3], memory: -1, core: 0 };
    memory.window(0, code::FIRST).write(head.as_bytes())?;
    Ok(memory)
}

/// So many runners of either kind a process has at most, and no fewer than there are CPUs: so one
/// is at rest when a thread needs it. Each thread that is in a runner of its own when its turn
/// comes saves a move; each runner takes a descriptor of the core's, and memory of the host's.
fn most_runners() -> usize {
    (2 * umlab_threads::all().len()).clamp(4, SLOT_COUNT / 2)
}

/// The host CPU that a thread of a stub process is pinned to.
pub struct Place(AtomicUsize);

impl Place {
    /// Nobody has seen to it yet.
    fn unknown() -> Place {
        Place(AtomicUsize::new(usize::MAX))
    }

    /// The current CPU's, from which threads that are made inherit it.
    pub fn here() -> Place {
        Place(AtomicUsize::new(umlab_threads::this().host_cpu()))
    }

    /// Brings the thread to where the current CPU is, because a hand-over within a CPU costs a
    /// fraction of one across CPUs when one side sleeps. For speed only.
    pub fn bring(&self, thread: i32) {
        self.put(thread, umlab_threads::this().host_cpu());
    }

    /// Brings the thread to a host CPU.
    pub fn put(&self, thread: i32, host_cpu: usize) {
        if self.0.swap(host_cpu, Relaxed) != host_cpu {
            let _ = thread::allow(thread, [host_cpu]);
        }
    }
}

/// What the template needs, made before the fork because it cannot allocate.
#[derive(Clone, Copy)]
struct Plan {
    code: i32,
    memory: i32,
}

/// The template's side of the fork: gives up what it inherited and ends in the stub's code, as the
/// mapper.
fn child_main(child: &Child, plan: &Plan) -> ! {
    child.settle();
    child.map(10, CODE, PAGE, libc::PROT_READ | libc::PROT_EXEC, plan.code);
    child.map(11, ORDERS, SLOTS_AT, libc::PROT_READ, plan.memory);
    child.map_part(12, SLOTS, SLOTS_LEN, libc::PROT_READ | libc::PROT_WRITE, plan.memory, SLOTS_AT);
    let handler = code::entry();
    for signal in code::FAULTS {
        child.handle(13, signal, handler);
    }
    child.handle(14, libc::SIGALRM, handler);
    child.gain_nothing(15);
    // SAFETY: the stub's code is mapped at CODE and obeys the orders at ORDERS.
    unsafe { child.jump(CODE, ORDERS) }
}
