//! System V semaphores.

use crate::sys::*;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

pub const CASES: &[crate::harness::Case] = cases![
    get_errors, get_by_key, values, value_errors, operations, operation_errors, no_wait, ranges, atomic, waits_in_order,
    counts_of_waiters, zero_waiters, many_to_one, timeouts, interrupted, killed_while_waiting, removal, removal_wakes, value_wakes, undo_at_exit,
    undo_is_clipped, undo_forgotten, undo_range, undo_shared, undo_unshared, undo_over_exec, undo_after_removal, status, changing, permissions,
    control_errors, information, proc_file, set_up_for_many,
];

const NOWAIT: i32 = IPC_NOWAIT;
const SEM_STAT: i32 = 18;
const SEM_INFO: i32 = 19;
const SEM_STAT_ANY: i32 = 20;

/// A key that no other run has, from the case's own directory.
fn key() -> i32 {
    (fstat(open(c".", O_RDONLY)).st_ino as i32 & 0xff_ffff) | 0x5600_0000
}

fn set(count: i32) -> i32 {
    must!(SYS_semget, IPC_PRIVATE, count, IPC_CREAT | 0o600).fd()
}

fn remove(id: i32) {
    must!(SYS_semctl, id, 0, IPC_RMID, 0);
}

fn op(number: u16, change: i16, flags: i32) -> sembuf {
    sembuf { sem_num: number, sem_op: change, sem_flg: flags as i16 }
}

fn semop(id: i32, ops: &[sembuf]) -> Ret {
    sc!(SYS_semop, id, ops, ops.len())
}

fn add(id: i32, number: u16, change: i16) -> Ret {
    semop(id, &[op(number, change, 0)])
}

fn value(id: i32, number: i32) -> Ret {
    sc!(SYS_semctl, id, number, GETVAL, 0)
}

fn all<const N: usize>(id: i32) -> [u16; N] {
    let mut values = [0xffff; N];
    must!(SYS_semctl, id, 0, GETALL, &mut values);
    values
}

fn info(id: i32) -> semid_ds {
    let mut ds = zeroed();
    must!(SYS_semctl, id, 0, IPC_STAT, &mut ds);
    ds
}

fn get_errors() {
    for count in [0, -1, 32_000, 32_001, i32::MAX, i32::MIN] {
        let id = sc!(SYS_semget, IPC_PRIVATE, count, 0o600);
        println!("{count}: {}", id.ok());
        if id.is_ok() {
            remove(id.fd());
        }
    }
    t!(SYS_semget, key(), 1, 0);
    t!(SYS_semget, key(), 0, 0);
    t!(SYS_semget, key(), 0, IPC_CREAT | 0o600);
    t!(SYS_semget, key(), 50_000, 0);
}

fn get_by_key() {
    let key = key();
    let id = o!(SYS_semget, key, 5, IPC_CREAT | IPC_EXCL | 0o640).fd();
    t!(SYS_semget, key, 5, IPC_CREAT | IPC_EXCL | 0o640);
    for count in [0, 1, 5, 6, -1] {
        println!("{count}: {}", match sc!(SYS_semget, key, count, 0) {
            same if same.fd() == id => "the same".to_string(),
            other => other.to_string(),
        });
    }
    v!(sc!(SYS_semget, key, 1, IPC_CREAT | 0o600).fd() == id);
    remove(id);
    t!(SYS_semget, key, 1, 0);
}

fn values() {
    let id = set(3);
    v!(all::<3>(id));
    t!(SYS_semctl, id, 1, SETVAL, 7);
    v!((all::<3>(id), value(id, 1), sc!(SYS_semctl, id, 1, GETPID, 0) == sc!(SYS_getpid), sc!(SYS_semctl, id, 0, GETPID, 0)));
    t!(SYS_semctl, id, 0, SETALL, &[1u16, 2, 32767]);
    v!((all::<3>(id), value(id, 2)));
    v!(in_child(|| {
        v!(add(id, 0, 4));
    }));
    let child = sc!(SYS_semctl, id, 0, GETPID, 0).0;
    v!((value(id, 0), child != 0, child != sc!(SYS_getpid).0));
    remove(id);
}

