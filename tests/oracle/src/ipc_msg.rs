//! System V message queues.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    get_errors, send_and_receive, kinds, except, lengths, send_errors, receive_errors, full, full_of_nothing, limits, waits_for_message,
    waits_for_room, receivers_in_order, receivers_by_kind, too_long_for_waiting, interrupted, killed_while_waiting, removal_wakes,
    change_wakes, bad_address_loses, status, changing, permissions, control_errors, information, proc_file,
];

const NOWAIT: i32 = IPC_NOWAIT;
const NOERROR: i32 = 0o10000;
const EXCEPT: i32 = 0o20000;
const MSG_STAT: i32 = 11;
const MSG_INFO: i32 = 12;
const MSG_STAT_ANY: i32 = 13;

#[repr(C)]
struct Message {
    kind: i64,
    text: [u8; 64],
}

/// A key that no other run has, from the case's own directory.
fn key() -> i32 {
    (fstat(open(c".", O_RDONLY)).st_ino as i32 & 0xff_ffff) | 0x5700_0000
}

fn queue() -> i32 {
    must!(SYS_msgget, IPC_PRIVATE, IPC_CREAT | 0o600).fd()
}

fn remove(id: i32) {
    must!(SYS_msgctl, id, IPC_RMID, 0);
}

fn send(id: i32, kind: i64, text: &str) -> Ret {
    let mut message = Message { kind, text: [0; 64] };
    message.text[..text.len()].copy_from_slice(text.as_bytes());
    sc!(SYS_msgsnd, id, &message, text.len(), NOWAIT)
}

fn receive(id: i32, room: usize, kind: i64, flags: i32) -> (Ret, i64, Text) {
    let mut message = Message { kind: -7, text: [b'.'; 64] };
    let ret = sc!(SYS_msgrcv, id, &mut message, room, kind, flags);
    let len = if ret.is_ok() { ret.0 as usize } else { 0 };
    (ret, message.kind, text(&message.text[..len]))
}

fn take(id: i32, kind: i64) -> (Ret, i64, Text) {
    receive(id, 64, kind, NOWAIT)
}

fn info(id: i32) -> msqid_ds {
    let mut ds = zeroed();
    must!(SYS_msgctl, id, IPC_STAT, &mut ds);
    ds
}

fn get_errors() {
    let key = key();
    t!(SYS_msgget, key, 0);
    let id = o!(SYS_msgget, key, IPC_CREAT | IPC_EXCL | 0o640).fd();
    t!(SYS_msgget, key, IPC_CREAT | IPC_EXCL | 0o640);
    v!(sc!(SYS_msgget, key, 0).fd() == id);
    v!(sc!(SYS_msgget, key, IPC_CREAT | 0o600).fd() == id);
    remove(id);
    t!(SYS_msgget, key, 0);
    t!(SYS_msgctl, id, IPC_RMID, 0);
    v!(send(id, 1, "a"));
    v!(take(id, 0));
}

fn send_and_receive() {
    let id = queue();
    v!(take(id, 0));
    for (kind, text) in [(1, "one"), (i64::MAX, "two"), (3, ""), (1, "four")] {
        v!(send(id, kind, text));
    }
    for _ in 0..5 {
        v!(take(id, 0));
    }
    remove(id);
}

fn kinds() {
    let id = queue();
    for (kind, text) in [(5, "a"), (3, "b"), (9, "c"), (3, "d"), (5, "e"), (1, "f")] {
        send(id, kind, text);
    }
    for kind in [3, 4, 9, -2, -2, -5, -5, i64::MIN, -100] {
        println!("{kind}: {:?}", take(id, kind));
    }
    remove(id);
}

fn except() {
    let id = queue();
    for (kind, text) in [(5, "a"), (5, "b"), (3, "c"), (5, "d"), (1, "e")] {
        send(id, kind, text);
    }
    for kind in [5, 5, 3, 3, 5, 1] {
        println!("{kind}: {:?}", receive(id, 64, kind, NOWAIT | EXCEPT));
    }
    send(id, 7, "x");
    send(id, 8, "y");
    v!(receive(id, 64, -7, NOWAIT | EXCEPT));
    v!(receive(id, 64, 0, NOWAIT | EXCEPT));
    remove(id);
}

