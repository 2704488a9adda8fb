//! From a configuration to a running guest, and its end.

mod news;
mod rootfs;

use crate::creds::Creds;
pub use crate::fs::hostfs::Access;
use crate::fs::memfs;
use crate::fs::stdio::{Standard, standard_streams};
use crate::ipc::{sem, shm};
use crate::limits::Inherited;
use crate::mm::{frames, pressure};
use crate::task::exec::{self, Image};
use crate::task::{self, Task, exit, init, run, signal};
use crate::vfs::FdTable;
use crate::vfs::file::OpenFile;
use crate::{Errno, Result, lock, sched, vfs};
use abi::number::Low;
use std::path::PathBuf;
use std::sync::Arc;
use umlab_host::limits::Reason;
use umlab_model::{ProcessModel, UserThread};

/// A host file or directory that the guest sees at a place of its own.
#[derive(Clone, Debug)]
pub struct Bind {
    pub host: PathBuf,
    pub guest: Vec<u8>,
    pub access: Access,
}

/// A memory file system.
#[derive(Clone, Debug)]
pub struct Tmpfs {
    pub guest: Vec<u8>,
    /// Bytes it may hold; None for half of the guest's memory.
    pub size: Option<u64>,
}

/// What to boot.
#[derive(Clone, Debug)]
pub struct Config {
    pub cpus: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// The host directory that is the guest's root: read only, with memory above.
    pub root: PathBuf,
    pub binds: Vec<Bind>,
    pub tmpfs: Vec<Tmpfs>,
    pub environment: Vec<Vec<u8>>,
    pub workdir: Vec<u8>,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub inherited: Inherited,
    pub hostname: Vec<u8>,
    /// The audit looks after one of so many traps; 0 for no audit.
    pub audit: u32,
    pub command: Vec<Vec<u8>>,
}

/// A guest that could not be started: what to tell the person, and the exit status.
#[derive(Debug)]
pub struct Failure {
    pub message: String,
    pub status: i32,
}

/// umlab's own errors.
pub use umlab_host::limits::STATUS_OWN;
const STATUS_NOT_EXECUTABLE: i32 = 126;
const STATUS_NOT_FOUND: i32 = 127;

fn own(what: &str, e: Errno) -> Failure {
    Failure { message: format!("{what}: {}", Reason(e)), status: STATUS_OWN }
}

static FAILURE: lock::KCell<Option<Failure>> = lock::KCell::new(None);

/// Boots a guest on `model`, runs its command to the end, and returns the command's exit status:
/// 128 + n after signal n.
pub fn boot(config: Config, model: Box<dyn ProcessModel>) -> std::result::Result<i32, Failure> {
    crate::sched::events::start(news::HANDLERS).map_err(|e| own("cannot listen to the host", e))?;
    umlab_model::kernel::set(&news::Here);
    connect_layers();
    sched::set_idle_work(frames::give_back_some);
    lock::with(|| {
        crate::mm::audit::start(config.audit);
        sched::set_model(model);
        frames::init(config.memory)
    })
    .map_err(|e| own("cannot make the guest's memory", e))?;
    let cpus = config.cpus;
    let config = lock::KCell::new(Some(config));
    sched::run(cpus, &|| {
        let config = config.borrow_mut().take().expect("boot runs once");
        if let Err(failure) = start_command(config) {
            FAILURE.set(Some(failure));
            sched::stop();
        }
    });
    lock::with(|| {
        crate::tty::console::restore();
        if let Some(failure) = FAILURE.take() {
            return Err(failure);
        }
        let status = init::status().unwrap_or(0);
        let signal = status & 0x7f;
        Ok(if signal != 0 { 128 + signal } else { status >> 8 & 0xff })
    })
}

/// Tells lower layers how to reach higher ones. [`boot`] begins with it; who runs parts of the
/// kernel without a guest calls it first.
pub fn connect_layers() {
    pressure::set_shrink(vfs::dentry::shrink);
    vfs::upcall::set(vfs::upcall::Upcalls {
        caller: || task::current(),
        size_exceeded: signal::size_exceeded,
        ready: signal::file_ready,
    });
    task::upcall::set(task::upcall::Upcalls { dispatch: crate::syscall::dispatch, undo_list: sem::undo::new_list });
    shm::set_file_maker(memfs::nameless);
}

