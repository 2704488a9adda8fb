//! The scheduler: a run queue for each guest CPU.
//!
//! A task that becomes runnable goes back to the CPU it last ran on, because its host objects live
//! there and moving them costs more than a short wait; a task that has none yet (just forked, just
//! exec'd) goes to whoever is free. An idle CPU takes over a task that has waited for long. A
//! real-time task runs before all of lower priority on its CPU (`queue.rs`).

mod barrier;
pub mod events;
mod load;
mod preempt;
mod queue;
mod thread;
mod timer;
pub mod wait;

pub use barrier::barrier;
pub use load::{CpuTimes, account, cpu_times, load_average, runnable, switch_count};
pub use preempt::{killable_point, preempt_point};
pub use queue::SLICE_NS;
pub use thread::{Demands, Entity, RunState, Thread};
pub use timer::Timer;

use crate::lock::{self, KCell};
use crate::time;
use queue::RunQueue;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use umlab_model::{Context, Machine, ProcessModel};

/// How long a task waits before an idle CPU takes it from its home.
const STEAL_AFTER_NS: u64 = 500_000;

struct Cpu {
    current: Option<Arc<dyn Thread>>,
    queue: RunQueue,
    idle: Option<Arc<dyn Context>>,
    sleeping: bool,
    /// The task that ended on this CPU; its context is dropped by the next one.
    ended: Option<Arc<dyn Thread>>,
    /// When the current task's time slice ends; u64::MAX for never.
    slice_end: u64,
    /// One of higher priority than the current task has come.
    give_way: bool,
    /// The alarm the machine was last asked for.
    alarm: Option<u64>,
    /// When a preemption point last let others in.
    breath: u64,
}

impl Cpu {
    /// Whether somebody waits whom the current task is to let run, as far as it likes to.
    fn has_better_than(&self, task: &Arc<dyn Thread>, now: u64) -> bool {
        let rank = queue::rank(task);
        self.queue.front().is_some_and(|next| queue::rank(next) >= rank)
            || rank > 0 && self.queue.neglected().is_some_and(|(_, since)| now >= since + queue::PATIENCE_NS)
    }

    /// When the current task's turn is over, if anybody waits for it.
    fn turn_ends(&self) -> Option<u64> {
        let (current, next) = (queue::rank(self.current.as_ref()?), queue::rank(self.queue.front()?));
        let patience = |(_, since): (usize, u64)| since + queue::PATIENCE_NS;
        let neglected = if current > 0 { self.queue.neglected().map(patience) } else { None };
        let slice = if next >= current { self.slice_end } else { u64::MAX };
        Some(neglected.unwrap_or(u64::MAX).min(slice)).filter(|&end| end != u64::MAX)
    }
}

/// Some CPU is to give way: looked at on every way back to user mode.
static GIVE_WAY: AtomicBool = AtomicBool::new(false);

static CPUS: KCell<Vec<Cpu>> = KCell::new(Vec::new());
static MODEL: OnceLock<Box<dyn ProcessModel>> = OnceLock::new();
static MACHINE: OnceLock<&'static dyn Machine> = OnceLock::new();
static STOP: AtomicBool = AtomicBool::new(false);

/// The guest's process model.
pub fn model() -> &'static dyn ProcessModel {
    MODEL.get().expect("the guest was booted").as_ref()
}

/// The machine that the model gives the kernel.
pub fn machine() -> &'static dyn Machine {
    *MACHINE.get().expect("the guest was booted")
}

/// Sets the model, once, before anything else of the core is used.
pub fn set_model(model: Box<dyn ProcessModel>) {
    umlab_model::pages::set_user_top(model.user_top());
    umlab_host::vdso::image();
    if MODEL.set(model).is_err() {
        panic!("a guest was booted twice in one process");
    }
    let _ = MACHINE.set(self::model().machine());
}

pub fn cpu_count() -> usize {
    CPUS.borrow().len()
}

/// Who runs, in the kernel context that asks. Panics on an idle context, which never calls anything
/// that asks.
pub fn current() -> Arc<dyn Thread> {
    let cpu = machine().current_cpu();
    CPUS.borrow()[cpu].current.clone().expect("core code that needs a task ran without one")
}