fn lengths() {
    let id = queue();
    send(id, 1, "abcdef");
    v!(receive(id, 5, 0, NOWAIT));
    v!(receive(id, 0, 0, NOWAIT));
    v!(receive(id, 3, 0, NOWAIT | NOERROR));
    v!(take(id, 0));
    send(id, 1, "abcdef");
    v!(receive(id, 6, 0, NOWAIT));
    send(id, 1, "");
    v!(receive(id, 0, 0, NOWAIT));
    remove(id);
}

fn send_errors() {
    let id = queue();
    v!([0, -1, i64::MIN].map(|kind| send(id, kind, "a")));
    let message = Message { kind: 1, text: [0; 64] };
    t!(SYS_msgsnd, id, &message, -1, NOWAIT);
    t!(SYS_msgsnd, id, &message, 8193, NOWAIT);
    t!(SYS_msgsnd, -1, &message, 1, NOWAIT);
    t!(SYS_msgsnd, i32::MAX, &message, 1, NOWAIT);
    t!(SYS_msgsnd, -1, 8, 1, NOWAIT);
    t!(SYS_msgsnd, id, 8, 1, NOWAIT);
    let a = map(2 * PAGE, RW, ANON);
    must!(SYS_munmap, a + PAGE, PAGE);
    let at = a + PAGE - 8;
    copy_in(at, &1i64.to_ne_bytes());
    t!(SYS_msgsnd, id, at, 0, NOWAIT);
    t!(SYS_msgsnd, id, at, 1, NOWAIT);
    t!(SYS_msgsnd, i32::MAX, at, 1, NOWAIT);
    v!(info(id).msg_qnum);
    remove(id);
}

fn receive_errors() {
    let id = queue();
    let mut message = Message { kind: 1, text: [0; 64] };
    t!(SYS_msgrcv, id, &mut message, -1, 0, NOWAIT);
    t!(SYS_msgrcv, -1, &mut message, 1, 0, NOWAIT);
    t!(SYS_msgrcv, i32::MAX, &mut message, 1, 0, NOWAIT);
    t!(SYS_msgrcv, id, 8, 1, 0, NOWAIT);
    t!(SYS_msgrcv, id, &mut message, 1usize << 40, 0, NOWAIT);
    const COPY: i32 = 0o40000;
    t!(SYS_msgrcv, id, &mut message, 64, 0, COPY);
    t!(SYS_msgrcv, id, &mut message, 64, 0, COPY | EXCEPT | NOWAIT);
    remove(id);
}

fn full() {
    let id = queue();
    let message = Message { kind: 1, text: [0; 64] };
    let mut sent = 0;
    while sc!(SYS_msgsnd, id, &message, 64, NOWAIT).is_ok() {
        sent += 1;
    }
    v!((sent, info(id).__msg_cbytes, info(id).msg_qbytes));
    t!(SYS_msgsnd, id, &message, 64, NOWAIT);
    v!((take(id, 0).0, send(id, 2, "a"), send(id, 2, &"b".repeat(63)), send(id, 2, "c")));
    v!(send(id, 3, ""));
    remove(id);
}

fn full_of_nothing() {
    let id = queue();
    let mut ds = info(id);
    ds.msg_qbytes = 3;
    t!(SYS_msgctl, id, IPC_SET, &ds);
    v!((0..5).map(|_| send(id, 1, "")).collect::<Vec<_>>());
    v!((take(id, 0), send(id, 1, "abcd"), send(id, 1, "abc")));
    v!((info(id).msg_qnum, info(id).__msg_cbytes));
    remove(id);
}

fn limits() {
    for name in ["msgmax", "msgmnb", "msgmni"] {
        v!(std::fs::read_to_string(format!("/proc/sys/kernel/{name}")));
    }
    let id = queue();
    let big = vec![1u8; 8200];
    v!(sc!(SYS_msgsnd, id, big.as_slice(), 8192, NOWAIT));
    let mut back = vec![0u8; 8200];
    v!(sc!(SYS_msgrcv, id, back.as_mut_slice(), 8192, 0, NOWAIT));
    v!(back == big);
    remove(id);
}

