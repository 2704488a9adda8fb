use super::helper::start;
use super::mmap::{PAGES, guest_memory};
use super::turns::{Page, Side, Turns};
use super::user_notification::supervise;
use super::{Batch, Offered, Primitive};
use crate::children::{Child, Line};
use crate::memory::{Mapping, PAGE};
use crate::timing::each;
use anyhow::{Context, Result, bail, ensure};
use nix::sys::mman::{MapFlags, ProtFlags};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use std::fs::File;
use std::io::IoSliceMut;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::Relaxed;
use umlab_host::ptrace::{Regs, Resume, Status, Tracee};

/// How a core has a page mapped in a guest's address space, where only code of its own can do it.
pub const MMAP_ORDER: Primitive = Primitive {
    name: "mmap-order",
    summary: "a page mapped over another in another process, by order",
    definition: "mmap as of `mmap`, in a child: SETREGS, PTRACE_CONT to a stub, its mmap and int3, waitpid and PEEKUSER of rax; \
                 or by a second thread of the child, which takes orders from a shared page, by futex or by user notification; \
                 all on one CPU",
    batches,
};

fn batches() -> Result<Vec<(&'static str, Offered)>> {
    Ok(vec![
        ("mmap-order", by_stub()?),
        ("mmap-order by a thread", by_thread()?),
        ("mmap-order by a notified thread", by_notified_thread()?),
    ])
}

/// A page of a guest's, and what may be mapped there.
struct Place {
    memory: File,
    place: Mapping,
    page: usize,
}

impl Place {
    fn new() -> Result<Place> {
        let memory = guest_memory()?;
        let place = Mapping::file(&memory, PAGE, ProtFlags::PROT_READ, MapFlags::MAP_SHARED)?;
        Ok(Place { memory, place, page: 0 })
    }

    fn address(&self) -> u64 {
        self.place.start().as_ptr() as u64
    }

    /// The arguments of the mmap that maps the next page there.
    fn next(&mut self) -> [u64; 6] {
        self.page = (self.page + 1) % PAGES;
        let (prot, flags) = (libc::PROT_READ as u64, (libc::MAP_SHARED | libc::MAP_FIXED) as u64);
        [self.address(), PAGE as u64, prot, flags, self.memory.as_raw_fd() as u64, (self.page * PAGE) as u64]
    }

    fn check_result(&self, result: u64) -> Result<()> {
        ensure!(result == self.address(), "the child's mmap returned {result:#x}");
        Ok(())
    }

    /// Whether the child has there what it was told to map last.
    fn check(&self, child: &Child) -> Result<()> {
        let mut byte = [0];
        let there = RemoteIoVec { base: self.address() as usize, len: 1 };
        process_vm_readv(child.pid(), &mut [IoSliceMut::new(&mut byte)], &[there]).context("process_vm_readv")?;
        ensure!(usize::from(byte[0]) == self.page + 1, "another page is mapped there");
        Ok(())
    }
}

/// Batches of an order. What the last one mapped is looked at when the clock stands.
fn orders(child: Child, mut place: Place, mut order: impl FnMut([u64; 6]) -> Result<u64> + 'static) -> Batch {
    Box::new(move |n| {
        let took = each(|| {
            let arguments = place.next();
            place.check_result(order(arguments)?)
        })(n)?;
        place.check(&child)?;
        Ok(took)
    })
}

std::arch::global_asm!(".global umlab_mmap_order", "umlab_mmap_order:", "syscall", "int3");

unsafe extern "C" {
    /// Never called: a tracee is sent there.
    fn umlab_mmap_order();
}

