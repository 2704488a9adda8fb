//! /proc/sysvipc: the objects of System V IPC.

use super::super::pseudo::{Entry, Subject, text};
use crate::Result;
use crate::ipc::{Object, shm};
use crate::mm::PAGE_SIZE;
use std::fmt::Write;

pub const FILES: &[Entry] = &[text("shm", segments)];

fn segments(_: Subject) -> Result<Vec<u8>> {
    let mut out = format!(
        "{:>10} {:>10} {:<5} {:>21} {:>5} {:>5} {:>6} {:>5} {:>5} {:>5} {:>5} {:>10} {:>10} {:>10} {:>21} {:>21}\n",
        "key",
        "shmid",
        "perms",
        "size",
        "cpid",
        "lpid",
        "nattch",
        "uid",
        "gid",
        "cuid",
        "cgid",
        "atime",
        "dtime",
        "ctime",
        "rss",
        "swap"
    );
    for (id, segment) in shm::all() {
        let (perm, history) = (segment.perm(), segment.history());
        let _ = writeln!(
            out,
            "{:>10} {id:>10}  {:>4o} {:>21} {:>5} {:>5}  {:>5} {:>5} {:>5} {:>5} {:>5} {:>10} {:>10} {:>10} {:>21} {:>21}",
            perm.key,
            perm.mode,
            segment.size,
            history.creator,
            history.last,
            segment.attachments(),
            perm.uid,
            perm.gid,
            perm.creator_uid,
            perm.creator_gid,
            history.attached,
            history.detached,
            history.changed,
            segment.pages() * PAGE_SIZE,
            0
        );
    }
    Ok(out.into_bytes())
}