fn value_errors() {
    let id = set(3);
    for value in [-1, 32768, i32::MAX] {
        t!(SYS_semctl, id, 0, SETVAL, value);
    }
    for number in [-1, 3, i32::MAX] {
        t!(SYS_semctl, id, number, SETVAL, 1);
        t!(SYS_semctl, id, number, GETVAL, 0);
        t!(SYS_semctl, id, number, GETPID, 0);
        t!(SYS_semctl, id, number, GETNCNT, 0);
        t!(SYS_semctl, id, number, GETALL, &mut [0u16; 3]);
    }
    t!(SYS_semctl, id, 0, SETALL, &[1u16, 2, 32768]);
    t!(SYS_semctl, id, 0, SETALL, 8);
    t!(SYS_semctl, id, 0, GETALL, 8);
    v!(all::<3>(id));
    remove(id);
}

fn operations() {
    let id = set(2);
    v!(semop(id, &[op(0, 5, 0), op(1, 2, 0), op(0, -3, 0)]));
    v!(all::<2>(id));
    v!(semop(id, &[op(0, -2, 0), op(0, 0, 0), op(0, 9, 0)]));
    v!(all::<2>(id));
    remove(id);
}

fn operation_errors() {
    let id = set(2);
    let ops = [op(0, 1, 0); 501];
    t!(SYS_semop, id, &ops, 0);
    t!(SYS_semop, id, &ops, 501);
    t!(SYS_semop, id, &ops, 500);
    t!(SYS_semop, id, 8, 1);
    t!(SYS_semop, id, 8, 501);
    t!(SYS_semop, id, &[op(2, 1, 0)], 1);
    t!(SYS_semop, id, &[op(0, 1, 0), op(9, 1, 0)], 2);
    t!(SYS_semop, -1, &ops, 1);
    t!(SYS_semop, i32::MAX, &ops, 1);
    t!(SYS_semop, -1, 8, 1);
    let bad = timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    t!(SYS_semtimedop, id, &ops, 1, &bad);
    t!(SYS_semtimedop, id, &ops, 501, &bad);
    t!(SYS_semtimedop, id, 8, 1, &bad);
    t!(SYS_semtimedop, id, &ops, 0, 8);
    t!(SYS_semtimedop, i32::MAX, &ops, 1, &bad);
    let negative = timespec { tv_sec: -1, tv_nsec: 0 };
    t!(SYS_semtimedop, id, &ops, 1, &negative);
    v!(all::<2>(id));
    remove(id);
}

fn no_wait() {
    let id = set(2);
    v!(semop(id, &[op(0, -1, NOWAIT)]));
    v!(semop(id, &[op(0, 1, 0), op(1, -1, NOWAIT)]));
    v!(semop(id, &[op(0, 1, NOWAIT), op(0, 0, NOWAIT)]));
    v!(all::<2>(id));
    remove(id);
}

fn ranges() {
    let id = set(1);
    must!(SYS_semctl, id, 0, SETVAL, 32767);
    v!((add(id, 0, 1), add(id, 0, i16::MAX), value(id, 0)));
    v!(semop(id, &[op(0, -1, 0), op(0, 2, 0)]));
    v!((add(id, 0, -32767), value(id, 0), add(id, 0, i16::MAX), value(id, 0)));
    v!((semop(id, &[op(0, i16::MIN, NOWAIT)]), value(id, 0)));
    remove(id);
}

fn atomic() {
    let id = set(2);
    // The first can be done, but not without the second.
    let kid = waiter(id, &[op(0, 1, 0), op(1, -1, 0)]);
    v!(all::<2>(id));
    v!(add(id, 1, 1));
    v!((reap(kid), all::<2>(id)));
    remove(id);
}

/// A child that does operations and prints nothing.
fn waiter(id: i32, ops: &[sembuf]) -> i32 {
    let kid = spawn(|| exit(if semop(id, ops).is_ok() { 0 } else { 1 }));
    until_sleeping(kid);
    kid
}

fn waits_in_order() {
    let id = set(1);
    let first = waiter(id, &[op(0, -1, 0)]);
    let second = waiter(id, &[op(0, -1, 0)]);
    v!(sc!(SYS_semctl, id, 0, GETNCNT, 0));
    v!(add(id, 0, 1));
    v!(reap(first));
    v!((sc!(SYS_semctl, id, 0, GETNCNT, 0), value(id, 0), sc!(SYS_semctl, id, 0, GETPID, 0).0 == first.into()));
    v!(add(id, 0, 1));
    v!(reap(second));
    // One that asks for more does not hold up others.
    let greedy = waiter(id, &[op(0, -3, 0)]);
    let modest = waiter(id, &[op(0, -1, 0)]);
    v!(add(id, 0, 2));
    v!(reap(modest));
    v!(value(id, 0));
    v!(add(id, 0, 2));
    v!((reap(greedy), value(id, 0)));
    remove(id);
}

