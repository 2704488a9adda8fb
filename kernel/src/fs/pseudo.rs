//! Pseudo file systems: trees whose files are made when they are read.
//!
//! A tree is a table: names, and functions that write a file's text, take what is written to it, or
//! list what a directory holds besides. Nothing is kept between calls but a [`Subject`], which says
//! whom the file is about; so it may be gone when the file is used, and then the functions say
//! ESRCH.

use crate::lock::KCell;
use crate::mm::IoBuf;
use crate::vfs::Path;
use crate::vfs::file::{DirEntry, Events, FileOps, OpenFile};
use crate::vfs::inode::{Attr, FileKind, Inode, InodeRef, InodeState, SetAttr, Timestamp};
use crate::vfs::mount::{FileSystem, StatFs};
use crate::{Errno, Result, time};
use abi::number::{Low, to_usize};
use std::any::Any;
use std::sync::{Arc, OnceLock};

/// The object a file describes. Each file system defines its numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Subject {
    pub id: i32,
    pub sub: i32,
}

pub type Show = fn(Subject) -> Result<Vec<u8>>;
pub type Store = fn(Subject, &[u8]) -> Result<()>;

/// What a name in the tree is.
pub enum Node {
    Directory(&'static [Entry]),
    /// A directory that also holds what `Listing` says.
    Listing(&'static [Entry], &'static dyn Listing),
    Text(Show),
    /// A file that can be written too.
    Setting(Show, Store),
    /// A symbolic link: its text.
    Link(Show),
    /// A link that leads to an object whatever its text says.
    MagicLink {
        show: Show,
        follow: fn(Subject) -> Result<Path>,
        mode: Option<fn(Subject) -> u32>,
    },
    /// Anything else: the operations of its open files.
    Special(fn(Subject) -> Result<Arc<dyn FileOps>>),
}

pub struct Entry {
    pub name: &'static str,
    pub mode: u32,
    pub node: Node,
    /// Who may open it or follow it, beyond what its mode says.
    pub guard: Option<fn(Subject) -> Result<()>>,
}

/// Table rows, in short.
pub const fn dir(name: &'static str, entries: &'static [Entry]) -> Entry {
    Entry { name, mode: 0o555, node: Node::Directory(entries), guard: None }
}

pub const fn text(name: &'static str, show: Show) -> Entry {
    Entry { name, mode: 0o444, node: Node::Text(show), guard: None }
}

pub const fn setting(name: &'static str, show: Show, store: Store) -> Entry {
    Entry { name, mode: 0o644, node: Node::Setting(show, store), guard: None }
}

pub const fn link(name: &'static str, show: Show) -> Entry {
    Entry { name, mode: 0o777, node: Node::Link(show), guard: None }
}

impl Entry {
    pub const fn with_mode(self, mode: u32) -> Entry {
        Entry { mode, name: self.name, node: self.node, guard: self.guard }
    }

    pub const fn guarded(self, guard: fn(Subject) -> Result<()>) -> Entry {
        Entry { guard: Some(guard), name: self.name, node: self.node, mode: self.mode }
    }

    fn kind(&self) -> FileKind {
        match self.node {
            Node::Directory(_) | Node::Listing(..) => FileKind::Directory,
            Node::Text(_) | Node::Setting(..) | Node::Special(_) => FileKind::Regular,
            Node::Link(_) | Node::MagicLink { .. } => FileKind::Symlink,
        }
    }
}

/// What a directory holds besides its table.
pub trait Listing: Sync {
    fn find(&self, subject: Subject, name: &[u8]) -> Result<Found>;
    /// Everything, ordered by key.
    fn list(&self, subject: Subject) -> Result<Vec<Listed>>;
    /// How many of these are directories.
    fn directories(&self, _subject: Subject) -> usize {
        0
    }
}

/// What a name stands for: a row, whose own name does not matter, and its subject.
pub struct Found {
    pub entry: &'static Entry,
    pub subject: Subject,
}

pub struct Listed {
    /// Its place in the order: names that stay keep it, whatever else comes and goes.
    pub key: u32,
    pub name: Vec<u8>,
    pub found: Found,
}

/// A file system made of a table.
pub struct Tree {
    pub dev: u64,
    pub root: Entry,
    /// User and group of a subject's files; an error when it is gone.
    pub owner: fn(Subject) -> Result<(u32, u32)>,
    /// Looking up a name that is not there is an error, also for who would make it; and the
    /// directories of subjects are immutable.
    pub lookups_fail: bool,
}

impl Tree {
    /// The root directory, for mounting.
    pub fn root(&'static self) -> InodeRef {
        self.inode(&self.root, Subject::default())
    }

    fn inode(&'static self, entry: &'static Entry, subject: Subject) -> InodeRef {
        Arc::new(PseudoInode { tree: self, entry, subject, found: time::now(), state: InodeState::default() })
    }

