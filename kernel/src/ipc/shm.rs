//! Shared memory segments (shmget(2), shmop(2), shmctl(2)).
//!
//! A segment is the contents of a memory file. What attaches it is an area that maps that file, and
//! the areas' references to the open file are the count of attachments: a fork, an exec and an exit
//! count as they make and drop areas.

use super::{Ids, Object, Perm, READ, WRITE, seconds};
use crate::Pid;
use crate::creds::Creds;
use crate::limits;
use crate::lock::KCell;
use crate::mm::map::MapRequest;
use crate::mm::object::{MapObject, MappedFile};
use crate::mm::page_cache::Contents;
use crate::mm::{PAGE_SIZE, frames, pressure};
use crate::task::Task;
use crate::task::acting;
use crate::vfs::Path;
use crate::vfs::file::{FileOps, OpenFile};
use crate::vfs::mapped;
use crate::{Errno, Result};
use std::any::Any;
use std::sync::{Arc, OnceLock, Weak};
use umlab_model::Prot;

/// Segments there may be (/proc/sys/kernel/shmmni).
pub const MOST: usize = 4096;
/// The longest a segment may be, and pages of all (/proc/sys/kernel/shmmax, shmall).
pub const MAX_SIZE: u64 = u64::MAX - (1 << 24);
/// What the core keeps for a segment.
const COST: usize = 1024;

/// It is removed, and there until nobody has it attached.
pub const DEST: u32 = 0o1000;
/// It is to stay in memory, as all does.
pub const LOCKED: u32 = 0o2000;

static SEGMENTS: KCell<Ids<Segment>> = KCell::new(Ids::empty());

pub struct Segment {
    perm: KCell<Perm>,
    pub size: u64,
    contents: Arc<Contents>,
    /// What areas that map it are said to map.
    path: Path,
    history: KCell<History>,
    /// The open files that read-only and other areas refer to, while there are such areas.
    files: KCell<[Weak<OpenFile>; 2]>,
}

/// Who did what when.
#[derive(Clone, Copy, Default)]
pub struct History {
    pub attached: i64,
    pub detached: i64,
    pub changed: i64,
    pub creator: Pid,
    pub last: Pid,
}

impl Object for Segment {
    fn perm(&self) -> Perm {
        self.perm.get()
    }
}

impl Segment {
    pub fn history(&self) -> History {
        self.history.get()
    }

    pub fn attachments(&self) -> u64 {
        self.files.borrow().iter().map(|file| file.strong_count() as u64).sum()
    }

    /// Pages it has in memory.
    pub fn pages(&self) -> u64 {
        self.contents.pages()
    }

    /// The open file for areas that map it.
    fn file(self: &Arc<Self>, read_only: bool) -> Arc<OpenFile> {
        let known = self.files.borrow()[usize::from(read_only)].upgrade();
        known.unwrap_or_else(|| {
            let access = if read_only { abi::O_RDONLY } else { abi::O_RDWR };
            let file = OpenFile::at(Arc::new(SegmentFile(self.clone())), self.path.clone(), access);
            self.files.borrow_mut()[usize::from(read_only)] = Arc::downgrade(&file);
            file
        })
    }
}

/// What areas refer to.
struct SegmentFile(Arc<Segment>);

