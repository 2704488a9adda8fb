//! How credentials change: the set*id family, capset(2), and what execve(2) makes of set-id files.

use super::{Task, pid};
use crate::creds::{ALL_CAPS, Creds};
use crate::{Errno, Result};
use std::sync::Arc;

/// The capabilities that go with the file-system user id (CAP_FS_MASK): chown, dac_override,
/// dac_read_search, fowner, fsetid, linux_immutable, mknod, mac_override.
const FS_CAPS: u64 = 1 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 9 | 1 << 27 | 1 << 32;

/// "Leave it as it is", as an id argument.
pub const KEEP: u32 = u32::MAX;

/// Makes `new` the task's credentials, with all that follows from a change.
pub fn commit(task: &Task, new: Creds) {
    let old = task.creds();
    let changed = old.euid != new.euid || old.egid != new.egid || old.fsuid != new.fsuid || old.fsgid != new.fsgid;
    if changed || new.permitted & !old.permitted != 0 {
        // Who gained or lost something may not be inspected by those who could before.
        task.process.settings.borrow_mut().dumpable = 0;
        task.attributes.borrow_mut().parent_death_signal = 0;
    }
    if old.uid != new.uid {
        pid::uncount(old.uid);
        pid::count(new.uid);
    }
    task.creds.set(Arc::new(new));
}

/// Makes `new` the task's credentials in an execve(2).
pub fn commit_exec(task: &Task, new: Creds) {
    let same = new.euid == new.uid && new.egid == new.gid;
    if !same {
        // What would make a set-id program's memory laid out or rights look as its caller wants is
        // taken back.
        const PER_CLEAR_ON_SETID: u32 = 0x0040_0000 | 0x0004_0000 | 0x0080_0000 | 0x0020_0000;
        task.attributes.borrow_mut().personality &= !PER_CLEAR_ON_SETID;
    }
    commit(task, new);
    task.process.settings.borrow_mut().dumpable = u8::from(same);
}

/// setuid(2).
pub fn set_uid(old: &Creds, uid: u32) -> Result<Creds> {
    let mut new = old.clone();
    if uid == KEEP {
        return Err(Errno::EINVAL);
    }
    if old.capable(abi::CAP_SETUID) {
        (new.uid, new.suid) = (uid, uid);
    } else if uid != old.uid && uid != old.suid {
        return Err(Errno::EPERM);
    }
    (new.euid, new.fsuid) = (uid, uid);
    fix_caps(old, &mut new);
    Ok(new)
}

/// setreuid(2).
pub fn set_re_uid(old: &Creds, ruid: u32, euid: u32) -> Result<Creds> {
    let mut new = old.clone();
    let free = old.capable(abi::CAP_SETUID);
    if ruid != KEEP {
        if !free && ruid != old.uid && ruid != old.euid {
            return Err(Errno::EPERM);
        }
        new.uid = ruid;
    }
    if euid != KEEP {
        if !free && euid != old.uid && euid != old.euid && euid != old.suid {
            return Err(Errno::EPERM);
        }
        new.euid = euid;
    }
    if ruid != KEEP || euid != KEEP && euid != old.uid {
        new.suid = new.euid;
    }
    new.fsuid = new.euid;
    fix_caps(old, &mut new);
    Ok(new)
}

/// setresuid(2).
pub fn set_res_uid(old: &Creds, ids: [u32; 3]) -> Result<Creds> {
    let [uid, euid, suid] = ids;
    let same = |id: u32, own: u32| id == KEEP || id == own;
    if same(uid, old.uid) && (euid == KEEP || euid == old.euid && euid == old.fsuid) && same(suid, old.suid) {
        // Not even the file-system id changes then.
        return Ok(old.clone());
    }
    let mut new = old.clone();
    let allowed = |id: u32| id == KEEP || id == old.uid || id == old.euid || id == old.suid;
    if !old.capable(abi::CAP_SETUID) && !ids.iter().all(|&id| allowed(id)) {
        return Err(Errno::EPERM);
    }
    for (to, id) in [&mut new.uid, &mut new.euid, &mut new.suid].into_iter().zip(ids) {
        if id != KEEP {
            *to = id;
        }
    }
    new.fsuid = new.euid;
    fix_caps(old, &mut new);
    Ok(new)
}