    /// A number that stays the same as long as the file: rows are told apart by where they lie in
    /// memory.
    fn ino(&'static self, entry: &'static Entry, subject: Subject) -> u64 {
        if std::ptr::eq(entry, &raw const self.root) {
            return 1;
        }
        let row = (std::ptr::from_ref::<Entry>(entry) as u64) >> 3 & 0xf_ffff;
        let [id, sub] = [subject.id, subject.sub].map(|number| u64::from(number.cast_unsigned()));
        (id + 1) << 40 | (sub & 0xf_ffff) << 20 | row
    }
}

/// Positions of listed entries begin here: the table's rows are below.
const LISTED: u64 = 1 << 16;

struct PseudoInode {
    tree: &'static Tree,
    entry: &'static Entry,
    subject: Subject,
    /// When it was looked up (CLOCK_MONOTONIC, ns): its subject is not one that came later and got
    /// the same number.
    found: u64,
    state: InodeState,
}

/// The subject of a file that is of this row, and when it was found.
pub fn subject_of(inode: &InodeRef, entry: &'static Entry) -> Option<(Subject, u64)> {
    let inode = inode.as_any().downcast_ref::<PseudoInode>()?;
    std::ptr::eq(inode.entry, entry).then_some((inode.subject, inode.found))
}

impl PseudoInode {
    fn rows(&self) -> Result<&'static [Entry]> {
        match self.entry.node {
            Node::Directory(rows) | Node::Listing(rows, _) => Ok(rows),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// A directory is named in itself, in the one above, and in each one below.
    fn link_count(&self) -> u32 {
        let Ok(rows) = self.rows() else { return 1 };
        let listed = match self.entry.node {
            Node::Listing(_, listing) => listing.directories(self.subject),
            _ => 0,
        };
        let below = rows.iter().filter(|row| row.kind() == FileKind::Directory).count() + listed;
        below.low_u32().saturating_add(2)
    }

    fn check(&self) -> Result<()> {
        self.entry.guard.map_or(Ok(()), |guard| guard(self.subject))
    }
}

fn start() -> Timestamp {
    static TIME: OnceLock<Timestamp> = OnceLock::new();
    *TIME.get_or_init(|| Timestamp::from(time::realtime()))
}

impl Inode for PseudoInode {
    fn state(&self) -> &InodeState {
        &self.state
    }

    fn attr(&self) -> Result<Attr> {
        let (uid, gid) = (self.tree.owner)(self.subject)?;
        let kind = self.kind();
        let mode = match self.entry.node {
            Node::MagicLink { mode: Some(mode), .. } => mode(self.subject),
            _ => self.entry.mode,
        };
        Ok(Attr {
            dev: self.tree.dev,
            ino: self.tree.ino(self.entry, self.subject),
            kind,
            mode,
            nlink: self.link_count(),
            uid,
            gid,
            rdev: 0,
            size: 0,
            blocks: 0,
            block_size: 1024,
            atime: start(),
            mtime: start(),
            ctime: start(),
            btime: None,
        })
    }

    fn kind(&self) -> FileKind {
        self.entry.kind()
    }

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        // O_TRUNC, as `echo x > /proc/...` asks for, means nothing here.
        if change.size.is_some() && change.mode.is_none() && change.uid.is_none() { Ok(()) } else { Err(Errno::EPERM) }
    }

    fn lookup(&self, name: &[u8]) -> Result<InodeRef> {
        (self.tree.owner)(self.subject)?;
        if let Some(row) = self.rows()?.iter().find(|row| row.name.as_bytes() == name) {
            return Ok(self.tree.inode(row, self.subject));
        }
        match self.entry.node {
            Node::Listing(_, listing) => {
                let found = listing.find(self.subject, name)?;
                Ok(self.tree.inode(found.entry, found.subject))
            }
            _ => Err(Errno::ENOENT),
        }
    }

    fn no_names(&self) -> Option<Errno> {
        self.tree.lookups_fail.then_some(Errno::ENOENT)
    }

    fn immutable(&self) -> bool {
        self.tree.lookups_fail && self.kind() == FileKind::Directory && self.subject != Subject::default()
    }

