//! /proc/sysvipc: the objects of System V IPC.

use super::super::pseudo::{Entry, Subject, text};
use crate::Result;
use crate::ipc::{Object, msg, sem, shm};
use crate::mm::PAGE_SIZE;
use std::fmt::Write;

pub const FILES: &[Entry] = &[text("msg", queues), text("sem", sets), text("shm", segments)];

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

fn sets(_: Subject) -> Result<Vec<u8>> {
    let mut out = format!(
        "{:>10} {:>10} {:<5} {:>10} {:>5} {:>5} {:>5} {:>5} {:>10} {:>10}\n",
        "key", "semid", "perms", "nsems", "uid", "gid", "cuid", "cgid", "otime", "ctime"
    );
    for (id, set) in sem::all() {
        let (perm, (operated, changed)) = (set.perm(), set.times());
        let _ = writeln!(
            out,
            "{:>10} {id:>10}  {:>4o} {:>10} {:>5} {:>5} {:>5} {:>5} {operated:>10} {changed:>10}",
            perm.key,
            perm.mode,
            set.len(),
            perm.uid,
            perm.gid,
            perm.creator_uid,
            perm.creator_gid,
        );
    }
    Ok(out.into_bytes())
}

fn queues(_: Subject) -> Result<Vec<u8>> {
    let mut out = format!(
        "{:>10} {:>10} {:<5} {:>11} {:>10} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>10} {:>10} {:>10}\n",
        "key",
        "msqid",
        "perms",
        "cbytes",
        "qnum",
        "lspid",
        "lrpid",
        "uid",
        "gid",
        "cuid",
        "cgid",
        "stime",
        "rtime",
        "ctime"
    );
    for (id, queue) in msg::all() {
        let (perm, status) = (queue.perm(), queue.status());
        let _ = writeln!(
            out,
            "{:>10} {id:>10}  {:>4o}  {:>10} {:>10} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} {:>10} {:>10} {:>10}",
            perm.key,
            perm.mode,
            status.bytes,
            status.messages,
            status.last_sender,
            status.last_receiver,
            perm.uid,
            perm.gid,
            perm.creator_uid,
            perm.creator_gid,
            status.sent,
            status.received,
            status.changed,
        );
    }
    Ok(out.into_bytes())
}