fn waits_for_message() {
    let id = queue();
    let kid = spawn(|| {
        v!(receive(id, 64, 0, 0));
    });
    until_sleeping(kid);
    send(id, 4, "hello");
    v!(reap(kid));
    v!(info(id).msg_lrpid == kid);
    remove(id);
}

/// A queue with room for `bytes`.
fn narrow(bytes: u64) -> i32 {
    let id = queue();
    let mut ds = info(id);
    ds.msg_qbytes = bytes;
    must!(SYS_msgctl, id, IPC_SET, &ds);
    id
}

fn sender(id: i32, kind: i64, len: usize) -> i32 {
    let kid = spawn(|| {
        let message = Message { kind, text: [b'k'; 64] };
        exit(if sc!(SYS_msgsnd, id, &message, len, 0).is_ok() { 0 } else { 1 });
    });
    until_sleeping(kid);
    kid
}

fn waits_for_room() {
    let id = narrow(10);
    v!(send(id, 1, "0123456789"));
    let kid = sender(id, 2, 8);
    let small = sender(id, 3, 2);
    v!(info(id).msg_qnum);
    v!(take(id, 0));
    v!((reap(kid), reap(small)));
    // Whose message is first is not said.
    v!((take(id, 2), take(id, 3), take(id, 0)));
    // Those that fit are not held up by one that does not.
    v!(send(id, 1, "01234"));
    v!(send(id, 1, "56789"));
    let large = sender(id, 2, 9);
    let small = sender(id, 3, 4);
    v!(take(id, 0));
    v!(reap(small));
    v!((take(id, 0), take(id, 0)));
    v!((reap(large), take(id, 0)));
    remove(id);
}

fn receiver(id: i32, room: usize, kind: i64, flags: i32) -> i32 {
    let kid = spawn(|| exit(receive(id, room, kind, flags).2.0.len() as i32));
    until_sleeping(kid);
    kid
}

fn receivers_in_order() {
    let id = queue();
    let kids: Vec<i32> = (0..3).map(|_| receiver(id, 64, 0, 0)).collect();
    for text in ["a", "bb", "ccc"] {
        v!(send(id, 1, text));
    }
    v!(kids.into_iter().map(reap).collect::<Vec<_>>());
    v!(info(id).msg_qnum);
    remove(id);
}

fn receivers_by_kind() {
    let id = queue();
    let five = receiver(id, 64, 5, 0);
    let low = receiver(id, 64, -3, 0);
    let other = receiver(id, 64, 2, EXCEPT);
    for (kind, text) in [(2, "a"), (2, "bb"), (7, "ccc"), (5, "dddd")] {
        v!(send(id, kind, text));
    }
    v!((reap(five), reap(low), reap(other)));
    v!(take(id, 0));
    remove(id);
}

fn too_long_for_waiting() {
    let id = queue();
    let kid = spawn(|| {
        v!(receive(id, 2, 0, 0));
    });
    until_sleeping(kid);
    let cut = receiver(id, 2, 0, NOERROR);
    send(id, 1, "abc");
    v!((reap(kid), reap(cut)));
    v!(take(id, 0));
    remove(id);
}

fn interrupted() {
    let id = narrow(3);
    send(id, 1, "abc");
    for flags in [0, SA_RESTART] {
        let kid = spawn(|| {
            catch(SIGUSR1, flags);
            v!(receive(id, 64, 9, 0));
            v!(caught(SIGUSR1));
        });
        until_sleeping(kid);
        sc!(SYS_kill, kid, SIGUSR1);
        v!(reap(kid));
        let kid = spawn(|| {
            catch(SIGUSR1, flags);
            let message = Message { kind: 9, text: [0; 64] };
            t!(SYS_msgsnd, id, &message, 1, 0);
        });
        until_sleeping(kid);
        sc!(SYS_kill, kid, SIGUSR1);
        v!(reap(kid));
    }
    // Stopped and continued, without a handler, it goes on.
    let kid = receiver(id, 64, 9, 0);
    sc!(SYS_kill, kid, SIGSTOP);
    until(|| state_of(kid) == 'T');
    sc!(SYS_kill, kid, SIGCONT);
    until_sleeping(kid);
    take(id, 0);
    v!(send(id, 9, "xyz"));
    v!(reap(kid));
    remove(id);
}

