//! From a path name to a file: the walk along its components (path_resolution(7)).

use super::context::Caller;
use super::dentry::Dentry;
use super::inode::FileKind;
use super::path::Path;
use super::permission;
use crate::creds::Creds;
use crate::{Errno, Result};
use std::borrow::Cow;
use std::sync::Arc;

const NAME_MAX: usize = 255;
/// How many symbolic links one walk follows.
const LINKS_MAX: u32 = 40;

bitflags::bitflags! {
    /// How to walk.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Walk: u32 {
        /// Follow a symbolic link at the end.
        const FOLLOW = 1;
        /// The end may be missing: it is about to be made.
        const CREATE = 2;
        /// An empty path names the starting point itself (AT_EMPTY_PATH).
        const EMPTY = 4;
        /// What is found must be a directory.
        const DIRECTORY = 8;
        // RESOLVE_* of openat2(2).
        const NO_XDEV = 16;
        const NO_MAGIC = 32;
        const NO_LINKS = 64;
        const BENEATH = 128;
        const IN_ROOT = 256;
    }
}

/// How the last component of a path reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Last {
    Name,
    Dot,
    DotDot,
    /// The path has no component, or ended by a link that leads to an object.
    None,
}

/// What a walk found.
pub struct Found {
    /// The directory that the last component was looked up in.
    pub dir: Path,
    /// The last component, if it is a name.
    pub name: Vec<u8>,
    pub last: Last,
    /// What the path names; None only with `Walk::CREATE`.
    pub target: Option<Path>,
    /// Slashes follow the last component.
    pub slash: bool,
}

/// Finds what a path names.
pub fn lookup(caller: &dyn Caller, dirfd: i32, path: &[u8], how: Walk) -> Result<Path> {
    walk(caller, dirfd, path, how)?.target.ok_or(Errno::ENOENT)
}

/// Finds what a path names for the current task, from its working directory.
pub fn find(path: &[u8]) -> Result<Path> {
    lookup(&super::upcall::caller(), abi::AT_FDCWD, path, Walk::FOLLOW)
}

/// Where a path starts that is relative to `dirfd`.
pub fn start(caller: &dyn Caller, dirfd: i32) -> Result<Path> {
    if dirfd == abi::AT_FDCWD {
        return Ok(caller.cwd());
    }
    let file = caller.file(dirfd)?;
    file.path.clone().ok_or(Errno::ENOTDIR)
}

/// Walks a path, to its end or, with `Walk::CREATE`, to where the end would be.
pub fn walk(caller: &dyn Caller, dirfd: i32, path: &[u8], how: Walk) -> Result<Found> {
    let creds = caller.creds();
    let root = caller.root();
    if path.is_empty() {
        if !how.contains(Walk::EMPTY) {
            return Err(Errno::ENOENT);
        }
        let at = start(caller, dirfd)?;
        if how.contains(Walk::DIRECTORY) && !at.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        return Ok(Found { dir: at.clone(), name: Vec::new(), last: Last::None, target: Some(at), slash: false });
    }
    let confined = how.intersects(Walk::BENEATH | Walk::IN_ROOT);
    let (at, root) = if confined {
        let at = start(caller, dirfd)?;
        (at.clone(), at)
    } else if path[0] == b'/' {
        (root.clone(), root)
    } else {
        (start(caller, dirfd)?, root)
    };
    Walker { creds: &creds, root, at, how, links: 0 }.walk(path)
}

/// As `walk`, from a given place with given credentials, for the core's own use.
pub fn walk_from(creds: &Creds, root: &Path, at: &Path, path: &[u8], how: Walk) -> Result<Found> {
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    Walker { creds, root: root.clone(), at: at.clone(), how, links: 0 }.walk(path)
}

struct Walker<'a> {
    creds: &'a Creds,
    root: Path,
    at: Path,
    how: Walk,
    links: u32,
}

