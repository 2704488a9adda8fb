//! Changing a host tree that is shown read-write: the host does it, with its own rules and errors.

use super::HostInode;
use crate::fs::inode::{FileKind, Inode, InodeRef, NewNode, SetAttr};
use crate::task::creds::Creds;
use crate::{Errno, Result};
use std::os::fd::AsFd;
use std::sync::Arc;
use umlab_host::file as host;

impl HostInode {
    pub(super) fn change_attr(&self, change: &SetAttr) -> Result<()> {
        self.fs.want_write()?;
        if let Some(size) = change.size {
            host::truncate(self.host_file(true)?.fd.as_fd(), size)?;
        }
        let handle = self.handle()?;
        if change.uid.is_some() || change.gid.is_some() {
            host::change_owner(handle.as_fd(), change.uid, change.gid)?;
        }
        if let Some(mode) = change.mode
            && self.kind() != FileKind::Symlink
        {
            host::change_mode(handle.as_fd(), mode)?;
        }
        if change.atime.is_some() || change.mtime.is_some() {
            host::change_times(handle.as_fd(), change.atime, change.mtime)?;
        }
        self.expire();
        Ok(())
    }

    pub(super) fn make(&self, name: &[u8], node: &NewNode<'_>, mode: u32, creds: &Creds) -> Result<InodeRef> {
        self.fs.want_write()?;
        let dir = self.handle()?;
        let dir = dir.as_fd();
        match node {
            NewNode::Regular => {
                host::open_at(dir, name, libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY, mode)?;
            }
            NewNode::Directory => host::make_dir_at(dir, name, mode)?,
            NewNode::Symlink(target) => host::symlink_at(target, dir, name)?,
            NewNode::Device(kind, device) => host::make_node_at(dir, name, mode | kind.mode(), *device)?,
            NewNode::Fifo => host::make_node_at(dir, name, mode | libc::S_IFIFO, 0)?,
            NewNode::Socket => host::make_node_at(dir, name, mode | libc::S_IFSOCK, 0)?,
        }
        self.expire();
        let stat = host::statx(dir, name)?;
        let inode = self.fs.inode_of(&stat, &self.arc(), name);
        if (stat.stx_uid, stat.stx_gid) != (creds.fsuid, creds.fsgid) {
            // An ordinary user of the host cannot give files away: then they stay his.
            let _ = host::change_owner(inode.handle()?.as_fd(), Some(creds.fsuid), Some(creds.fsgid));
            inode.expire();
        }
        Ok(inode)
    }

    pub(super) fn make_link(&self, name: &[u8], target: &InodeRef) -> Result<()> {
        self.fs.want_write()?;
        let target = target.as_any().downcast_ref::<HostInode>().ok_or(Errno::EXDEV)?;
        host::link_at(target.handle()?.as_fd(), self.handle()?.as_fd(), name)?;
        target.expire();
        self.expire();
        Ok(())
    }

    pub(super) fn remove(&self, name: &[u8], flags: i32) -> Result<()> {
        self.fs.want_write()?;
        let dir = self.handle()?;
        let victim = host::statx(dir.as_fd(), name).ok().map(|stat| self.fs.inode_of(&stat, &self.arc(), name));
        host::unlink_at(dir.as_fd(), name, flags)?;
        if let Some(victim) = victim {
            victim.expire();
        }
        self.expire();
        Ok(())
    }

    pub(super) fn move_entry(&self, name: &[u8], to: &InodeRef, new_name: &[u8], flags: u32) -> Result<()> {
        self.fs.want_write()?;
        let to = to.as_any().downcast_ref::<HostInode>().ok_or(Errno::EXDEV)?.arc();
        let (from_fd, to_fd) = (self.handle()?, to.handle()?);
        let entry = |dir: &Arc<HostInode>, name: &[u8]| -> Option<Arc<HostInode>> {
            let stat = host::statx(dir.handle().ok()?.as_fd(), name).ok()?;
            Some(self.fs.inode_of(&stat, dir, name))
        };
        let me = self.arc();
        let (moved, other) = (entry(&me, name), entry(&to, new_name));
        host::rename_at(from_fd.as_fd(), name, to_fd.as_fd(), new_name, flags)?;
        if let Some(moved) = moved {
            moved.set_place(&to, new_name);
            moved.expire();
        }
        if let Some(other) = other {
            if flags & libc::RENAME_EXCHANGE != 0 {
                other.set_place(&me, name);
            }
            other.expire();
        }
        self.expire();
        to.expire();
        Ok(())
    }
}