/// setgid(2).
pub fn set_gid(old: &Creds, gid: u32) -> Result<Creds> {
    let mut new = old.clone();
    if gid == KEEP {
        return Err(Errno::EINVAL);
    }
    if old.capable(abi::CAP_SETGID) {
        (new.gid, new.sgid) = (gid, gid);
    } else if gid != old.gid && gid != old.sgid {
        return Err(Errno::EPERM);
    }
    (new.egid, new.fsgid) = (gid, gid);
    Ok(new)
}

/// setregid(2).
pub fn set_re_gid(old: &Creds, rgid: u32, egid: u32) -> Result<Creds> {
    let mut new = old.clone();
    let free = old.capable(abi::CAP_SETGID);
    if rgid != KEEP {
        if !free && rgid != old.gid && rgid != old.egid {
            return Err(Errno::EPERM);
        }
        new.gid = rgid;
    }
    if egid != KEEP {
        if !free && egid != old.gid && egid != old.egid && egid != old.sgid {
            return Err(Errno::EPERM);
        }
        new.egid = egid;
    }
    if rgid != KEEP || egid != KEEP && egid != old.gid {
        new.sgid = new.egid;
    }
    new.fsgid = new.egid;
    Ok(new)
}

/// setresgid(2).
pub fn set_res_gid(old: &Creds, ids: [u32; 3]) -> Result<Creds> {
    let [gid, egid, sgid] = ids;
    let same = |id: u32, own: u32| id == KEEP || id == own;
    if same(gid, old.gid) && (egid == KEEP || egid == old.egid && egid == old.fsgid) && same(sgid, old.sgid) {
        return Ok(old.clone());
    }
    let mut new = old.clone();
    let allowed = |id: u32| id == KEEP || id == old.gid || id == old.egid || id == old.sgid;
    if !old.capable(abi::CAP_SETGID) && !ids.iter().all(|&id| allowed(id)) {
        return Err(Errno::EPERM);
    }
    for (to, id) in [&mut new.gid, &mut new.egid, &mut new.sgid].into_iter().zip(ids) {
        if id != KEEP {
            *to = id;
        }
    }
    new.fsgid = new.egid;
    Ok(new)
}

/// setfsuid(2); None when that is not allowed or changes nothing.
pub fn set_fs_uid(old: &Creds, uid: u32) -> Option<Creds> {
    let allowed = [old.uid, old.euid, old.suid, old.fsuid].contains(&uid) || old.capable(abi::CAP_SETUID);
    if uid == KEEP || !allowed || uid == old.fsuid {
        return None;
    }
    let mut new = old.clone();
    new.fsuid = uid;
    if old.securebits & abi::SECBIT_NO_SETUID_FIXUP == 0 {
        match (old.fsuid == 0, uid == 0) {
            (true, false) => new.effective &= !FS_CAPS,
            (false, true) => new.effective |= new.permitted & FS_CAPS,
            _ => {}
        }
    }
    Some(new)
}

/// setfsgid(2), likewise.
pub fn set_fs_gid(old: &Creds, gid: u32) -> Option<Creds> {
    let allowed = [old.gid, old.egid, old.sgid, old.fsgid].contains(&gid) || old.capable(abi::CAP_SETGID);
    if gid == KEEP || !allowed || gid == old.fsgid {
        return None;
    }
    Some(Creds { fsgid: gid, ..old.clone() })
}

/// What capabilities remain when user ids go from or to 0 (capabilities(7)).
fn fix_caps(old: &Creds, new: &mut Creds) {
    if old.securebits & abi::SECBIT_NO_SETUID_FIXUP != 0 {
        return;
    }
    let has_root = |c: &Creds| c.uid == 0 || c.euid == 0 || c.suid == 0;
    if has_root(old) && !has_root(new) {
        if old.securebits & abi::SECBIT_KEEP_CAPS == 0 {
            (new.permitted, new.effective) = (0, 0);
        }
        new.ambient = 0;
    }
    if old.euid == 0 && new.euid != 0 {
        new.effective = 0;
    }
    if old.euid != 0 && new.euid == 0 {
        new.effective = new.permitted;
    }
}