/// Makes init and the command's task, which goes on with `exec_command` in its own context.
fn start_command(config: Config) -> std::result::Result<(), Failure> {
    let root = Arc::new(Creds::user(0, 0, Vec::new()));
    let fs = rootfs::build(&config)?;
    init::boot(fs.clone(), root).map_err(|e| own("cannot make init", e))?;
    crate::uts::set_hostname(&config.hostname);
    let creds = Arc::new(Creds::user(config.uid, config.gid, config.groups.clone()));
    let space = crate::mm::AddressSpace::new().map_err(|e| own("cannot make an address space", e))?;
    let fs = fs.duplicate();
    fs.umask.set(config.inherited.umask);
    let task = init::new_command(space, FdTable::new(), fs, creds, &config.inherited)
        .map_err(|e| own("cannot make the first process", e))?;
    let user = sched::model().new_thread();
    run::spawn_with(&task, user, Box::new(move |task, user| exec_command(task, user, config)))
        .map_err(|e| own("cannot make a kernel stack", e))
}

/// The first thing the command's task does: open its descriptors and become its program.
fn exec_command(task: &Arc<Task>, user: &mut dyn UserThread, config: Config) {
    if let Err(failure) = try_exec(task, user, config) {
        FAILURE.set(Some(failure));
        exit::exit_group(task, exit::exited(STATUS_OWN));
    }
}

fn try_exec(task: &Arc<Task>, user: &mut dyn UserThread, config: Config) -> std::result::Result<(), Failure> {
    open_streams(task).map_err(|e| own("cannot open the standard streams", e))?;
    let workdir = String::from_utf8_lossy(&config.workdir).into_owned();
    rootfs::change_directory(task, &config.workdir)
        .map_err(|e| own(&format!("cannot change to the working directory '{workdir}'"), e))?;
    let name = config.command.first().cloned().unwrap_or_default();
    let shown = String::from_utf8_lossy(&name).into_owned();
    let failed = |e: Errno| {
        let status = if matches!(e, Errno::ENOENT | Errno::ENOTDIR) { STATUS_NOT_FOUND } else { STATUS_NOT_EXECUTABLE };
        let reason =
            if name.contains(&b'/') || e != Errno::ENOENT { e.to_string() } else { "command not found".into() };
        Failure { message: format!("cannot run '{shown}': {reason}"), status }
    };
    let (file, path) = find_program(task, &name, &config.environment).map_err(failed)?;
    let variables = config.environment.len();
    let image = Image { file, path: path.clone(), arguments: config.command.clone(), environment: config.environment };
    let prepared = exec::prepare(task, image).map_err(failed)?;
    prepared.space.host().reserve().map_err(|e| own("the host gives no process to run the command in", e))?;
    crate::syscall::trace::first_exec(task, &path, &config.command, variables);
    exec::commit(task, user, prepared).map_err(failed)
}

/// Descriptors 0, 1 and 2, as `uml` has them.
fn open_streams(task: &Arc<Task>) -> Result<()> {
    let files = task.files();
    let mut console: Option<Arc<OpenFile>> = None;
    for (fd, stream) in (0..).zip(standard_streams()) {
        let file = match stream {
            Standard::Closed => continue,
            Standard::SameAs(other) => files.get(other.low_i32())?,
            Standard::Stream { inode, ops, flags, position } => {
                let file = OpenFile::new(ops, inode, flags);
                file.position.set(position);
                file
            }
            Standard::Console => match &console {
                Some(file) => file.clone(),
                None => {
                    crate::tty::console::attach()?;
                    let file = rootfs::open_console(task)?;
                    crate::tty::console::tty().make_controlling(&task.process);
                    console.insert(file).clone()
                }
            },
        };
        files.install_at(fd, file, false)?;
    }
    Ok(())
}

/// The program a command names: as a path when it has a slash, else the first in PATH that can be
/// run.
fn find_program(task: &Arc<Task>, name: &[u8], environment: &[Vec<u8>]) -> Result<(Arc<OpenFile>, Vec<u8>)> {
    const DEFAULT: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    if name.contains(&b'/') {
        return Ok((crate::vfs::exec::open(task, name)?, name.to_vec()));
    }
    if name.is_empty() {
        return Err(Errno::ENOENT);
    }
    let path = environment.iter().find_map(|variable| variable.strip_prefix(b"PATH=")).unwrap_or(DEFAULT);
    let mut refused = Errno::ENOENT;
    for directory in path.split(|&b| b == b':') {
        let mut candidate = if directory.is_empty() { b".".to_vec() } else { directory.to_vec() };
        candidate.push(b'/');
        candidate.extend_from_slice(name);
        match crate::vfs::exec::open(task, &candidate) {
            Ok(file) => return Ok((file, candidate)),
            Err(Errno::EACCES) => refused = Errno::EACCES,
            Err(_) => {}
        }
    }
    Err(refused)
}