/// As `current`, or none where nobody asks for anything: at boot, and in unit tests.
pub fn acting() -> Option<Arc<dyn Thread>> {
    let cpus = CPUS.borrow();
    if cpus.is_empty() {
        return None;
    }
    cpus[machine().current_cpu()].current.clone()
}

/// Makes some CPU come into the core to look at what the host told: one that sleeps, or else the
/// first.
pub fn kick_for_event() {
    let cpu = {
        let cpus = CPUS.borrow();
        // Before there are CPUs there is nobody to tell; the first one looks when it starts.
        if cpus.is_empty() {
            return;
        }
        cpus.iter().position(|c| c.sleeping).unwrap_or(0)
    };
    machine().kick(cpu);
}

/// Makes a new task runnable for the first time.
pub fn start(task: &Arc<impl Thread>) {
    enqueue(task.clone(), true);
}

/// As `start`, on the current CPU: for a task that shares the address space of one that now sleeps
/// here.
pub fn start_here(task: &Arc<impl Thread>) {
    {
        let mut sched = task.entity().state.borrow_mut();
        sched.cpu = machine().current_cpu();
        sched.settled = true;
    }
    enqueue(task.clone(), false);
}

/// Whether the current CPU has more to do than its current task while another one has nothing.
pub fn is_crowded() -> bool {
    let cpus = CPUS.borrow();
    let cpu = machine().current_cpu();
    !cpus[cpu].queue.is_empty() && cpus.iter().any(|c| c.sleeping && c.queue.is_empty())
}

/// Goes on on a CPU that has nothing to do, if there is one. For a task without host objects of its
/// own.
pub fn move_to_idle_cpu() {
    let cpu = machine().current_cpu();
    let target = {
        let mut cpus = CPUS.borrow_mut();
        let Some(target) = cpus.iter().position(|c| c.sleeping && c.queue.is_empty()) else { return };
        let task = cpus[cpu].current.clone().expect("a task moves");
        if !may_run_on(&task, target) {
            return;
        }
        {
            let mut sched = task.entity().state.borrow_mut();
            sched.cpu = target;
            sched.settled = false;
            sched.queued_at = time::now();
        }
        cpus[target].queue.push(task);
        target
    };
    machine().kick(target);
    switch_away();
}

/// Makes a sleeping task runnable; one that is about to sleep will not.
pub fn wake(task: &Arc<impl Thread>) {
    let blocked = {
        let mut sched = task.entity().state.borrow_mut();
        match sched.run {
            RunState::Blocked => {
                sched.run = RunState::Runnable;
                true
            }
            RunState::Runnable => {
                sched.woken = true;
                false
            }
            RunState::Ended => false,
        }
    };
    if blocked {
        enqueue(task.clone(), false);
    }
}

/// Brings a task that may be in user mode back into the core, to look at its signals.
pub fn interrupt(task: &dyn Thread) {
    let cpu = task.entity().state.borrow().cpu;
    let running = {
        let cpus = CPUS.borrow();
        cpus.get(cpu).and_then(|c| c.current.as_ref()).is_some_and(|t| std::ptr::addr_eq(&raw const **t, task))
    };
    if running && cpu != machine().current_cpu() {
        machine().kick(cpu);
    }
}

fn enqueue(task: Arc<dyn Thread>, fresh: bool) {
    let now = time::now();
    let (target, preempts) = {
        let mut cpus = CPUS.borrow_mut();
        let mut sched = task.entity().state.borrow_mut();
        sched.queued_at = now;
        if fresh {
            sched.settled = false;
        }
        let mut target = sched.cpu.min(cpus.len() - 1);
        if !sched.settled {
            target = choose_cpu(&cpus, target, |cpu| may_run_on(&task, cpu));
        }
        sched.cpu = target;
        drop(sched);
        let preempts = cpus[target].current.as_ref().is_some_and(|current| queue::rank(current) < queue::rank(&task));
        cpus[target].queue.push(task);
        (target, preempts)
    };
    if preempts {
        CPUS.borrow_mut()[target].give_way = true;
        GIVE_WAY.store(true, Relaxed);
    }
    if target != machine().current_cpu() {
        let cpus = CPUS.borrow();
        // One that runs user code and had nobody waiting has to learn that its time is limited now.
        let notify = preempts || cpus[target].sleeping || cpus[target].queue.len() == 1;
        drop(cpus);
        if notify {
            machine().kick(target);
        }
    }
    update_alarm();
}