impl Walker<'_> {
    fn walk(mut self, path: &[u8]) -> Result<Found> {
        let mut text = Cow::Borrowed(path);
        let mut pos = 0;
        if text.first() == Some(&b'/') {
            self.go_to_root()?;
        }
        let mut parent = self.at.clone();
        let mut last = Last::None;
        loop {
            while text.get(pos) == Some(&b'/') {
                pos += 1;
            }
            if pos == text.len() {
                // Nothing but slashes, or what a link to an object left over.
                let slash = text.last() == Some(&b'/');
                return self.found(parent, &[], last, slash);
            }
            let len = text[pos..].iter().position(|&b| b == b'/').unwrap_or(text.len() - pos);
            let end = pos + len;
            let slash = end < text.len();
            let is_last = !slash || text[end..].iter().all(|&b| b == b'/');
            if !self.at.is_dir() {
                return Err(Errno::ENOTDIR);
            }
            permission::check(self.creds, &**self.at.inode(), permission::EXEC)?;
            let name = &text[pos..end];
            match name {
                b"." | b".." => {
                    last = if len == 1 { Last::Dot } else { Last::DotDot };
                    if is_last {
                        parent = self.at.clone();
                    }
                    if len == 2 {
                        self.up()?;
                    }
                    if is_last {
                        return self.found(parent, &[], last, slash);
                    }
                    pos = end;
                    continue;
                }
                _ if len > NAME_MAX => return Err(Errno::ENAMETOOLONG),
                _ => last = Last::Name,
            }
            let Some(dentry) = self.at.dentry.child(name)? else {
                if !is_last || !self.how.contains(Walk::CREATE) {
                    return Err(Errno::ENOENT);
                }
                return Ok(Found { dir: self.at, name: name.to_vec(), last, target: None, slash });
            };
            let is_link = dentry.inode.kind() == FileKind::Symlink;
            let create = self.how.contains(Walk::CREATE);
            // Nothing can be made where a slash follows the name, so a link there is not looked
            // into.
            let asked = self.how.contains(Walk::FOLLOW);
            let follow = if create { asked && !slash } else { asked || slash };
            if is_link && (!is_last || follow) {
                parent = self.at.clone();
                if is_last {
                    permission::check_follow(self.creds, &**self.at.inode(), &*dentry.inode)?;
                }
                let Some(target) = self.link_target(&dentry)? else {
                    // `at` is the object now.
                    last = Last::None;
                    pos = end;
                    continue;
                };
                let rest = &text[end..];
                let mut next = Vec::with_capacity(target.len() + rest.len());
                next.extend_from_slice(&target);
                next.extend_from_slice(rest);
                if next[0] == b'/' {
                    self.go_to_root()?;
                }
                text = Cow::Owned(next);
                pos = 0;
                continue;
            }
            if is_last && create {
                parent = self.at.clone();
            }
            self.at.dentry = dentry;
            if self.at.descend() && self.how.contains(Walk::NO_XDEV) {
                return Err(Errno::EXDEV);
            }
            if is_last {
                let name = if create { name } else { &[] };
                return self.found(parent, name, last, slash);
            }
            pos = end;
        }
    }

    fn found(self, dir: Path, name: &[u8], last: Last, slash: bool) -> Result<Found> {
        // Who makes or removes names judges slashes himself.
        let slash_counts = slash && !self.how.contains(Walk::CREATE);
        if (slash_counts || self.how.contains(Walk::DIRECTORY)) && !self.at.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        Ok(Found { dir, name: name.to_vec(), last, target: Some(self.at), slash })
    }

    fn go_to_root(&mut self) -> Result<()> {
        if self.how.contains(Walk::BENEATH) {
            return Err(Errno::EXDEV);
        }
        if self.how.contains(Walk::NO_XDEV) && self.at.mount.id != self.root.mount.id {
            return Err(Errno::EXDEV);
        }
        self.at = self.root.clone();
        Ok(())
    }

    fn up(&mut self) -> Result<()> {
        if self.how.contains(Walk::BENEATH) && self.at == self.root {
            return Err(Errno::EXDEV);
        }
        let mount = self.at.mount.id;
        if self.at.ascend(Some(&self.root)) {
            self.at.descend();
        }
        if self.how.contains(Walk::NO_XDEV) && self.at.mount.id != mount {
            return Err(Errno::EXDEV);
        }
        Ok(())
    }

    /// Where a symbolic link leads: a path, or None when it led straight to an object, where the
    /// walk now is.
    fn link_target(&mut self, dentry: &Arc<Dentry>) -> Result<Option<Vec<u8>>> {
        self.links += 1;
        if self.links > LINKS_MAX || self.how.contains(Walk::NO_LINKS) {
            return Err(Errno::ELOOP);
        }
        if let Some(object) = dentry.inode.follow() {
            if self.how.contains(Walk::NO_MAGIC) {
                return Err(Errno::ELOOP);
            }
            if self.how.intersects(Walk::BENEATH | Walk::IN_ROOT) {
                return Err(Errno::EXDEV);
            }
            let object = object?;
            if self.how.contains(Walk::NO_XDEV) && object.mount.id != self.at.mount.id {
                return Err(Errno::EXDEV);
            }
            self.at = object;
            return Ok(None);
        }
        let target = dentry.inode.read_link()?;
        if target.is_empty() { Err(Errno::ENOENT) } else { Ok(Some(target)) }
    }
}
