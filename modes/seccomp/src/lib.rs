//! unotify and sigsys: as in skas, the core is in its own process and guests in address spaces of
//! their own, but nobody traces them.
//!
//! A guest address space is a host process ([`process`]), and a guest thread that runs is a host
//! thread in it, a *runner*, under a seccomp filter that lets no call through. In unotify a system
//! call of user code sleeps in the host until the core has received and answered it (seccomp's user
//! notification): one switch there, one back, and no register is moved. All else that happens in
//! user code is a signal, whose handler, in the *stub* ([`code`]), reports by such a call as well,
//! with the registers in the signal's frame, where the core can read and write them. In sigsys
//! system calls are signals too, and a report need not be a call while both sides have a host CPU
//! of their own ([`pace`]).
//!
//! Mappings are made by another thread of the process, the *mapper*, which obeys orders that only
//! the core can write and never runs user code. A CPU of the core waits in one place for whatever a
//! runner does, and any CPU can let any runner go on.

mod code;
mod cpu;
mod pace;
mod process;
mod runner;
mod space;
mod thread;

use code::Calls;
use pace::Apart;
use umlab_host::{Result, auxv, notify, xstate};
use umlab_model::{CannotRun, HostView, Isolation, Machine, Model, ModelSpace, ProcessModel, UserThread, Vdso};
use umlab_threads::Threads;

/// Checks of `umlab conform` that both do not pass.
const KNOWN_FAILURES: &[(&str, &str)] = &[
    ("threads/cpu-number", "the vDSO is the host's, and tells the number of the host's CPU"),
    ("isolation/writable", "the host puts signal frames there, which are the process's own; the core trusts none"),
];

/// Both as people choose them.
pub static MODELS: &[Model] = &[
    Model {
        name: "unotify",
        description: "the core in an address space of its own, guests in others; system calls arrive by seccomp's user notification",
        options: &[],
        most_cpus: None,
        isolation: Isolation::Full,
        known_failures: KNOWN_FAILURES,
        probe,
        make: |cpus, _| Ok(Box::new(Seccomp::new("unotify", cpus, Calls::Notified, None)?)),
    },
    Model {
        name: "sigsys",
        description: "as unotify, but system calls are signals, handed over in shared memory while a host CPU is free",
        options: &["apart=never", "apart=always"],
        most_cpus: None,
        isolation: Isolation::Full,
        known_failures: KNOWN_FAILURES,
        probe,
        make: |cpus, options| {
            let apart = match options.last() {
                Some(&"apart=never") => Apart::Never,
                Some(&"apart=always") => Apart::Always,
                _ => Apart::WhileItPays,
            };
            Ok(Box::new(Seccomp::new("sigsys", cpus, Calls::Signals, Some(apart))?))
        },
    },
];

/// Whether this host can run them, and if not why.
fn probe() -> std::result::Result<String, CannotRun> {
    check_host().map(|()| String::new())
}

fn check_host() -> std::result::Result<(), CannotRun> {
    const HWCAP2_FSGSBASE: u64 = 2;
    if auxv::get(libc::AT_HWCAP2) & HWCAP2_FSGSBASE == 0 {
        return Err("the CPU or the host kernel does not have the instruction wrfsbase".into());
    }
    notify::probe().map_err(|e| CannotRun::failed("the host has no user notification of seccomp (Linux 5.0)", e))?;
    if !notify::waits_for_answers() {
        return Err("the host lets signals interrupt calls that wait for an answer (Linux 5.19 does not)".into());
    }
    Ok(())
}

/// The model; one for the process.
struct Seccomp {
    name: &'static str,
    threads: Threads,
}

impl Seccomp {
    fn new(
        name: &'static str,
        cpus: usize,
        calls: Calls,
        apart: Option<Apart>,
    ) -> std::result::Result<Seccomp, CannotRun> {
        check_host()?;
        umlab_host::copy::install();
        xstate::init()?;
        code::init(calls, pace::runner_looks())?;
        cpu::init(cpus, apart)?;
        Ok(Seccomp { name, threads: Threads::new(cpus, cpu::UPKEEP) })
    }
}

impl ProcessModel for Seccomp {
    fn name(&self) -> &'static str {
        self.name
    }

    fn machine(&self) -> &dyn Machine {
        &self.threads
    }

    fn user_top(&self) -> u64 {
        umlab_stubs::USER_TOP
    }

    fn vdso(&self) -> Option<Vdso> {
        umlab_stubs::vdso::place()
    }

    fn new_space(&self) -> Result<Box<dyn ModelSpace>> {
        Ok(Box::new(space::SeccompSpace::new()))
    }

    fn new_thread(&self) -> Box<dyn UserThread> {
        Box::new(thread::SeccompThread::new())
    }

    fn audit_idle(&self) -> Vec<HostView> {
        space::idle_views()
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        cpu::counters().into_iter().chain(umlab_threads::counters()).collect()
    }
}
