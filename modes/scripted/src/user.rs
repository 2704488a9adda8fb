//! What a program does: system calls, memory accesses, and signal handlers.

use crate::space::{Missed, Pages};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use umlab_model::{Access, Fault, PAGE_SIZE, Regs, SyscallAbi, Trap};

/// What a thread runs, once.
pub type Body = Box<dyn FnOnce(&User) -> i32 + Send>;

/// User mode is entered.
pub struct Entered {
    pub regs: Regs,
    pub pages: Arc<Mutex<Pages>>,
}

/// User mode is left.
pub struct Left {
    pub trap: Trap,
    pub regs: Regs,
}

/// The payload with which a program unwinds that the kernel will not enter again.
struct Gone;

/// The instruction pointer after every system call, and at every access to memory.
const AFTER_CALL: u64 = 0x40_0e02;
const AT_ACCESS: u64 = 0x40_0e10;
/// The length of the instruction `syscall`, by which the kernel goes back to have a call made
/// again.
const CALL_LENGTH: u64 = 2;
/// Where the code of signal handlers begins, an address for each, and what they return to.
const HANDLERS: u64 = 0x40_0f00;
const RESTORER: u64 = 0x40_0eff;
const SA_RESTORER: u64 = 0x0400_0000;

type Handler = Rc<dyn Fn(&User, i32)>;

/// The user mode of a guest thread, as its program sees it.
pub struct User {
    entered: Receiver<Entered>,
    leave: Sender<Left>,
    regs: Cell<Regs>,
    pages: RefCell<Arc<Mutex<Pages>>>,
    next: Arc<Mutex<Option<Body>>>,
    handlers: RefCell<BTreeMap<u64, Handler>>,
}