/// Whether the task may run on this CPU (sched_setaffinity(2)).
fn may_run_on(task: &Arc<dyn Thread>, cpu: usize) -> bool {
    task.demands().affinity >> cpu.min(63) & 1 != 0
}

/// The CPU for a task that can run anywhere it is allowed: `near` if that is free, else a free one,
/// else the least busy.
fn choose_cpu(cpus: &[Cpu], near: usize, allowed: impl Fn(usize) -> bool) -> usize {
    let free = |cpu: &usize| cpus[*cpu].current.is_none() && cpus[*cpu].queue.is_empty();
    let candidates = || (0..cpus.len()).filter(|&cpu| allowed(cpu));
    let chosen = if allowed(near) && free(&near) { Some(near) } else { candidates().find(free) };
    chosen
        .or_else(|| allowed(near).then_some(near))
        .or_else(|| candidates().min_by_key(|&cpu| cpus[cpu].queue.len()))
        .unwrap_or(near)
}

/// Moves the current task away when it may not run on this CPU (any more).
pub fn obey_affinity() {
    keep_to_affinity(&current());
}

fn keep_to_affinity(task: &Arc<dyn Thread>) {
    if may_run_on(task, machine().current_cpu()) || !(0..cpu_count()).any(|other| may_run_on(task, other)) {
        return;
    }
    task.entity().evict();
    task.entity().state.borrow_mut().settled = false;
    enqueue(task.clone(), false);
    switch_away();
}

/// Goes on on another CPU, whatever is to be done there.
pub fn move_to(cpu: usize) {
    let task = current();
    task.entity().evict();
    {
        let mut sched = task.entity().state.borrow_mut();
        sched.cpu = cpu;
        sched.settled = true;
    }
    enqueue(task, false);
    switch_away();
}

/// Sleeps until `wake`. A wake-up since the caller last looked at its condition returns at once.
pub fn block_current() {
    let task = current();
    task.before_sleep();
    {
        let mut sched = task.entity().state.borrow_mut();
        if std::mem::take(&mut sched.woken) {
            return;
        }
        sched.run = RunState::Blocked;
    }
    switch_away();
    task.entity().state.borrow_mut().woken = false;
    keep_to_affinity(&task);
}

/// Lets others run first, of the same priority at least.
pub fn yield_now() {
    let cpu = machine().current_cpu();
    {
        let mut cpus = CPUS.borrow_mut();
        let task = cpus[cpu].current.clone().expect("a task yields");
        if !cpus[cpu].has_better_than(&task, time::now()) {
            return;
        }
        task.entity().state.borrow_mut().queued_at = time::now();
        cpus[cpu].queue.push(task);
    }
    switch_away();
}

/// Called by the trap loop after every trap: a task of higher priority that was woken runs first.
#[inline]
pub fn obey_priorities() {
    if GIVE_WAY.load(Relaxed) {
        give_way();
    }
}

/// Lets the current task give way to one of higher priority that waits here.
fn give_way() {
    GIVE_WAY.store(false, Relaxed);
    let cpu = machine().current_cpu();
    {
        let mut cpus = CPUS.borrow_mut();
        // Another CPU looks when it comes by: it was kicked.
        if cpus.iter().enumerate().any(|(other, state)| other != cpu && state.give_way) {
            GIVE_WAY.store(true, Relaxed);
        }
        if !std::mem::take(&mut cpus[cpu].give_way) {
            return;
        }
        let task = cpus[cpu].current.clone().expect("a task gives way");
        if cpus[cpu].queue.front().is_none_or(|next| queue::rank(next) <= queue::rank(&task)) {
            return;
        }
        task.entity().state.borrow_mut().queued_at = time::now();
        cpus[cpu].queue.push_first(task);
    }
    switch_away();
}

/// A task has another priority or policy now: who comes next may have changed.
pub fn priority_changed(task: &dyn Thread) {
    let cpu = task.entity().state.borrow().cpu;
    {
        let mut cpus = CPUS.borrow_mut();
        let Some(state) = cpus.get_mut(cpu) else { return };
        state.queue.reorder(task);
        let Some(current) = &state.current else { return };
        if state.queue.front().is_none_or(|next| queue::rank(next) <= queue::rank(current)) {
            return;
        }
        state.give_way = true;
        GIVE_WAY.store(true, Relaxed);
    }
    if cpu != machine().current_cpu() {
        machine().kick(cpu);
    }
}