/// capset(2).
pub fn set_caps(old: &Creds, effective: u64, permitted: u64, inheritable: u64) -> Result<Creds> {
    let (effective, permitted, inheritable) = (effective & ALL_CAPS, permitted & ALL_CAPS, inheritable & ALL_CAPS);
    let within = |part: u64, whole: u64| part & !whole == 0;
    let allowed = (old.capable(abi::CAP_SETPCAP) || within(inheritable, old.inheritable | old.permitted))
        && within(inheritable, old.inheritable | old.bounding)
        && within(permitted, old.permitted)
        && within(effective, permitted);
    if !allowed {
        return Err(Errno::EPERM);
    }
    let ambient = old.ambient & permitted & inheritable;
    Ok(Creds { effective, permitted, inheritable, ambient, ..old.clone() })
}

/// The program file of an execve(2), as far as credentials go.
#[derive(Clone, Copy, Debug)]
pub struct ProgramFile {
    /// Permission bits with set-ids.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Its mount honours set-id bits.
    pub set_id_allowed: bool,
}

/// The credentials after an execve(2), and whether it is a secure one (AT_SECURE). The caller
/// commits them.
pub fn for_exec(old: &Creds, file: &ProgramFile) -> (Creds, bool) {
    let mut new = old.clone();
    let honoured = file.set_id_allowed && !old.no_new_privs;
    let set_uid = honoured && file.mode & abi::S_ISUID != 0;
    // Without group execute permission the bit means something else (mandatory locking).
    let group_bits = abi::S_ISGID | abi::S_IXGRP;
    let set_gid = honoured && file.mode & group_bits == group_bits;
    if set_uid {
        new.euid = file.uid;
    }
    if set_gid {
        new.egid = file.gid;
    }
    (new.suid, new.fsuid) = (new.euid, new.euid);
    (new.sgid, new.fsgid) = (new.egid, new.egid);
    if set_uid || set_gid {
        new.ambient = 0;
    }
    let by_root = old.securebits & abi::SECBIT_NOROOT == 0;
    let (mut file_permitted, mut file_effective) = (0, false);
    if by_root && (new.euid == 0 || new.uid == 0) {
        file_permitted = ALL_CAPS;
        file_effective = new.euid == 0;
    }
    new.permitted = if file_permitted != 0 { new.bounding | new.inheritable } else { new.ambient };
    new.effective = if file_effective { new.permitted } else { new.ambient };
    new.securebits &= !abi::SECBIT_KEEP_CAPS;
    let is_root = new.uid == 0;
    let secure =
        new.euid != new.uid || new.egid != new.gid || !is_root && (file_effective || new.permitted & !new.ambient != 0);
    (new, secure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_gives_up_its_rights() {
        let root = Creds::user(0, 0, vec![]);
        let user = set_uid(&root, 1000).unwrap();
        assert_eq!((user.uid, user.euid, user.suid, user.fsuid), (1000, 1000, 1000, 1000));
        assert_eq!((user.effective, user.permitted), (0, 0));
        assert_eq!(set_uid(&user, 0), Err(Errno::EPERM));
        let temporary = set_res_uid(&root, [KEEP, 1000, KEEP]).unwrap();
        assert_eq!((temporary.effective, temporary.permitted), (0, ALL_CAPS));
        let back = set_re_uid(&temporary, KEEP, 0).unwrap();
        assert_eq!(back.effective, ALL_CAPS);
    }

    #[test]
    fn saved_id_follows_setreuid() {
        let user = Creds { suid: 7, ..Creds::user(5, 5, vec![]) };
        let new = set_re_uid(&user, KEEP, 7).unwrap();
        assert_eq!((new.uid, new.euid, new.suid), (5, 7, 7));
        assert_eq!(set_re_uid(&user, 7, KEEP), Err(Errno::EPERM));
    }

    #[test]
    fn set_id_programs() {
        let user = Creds::user(1000, 1000, vec![]);
        let file = ProgramFile { mode: 0o4755, uid: 0, gid: 0, set_id_allowed: true };
        let (new, secure) = for_exec(&user, &file);
        assert_eq!((new.uid, new.euid, new.suid, new.effective), (1000, 0, 0, ALL_CAPS));
        assert!(secure);
        let (same, secure) = for_exec(&Creds { no_new_privs: true, ..user.clone() }, &file);
        assert_eq!((same.euid, same.effective), (1000, 0));
        assert!(!secure);
        let (root, secure) = for_exec(&Creds::user(0, 0, vec![]), &ProgramFile { mode: 0o755, ..file });
        assert_eq!(root.effective, ALL_CAPS);
        assert!(!secure);
    }
}
