//! A model of a tree of names, as path_resolution(7) and the pages of the calls describe it: the
//! judge of the kernel's.

use std::collections::BTreeMap;
use umlab_kernel::vfs::walk::Walk;
use umlab_kernel::{Errno, Result};

pub type Id = usize;
pub const ROOT: Id = 0;
const NAME_MAX: usize = 255;
const LINKS_MAX: u32 = 40;

pub enum Kind {
    Directory(BTreeMap<Vec<u8>, Id>),
    File,
    Link(Vec<u8>),
}

pub struct Node {
    pub kind: Kind,
    /// Of a directory; that of the root is the root.
    parent: Id,
    /// Of a directory: it has no name any more.
    removed: bool,
    /// The kernel's number for it.
    pub ino: u64,
}

pub struct Tree {
    pub nodes: Vec<Node>,
    pub cwd: Id,
}

/// The last component of a path.
enum Last<'a> {
    Name(&'a [u8]),
    Dot,
    DotDot,
    None,
}

/// Where the last component of a path is looked up.
struct Place<'a> {
    dir: Id,
    last: Last<'a>,
    slash: bool,
}

/// How a rename is to be done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rename {
    Replace,
    NoReplace,
    Exchange,
}

impl Tree {
    pub fn new(root_ino: u64) -> Tree {
        let kind = Kind::Directory(BTreeMap::new());
        Tree { nodes: vec![Node { kind, parent: ROOT, removed: false, ino: root_ino }], cwd: ROOT }
    }

    fn entries(&self, id: Id) -> Option<&BTreeMap<Vec<u8>, Id>> {
        match &self.nodes[id].kind {
            Kind::Directory(entries) => Some(entries),
            _ => None,
        }
    }

    fn entries_mut(&mut self, id: Id) -> &mut BTreeMap<Vec<u8>, Id> {
        match &mut self.nodes[id].kind {
            Kind::Directory(entries) => entries,
            _ => panic!("a directory was asked for"),
        }
    }

    pub fn is_dir(&self, id: Id) -> bool {
        self.entries(id).is_some()
    }

    /// Whether a directory or one above it has no name any more, so that it has no path.
    pub fn is_cut_off(&self, mut id: Id) -> bool {
        while id != ROOT && !self.nodes[id].removed {
            id = self.nodes[id].parent;
        }
        id != ROOT
    }

    fn child(&self, place: &Place<'_>) -> Option<Id> {
        match place.last {
            Last::Name(name) => self.entries(place.dir)?.get(name).copied(),
            _ => None,
        }
    }

    /// Whether `id` is `above` or lies below it.
    fn is_within(&self, mut id: Id, above: Id) -> bool {
        while id != above && id != ROOT {
            id = self.nodes[id].parent;
        }
        id == above
    }

    /// A directory's path from the root.
    pub fn path(&self, mut id: Id) -> Vec<u8> {
        let mut names = Vec::new();
        while id != ROOT {
            let parent = self.nodes[id].parent;
            let entries = self.entries(parent).expect("a parent is a directory");
            names.push(entries.iter().find(|(_, child)| **child == id).expect("it has a name").0.clone());
            id = parent;
        }
        if names.is_empty() {
            return b"/".to_vec();
        }
        names.iter().rev().flat_map(|name| [b"/", &name[..]].concat()).collect()
    }

    pub fn lookup(&self, path: &[u8], how: Walk) -> Result<Id> {
        if path.is_empty() {
            return if how.contains(Walk::EMPTY) {
                self.checked(self.cwd, how.contains(Walk::DIRECTORY))
            } else {
                Err(Errno::ENOENT)
            };
        }
        let found = Resolve::new(self, how).resolve(self.cwd, path, how.contains(Walk::FOLLOW))?;
        self.checked(found, how.contains(Walk::DIRECTORY))
    }

    fn checked(&self, id: Id, directory: bool) -> Result<Id> {
        if directory && !self.is_dir(id) { Err(Errno::ENOTDIR) } else { Ok(id) }
    }