fn counts_of_waiters() {
    let id = set(3);
    must!(SYS_semctl, id, 2, SETVAL, 1);
    let kids = [
        waiter(id, &[op(0, -1, 0)]),
        waiter(id, &[op(0, 1, 0), op(1, -1, 0), op(2, -5, 0)]),
        waiter(id, &[op(2, 0, 0)]),
        waiter(id, &[op(1, 0, 0), op(2, 0, 0)]),
        waiter(id, &[op(0, -2, 0)]),
    ];
    for number in 0..3 {
        v!((sc!(SYS_semctl, id, number, GETNCNT, 0), sc!(SYS_semctl, id, number, GETZCNT, 0)));
    }
    for kid in kids {
        sc!(SYS_kill, kid, SIGKILL);
        reap(kid);
    }
    for number in 0..3 {
        v!((sc!(SYS_semctl, id, number, GETNCNT, 0), sc!(SYS_semctl, id, number, GETZCNT, 0)));
    }
    v!(all::<3>(id));
    remove(id);
}

fn zero_waiters() {
    let id = set(1);
    must!(SYS_semctl, id, 0, SETVAL, 1);
    let zeros = [waiter(id, &[op(0, 0, 0)]), waiter(id, &[op(0, 0, 0)])];
    let rises = waiter(id, &[op(0, 0, 0), op(0, 3, 0)]);
    v!(add(id, 0, -1));
    v!((zeros.map(reap), reap(rises), value(id, 0)));
    remove(id);
}

fn many_to_one() {
    let id = set(1);
    let kids: Vec<i32> = (0..8).map(|_| waiter(id, &[op(0, -1, 0)])).collect();
    v!(sc!(SYS_semctl, id, 0, GETNCNT, 0));
    v!(add(id, 0, 8));
    v!(kids.into_iter().map(reap).collect::<Vec<_>>());
    v!(value(id, 0));
    remove(id);
}

fn timeouts() {
    let id = set(1);
    let ops = [op(0, -1, 0)];
    for ms in [0, 20] {
        let timeout = timespec { tv_sec: 0, tv_nsec: ms * 1_000_000 };
        t!(SYS_semtimedop, id, &ops, 1, &timeout);
    }
    v!(sc!(SYS_semctl, id, 0, GETNCNT, 0));
    must!(SYS_semctl, id, 0, SETVAL, 1);
    t!(SYS_semtimedop, id, &ops, 1, &timespec { tv_sec: 0, tv_nsec: 0 });
    must!(SYS_semctl, id, 0, SETVAL, 1);
    t!(SYS_semtimedop, id, &ops, 1, 0);
    remove(id);
}

fn interrupted() {
    let id = set(1);
    for flags in [0, SA_RESTART] {
        let kid = spawn(|| {
            catch(SIGUSR1, flags);
            v!(semop(id, &[op(0, -1, 0)]));
            v!(caught(SIGUSR1));
        });
        until_sleeping(kid);
        sc!(SYS_kill, kid, SIGUSR1);
        v!(reap(kid));
    }
    // Stopped and continued, it goes on or it does not.
    let kid = spawn(|| {
        v!(semop(id, &[op(0, -1, 0)]));
    });
    until_sleeping(kid);
    sc!(SYS_kill, kid, SIGSTOP);
    until(|| state_of(kid) == 'T');
    sc!(SYS_kill, kid, SIGCONT);
    until(|| state_of(kid) != 'T');
    add(id, 0, 1);
    v!(reap(kid));
    remove(id);
}

fn killed_while_waiting() {
    let id = set(1);
    let kid = waiter(id, &[op(0, -1, 0)]);
    sc!(SYS_kill, kid, SIGKILL);
    v!(reap(kid));
    v!((sc!(SYS_semctl, id, 0, GETNCNT, 0), add(id, 0, 1), value(id, 0)));
    remove(id);
}

