//! Guest CPUs: a pinned host thread each, its kernel contexts, sleep, interruption and counters.

use crate::guest::Guest;
use crate::placement::Place;
use crate::stub::Stub;
use crate::thread::State;
use std::any::Any;
use std::cell::Cell;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::*};
use std::sync::{Arc, OnceLock};
use umlab_host::claims::Claim;
use umlab_host::context::{SavedContext, Stack};
use umlab_host::kicks::Kicks;
use umlab_host::thread::{self, ThreadTimer};
use umlab_host::{Result, clock, limits};
use umlab_model::lock::{self, KCell};
use umlab_model::{Context, ContextMain};

macro_rules! counters {
    ($($name:ident)*) => {
        /// What this model did, counted by all CPUs together.
        #[derive(Default)]
        pub struct Counters { $(pub $name: AtomicU64,)* }

        static COUNTERS: Counters = Counters { $($name: AtomicU64::new(0),)* };

        pub fn counters() -> Vec<(&'static str, u64)> {
            vec![$((stringify!($name), COUNTERS.$name.load(Relaxed)),)*]
        }
    };
}

counters! {
    syscall_stops fault_stops exception_stops interrupt_stops order_stops orders maps unmaps protects
    register_reads register_writes result_writes state_moves stubs_made stubs_reused context_switches idle_sleeps kicks shootdowns
    mm_calls mm_runs mm_switches cpu_moves
}

/// Counts `n` more of what `pick` names.
pub fn count(pick: impl FnOnce(&Counters) -> &AtomicU64, n: u64) {
    pick(&COUNTERS).fetch_add(n, Relaxed);
}

pub struct Cpu {
    /// The stub process that runs user code now, 0 for none.
    pub user: AtomicI32,
    pub kicks: Kicks,
    timer: OnceLock<ThreadTimer>,
    /// Stub processes that no address space uses.
    pub pool: KCell<Vec<Stub>>,
    /// How many of them address spaces count on.
    pub promised: KCell<usize>,
    /// Stub processes to be ended, which only this CPU's thread can do.
    pub doomed: KCell<Vec<Stub>>,
    /// On a patched host, the process that runs all user code of this CPU.
    pub guest: KCell<Option<Guest>>,
    pub place: Place,
}

static CPUS: OnceLock<Vec<Cpu>> = OnceLock::new();

/// As many as there are claims to host CPUs.
pub fn init(claims: &[Claim]) {
    let _ = CPUS.set(
        claims
            .iter()
            .map(|claim| Cpu {
                user: AtomicI32::new(0),
                kicks: Kicks::default(),
                timer: OnceLock::new(),
                pool: KCell::new(Vec::new()),
                promised: KCell::new(0),
                doomed: KCell::new(Vec::new()),
                guest: KCell::new(None),
                place: Place::new(claim.cpu),
            })
            .collect(),
    );
}

pub fn all() -> &'static [Cpu] {
    CPUS.get().expect("the model was made")
}

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// The CPU that the calling host thread is. Not inlined: a context may go on in another thread after a switch, and the compiler must
/// not keep the address of one thread's variable across it.
#[inline(never)]
pub fn current() -> usize {
    CURRENT.with(Cell::get)
}

pub fn this() -> &'static Cpu {
    &all()[current()]
}

/// The alarm of the CPU whose host thread this is: a kick from itself. One that comes in the core is seen before user mode is
/// entered, one that comes later stops user code.
fn alarm() {
    let Some(cpu) = CPUS.get().and_then(|cpus| cpus.get(current())) else { return };
    cpu.kicks.give();
    let user = cpu.user.load(SeqCst);
    if user != 0 {
        thread::interrupt(user, user, libc::SIGALRM);
    }
}

