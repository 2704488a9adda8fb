//! skas, broken on purpose, in one way each: `umlab conform` has to find every one of them.
//!
//! It is also a model that somebody outside brings: nothing here knows of umlab but by its crates.
//! What breaks is chosen so that ordinary programs do not notice: who finds it has looked for it.

use std::any::Any;
use std::sync::Arc;
use umlab_host::Result;
use umlab_model::{
    CannotRun, Context, ContextMain, HostTime, HostView, Isolation, Machine, Mapping, Model, ModelSpace, PAGE_SIZE,
    PageRange, ProcessModel, Prot, Regs, Residence, SyscallAbi, Trap, UserThread, Vdso, When,
};
use umlab_skas::{Kind, Skas};

/// What is broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// A system call loses r12, if none of its bytes is of the kind that pointers and numbers of
    /// programs have at their ends: those must go on.
    LostRegister,
    /// A system call takes the upper halves of the YMM registers away. Compilers keep nothing in
    /// them across a call.
    LostYmm,
    /// A single page that is unmapped stays.
    StaleMapping,
    /// User code is never interrupted because its time is over.
    MissedInterrupt,
}

const fn model(name: &'static str, make: fn(usize, &[&str]) -> Made) -> Model {
    Model {
        name,
        description: "skas, broken on purpose",
        options: &[],
        most_cpus: None,
        isolation: Isolation::Full,
        known_failures: umlab_skas::KNOWN_FAILURES,
        probe: || Kind::Stubs.probe().map(|()| String::new()),
        make,
    }
}

type Made = std::result::Result<Box<dyn ProcessModel>, CannotRun>;

pub static MODELS: &[Model] = &[
    model("broken-register", |cpus, _| Broken::make(cpus, Fault::LostRegister)),
    model("broken-ymm", |cpus, _| Broken::make(cpus, Fault::LostYmm)),
    model("broken-mapping", |cpus, _| Broken::make(cpus, Fault::StaleMapping)),
    model("broken-interrupt", |cpus, _| Broken::make(cpus, Fault::MissedInterrupt)),
];

/// The model, and its machine.
struct Broken {
    inner: Skas,
    fault: Fault,
}

impl Broken {
    fn make(cpus: usize, fault: Fault) -> Made {
        Ok(Box::new(Broken { inner: Skas::new(cpus, Kind::Stubs)?, fault }))
    }
}

impl ProcessModel for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }
    fn machine(&self) -> &dyn Machine {
        self
    }
    fn user_top(&self) -> u64 {
        self.inner.user_top()
    }
    fn vdso(&self) -> Option<Vdso> {
        self.inner.vdso()
    }
    fn new_space(&self) -> Result<Box<dyn ModelSpace>> {
        Ok(Box::new(BrokenSpace { inner: self.inner.new_space()?, fault: self.fault }))
    }
    fn new_thread(&self) -> Box<dyn UserThread> {
        Box::new(BrokenThread { inner: self.inner.new_thread(), fault: self.fault })
    }
    fn audit_idle(&self) -> Vec<HostView> {
        self.inner.audit_idle()
    }
    fn counters(&self) -> Vec<(&'static str, u64)> {
        self.inner.counters()
    }
}

impl Machine for Broken {
    fn new_context(&self, space: Option<&dyn ModelSpace>, main: ContextMain) -> Result<Arc<dyn Context>> {
        self.inner.machine().new_context(space, main)
    }
    fn switch(&self, from: &dyn Context, to: &dyn Context) {
        self.inner.machine().switch(from, to);
    }
    fn run_cpus(&self, count: usize, main: &(dyn Fn(usize, Arc<dyn Context>) + Sync)) {
        self.inner.machine().run_cpus(count, main);
    }
    fn current_cpu(&self) -> usize {
        self.inner.machine().current_cpu()
    }
    fn kick(&self, cpu: usize) {
        self.inner.machine().kick(cpu);
    }
    fn idle(&self, deadline: Option<u64>) {
        self.inner.machine().idle(deadline);
    }
    fn set_alarm(&self, deadline: Option<u64>) {
        let deadline = deadline.filter(|_| self.fault != Fault::MissedInterrupt);
        self.inner.machine().set_alarm(deadline);
    }
}

struct BrokenSpace {
    inner: Box<dyn ModelSpace>,
    fault: Fault,
}

impl ModelSpace for BrokenSpace {
    fn reserve(&self) -> Result<()> {
        self.inner.reserve()
    }
    fn map(&self, mapping: Mapping, when: When) {
        self.inner.map(mapping, when);
    }
    fn unmap(&self, range: PageRange) {
        if self.fault != Fault::StaleMapping || range.len() != PAGE_SIZE {
            self.inner.unmap(range);
        }
    }
    fn protect(&self, range: PageRange, prot: Prot) {
        self.inner.protect(range, prot);
    }
    fn sync(&self) {
        self.inner.sync();
    }
    fn audit(&self) -> Vec<HostView> {
        self.inner.audit()
    }
    /// Threads of the model look for what it was made of.
    fn as_any(&self) -> &dyn Any {
        self.inner.as_any()
    }
}

struct BrokenThread {
    inner: Box<dyn UserThread>,
    fault: Fault,
}

impl UserThread for BrokenThread {
    fn run(&mut self, space: &dyn ModelSpace) -> Trap {
        let trap = self.inner.run(space);
        if matches!(trap, Trap::Syscall { abi: SyscallAbi::X64, .. }) {
            match self.fault {
                Fault::LostRegister => {
                    let bytes = self.inner.regs().r12.to_ne_bytes();
                    if bytes.iter().all(|&byte| byte != 0 && byte != 0xff) {
                        self.inner.regs_mut().r12 = 0;
                    }
                }
                Fault::LostYmm => {
                    /// Where the upper halves lie in the layout of XSAVE.
                    const UPPER: std::ops::Range<usize> = 576..832;
                    let mut image = self.inner.extended_state();
                    if let Some(upper) = image.get_mut(UPPER) {
                        upper.fill(0);
                        self.inner.set_extended_state(&image).expect("an image that was just read");
                    }
                }
                Fault::StaleMapping | Fault::MissedInterrupt => {}
            }
        }
        trap
    }
    fn regs(&mut self) -> &Regs {
        self.inner.regs()
    }
    fn regs_mut(&mut self) -> &mut Regs {
        self.inner.regs_mut()
    }
    fn set_result(&mut self, value: u64) {
        self.inner.set_result(value);
    }
    fn read_extended_state(&mut self, image: &mut Vec<u8>) {
        self.inner.read_extended_state(image);
    }
    fn set_extended_state(&mut self, xsave: &[u8]) -> Result<()> {
        self.inner.set_extended_state(xsave)
    }
    fn reset_extended_state(&mut self) {
        self.inner.reset_extended_state();
    }
    fn timestamps(&self) -> bool {
        self.inner.timestamps()
    }
    fn set_timestamps(&mut self, on: bool) {
        self.inner.set_timestamps(on);
    }
    fn reset(&mut self) {
        self.inner.reset();
    }
    fn duplicate(&mut self) -> Box<dyn UserThread> {
        Box::new(BrokenThread { inner: self.inner.duplicate(), fault: self.fault })
    }
    fn host_time(&self) -> Option<HostTime> {
        self.inner.host_time()
    }
    fn residence(&self) -> Option<Arc<dyn Residence>> {
        self.inner.residence()
    }
}