fn by_stub() -> Result<Offered> {
    let place = Place::new()?;
    let trace = || ptrace::traceme().context("PTRACE_TRACEME");
    let stop = |(), _: Line| {
        raise(Signal::SIGSTOP)?;
        bail!("the tracee went on by itself")
    };
    let child = match start(Line::pipes()?, trace, stop)? {
        Ok((child, _)) => child,
        Err(unavailable) => return Ok(Err(unavailable)),
    };
    let tracee = Tracee(child.pid().as_raw());
    let status = tracee.wait()?;
    ensure!(status == Status::Signal(libc::SIGSTOP), "the traced child did not stop: {status:?}");
    tracee.set_options()?;
    // No call is interrupted that the host would have to make again.
    let stub = Regs { rip: umlab_mmap_order as *const () as u64, orig_rax: u64::MAX, ..tracee.regs()? };
    let order = move |[rdi, rsi, rdx, r10, r8, r9]: [u64; 6]| {
        tracee.set_regs(&Regs { rax: libc::SYS_mmap as u64, rdi, rsi, rdx, r10, r8, r9, ..stub })?;
        tracee.resume(Resume::Cont)?;
        let status = tracee.wait()?;
        ensure!(status == Status::Signal(libc::SIGTRAP), "not the stub's int3: {status:?}");
        Ok(tracee.rax()?)
    };
    Ok(Ok(orders(child, place, order)))
}

/// What a thread of the child does that carries out orders: `take` is where it waits for one, with
/// the result of the one before. The other thread, which would be a guest's, sleeps.
fn serve(take: impl Fn(u64) -> [u64; 7] + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut result = 0;
            loop {
                let [number, a, b, c, d, e, f] = take(result);
                // SAFETY: the parent orders mappings over a page that nobody refers to.
                result = unsafe { libc::syscall(number as i64, a, b, c, d, e, f) } as u64;
            }
        });
        loop {
            nix::unistd::pause();
        }
    })
}

/// The order is in the page's words, and in the last one what came of it.
const RESULT: usize = 7;

fn write_order(turns: &Turns, arguments: [u64; 6]) {
    turns.words[0].store(libc::SYS_mmap as u64, Relaxed);
    turns.words[1..].iter().zip(arguments).for_each(|(word, argument)| word.store(argument, Relaxed));
}

fn read_order(turns: &Turns) -> [u64; 7] {
    std::array::from_fn(|i| turns.words[i].load(Relaxed))
}

fn by_thread() -> Result<Offered> {
    let place = Place::new()?;
    let page = Page::new(0)?;
    let turns = page.turns();
    let work = |(), _: Line| {
        serve(|result| {
            turns.words[RESULT].store(result, Relaxed);
            turns.hand_to(Side::Core);
            turns.await_turn(Side::Guest);
            read_order(turns)
        })
    };
    let child = match start(Line::pipes()?, || Ok(()), work)? {
        Ok((child, _)) => child,
        Err(unavailable) => return Ok(Err(unavailable)),
    };
    // It asks for its first order.
    turns.await_turn(Side::Core);
    let order = move |arguments: [u64; 6]| {
        let turns = page.turns();
        write_order(turns, arguments);
        turns.hand_to(Side::Guest);
        turns.await_turn(Side::Core);
        Ok(turns.words[RESULT].load(Relaxed))
    };
    Ok(Ok(orders(child, place, order)))
}

/// The thread asks for orders by a call, and tells the last result as its argument: it needs to
/// write nothing that a guest in the same address space could write too.
fn by_notified_thread() -> Result<Offered> {
    let place = Place::new()?;
    let page = Page::new(0)?;
    let turns = page.turns();
    let work = |_: Line| {
        serve(|result| {
            // SAFETY: the call takes no arguments; the supervisor sees it.
            unsafe { libc::syscall(libc::SYS_getppid, result) };
            read_order(turns)
        })
    };
    let (child, listener) = match supervise(None, work)? {
        Ok(started) => started,
        Err(unavailable) => return Ok(Err(unavailable)),
    };
    let mut asks = listener.receive()?;
    let order = move |arguments: [u64; 6]| {
        write_order(page.turns(), arguments);
        listener.answer(asks.id, Ok(0))?;
        asks = listener.receive()?;
        Ok(asks.args[0])
    };
    Ok(Ok(orders(child, place, order)))
}
