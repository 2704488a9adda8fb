//! What is run and measured.
//!
//! A model can only be compared by work that is the same everywhere. So a workload is a part of one
//! program, `umlab-workload`, which is static: the host, a guest of any model and a peer run the
//! same file. It runs the work where it is, and says on standard output, in lines of JSON, what was
//! done ([`Report`]). It knows nothing of models, rounds or statistics; those are the harness's.
//!
//! A workload is one file with one type, and a row in [`ALL`].

pub mod about;
pub mod apps;
pub mod children;
pub mod fork_exec;
pub mod kernel_build;
pub mod memory;
pub mod micro;
pub mod primitives;
pub mod protocol;
pub mod report;
pub mod setting;
pub mod timing;

pub use about::{About, Group, Param, Size};
pub use report::Report;
pub use setting::Setting;

/// Something to run and measure.
pub trait Workload: Sync {
    /// What it is. The harness plans by this, and the table in README.md is made of it.
    fn about(&self) -> About;

    /// The size that makes, with the parameter `out=DIR`, what this size can begin with by
    /// `prepared=DIR`: work that is the same before every sample and not what is compared.
    fn prepared_by(&self, _size: &str) -> Option<&'static str> {
        None
    }

    /// Run it here, now. It must find out by itself whether the work was done right: a result that
    /// depends on nothing but the workload goes into a check, which must be the same on every
    /// kernel; everything else that must hold is an error when it does not.
    fn run(&self, setting: &Setting, report: &mut Report) -> anyhow::Result<()>;
}

/// All workloads, in the order in which they are listed and run.
pub const ALL: &[&dyn Workload] = &[
    &kernel_build::KernelBuild,
    &fork_exec::fork_exit::ForkExit,
    &fork_exec::fork_execve::ForkExec,
    &fork_exec::vfork_exec::VforkExec,
    &fork_exec::spawn::Spawn,
    &fork_exec::fork_shell::ForkShell,
    &fork_exec::shell_loop::ShellLoop,
    &fork_exec::process_tree::ProcessTree,
    &micro::null_call::NullCall,
    &micro::clock_read::ClockRead,
    &micro::read::Read,
    &micro::write::Write,
    &micro::stat::Stat,
    &micro::open_close::OpenClose,
    &micro::files::Files,
    &micro::select::Select,
    &micro::signal_install::SignalInstall,
    &micro::signal_catch::SignalCatch,
    &micro::protection_fault::ProtectionFault,
    &micro::page_fault::PageFault,
    &micro::mmap_munmap::MmapMunmap,
    &micro::pipe::Pipe,
    &micro::unix_socket::UnixSocket,
    &micro::context_switch::ContextSwitch,
    &micro::thread_create::ThreadCreate,
    &micro::futex::Futex,
    &apps::git::Git,
    &apps::sqlite::Sqlite,
    &apps::python::Python,
    &apps::compress::Compress,
    &primitives::SIGNAL_DELIVERY,
    &primitives::PROCESS_SWITCH,
    &primitives::PTRACE_STOP,
    &primitives::MPROTECT,
    &primitives::MMAP,
    &primitives::USER_NOTIFICATION,
    &primitives::SIGSYS,
    &primitives::SIGSYS_HAND_OVER,
    &primitives::REWRITTEN_CALL,
    &primitives::MMAP_ORDER,
];

pub fn find(name: &str) -> Option<&'static dyn Workload> {
    ALL.iter().copied().find(|workload| workload.about().name == name)
}