fn killed_while_waiting() {
    let id = narrow(3);
    let kid = receiver(id, 64, 0, 0);
    sc!(SYS_kill, kid, SIGKILL);
    v!(reap(kid));
    v!(send(id, 1, "abc"));
    let kid = sender(id, 1, 3);
    sc!(SYS_kill, kid, SIGKILL);
    v!(reap(kid));
    v!((take(id, 0), take(id, 0)));
    remove(id);
}

fn removal_wakes() {
    let id = narrow(3);
    send(id, 1, "abc");
    let kids = [
        spawn(|| exit(-receive(id, 64, 9, 0).0.0 as i32)),
        spawn(|| exit(-sc!(SYS_msgsnd, id, &Message { kind: 1, text: [0; 64] }, 1, 0).0 as i32)),
    ];
    kids.into_iter().for_each(until_sleeping);
    remove(id);
    v!(kids.map(reap));
}

/// Who waits finds that there is room now, or that it may not any more.
fn change_wakes() {
    let id = narrow(3);
    send(id, 1, "abc");
    let kid = sender(id, 2, 4);
    let mut ds = info(id);
    ds.msg_qbytes = 100;
    t!(SYS_msgctl, id, IPC_SET, &ds);
    v!((reap(kid), take(id, 2)));
    if !is_root() {
        return remove(id);
    }
    ds.msg_perm.mode = 0o666;
    must!(SYS_msgctl, id, IPC_SET, &ds);
    let kid = spawn(|| {
        v!(unprivileged(|| {
            v!(receive(id, 64, 9, 0));
        }));
    });
    let waits = |pid: i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        state_of(pid) == 'S' && status.lines().any(|line| line.starts_with("Uid:\t65534"))
    };
    until(|| {
        let list = std::fs::read_to_string(format!("/proc/{kid}/task/{kid}/children")).unwrap_or_default();
        list.split_whitespace().next().and_then(|pid| pid.parse().ok()).is_some_and(waits)
    });
    ds.msg_perm.mode = 0o600;
    must!(SYS_msgctl, id, IPC_SET, &ds);
    v!(reap(kid));
    remove(id);
}

fn bad_address_loses() {
    let id = queue();
    send(id, 1, "abc");
    send(id, 2, "def");
    t!(SYS_msgrcv, id, 8, 64, 0, NOWAIT);
    v!((take(id, 0), take(id, 0)));
    remove(id);
}

fn status() {
    let before = sc!(SYS_time, 0).0;
    let me = sc!(SYS_getpid).0 as i32;
    let id = queue();
    let ds = info(id);
    v!((ds.msg_qnum, ds.__msg_cbytes, ds.msg_qbytes, format!("{:o}", ds.msg_perm.mode), ds.msg_perm.__key));
    v!((ds.msg_stime, ds.msg_rtime, ds.msg_ctime >= before, ds.msg_lspid, ds.msg_lrpid));
    send(id, 1, "abc");
    let ds = info(id);
    v!((ds.msg_qnum, ds.__msg_cbytes, ds.msg_stime >= before, ds.msg_lspid == me, ds.msg_lrpid));
    take(id, 0);
    let ds = info(id);
    v!((ds.msg_qnum, ds.__msg_cbytes, ds.msg_rtime >= before, ds.msg_lrpid == me));
    remove(id);
}