/// Called by the trap loop on every way back to user mode: timers, and the end of the time slice.
pub fn on_trap_exit(interrupted: bool) {
    if !interrupted {
        return;
    }
    if stopping() {
        park();
        return;
    }
    events::deliver();
    timer::expire();
    load::sample();
    let cpu = machine().current_cpu();
    let expired = {
        let mut cpus = CPUS.borrow_mut();
        cpus[cpu].alarm = None;
        cpus[cpu].turn_ends().is_some_and(|end| time::now() >= end)
    };
    hand_to_idle_cpu(cpu);
    give_way();
    if expired {
        yield_now();
    }
    obey_affinity();
    update_alarm();
}

/// Has a CPU where tasks wait look whether it has one for `idle`, which has none.
fn ask_for_work(idle: usize) {
    let crowded = CPUS.borrow().iter().position(|c| c.current.is_some() && !c.queue.is_empty());
    if let Some(crowded) = crowded.filter(|&cpu| cpu != idle) {
        machine().kick(crowded);
    }
}

/// Gives a task that has waited for long on this CPU to one that has nothing to do.
fn hand_to_idle_cpu(cpu: usize) {
    let kick = {
        let mut cpus = CPUS.borrow_mut();
        let Some(idle) = cpus.iter().position(|c| c.sleeping && c.queue.is_empty()) else { return };
        let now = time::now();
        let Some(at) = cpus[cpu].queue.iter().position(|t| {
            now.saturating_sub(t.entity().state.borrow().queued_at) >= STEAL_AFTER_NS && may_run_on(t, idle)
        }) else {
            return;
        };
        let task = cpus[cpu].queue.remove(at).expect("position is within the queue");
        task.entity().evict();
        task.entity().state.borrow_mut().cpu = idle;
        cpus[idle].queue.push(task);
        idle
    };
    machine().kick(kick);
}

/// Asks the machine for an alarm at the next timer or the end of the slice, whichever is first.
pub fn update_alarm() {
    // A unit test's timers have no CPU to interrupt.
    if MACHINE.get().is_none() {
        return;
    }
    let cpu = machine().current_cpu();
    let wanted = {
        let cpus = CPUS.borrow();
        let slice = cpus[cpu].queue.front().map(|next| {
            // With a CPU idle, the next one need not wait for the end of the slice.
            let idle = cpus.iter().position(|c| c.sleeping && c.queue.is_empty());
            let handed_over = if idle.is_some_and(|idle| may_run_on(next, idle)) {
                next.entity().state.borrow().queued_at + STEAL_AFTER_NS
            } else {
                u64::MAX
            };
            cpus[cpu].turn_ends().unwrap_or(u64::MAX).min(handed_over)
        });
        let timer = timer::next_deadline();
        let wanted = match (slice, timer) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        // An alarm that comes too early is only a spurious interrupt, cheaper than setting it anew
        // every time.
        match (wanted, cpus[cpu].alarm) {
            (None, _) => return,
            // One that is over is of no use: it came while the CPU was in the core or idle, which
            // saw it.
            (Some(w), Some(a)) if a <= w && a > time::now() => return,
            _ => wanted,
        }
    };
    CPUS.borrow_mut()[cpu].alarm = wanted;
    machine().set_alarm(wanted);
}

/// The context to go on in when the current task has ended. Its own context is dropped by that one.
pub fn end_current() -> Arc<dyn Context> {
    let cpu = machine().current_cpu();
    let now = time::now();
    let next = pick(cpu, now);
    let mut cpus = CPUS.borrow_mut();
    let ended = cpus[cpu].current.take();
    if let Some(task) = &ended {
        task.entity().state.borrow_mut().run = RunState::Ended;
    }
    cpus[cpu].ended = ended;
    set_current(&mut cpus[cpu], next, now)
}

/// Leaves the CPU for good: the guest is over.
fn park() {
    current().entity().state.borrow_mut().run = RunState::Blocked;
    switch_away();
}

