//! Places in the tree of names.

use super::dentry::Dentry;
use super::inode::InodeRef;
use super::mount::{self, Mount};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A place in the tree of names: a dentry in a mount.
#[derive(Clone)]
pub struct Path {
    pub mount: Arc<Mount>,
    pub dentry: Arc<Dentry>,
}

impl PartialEq for Path {
    fn eq(&self, other: &Path) -> bool {
        Arc::ptr_eq(&self.mount, &other.mount) && Arc::ptr_eq(&self.dentry, &other.dentry)
    }
}

impl Path {
    pub fn inode(&self) -> &InodeRef {
        &self.dentry.inode
    }

    pub fn is_dir(&self) -> bool {
        self.dentry.is_dir()
    }

    /// Whether it is the root of its mount.
    pub fn is_mount_root(&self) -> bool {
        Arc::ptr_eq(&self.dentry, &self.mount.root)
    }

    /// The root of what is mounted here, if anything is; of mounts over mounts the last.
    pub fn descend(&mut self) -> bool {
        let mut crossed = false;
        while self.dentry.mounts.load(Relaxed) > 0
            && let Some(mount) = mount::mounted_at(self)
        {
            self.dentry = mount.root.clone();
            self.mount = mount;
            crossed = true;
        }
        crossed
    }

    /// One step up, over mount points, but not above `root` if one is given. False when there is
    /// nothing above.
    pub fn ascend(&mut self, root: Option<&Path>) -> bool {
        loop {
            if root == Some(&*self) {
                return false;
            }
            if !self.is_mount_root() {
                let Some(parent) = self.dentry.parent() else { return false };
                self.dentry = parent;
                return true;
            }
            let Some(place) = self.mount.place() else { return false };
            *self = place;
        }
    }

    /// The name from `root` on, as getcwd(2) and /proc/PID/fd show it, and whether `root` is above
    /// it at all. A name that is too long for a path is not whole: its beginning is missing, and it
    /// is still too long.
    pub fn name_below(&self, root: &Path) -> (Vec<u8>, bool) {
        let mut names: Vec<Arc<[u8]>> = Vec::new();
        let mut len = 0;
        let mut at = self.clone();
        let reachable = loop {
            if at == *root {
                break true;
            }
            if at.is_mount_root() {
                match at.mount.place() {
                    Some(place) => at = place,
                    None => break false,
                }
                continue;
            }
            names.push(at.dentry.name());
            len += 1 + names.last().map_or(0, |name| name.len());
            if len >= abi::PATH_MAX as usize {
                break true;
            }
            match at.dentry.parent() {
                Some(parent) => at.dentry = parent,
                None => break false,
            }
        };
        let mut text = Vec::new();
        for name in names.iter().rev() {
            text.push(b'/');
            text.extend_from_slice(name);
        }
        if text.is_empty() {
            text.push(b'/');
        }
        (text, reachable)
    }

    /// The name within its file system, for mounts that show only a part of one; of one that is too
    /// long for a path the end.
    pub fn name_in_fs(&self) -> Vec<u8> {
        let mut names = Vec::new();
        let mut len = 0;
        let mut at = Some(self.dentry.clone());
        while let Some(dentry) = at.filter(|_| len < abi::PATH_MAX as usize) {
            at = dentry.parent();
            if at.is_some() {
                let name = dentry.name();
                len += 1 + name.len();
                names.push(name);
            }
        }
        let mut text: Vec<u8> = names.iter().rev().flat_map(|name| [b"/", &name[..]].concat()).collect();
        if text.is_empty() {
            text.push(b'/');
        }
        text
    }

    /// The name as /proc shows it to somebody whose root is `root`: " (deleted)" behind names that
    /// are gone.
    pub fn display(&self, root: &Path) -> Vec<u8> {
        let (mut text, _) = self.name_below(root);
        if self.dentry.is_deleted() {
            text.extend_from_slice(b" (deleted)");
        }
        text
    }
}

impl std::fmt::Debug for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(&self.display(&mount::root())))
    }
}