impl User {
    /// The body of a program's host thread.
    pub(crate) fn live(body: Body, entered: Receiver<Entered>, leave: Sender<Left>, next: Arc<Mutex<Option<Body>>>) {
        let Ok(first) = entered.recv() else { return };
        let user = User {
            entered,
            leave,
            regs: Cell::new(first.regs),
            pages: RefCell::new(first.pages),
            next,
            handlers: RefCell::default(),
        };
        // A panic is reported where it happens; the kernel sees the channels close.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let status = body(&user);
            user.call(libc::SYS_exit_group, &[status as u64]);
        }));
    }

    /// Makes a system call. Returns what is left in the result register: errors are small negative
    /// numbers.
    pub fn call(&self, number: i64, args: &[u64]) -> i64 {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        let mut regs = self.regs.get();
        regs.rax = number as u64;
        [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9] = all;
        regs.rip = AFTER_CALL;
        self.regs.set(regs);
        loop {
            let regs = self.regs.get();
            let args = [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9];
            self.trap(Trap::Syscall { number: regs.rax, args, abi: SyscallAbi::X64 }, AFTER_CALL);
            let regs = self.regs.get();
            if regs.rip == AFTER_CALL {
                return regs.rax as i64;
            }
            // Once more.
            assert_eq!(regs.rip, AFTER_CALL - CALL_LENGTH, "the kernel goes on where no code is");
            self.regs.set(Regs { rip: AFTER_CALL, ..regs });
        }
    }

    /// As [`User::call`], of a call that must not fail.
    #[track_caller]
    pub fn must(&self, number: i64, args: &[u64]) -> u64 {
        let result = self.call(number, args);
        assert!(
            !(-4095..0).contains(&result),
            "system call {number} failed: {}",
            umlab_host::Errno::from_raw(-result as i32)
        );
        result as u64
    }

    /// fork(2): `child` runs in the child, whose number is returned.
    pub fn fork(&self, child: impl FnOnce(&User) -> i32 + Send + 'static) -> i64 {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(child));
        self.call(libc::SYS_fork, &[])
    }

    /// wait4(2) for one child: its status.
    pub fn wait(&self, pid: i64) -> i32 {
        let place = self.scratch();
        self.must(libc::SYS_wait4, &[pid as u64, place, 0, 0]);
        i32::from_le_bytes(self.read(place))
    }

    /// mmap(2) of private memory with these rights; its address.
    pub fn map(&self, len: u64, prot: i32) -> u64 {
        let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
        self.must(libc::SYS_mmap, &[0, len, prot as u64, flags, u64::MAX, 0])
    }

    /// The address of some bytes of the stack that nobody uses.
    pub fn scratch(&self) -> u64 {
        (self.regs.get().rsp - 1024) & !63
    }

    /// The address of a string, which is put where nobody else uses memory.
    pub fn text(&self, text: &str) -> u64 {
        let place = self.map(text.len() as u64 + 1, libc::PROT_READ | libc::PROT_WRITE);
        self.store(place, text.as_bytes());
        place
    }

    /// Reads memory, by as many accesses as it has pages.
    pub fn load(&self, addr: u64, out: &mut [u8]) {
        for (at, len) in by_pages(addr, out.len()) {
            let part = &mut out[(at - addr) as usize..][..len];
            self.access(at, Access::Read, |pages| pages.read(at, part));
        }
    }

    /// Reads bytes.
    pub fn read<const N: usize>(&self, addr: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.load(addr, &mut bytes);
        bytes
    }

    /// Writes memory, by as many accesses as it has pages.
    pub fn store(&self, addr: u64, bytes: &[u8]) {
        for (at, len) in by_pages(addr, bytes.len()) {
            let part = &bytes[(at - addr) as usize..][..len];
            self.access(at, Access::Write, |pages| pages.write(at, part));
        }
    }

    /// Has `handler` run at a signal.
    pub fn on_signal(&self, signal: i32, handler: impl Fn(&User, i32) + 'static) {
        let addr = {
            let mut handlers = self.handlers.borrow_mut();
            let addr = HANDLERS + handlers.len() as u64;
            handlers.insert(addr, Rc::new(handler));
            addr
        };
        // struct sigaction as rt_sigaction(2) has it: handler, flags, restorer, mask.
        let action = [addr, SA_RESTORER, RESTORER, 0];
        let place = self.scratch();
        self.store(place, &action.map(u64::to_le_bytes).concat());
        self.must(libc::SYS_rt_sigaction, &[signal as u64, place, 0, 8]);
    }

    /// Tries an access until it succeeds: each failure is a fault that the kernel resolves, or
    /// answers with a signal.
    fn access(&self, addr: u64, access: Access, mut look: impl FnMut(&Pages) -> Result<(), Missed>) {
        loop {
            let pages = self.pages.borrow().clone();
            let result = look(&pages.lock().unwrap_or_else(PoisonError::into_inner));
            let Err(missed) = result else { return };
            self.regs.set(Regs { rip: AT_ACCESS, ..self.regs.get() });
            self.trap(Trap::Fault(Fault { addr, present: missed.present, access: Some(access) }), AT_ACCESS);
        }
    }

    /// Leaves user mode, and comes back to `rip` or just before it. Handlers that are entered
    /// meanwhile have run then.
    fn trap(&self, trap: Trap, rip: u64) {
        self.leave(trap);
        loop {
            let regs = self.regs.get();
            if regs.rip == rip || regs.rip == rip - CALL_LENGTH {
                return;
            }
            let handler = self.handlers.borrow().get(&regs.rip).cloned();
            let handler = handler.unwrap_or_else(|| panic!("the kernel goes on at {:#x}, where no code is", regs.rip));
            handler(self, regs.rdi as i32);
            // The handler's return takes the return address; the frame lies above it.
            let number = libc::SYS_rt_sigreturn as u64;
            self.regs.set(Regs { rip: RESTORER, rax: number, rsp: regs.rsp + 8, ..self.regs.get() });
            self.leave(Trap::Syscall { number, args: [0; 6], abi: SyscallAbi::X64 });
        }
    }

    fn leave(&self, trap: Trap) {
        let entered =
            self.leave.send(Left { trap, regs: self.regs.get() }).ok().and_then(|()| self.entered.recv().ok());
        match entered {
            Some(Entered { regs, pages }) => {
                self.regs.set(regs);
                *self.pages.borrow_mut() = pages;
            }
            None => resume_unwind(Box::new(Gone)),
        }
    }
}

/// The parts of a range that lie in a page each: address and length.
fn by_pages(addr: u64, len: usize) -> impl Iterator<Item = (u64, usize)> {
    let end = addr + len as u64;
    let mut at = addr;
    std::iter::from_fn(move || {
        let next = end.min((at / PAGE_SIZE + 1) * PAGE_SIZE);
        let part = (at < end).then_some((at, (next - at) as usize));
        at = next;
        part
    })
}