fn changing() {
    let id = queue();
    let mut ds = info(id);
    ds.msg_perm.mode = 0o17_7644;
    ds.msg_perm.uid = 65534;
    ds.msg_perm.gid = 65534;
    ds.msg_perm.cuid = 77;
    ds.msg_qbytes = 10_000;
    ds.msg_qnum = 9;
    t!(SYS_msgctl, id, IPC_SET, &ds);
    let ds = info(id);
    v!((format!("{:o}", ds.msg_perm.mode), ds.msg_perm.uid, ds.msg_perm.gid, ds.msg_perm.cuid, ds.msg_qbytes, ds.msg_qnum));
    v!(unprivileged(|| {
        let mut ds = info(id);
        ds.msg_qbytes = 16384;
        t!(SYS_msgctl, id, IPC_SET, &ds);
        ds.msg_qbytes = 16385;
        t!(SYS_msgctl, id, IPC_SET, &ds);
        v!(send(id, 1, "a"));
        t!(SYS_msgctl, id, IPC_RMID, 0);
    }));
    t!(SYS_msgctl, id, IPC_RMID, 0);
    let id = queue();
    t!(SYS_msgctl, id, IPC_SET, 8);
    remove(id);
}

fn permissions() {
    let key = key();
    for mode in [0o600, 0o604, 0o602, 0o606, 0o660] {
        let id = must!(SYS_msgget, key, IPC_CREAT | mode).fd();
        println!("{mode:o}");
        send(id, 1, "mine");
        v!(unprivileged(|| {
            v!((send(id, 1, "a"), take(id, 0)));
            v!([0, 0o400, 0o200, 0o600].map(|wanted| sc!(SYS_msgget, key, wanted).ok()));
            t!(SYS_msgctl, id, IPC_STAT, &mut zeroed::<msqid_ds>());
            t!(SYS_msgctl, id, IPC_SET, &zeroed::<msqid_ds>());
            t!(SYS_msgctl, id, IPC_RMID, 0);
        }));
        remove(id);
    }
}

fn control_errors() {
    let id = queue();
    for command in [99, -1, 4, 0x100 | IPC_STAT] {
        t!(SYS_msgctl, id, command, 0);
    }
    for bad in [-1, i32::MAX] {
        for command in [IPC_STAT, IPC_SET, IPC_RMID, MSG_STAT, 99] {
            t!(SYS_msgctl, bad, command, 8);
        }
    }
    t!(SYS_msgctl, id, IPC_STAT, 8);
    t!(SYS_msgctl, 0, IPC_INFO, 8);
    remove(id);
}

fn information() {
    let id = queue();
    send(id, 1, "abc");
    let mut limits = [7i32; 8];
    o!(SYS_msgctl, 0, IPC_INFO, &mut limits);
    v!((&limits[..7], limits[7] & 0xffff));
    let mut used = [7i32; 8];
    let highest = o!(SYS_msgctl, 0, MSG_INFO, &mut used).fd();
    v!((used[0] >= 1, used[1] >= 1, used[6] >= 3, &used[2..6]));
    let found = (0..=highest).any(|index| sc!(SYS_msgctl, index, MSG_STAT, &mut zeroed::<msqid_ds>()).fd() == id);
    let any = (0..=highest).any(|index| sc!(SYS_msgctl, index, MSG_STAT_ANY, &mut zeroed::<msqid_ds>()).fd() == id);
    v!((found, any));
    t!(SYS_msgctl, 30_000, MSG_STAT, &mut zeroed::<msqid_ds>());
    remove(id);
}

fn proc_file() {
    let id = queue();
    send(id, 1, "abc");
    let read = || std::fs::read_to_string("/proc/sysvipc/msg").unwrap_or_default();
    let text = read();
    v!(text.lines().next());
    let wanted = id.to_string();
    let line = text.lines().find(|line| line.split_whitespace().nth(1) == Some(&wanted)).unwrap_or("");
    let fields: Vec<&str> = line.split_whitespace().collect();
    v!((fields.len(), [0, 2, 3, 4, 6, 7, 8, 9, 10, 12].map(|n| fields.get(n).copied())));
    v!(line.len());
    remove(id);
    v!(read().lines().any(|line| line.split_whitespace().nth(1) == Some(&wanted)));
}