fn removal() {
    let id = set(1);
    t!(SYS_semctl, id, 0, IPC_RMID, 0);
    t!(SYS_semctl, id, 0, IPC_RMID, 0);
    v!(add(id, 0, 1));
    v!(value(id, 0));
    t!(SYS_semctl, id, 0, IPC_STAT, &mut zeroed::<semid_ds>());
}

fn removal_wakes() {
    let id = set(1);
    let kids: Vec<i32> = [op(0, -1, 0), op(0, -2, SEM_UNDO)]
        .into_iter()
        .map(|op| {
            let kid = spawn(|| {
                v!(semop(id, &[op]));
            });
            until_sleeping(kid);
            kid
        })
        .collect();
    // One after the other, or the lines mix.
    sc!(SYS_kill, kids[1], SIGSTOP);
    until(|| state_of(kids[1]) == 'T');
    remove(id);
    v!(reap(kids[0]));
    sc!(SYS_kill, kids[1], SIGKILL);
    v!(reap(kids[1]));
}

fn value_wakes() {
    let id = set(2);
    let kid = waiter(id, &[op(1, -2, 0)]);
    t!(SYS_semctl, id, 1, SETVAL, 3);
    v!((reap(kid), value(id, 1)));
    let kid = waiter(id, &[op(0, -1, 0), op(1, -1, 0)]);
    t!(SYS_semctl, id, 0, SETALL, &[1u16, 1]);
    v!((reap(kid), all::<2>(id)));
    remove(id);
}

fn undo_at_exit() {
    let id = set(3);
    must!(SYS_semctl, id, 0, SETALL, &[5u16, 5, 0]);
    v!(in_child(|| {
        v!(semop(id, &[op(0, -2, SEM_UNDO), op(1, 3, SEM_UNDO), op(2, 1, 0)]));
        v!(semop(id, &[op(0, -1, SEM_UNDO), op(1, -1, SEM_UNDO)]));
        v!(all::<3>(id));
    }));
    v!(all::<3>(id));
    // What another waits for comes by it.
    let holder = spawn(|| {
        semop(id, &[op(0, -5, SEM_UNDO)]);
        sc!(SYS_pause);
    });
    until(|| value(id, 0).0 == 0);
    let kid = waiter(id, &[op(0, -1, 0)]);
    sc!(SYS_kill, holder, SIGKILL);
    v!((reap(holder), reap(kid), value(id, 0)));
    remove(id);
}

fn undo_is_clipped() {
    let id = set(2);
    must!(SYS_semctl, id, 0, SETALL, &[0u16, 32767]);
    let kid = spawn(|| {
        semop(id, &[op(0, 5, SEM_UNDO), op(1, -5, SEM_UNDO)]);
        sc!(SYS_pause);
    });
    until(|| value(id, 0).0 == 5);
    v!(semop(id, &[op(0, -3, 0), op(1, 3, 0)]));
    sc!(SYS_kill, kid, SIGKILL);
    v!((reap(kid), all::<2>(id), sc!(SYS_semctl, id, 0, GETPID, 0).0 == kid.into()));
    remove(id);
}

fn undo_forgotten() {
    let id = set(2);
    v!(in_child(|| {
        v!(semop(id, &[op(0, 3, SEM_UNDO), op(1, 3, SEM_UNDO)]));
        must!(SYS_semctl, id, 0, SETVAL, 9);
    }));
    v!(all::<2>(id));
    v!(in_child(|| {
        v!(semop(id, &[op(0, 3, SEM_UNDO), op(1, 3, SEM_UNDO)]));
        must!(SYS_semctl, id, 0, SETALL, &[4u16, 4]);
        v!(semop(id, &[op(1, 1, SEM_UNDO)]));
    }));
    v!(all::<2>(id));
    remove(id);
}

fn undo_range() {
    let id = set(1);
    v!(in_child(|| {
        v!(semop(id, &[op(0, 32767, SEM_UNDO)]));
        v!(add(id, 0, -32767));
        v!(semop(id, &[op(0, 1, SEM_UNDO)]));
        v!(semop(id, &[op(0, 2, SEM_UNDO)]));
        v!(value(id, 0));
        v!(semop(id, &[op(0, -1, SEM_UNDO)]));
    }));
    v!(value(id, 0));
    remove(id);
}