impl FileOps for SegmentFile {
    fn map(&self, _file: &OpenFile, _prot: Prot, _shared: bool) -> Result<MapObject> {
        Ok(MapObject::Pages(self.0.contents.clone()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for SegmentFile {
    fn drop(&mut self) {
        self.0.note_detached();
    }
}

impl Segment {
    fn note_detached(&self) {
        let mut history = self.history.borrow_mut();
        history.detached = seconds();
        history.last = acting().map_or(history.last, |task| task.pid());
    }
}

/// Makes a file in memory with this name, which nothing leads to, and this size.
pub type MakeFile = fn(name: &[u8], size: u64, creds: &Creds) -> Result<(Arc<Contents>, Path)>;

static MAKE_FILE: OnceLock<MakeFile> = OnceLock::new();

/// Sets who makes the files that segments are. Boot calls it before the first task runs.
pub fn set_file_maker(make: MakeFile) {
    // All guests of one process have the same.
    let _ = MAKE_FILE.set(make);
}

/// shmget(2).
pub fn get(task: &Task, key: i32, size: u64, flags: i32) -> Result<i32> {
    let creds = task.creds();
    let fits = |segment: &Segment| if size > segment.size { Err(Errno::EINVAL) } else { Ok(()) };
    let known = SEGMENTS.borrow().known(key, flags, &creds, fits)?;
    if let Some(id) = known {
        return Ok(id);
    }
    if size == 0 || size > i64::MAX as u64 {
        return Err(Errno::EINVAL);
    }
    // There are no huge pages to take it from.
    let too_large = size > frames::limit() && flags & abi::SHM_NORESERVE == 0;
    if flags & abi::SHM_HUGETLB != 0 || too_large {
        return Err(Errno::ENOMEM);
    }
    pressure::room_for(COST)?;
    let name = format!("SYSV{key:08x}");
    let (contents, path) = MAKE_FILE.get().expect("boot connects the layers")(name.as_bytes(), size, &creds)?;
    let history = History { changed: seconds(), creator: task.pid(), ..History::default() };
    let segment = Segment {
        perm: KCell::new(Perm::new(key, flags.cast_unsigned(), &creds)),
        size,
        contents,
        path,
        history: KCell::new(history),
        files: KCell::default(),
    };
    let segment = Arc::new(segment);
    SEGMENTS.borrow_mut().insert(segment, MOST)
}

/// shmat(2). Returns the address.
pub fn attach(task: &Task, id: i32, addr: u64, flags: i32) -> Result<u64> {
    let mut addr = addr;
    if !addr.is_multiple_of(PAGE_SIZE) {
        if flags & abi::SHM_RND == 0 {
            return Err(Errno::EINVAL);
        }
        addr &= !(PAGE_SIZE - 1);
    }
    let replace = flags & abi::SHM_REMAP != 0;
    if addr == 0 && replace {
        return Err(Errno::EINVAL);
    }
    let read_only = flags & abi::SHM_RDONLY != 0;
    let mut prot = if read_only { Prot::READ } else { Prot::READ | Prot::WRITE };
    if flags & abi::SHM_EXEC != 0 {
        prot |= Prot::EXEC;
    }
    let exec = if prot.contains(Prot::EXEC) { 0o111 } else { 0 };
    let wanted = READ | exec | if read_only { 0 } else { WRITE };
    let segment = find(id, wanted, &task.creds())?;
    let space = task.space();
    let place = match addr {
        0 => 0,
        _ if replace => abi::MAP_FIXED,
        _ => abi::MAP_FIXED_NOREPLACE,
    };
    let request = MapRequest {
        addr,
        len: segment.size,
        prot: prot.bits(),
        flags: abi::MAP_SHARED | place,
        file: Some(segment.file(read_only)),
        offset: 0,
    };
    let at = space.mmap(&request).map_err(|e| if e == Errno::EEXIST { Errno::EINVAL } else { e })?;
    let mut history = segment.history.borrow_mut();
    history.attached = seconds();
    history.last = task.pid();
    Ok(at)
}

/// shmdt(2).
pub fn detach(task: &Task, addr: u64) -> Result<()> {
    let segment = |file: &Arc<dyn MappedFile>| Some(mapped::open_file(file)?.ops_as::<SegmentFile>()?.0.clone());
    let file = task.space().detach(addr, |file| segment(file).map(|segment| segment.size))?;
    if let Some(segment) = segment(&file) {
        segment.note_detached();
    }
    Ok(())
}

/// The segment with this number, for those who may do what `wanted` says.
pub fn find(id: i32, wanted: u32, creds: &Creds) -> Result<Arc<Segment>> {
    SEGMENTS.borrow().permitted(id, wanted, creds)
}

/// The number and the segment at an index.
pub fn at(index: u32) -> Result<(i32, Arc<Segment>)> {
    SEGMENTS.borrow().at(index).ok_or(Errno::EINVAL)
}

/// IPC_SET.
pub fn set(id: i32, uid: u32, gid: u32, mode: u32, creds: &Creds) -> Result<()> {
    let segment = SEGMENTS.borrow().owned(id, creds)?;
    segment.perm.borrow_mut().set(uid, gid, mode)?;
    segment.history.borrow_mut().changed = seconds();
    Ok(())
}

/// IPC_RMID.
pub fn remove(id: i32, creds: &Creds) -> Result<()> {
    let segment = SEGMENTS.borrow().owned(id, creds)?;
    {
        let mut perm = segment.perm.borrow_mut();
        perm.key = abi::IPC_PRIVATE;
        perm.mode |= DEST;
    }
    let kept = SEGMENTS.borrow_mut().doom(id);
    drop(kept);
    Ok(())
}

/// SHM_LOCK and SHM_UNLOCK.
pub fn lock(task: &Task, id: i32, on: bool) -> Result<()> {
    let creds = task.creds();
    let segment = SEGMENTS.borrow().get(id)?;
    let mut perm = segment.perm.borrow_mut();
    if !creds.capable(abi::CAP_IPC_LOCK) {
        let own = creds.euid == perm.uid || creds.euid == perm.creator_uid;
        if !own || on && task.process.limit(limits::MEMLOCK) == 0 {
            return Err(Errno::EPERM);
        }
    }
    perm.mode = if on { perm.mode | LOCKED } else { perm.mode & !LOCKED };
    Ok(())
}

/// All segments.
pub fn all() -> Vec<(i32, Arc<Segment>)> {
    SEGMENTS.borrow().all()
}

/// The highest index in use.
pub fn highest() -> u32 {
    SEGMENTS.borrow().highest()
}