    fn names_version(&self) -> Option<u64> {
        // A table's rows never change; what is listed comes and goes.
        matches!(self.entry.node, Node::Directory(_)).then_some(0)
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        match self.entry.node {
            Node::Link(show) | Node::MagicLink { show, .. } => {
                self.check()?;
                show(self.subject)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn follow(&self) -> Option<Result<Path>> {
        match self.entry.node {
            Node::MagicLink { follow, .. } => Some(self.check().and_then(|()| follow(self.subject))),
            _ => None,
        }
    }

    fn open(self: Arc<Self>, _flags: i32) -> Result<Arc<dyn FileOps>> {
        self.check()?;
        match self.entry.node {
            Node::Special(open) => open(self.subject),
            Node::Text(_) | Node::Setting(..) => {
                Ok(Arc::new(PseudoFile { entry: self.entry, subject: self.subject, text: KCell::new(None) }))
            }
            Node::Directory(_) | Node::Listing(..) => Err(Errno::EISDIR),
            Node::Link(_) | Node::MagicLink { .. } => Err(Errno::ELOOP),
        }
    }

    /// As in a file that is empty.
    fn seek_dir(&self, _offset: i64, whence: i32) -> Result<u64> {
        if whence == abi::SEEK_END { Ok(0) } else { Err(Errno::ENXIO) }
    }

    fn read_dir(&self, from: u64, emit: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> Result<()> {
        self.check()?;
        let rows = self.rows()?;
        for (index, row) in rows.iter().enumerate().skip(to_usize(from)) {
            let (ino, kind) = (self.tree.ino(row, self.subject), row.kind().dirent_type());
            if !emit(&DirEntry { ino, next: index as u64 + 1, kind, name: row.name.as_bytes() }) {
                return Ok(());
            }
        }
        let Node::Listing(_, listing) = self.entry.node else { return Ok(()) };
        for item in listing.list(self.subject)? {
            let position = LISTED + u64::from(item.key);
            if position < from {
                continue;
            }
            let ino = self.tree.ino(item.found.entry, item.found.subject);
            let kind = item.found.entry.kind().dirent_type();
            if !emit(&DirEntry { ino, next: position + 1, kind, name: &item.name }) {
                break;
            }
        }
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open text file: its text is made at the first read, and again by a read from the start.
struct PseudoFile {
    entry: &'static Entry,
    subject: Subject,
    text: KCell<Option<Arc<Vec<u8>>>>,
}

impl FileOps for PseudoFile {
    fn read(&self, _file: &OpenFile, buf: &mut IoBuf<'_>, offset: u64) -> Result<usize> {
        let (Node::Text(show) | Node::Setting(show, _)) = self.entry.node else { return Err(Errno::EINVAL) };
        if offset == 0 || self.text.borrow().is_none() {
            let text = Arc::new(show(self.subject)?);
            // It is kept as long as the file is open.
            crate::mm::pressure::room_for(text.len())?;
            self.text.set(Some(text));
        }
        let text = self.text.cloned().unwrap_or_default();
        let rest = usize::try_from(offset).ok().and_then(|offset| text.get(offset..)).unwrap_or(&[]);
        buf.put(rest)
    }

    fn write(&self, _file: &OpenFile, buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        let Node::Setting(_, store) = self.entry.node else { return Err(Errno::EIO) };
        let bytes = buf.take_vec(4096)?;
        store(self.subject, &bytes)?;
        Ok(bytes.len())
    }

    fn seekable(&self) -> bool {
        true
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A tree as a file system that can be mounted.
pub struct PseudoFs {
    pub kind: &'static str,
    /// What statfs(2) calls it.
    pub magic: u64,
    pub tree: &'static Tree,
}

impl FileSystem for PseudoFs {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn root(&self) -> InodeRef {
        self.tree.root()
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs { magic: self.magic, block_size: 4096, name_max: 255, ..StatFs::default() })
    }
}

/// A number that was written, up to a NUL or a newline that ends it: octal, decimal or hexadecimal
/// as C has it, or decimal only; with a sign.
///
/// # Errors
/// EINVAL for what is no such number, ERANGE for one that is too large.
pub fn integer<T: TryFrom<i128>>(bytes: &[u8], decimal: bool) -> Result<T> {
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    let takes_minus = T::try_from(-1).is_ok();
    let (sign, text) = match text {
        [b'-', rest @ ..] if takes_minus => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        _ => (1, text),
    };
    let (base, text) = match text {
        [b'0', b'x' | b'X', rest @ ..] if !decimal && rest.first().is_some_and(u8::is_ascii_hexdigit) => (16, rest),
        [b'0', ..] if !decimal => (8, text),
        _ => (10, text),
    };
    let (mut value, mut rest) = (None, text);
    while let [byte, more @ ..] = rest
        && let Some(digit) = char::from(*byte).to_digit(base)
    {
        value = Some(value.unwrap_or(0i128).saturating_mul(base.into()).saturating_add(digit.into()));
        rest = more;
    }
    match value {
        Some(value) if matches!(rest, [] | [b'\n']) => T::try_from(sign * value).map_err(|_| Errno::ERANGE),
        _ => Err(Errno::EINVAL),
    }
}

/// What is left without the white space around it.
pub fn trimmed(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default().trim_ascii()
}

/// As [`integer`], for /proc/sys: there white space may stand around it, but no plus and no NUL,
/// and all errors are EINVAL.
pub fn number<T: TryFrom<i128>>(bytes: &[u8]) -> Result<T> {
    match bytes.trim_ascii() {
        text if text.starts_with(b"+") || text.contains(&0) => Err(Errno::EINVAL),
        text => integer(text, false).map_err(|_| Errno::EINVAL),
    }
}