/// A thread shares the list of its process, or has one of its own.
fn undo_shared() {
    static TID: AtomicI32 = AtomicI32::new(0);
    let id = set(1);
    v!(in_child(|| {
        // The C library's threads share it.
        std::thread::spawn(move || {
            TID.store(sc!(SYS_gettid).fd(), SeqCst);
            v!(semop(id, &[op(0, 3, SEM_UNDO)]));
        })
        .join()
        .unwrap();
        until(|| !std::path::Path::new(&format!("/proc/self/task/{}", TID.load(SeqCst))).exists());
        v!(value(id, 0));
    }));
    v!(value(id, 0));
    v!(in_child(|| {
        v!(semop(id, &[op(0, 2, SEM_UNDO)]));
        // A child has none of its parent's.
        v!(in_child(|| {
            v!(semop(id, &[op(0, 1, SEM_UNDO)]));
        }));
        v!(value(id, 0));
    }));
    v!(value(id, 0));
    // One that was made to share it keeps it when the other ends.
    let kid = sc!(SYS_clone, CLONE_SYSVSEM | SIGCHLD, 0, 0, 0, 0).fd();
    if kid == 0 {
        semop(id, &[op(0, 4, SEM_UNDO)]);
        exit(0);
    }
    v!((reap(kid), value(id, 0)));
    v!(sc!(SYS_unshare, CLONE_SYSVSEM));
    v!(value(id, 0));
    remove(id);
}

fn undo_unshared() {
    let id = set(1);
    v!(in_child(|| {
        v!(semop(id, &[op(0, 3, SEM_UNDO)]));
        t!(SYS_unshare, CLONE_SYSVSEM);
        v!(value(id, 0));
        v!(semop(id, &[op(0, 2, SEM_UNDO)]));
    }));
    v!(value(id, 0));
    remove(id);
}

fn undo_over_exec() {
    let id = set(1);
    let kid = spawn(|| {
        semop(id, &[op(0, 3, SEM_UNDO)]);
        let program = c"/bin/sleep";
        let args = [program.as_ptr(), c"9".as_ptr(), std::ptr::null()];
        sc!(SYS_execve, program, &args, 0);
    });
    until(|| std::fs::read_to_string(format!("/proc/{kid}/comm")).is_ok_and(|name| name == "sleep\n"));
    v!(value(id, 0));
    sc!(SYS_kill, kid, SIGKILL);
    v!((reap(kid), value(id, 0)));
    remove(id);
}

fn undo_after_removal() {
    v!(in_child(|| {
        for _ in 0..300 {
            let id = set(2);
            must!(SYS_semop, id, &[op(1, 1, SEM_UNDO)], 1);
            remove(id);
        }
    }));
}

fn status() {
    let before = sc!(SYS_time, 0).0;
    let id = set(3);
    let ds = info(id);
    v!((ds.sem_nsems, format!("{:o}", ds.sem_perm.mode), ds.sem_perm.__key, ds.sem_otime, ds.sem_ctime >= before));
    v!((ds.sem_perm.uid == ds.sem_perm.cuid, ds.sem_perm.gid == ds.sem_perm.cgid));
    add(id, 0, 1);
    v!(info(id).sem_otime >= before);
    remove(id);
    let id = set(1);
    v!(semop(id, &[op(0, 0, 0)]));
    v!(info(id).sem_otime >= before);
    remove(id);
}

fn changing() {
    let id = set(1);
    let mut ds = info(id);
    ds.sem_perm.mode = 0o17_7644;
    ds.sem_perm.uid = 65534;
    ds.sem_perm.gid = 65534;
    ds.sem_perm.cuid = 77;
    ds.sem_nsems = 9;
    t!(SYS_semctl, id, 0, IPC_SET, &ds);
    let ds = info(id);
    v!((format!("{:o}", ds.sem_perm.mode), ds.sem_perm.uid, ds.sem_perm.gid, ds.sem_perm.cuid, ds.sem_nsems));
    v!(unprivileged(|| {
        v!(add(id, 0, 1));
        t!(SYS_semctl, id, 0, IPC_RMID, 0);
    }));
    t!(SYS_semctl, id, 0, IPC_RMID, 0);
    let id = set(1);
    t!(SYS_semctl, id, 0, IPC_SET, 8);
    let mut ds = info(id);
    ds.sem_perm.gid = u32::MAX;
    t!(SYS_semctl, id, 0, IPC_SET, &ds);
    remove(id);
}

