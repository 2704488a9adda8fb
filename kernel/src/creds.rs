//! Credentials (credentials(7)): who a task acts as.

/// User and group ids, and capabilities as far as the core asks for them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Creds {
    pub uid: u32,
    pub euid: u32,
    pub suid: u32,
    pub fsuid: u32,
    pub gid: u32,
    pub egid: u32,
    pub sgid: u32,
    pub fsgid: u32,
    pub groups: Vec<u32>,
    /// Capability sets as bit masks by number (capabilities(7)).
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub bounding: u64,
    pub ambient: u64,
    pub securebits: u32,
    pub no_new_privs: bool,
}

/// All capabilities up to CAP_CHECKPOINT_RESTORE.
pub const ALL_CAPS: u64 = (1 << 41) - 1;

impl Creds {
    /// A user's credentials at login; uid 0 has all capabilities.
    pub fn user(uid: u32, gid: u32, groups: Vec<u32>) -> Creds {
        let caps = if uid == 0 { ALL_CAPS } else { 0 };
        Creds {
            uid,
            euid: uid,
            suid: uid,
            fsuid: uid,
            gid,
            egid: gid,
            sgid: gid,
            fsgid: gid,
            groups,
            effective: caps,
            permitted: caps,
            inheritable: 0,
            bounding: ALL_CAPS,
            ambient: 0,
            securebits: 0,
            no_new_privs: false,
        }
    }

    pub fn capable(&self, capability: u32) -> bool {
        self.effective >> capability & 1 != 0
    }

    /// Whether `gid` is the file-system group or a supplementary one.
    pub fn in_group(&self, gid: u32) -> bool {
        self.fsgid == gid || self.groups.contains(&gid)
    }
}