fn pick(cpu: usize, now: u64) -> Option<Arc<dyn Thread>> {
    if stopping() {
        return None;
    }
    let cpus = &mut *CPUS.borrow_mut();
    cpus[cpu].give_way = false;
    cpus[cpu].queue.pop(now)
}

/// Gives the CPU to `next`, from `now` on: the context to go on in.
fn set_current(cpu: &mut Cpu, next: Option<Arc<dyn Thread>>, now: u64) -> Arc<dyn Context> {
    let context = match &next {
        Some(task) => {
            task.given_cpu(now);
            cpu.slice_end = slice_end(task, now);
            task.entity().context()
        }
        None => cpu.idle.clone().expect("every CPU has its idle context"),
    };
    cpu.current = next;
    context
}

/// When a turn ends that begins now.
fn slice_end(task: &Arc<dyn Thread>, now: u64) -> u64 {
    queue::slice(task).map_or(u64::MAX, |slice| now + slice)
}

fn switch_away() {
    let cpu = machine().current_cpu();
    let now = time::now();
    let next = pick(cpu, now);
    let (from, to) = {
        let mut cpus = CPUS.borrow_mut();
        let cpu = &mut cpus[cpu];
        if let (Some(a), Some(b)) = (&next, &cpu.current)
            && Arc::ptr_eq(a, b)
        {
            cpu.slice_end = slice_end(a, now);
            return;
        }
        let from = match &cpu.current {
            Some(task) => {
                task.gives_up_cpu(now);
                task.entity().context()
            }
            None => cpu.idle.clone().expect("every CPU has its idle context"),
        };
        (from, set_current(cpu, next, now))
    };
    load::count_switch();
    lock::assert_no_borrows();
    machine().switch(&*from, &*to);
    finish_switch();
}

/// Must be the first thing a new context does, and is done after every switch: drops what ended on
/// this CPU.
pub fn finish_switch() {
    let cpu = machine().current_cpu();
    let ended = {
        let mut cpus = CPUS.borrow_mut();
        if let Some(task) = &cpus[cpu].current {
            let mut sched = task.entity().state.borrow_mut();
            sched.cpu = cpu;
            sched.settled = true;
        }
        cpus[cpu].ended.take()
    };
    drop(ended);
    update_alarm();
}

/// Ends the guest: all CPUs leave `run`.
pub fn stop() {
    STOP.store(true, Relaxed);
    for cpu in 0..cpu_count() {
        machine().kick(cpu);
    }
}

pub fn stopping() -> bool {
    STOP.load(Relaxed)
}

/// Runs the guest on `count` CPUs until `stop`. `boot` is called first, on CPU 0, and makes the
/// first task.
pub fn run(count: usize, boot: &(dyn Fn() + Sync)) {
    lock::with(|| {
        *CPUS.borrow_mut() = (0..count)
            .map(|_| Cpu {
                current: None,
                queue: RunQueue::default(),
                idle: None,
                sleeping: false,
                ended: None,
                slice_end: 0,
                give_way: false,
                alarm: None,
                breath: 0,
            })
            .collect();
    });
    machine().run_cpus(count, &|cpu, context| {
        CPUS.borrow_mut()[cpu].idle = Some(context);
        if cpu == 0 {
            boot();
        }
        idle_loop(cpu);
    });
}

/// Work for CPUs that have nothing else to do; whether there was any.
static IDLE_WORK: OnceLock<fn() -> bool> = OnceLock::new();

/// Boot names the work of the layers above.
pub fn set_idle_work(work: fn() -> bool) {
    let _ = IDLE_WORK.set(work);
}

fn idle_loop(cpu: usize) {
    while !stopping() {
        events::deliver();
        timer::expire();
        let ready = !CPUS.borrow()[cpu].queue.is_empty();
        if ready {
            switch_away();
            continue;
        }
        if IDLE_WORK.get().is_some_and(|work| work()) {
            lock::let_others_in();
            continue;
        }
        CPUS.borrow_mut()[cpu].sleeping = true;
        ask_for_work(cpu);
        let slept = time::now();
        machine().idle(timer::next_deadline());
        load::account_idle(time::now().saturating_sub(slept));
        CPUS.borrow_mut()[cpu].sleeping = false;
    }
}