fn permissions() {
    let key = key();
    for mode in [0o600, 0o604, 0o602, 0o606, 0o660] {
        let id = must!(SYS_semget, key, 1, IPC_CREAT | mode).fd();
        must!(SYS_semctl, id, 0, SETVAL, 1);
        println!("{mode:o}");
        v!(unprivileged(|| {
            v!([1, -1].map(|change| add(id, 0, change)));
            v!(semop(id, &[op(0, 0, NOWAIT)]));
            v!([0, 0o400, 0o200, 0o600].map(|wanted| sc!(SYS_semget, key, 1, wanted).ok()));
            v!([GETVAL, GETPID, GETNCNT, GETZCNT].map(|command| sc!(SYS_semctl, id, 0, command, 0).ok()));
            t!(SYS_semctl, id, 0, GETALL, &mut [0u16]);
            t!(SYS_semctl, id, 0, SETVAL, 1);
            t!(SYS_semctl, id, 5, SETVAL, 1);
            t!(SYS_semctl, id, 0, SETALL, &[1u16]);
            t!(SYS_semctl, id, 0, IPC_STAT, &mut zeroed::<semid_ds>());
            t!(SYS_semctl, id, 0, IPC_SET, &zeroed::<semid_ds>());
            t!(SYS_semctl, id, 0, IPC_RMID, 0);
        }));
        remove(id);
    }
}

fn control_errors() {
    let id = set(1);
    for command in [99, -1, 5, 10, 0x100 | IPC_STAT] {
        t!(SYS_semctl, id, 0, command, 0);
    }
    for bad in [-1, i32::MAX] {
        for command in [IPC_STAT, IPC_SET, IPC_RMID, GETALL, SETALL, GETVAL, SETVAL, SEM_STAT, 99] {
            t!(SYS_semctl, bad, 0, command, 8);
        }
    }
    t!(SYS_semctl, i32::MAX, 0, SETVAL, -1);
    t!(SYS_semctl, id, 0, IPC_STAT, 8);
    t!(SYS_semctl, 0, 0, IPC_INFO, 8);
    remove(id);
}

fn information() {
    let id = set(3);
    let mut limits = [7i32; 10];
    o!(SYS_semctl, 0, 0, IPC_INFO, &mut limits);
    v!(limits);
    let mut used = [7i32; 10];
    let highest = o!(SYS_semctl, 0, 0, SEM_INFO, &mut used).fd();
    v!((used[7] >= 1, used[9] >= 3, &used[..7], used[8]));
    let found = (0..=highest).any(|index| sc!(SYS_semctl, index, 0, SEM_STAT, &mut zeroed::<semid_ds>()).fd() == id);
    let any = (0..=highest).any(|index| sc!(SYS_semctl, index, 0, SEM_STAT_ANY, &mut zeroed::<semid_ds>()).fd() == id);
    v!((found, any));
    t!(SYS_semctl, 30_000, 0, SEM_STAT, &mut zeroed::<semid_ds>());
    remove(id);
}

fn proc_file() {
    let id = set(3);
    let read = || std::fs::read_to_string("/proc/sysvipc/sem").unwrap_or_default();
    let text = read();
    v!(text.lines().next());
    let wanted = id.to_string();
    let line = text.lines().find(|line| line.split_whitespace().nth(1) == Some(&wanted)).unwrap_or("");
    let fields: Vec<&str> = line.split_whitespace().collect();
    v!((fields.len(), [0, 2, 3, 4, 5, 6, 7, 8].map(|n| fields.get(n).copied())));
    v!(line.len());
    remove(id);
    v!(read().lines().any(|line| line.split_whitespace().nth(1) == Some(&wanted)));
    v!(std::fs::read_to_string("/proc/sys/kernel/sem"));
}

fn set_up_for_many() {
    let id = set(32_000);
    let mut values = vec![3u16; 32_000];
    must!(SYS_semctl, id, 0, SETALL, values.as_slice());
    values.fill(0);
    must!(SYS_semctl, id, 0, GETALL, values.as_mut_slice());
    v!(values.iter().all(|&value| value == 3));
    v!((add(id, 31_999, 1), value(id, 31_999), add(id, 32_000, 1)));
    remove(id);
}