    fn place<'a>(&self, path: &'a [u8]) -> Result<Place<'a>> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        let trimmed = path.len() - path.iter().rev().take_while(|&&byte| byte == b'/').count();
        let slash = trimmed < path.len();
        let begin = path[..trimmed].iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
        let (above, last) = (&path[..begin], &path[begin..trimmed]);
        let dir = match above {
            b"" if last.is_empty() => ROOT,
            b"" => self.cwd,
            above => Resolve::new(self, Walk::empty()).resolve(self.cwd, above, true)?,
        };
        let last = match last {
            b"" => Last::None,
            b"." => Last::Dot,
            b".." => Last::DotDot,
            name if name.len() > NAME_MAX => return Err(Errno::ENAMETOOLONG),
            name => Last::Name(name),
        };
        Ok(Place { dir, last, slash })
    }

    fn vacancy<'a>(&self, path: &'a [u8], directory: bool) -> Result<(Id, &'a [u8])> {
        let place = self.place(path)?;
        match place.last {
            Last::Name(_) if self.child(&place).is_some() => Err(Errno::EEXIST),
            Last::Name(_) if place.slash && !directory => Err(Errno::ENOENT),
            Last::Name(_) if self.nodes[place.dir].removed => Err(Errno::ENOENT),
            Last::Name(name) => Ok((place.dir, name)),
            _ => Err(Errno::EEXIST),
        }
    }

    /// mkdir(2), symlink(2), mknod(2).
    pub fn make(&mut self, path: &[u8], kind: Kind) -> Result<Id> {
        let (dir, name) = self.vacancy(path, matches!(kind, Kind::Directory(_)))?;
        let id = self.nodes.len();
        self.nodes.push(Node { kind, parent: dir, removed: false, ino: 0 });
        self.entries_mut(dir).insert(name.to_vec(), id);
        Ok(id)
    }

    /// link(2).
    pub fn link(&mut self, old: &[u8], new: &[u8]) -> Result<()> {
        let old = self.lookup(old, Walk::empty())?;
        let (dir, name) = self.vacancy(new, false)?;
        if self.is_dir(old) {
            return Err(Errno::EPERM);
        }
        self.entries_mut(dir).insert(name.to_vec(), old);
        Ok(())
    }

    /// unlink(2) and rmdir(2).
    pub fn remove(&mut self, path: &[u8], directory: bool) -> Result<()> {
        let place = self.place(path)?;
        let name = match place.last {
            Last::Name(name) => name,
            _ if !directory => return Err(Errno::EISDIR),
            Last::Dot => return Err(Errno::EINVAL),
            Last::DotDot => return Err(Errno::ENOTEMPTY),
            Last::None => return Err(Errno::EBUSY),
        };
        let victim = self.child(&place).ok_or(Errno::ENOENT)?;
        match self.entries(victim) {
            Some(_) if !directory => return Err(Errno::EISDIR),
            Some(entries) if !entries.is_empty() => return Err(Errno::ENOTEMPTY),
            None if directory || place.slash => return Err(Errno::ENOTDIR),
            _ => {}
        }
        self.entries_mut(place.dir).remove(name);
        self.nodes[victim].removed = directory;
        Ok(())
    }

    /// renameat2(2).
    pub fn rename(&mut self, from: &[u8], to: &[u8], how: Rename) -> Result<()> {
        let (old, new) = (self.place(from)?, self.place(to)?);
        let Last::Name(old_name) = old.last else { return Err(Errno::EBUSY) };
        let Last::Name(new_name) = new.last else {
            return Err(if how == Rename::NoReplace { Errno::EEXIST } else { Errno::EBUSY });
        };
        let source = self.child(&old).ok_or(Errno::ENOENT)?;
        let target = self.child(&new);
        match (target, how) {
            (Some(_), Rename::NoReplace) => return Err(Errno::EEXIST),
            (None, Rename::Exchange) => return Err(Errno::ENOENT),
            _ => {}
        }
        let exchange = how == Rename::Exchange;
        let target_is_dir = target.is_some_and(|target| self.is_dir(target));
        if !self.is_dir(source) && (old.slash || !exchange && new.slash) || exchange && new.slash && !target_is_dir {
            return Err(Errno::ENOTDIR);
        }
        if self.is_dir(source) && self.is_within(new.dir, source) {
            return Err(Errno::EINVAL);
        }
        if let Some(target) = target.filter(|&target| self.is_dir(target))
            && self.is_within(old.dir, target)
        {
            return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
        }
        if target == Some(source) {
            return Ok(());
        }
        if target.is_none() && self.nodes[new.dir].removed {
            return Err(Errno::ENOENT);
        }
        if let Some(target) = target
            && !exchange
        {
            match (self.is_dir(source), self.entries(target)) {
                (true, None) => return Err(Errno::ENOTDIR),
                (false, Some(_)) => return Err(Errno::EISDIR),
                (true, Some(entries)) if !entries.is_empty() => return Err(Errno::ENOTEMPTY),
                (is_dir, _) => self.nodes[target].removed = is_dir,
            }
        }
        self.entries_mut(old.dir).remove(old_name);
        self.put(new.dir, new_name, source);
        if let Some(target) = target.filter(|_| exchange) {
            self.put(old.dir, old_name, target);
        }
        Ok(())
    }

    fn put(&mut self, dir: Id, name: &[u8], id: Id) {
        self.entries_mut(dir).insert(name.to_vec(), id);
        if self.is_dir(id) {
            self.nodes[id].parent = dir;
        }
    }
}

/// One resolution of a path.
struct Resolve<'a> {
    tree: &'a Tree,
    how: Walk,
    root: Id,
    links: u32,
}

impl<'a> Resolve<'a> {
    fn new(tree: &'a Tree, how: Walk) -> Resolve<'a> {
        let confined = how.intersects(Walk::BENEATH | Walk::IN_ROOT);
        Resolve { tree, how, root: if confined { tree.cwd } else { ROOT }, links: 0 }
    }

    /// Component by component; what a link leads to is resolved from its directory before the walk
    /// goes on.
    fn resolve(&mut self, from: Id, path: &[u8], follow: bool) -> Result<Id> {
        let beneath = self.how.contains(Walk::BENEATH);
        let mut at = from;
        if path.starts_with(b"/") {
            if beneath {
                return Err(Errno::EXDEV);
            }
            at = self.root;
        }
        let slash = path.ends_with(b"/");
        let mut components = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).peekable();
        while let Some(name) = components.next() {
            let last = components.peek().is_none();
            let Some(entries) = self.tree.entries(at) else { return Err(Errno::ENOTDIR) };
            match name {
                b"." => {}
                b".." if at == self.root && beneath => return Err(Errno::EXDEV),
                b".." if at == self.root => {}
                b".." => at = self.tree.nodes[at].parent,
                name if name.len() > NAME_MAX => return Err(Errno::ENAMETOOLONG),
                name => {
                    let child = *entries.get(name).ok_or(Errno::ENOENT)?;
                    at = match &self.tree.nodes[child].kind {
                        Kind::Link(target) if !last || slash || follow => self.follow(at, target)?,
                        _ => child,
                    };
                }
            }
        }
        self.tree.checked(at, slash)
    }

    fn follow(&mut self, from: Id, target: &[u8]) -> Result<Id> {
        self.links += 1;
        if self.links > LINKS_MAX || self.how.contains(Walk::NO_LINKS) {
            return Err(Errno::ELOOP);
        }
        self.resolve(from, target, true)
    }
}
