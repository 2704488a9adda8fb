//! Changing a host tree that is shown read-write: the host does it, with its own rules and errors.
//! Privileges do not pass ([`super::Access`]).

use super::HostInode;
use super::set_ids::SET_IDS;
use super::watch;
use crate::creds::Creds;
use crate::mm::PAGE_SIZE;
use crate::mm::invalidate::Gone;
use crate::vfs::inode::{FileKind, Inode, InodeRef, NewNode, SetAttr};
use crate::{Errno, Result};
use std::os::fd::AsFd;
use std::sync::Arc;
use umlab_host::file as host;

impl HostInode {
    /// EPERM for a device that may not get other rights or names from here.
    fn want_no_device(&self) -> Result<()> {
        let device = matches!(self.kind(), FileKind::CharDevice | FileKind::BlockDevice);
        if device && !self.fs.passes_privileges() { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// Whether the guest may change an attribute of that name on the host. Those of the system are
    /// access control lists, which the guest would have to obey; those of security modules and of
    /// overlays are privileges.
    pub(super) fn want_xattr(&self, name: &[u8]) -> Result<()> {
        self.want_write()?;
        let privileged = name.starts_with(b"security.") || name.starts_with(b"trusted.");
        match () {
            () if name.starts_with(b"user.") => self.want_no_device(),
            () if !privileged => Err(Errno::EOPNOTSUPP),
            () if self.fs.passes_privileges() => Ok(()),
            () => Err(Errno::EPERM),
        }
    }

    pub(super) fn change_attr(&self, change: &SetAttr) -> Result<()> {
        self.want_write()?;
        if let Some(size) = change.size {
            host::truncate(self.host_file(true)?.fd.as_fd(), size)?;
            self.mappers.invalidate(size.div_ceil(PAGE_SIZE), u64::MAX / PAGE_SIZE, Gone::Cut);
        }
        if change.uid.is_some() || change.gid.is_some() || change.mode.is_some() {
            self.want_no_device()?;
        }
        let handle = self.handle()?;
        if change.uid.is_some() || change.gid.is_some() {
            host::change_owner(handle.as_fd(), change.uid, change.gid)?;
        }
        if let Some(mode) = change.mode
            && self.kind() != FileKind::Symlink
        {
            host::change_mode(handle.as_fd(), self.host_part(mode)?)?;
        }
        if change.atime.is_some() || change.mtime.is_some() {
            host::change_times(handle.as_fd(), change.atime, change.mtime)?;
        }
        self.expire();
        Ok(())
    }

    pub(super) fn make(&self, name: &[u8], node: &NewNode<'_>, mode: u32, creds: &Creds) -> Result<InodeRef> {
        self.want_write()?;
        if matches!(node, NewNode::Device(..)) && !self.fs.passes_privileges() {
            return Err(Errno::EPERM);
        }
        let dir = self.handle()?;
        let dir = dir.as_fd();
        let asked = mode;
        let mode = if self.fs.passes_privileges() { mode } else { mode & !SET_IDS };
        match node {
            NewNode::Regular => {
                watch::close_some();
                let file = host::open_at(dir, name, abi::O_CREAT | abi::O_EXCL | abi::O_WRONLY, mode)?;
                watch::close_later(Arc::new(file));
            }
            NewNode::Directory => host::make_dir_at(dir, name, mode)?,
            NewNode::Symlink(target) => host::symlink_at(target, dir, name)?,
            NewNode::Device(kind, device) => host::make_node_at(dir, name, mode | kind.mode(), *device)?,
            NewNode::Fifo => host::make_node_at(dir, name, mode | abi::S_IFIFO, 0)?,
            NewNode::Socket => host::make_node_at(dir, name, mode | abi::S_IFSOCK, 0)?,
        }
        self.expire();
        let stat = host::statx(dir, name)?;
        let inode = self.fs.inode_of(&stat, &self.arc(), name)?;
        if (stat.stx_uid, stat.stx_gid) != (creds.fsuid, creds.fsgid) {
            // An ordinary user of the host cannot give files away: then they stay his.
            let handle = inode.handle()?;
            let _ = watch::quietly(abi::IN_ATTRIB, || {
                host::change_owner(handle.as_fd(), Some(creds.fsuid), Some(creds.fsgid))
            });
            inode.expire();
        }
        if asked != mode {
            inode.host_part(asked)?;
        }
        Ok(inode)
    }

    pub(super) fn make_link(&self, name: &[u8], target: &InodeRef) -> Result<()> {
        self.want_write()?;
        let target = target.as_any().downcast_ref::<HostInode>().ok_or(Errno::EXDEV)?;
        target.want_no_device()?;
        host::link_at(target.handle()?.as_fd(), self.handle()?.as_fd(), name)?;
        target.expire();
        self.expire();
        Ok(())
    }

    pub(super) fn remove(&self, name: &[u8], flags: i32) -> Result<()> {
        self.want_write()?;
        let dir = self.handle()?;
        let victim = host::statx(dir.as_fd(), name).ok();
        if let Some(victim) = &victim {
            self.fs.about_to_lose_name(victim);
        }
        host::unlink_at(dir.as_fd(), name, flags)?;
        if let Some(victim) = victim {
            self.fs.name_lost(&victim);
        }
        self.expire();
        Ok(())
    }

    pub(super) fn move_entry(&self, name: &[u8], to: &InodeRef, new_name: &[u8], flags: u32) -> Result<()> {
        self.want_write()?;
        let to = to.as_any().downcast_ref::<HostInode>().ok_or(Errno::EXDEV)?.arc();
        let (from_fd, to_fd) = (self.handle()?, to.handle()?);
        if flags & abi::RENAME_WHITEOUT != 0 && !self.fs.passes_privileges() {
            // It would leave a device node behind.
            return Err(Errno::EPERM);
        }
        let exchange = flags & abi::RENAME_EXCHANGE != 0;
        let entry = |dir: &Arc<HostInode>, name: &[u8]| -> Result<Option<(Arc<HostInode>, host::Statx)>> {
            match host::statx(dir.handle()?.as_fd(), name) {
                Ok(stat) => Ok(Some((self.fs.inode_of(&stat, dir, name)?, stat))),
                Err(_) => Ok(None),
            }
        };
        let me = self.arc();
        let (moved, other) = (entry(&me, name)?, entry(&to, new_name)?);
        for (inode, _) in moved.iter().chain(other.iter().filter(|_| exchange)) {
            inode.want_no_device()?;
        }
        if let Some((_, stat)) = other.as_ref().filter(|_| !exchange) {
            self.fs.about_to_lose_name(stat);
        }
        host::rename_at(from_fd.as_fd(), name, to_fd.as_fd(), new_name, flags)?;
        if let Some((moved, _)) = moved {
            moved.set_place(&to, new_name);
            moved.expire();
        }
        if let Some((other, stat)) = other {
            if exchange {
                other.set_place(&me, name);
                other.expire();
            } else {
                self.fs.name_lost(&stat);
            }
        }
        self.expire();
        to.expire();
        Ok(())
    }
}
