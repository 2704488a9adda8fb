//! Set-user-ID and set-group-ID bits that files of a shared host directory have in the guest only.
//!
//! A guest's root is nobody on the host. A program that it marks set-user-ID runs with another
//! identity inside the guest, as long as that lasts, and is an ordinary file outside.

use super::{HostInode, Key, inode, watch};
use crate::vfs::inode::Timestamp;
use crate::{Errno, Result};
use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering::Relaxed;
use umlab_host::file as host;

/// The bits that give whoever runs a program another identity.
pub const SET_IDS: u32 = abi::S_ISUID | abi::S_ISGID;
/// Files of one tree that may have such bits: they are remembered in the core's memory.
const MOST: usize = 16384;

/// Which files have which bits, for inodes that are not in memory at the moment too.
#[derive(Default)]
pub struct SetIds(HashMap<Key, Kept>);

struct Kept {
    /// A number can become another file's, which was made later.
    born: Option<Timestamp>,
    bits: u32,
}

impl SetIds {
    pub fn of(&self, key: Key, born: Option<Timestamp>) -> u32 {
        self.0.get(&key).filter(|kept| kept.born == born).map_or(0, |kept| kept.bits)
    }

    pub fn forget(&mut self, key: Key) {
        self.0.remove(&key);
    }
}

impl HostInode {
    /// Bits that it has in the guest and not on the host.
    pub(super) fn own_set_ids(&self) -> u32 {
        self.set_ids.load(Relaxed)
    }

    /// # Errors
    /// ENOSPC when too many files have such bits.
    fn keep_set_ids(&self, bits: u32) -> Result<()> {
        let mut set_ids = self.fs.set_ids.borrow_mut();
        if bits == 0 {
            set_ids.forget(self.key);
        } else {
            if set_ids.0.len() >= MOST && !set_ids.0.contains_key(&self.key) {
                return Err(Errno::ENOSPC);
            }
            set_ids.0.insert(self.key, Kept { born: self.born(), bits });
        }
        self.set_ids.store(bits, Relaxed);
        Ok(())
    }

    /// What of a new mode is the host's to have; the rest is kept here. A directory's group stays
    /// its files' group if it was that on the host.
    pub(super) fn host_part(&self, mode: u32) -> Result<u32> {
        if self.fs.passes_privileges() {
            return Ok(mode);
        }
        let there = if self.is_directory() { self.host_mode()? & SET_IDS } else { 0 };
        self.keep_set_ids(mode & SET_IDS & !there)?;
        Ok(mode & !SET_IDS | mode & there)
    }

    /// Before the guest can write to a program of the host through `file`: privileges that it has
    /// on the host are not for what a guest puts into it.
    pub(super) fn disarm(&self, file: BorrowedFd<'_>, stat: &host::Statx) -> Result<()> {
        let mode = u32::from(stat.stx_mode);
        if self.fs.passes_privileges() || self.is_directory() {
            return Ok(());
        }
        if mode & SET_IDS != 0 {
            self.keep_set_ids(mode & SET_IDS | self.own_set_ids())?;
            match watch::quietly(abi::IN_ATTRIB, || host::change_mode(file, mode & 0o7777 & !SET_IDS)) {
                // Who does not own the file has no privilege to keep the bits: the host drops them
                // at the first write.
                Ok(()) | Err(Errno::EPERM) => {}
                Err(e) => return Err(e),
            }
        }
        if mode & 0o111 != 0 {
            // Mostly there is none.
            let _ = watch::quietly(abi::IN_ATTRIB, || host::remove_xattr(file, b"security.capability"));
        }
        Ok(())
    }
}

/// The bits that a new inode in memory starts with.
pub fn initial(fs: &super::HostFs, stat: &host::Statx) -> u32 {
    if fs.writable() { fs.set_ids.borrow().of(inode::key_of(stat), inode::born(stat)) } else { 0 }
}