/// The body of a CPU's host thread.
pub fn run(number: usize, main: &(dyn Fn(usize, Arc<dyn Context>) + Sync)) {
    CURRENT.with(|current| current.set(number));
    this().place.begin();
    thread::on_alarm(alarm);
    match ThreadTimer::new() {
        Ok(timer) => {
            let _ = this().timer.set(timer);
        }
        Err(e) => limits::give_up("the host gives no timer", e),
    }
    lock::enter();
    main(number, Arc::new(SkasContext { saved: SavedContext::default(), stack: None, start: KCell::new(None) }));
    for stub in this().pool.take().into_iter().chain(this().doomed.take()) {
        stub.end();
    }
    if let Some(guest) = this().guest.take() {
        guest.end();
    }
    lock::leave();
}

pub fn kick(cpu: usize) {
    let cpu = &all()[cpu];
    count(|c| &c.kicks, 1);
    cpu.kicks.give();
    let user = cpu.user.load(SeqCst);
    if user != 0 {
        thread::interrupt(user, user, libc::SIGALRM);
    } else {
        cpu.kicks.wake();
    }
}

pub fn idle(deadline: Option<u64>) {
    let cpu = this();
    let doomed = cpu.doomed.take();
    doomed.into_iter().for_each(Stub::end);
    let timeout = deadline.map(|d| d.saturating_sub(clock::monotonic()));
    if cpu.kicks.take() || timeout == Some(0) {
        return;
    }
    lock::leave();
    if cpu.kicks.wait(all().len() > 1, timeout) {
        count(|c| &c.idle_sleeps, 1);
    }
    lock::enter();
    cpu.kicks.take();
}

pub fn set_alarm(deadline: Option<u64>) {
    if let Some(timer) = this().timer.get() {
        timer.arm(deadline.unwrap_or(0));
    }
}

/// A kernel stack and where it left off.
pub struct SkasContext {
    saved: SavedContext,
    stack: Option<Stack>,
    start: KCell<Option<ContextMain>>,
}

/// Stacks of ended contexts, kept for the next ones.
static STACKS: KCell<Vec<Stack>> = KCell::new(Vec::new());
const STACKS_KEPT: usize = 32;

impl SkasContext {
    pub fn with_main(main: ContextMain) -> Result<Arc<dyn Context>> {
        let kept = STACKS.borrow_mut().pop();
        let stack = match kept {
            Some(stack) => stack,
            None => Stack::new()?,
        };
        let context =
            Arc::new(SkasContext { saved: SavedContext::default(), stack: Some(stack), start: KCell::new(Some(main)) });
        let stack = context.stack.as_ref().expect("it was just given one");
        context.saved.prepare(stack, context_main, Arc::as_ptr(&context) as usize);
        Ok(context)
    }
}

impl Drop for SkasContext {
    fn drop(&mut self) {
        if let Some(stack) = self.stack.take() {
            let mut stacks = STACKS.borrow_mut();
            if stacks.len() < STACKS_KEPT {
                stacks.push(stack);
            }
        }
    }
}

impl Context for SkasContext {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn own(context: &dyn Context) -> &SkasContext {
    context.as_any().downcast_ref().expect("the core passes contexts of this model")
}

pub fn switch(from: &dyn Context, to: &dyn Context) {
    count(|c| &c.context_switches, 1);
    // SAFETY: the scheduler passes the running context and one that was prepared or left by a switch; it holds the big lock, and
    // its task keeps `to` alive while it runs.
    unsafe { own(from).saved.switch(&own(to).saved) };
}

extern "C" fn context_main(argument: usize) -> ! {
    // SAFETY: the scheduler keeps the context alive while it runs, and drops it from another one after the final switch.
    let context = unsafe { &*(argument as *const SkasContext) };
    let main = context.start.replace(None).expect("a context starts once");
    let next = main();
    // The reference must not be left on a stack that is never unwound: whoever is switched to is held by its task or its CPU.
    let to: *const SkasContext = own(&*next);
    drop(next);
    // SAFETY: as above.
    unsafe { context.saved.switch(&(*to).saved) };
    unreachable!("an ended context was switched to");
}

/// Moves a thread's state out of `stub` into the core, if it is there. Must run on the stub's CPU.
pub fn unload(state: &Arc<KCell<State>>) {
    State::unload(state);
}
