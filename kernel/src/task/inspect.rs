//! Who may look into whom: ptrace(2), /proc and process_vm_readv(2) ask.

use super::{Process, Task};
use crate::creds::Creds;
use std::sync::Arc;

/// Whether `caller` may look into `target`, as ptrace(2) and /proc define it: the same user without
/// any privileges of its own, or CAP_SYS_PTRACE.
pub fn may_inspect(caller: &Task, target: &Task) -> bool {
    may_inspect_one_of(caller, &target.process, &target.creds())
}

/// As [`may_inspect`], of a thread of this process with these credentials.
pub fn may_inspect_one_of(caller: &Task, process: &Arc<Process>, to: &Creds) -> bool {
    if Arc::ptr_eq(&caller.process, process) {
        return true;
    }
    let from = caller.creds();
    if from.capable(abi::CAP_SYS_PTRACE) {
        return true;
    }
    let same_user = [to.uid, to.euid, to.suid].iter().all(|&id| id == from.uid);
    let same_group = [to.gid, to.egid, to.sgid].iter().all(|&id| id == from.gid);
    let dumpable = process.settings.borrow().dumpable == 1;
    same_user && same_group && dumpable && to.permitted & !from.permitted == 0
}
