//! Guest threads: a host thread each, which runs the program while its CPU's thread waits.

use crate::Programs;
use crate::space::Space;
use crate::user::{Body, Entered, Left, User};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use umlab_host::Result;
use umlab_model::{ModelSpace, Regs, Trap, UserThread};

/// The length of the extended state: x87 and SSE, with the XSAVE header.
const EXTENDED: usize = 576;

pub struct Thread {
    programs: Programs,
    regs: Regs,
    extended: Vec<u8>,
    timestamps: bool,
    /// What a thread made by `duplicate` will run.
    body: Option<Body>,
    /// What this thread's next duplicate will run; the program puts it there.
    next: Arc<Mutex<Option<Body>>>,
    running: Option<Running>,
}

/// The ends of the channels to the host thread. It ends when they are dropped.
struct Running {
    enter: Sender<Entered>,
    left: Receiver<Left>,
}

impl Thread {
    pub fn new(programs: Programs) -> Thread {
        // User code's selectors, and interrupts on.
        let regs = Regs::fresh();
        let extended = initial_extended();
        Thread { programs, regs, extended, timestamps: true, body: None, next: Arc::default(), running: None }
    }

    /// What runs from here: a duplicate's own closure, or the program whose entry point the
    /// registers name.
    fn begin(&mut self) -> Option<Running> {
        let body = self.body.take().or_else(|| {
            let programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
            let program = programs.get(&self.regs.rip)?.clone();
            Some(Box::new(move |user: &User| program(user)) as Body)
        })?;
        let (enter, entered) = channel();
        let (leave, left) = channel();
        let next = self.next.clone();
        std::thread::Builder::new()
            .name("program".into())
            .spawn(move || User::live(body, entered, leave, next))
            .expect("the host gives a thread");
        Some(Running { enter, left })
    }
}

/// The image with which a program starts.
fn initial_extended() -> Vec<u8> {
    let mut state = vec![0; EXTENDED];
    state[0..2].copy_from_slice(&0x037fu16.to_le_bytes());
    state[24..28].copy_from_slice(&0x1f80u32.to_le_bytes());
    state
}

impl UserThread for Thread {
    fn run(&mut self, space: &dyn ModelSpace) -> Trap {
        let space: &Space = space.as_any().downcast_ref().expect("the kernel passes spaces of this model");
        let pages = space.pages();
        if self.running.is_none() {
            self.running = self.begin();
        }
        let Some(running) = &self.running else {
            // Nothing to execute there.
            return Trap::Exception { signal: libc::SIGILL, code: 2, addr: self.regs.rip };
        };
        let cpu = umlab_threads::this();
        let regs = self.regs;
        // No process of the host runs it, so nothing interrupts a program between two traps.
        let left = cpu.run_user(umlab_threads::UserTask::NONE, || {
            running.enter.send(Entered { regs, pages }).ok().and_then(|()| running.left.recv().ok())
        });
        match left {
            None => {
                cpu.answer_kicks();
                Trap::Interrupt
            }
            Some(Some(Left { trap, regs })) => {
                self.regs = regs;
                trap
            }
            // It panicked.
            Some(None) => Trap::Exception { signal: libc::SIGABRT, code: 0, addr: 0 },
        }
    }

    fn regs(&mut self) -> &Regs {
        &self.regs
    }

    fn regs_mut(&mut self) -> &mut Regs {
        &mut self.regs
    }

    fn set_result(&mut self, value: u64) {
        self.regs.rax = value;
    }

    fn read_extended_state(&mut self, image: &mut Vec<u8>) {
        image.clone_from(&self.extended);
    }

    fn set_extended_state(&mut self, xsave: &[u8]) -> Result<()> {
        self.extended = xsave.to_vec();
        Ok(())
    }

    fn reset_extended_state(&mut self) {
        self.extended = initial_extended();
    }

    fn timestamps(&self) -> bool {
        self.timestamps
    }

    /// Closures do not run the instructions: the setting alone is kept.
    fn set_timestamps(&mut self, on: bool) {
        self.timestamps = on;
    }

    fn reset(&mut self) {
        *self = Thread { timestamps: self.timestamps, ..Thread::new(self.programs.clone()) };
    }

    fn duplicate(&mut self) -> Box<dyn UserThread> {
        let body = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        let new = Thread::new(self.programs.clone());
        let (extended, timestamps) = (self.extended.clone(), self.timestamps);
        Box::new(Thread { regs: self.regs, extended, timestamps, body, ..new })
    }
}
