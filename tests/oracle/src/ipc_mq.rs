//! POSIX message queues.

use crate::sys::*;
use std::ffi::CStr;

pub const CASES: &[crate::harness::Case] = cases![
    open_errors, names, attributes, send_and_receive, priorities, send_errors, receive_errors, full, waits_for_message, waits_for_room,
    receivers_in_order, timeouts, interrupted, killed_while_waiting, flags, access, unlinking, others, notifies, notify_errors,
    notify_not_when_waited_for, notify_lost_on_close, polls, file_of_queue, inherited, limit_of_user, settings,
];

/// struct mq_attr.
type Attributes = [i64; 8];

/// A name that no other run has, from the case's own directory.
fn name() -> std::ffi::CString {
    c(&format!("oracle-{}-{}", sc!(SYS_getpid).0, fstat(open(c".", O_RDONLY)).st_ino))
}

fn queue_with(name: &CStr, messages: i64, size: i64) -> i32 {
    let attributes: Attributes = [0, messages, size, 0, 0, 0, 0, 0];
    must!(SYS_mq_open, name, O_CREAT | O_RDWR | O_NONBLOCK, 0o600, &attributes).fd()
}

/// One without a name, and with room for four messages.
fn queue() -> i32 {
    let name = name();
    let fd = queue_with(&name, 4, 64);
    must!(SYS_mq_unlink, name.as_c_str());
    fd
}

fn blocking(fd: i32) {
    must!(SYS_mq_getsetattr, fd, &[0i64; 8], 0);
}

fn send(fd: i32, text: &str, priority: u32) -> Ret {
    sc!(SYS_mq_timedsend, fd, text.as_bytes(), text.len(), priority, 0)
}

fn send_many(fd: i32, count: u32, text: &str, priority: u32) {
    for _ in 0..count {
        send(fd, text, priority);
    }
}

fn receive(fd: i32) -> (Ret, u32, Text) {
    let mut bytes = [b'.'; 64];
    let mut priority = 77u32;
    let ret = sc!(SYS_mq_timedreceive, fd, &mut bytes, 64, &mut priority, 0);
    let len = if ret.is_ok() { ret.0 as usize } else { 0 };
    (ret, priority, text(&bytes[..len]))
}

fn get_attributes(fd: i32) -> Attributes {
    let mut attributes = [7; 8];
    must!(SYS_mq_getsetattr, fd, 0, &mut attributes);
    attributes
}

fn open_errors() {
    let name = name();
    t!(SYS_mq_open, name.as_c_str(), O_RDWR, 0, 0);
    for (messages, size) in [(0, 64), (4, 0), (-1, 64), (4, -1), (i64::MAX, 64), (4, i64::MAX), (65537, 1), (1, (16 << 20) + 1)] {
        let attributes: Attributes = [0, messages, size, 0, 0, 0, 0, 0];
        println!("{messages} of {size}: {}", sc!(SYS_mq_open, name.as_c_str(), O_CREAT | O_RDWR, 0o600, &attributes));
    }
    t!(SYS_mq_open, name.as_c_str(), O_CREAT | O_RDWR, 0o600, 8);
    t!(SYS_mq_open, 8, O_CREAT | O_RDWR, 0o600, 0);
    o!(SYS_mq_open, name.as_c_str(), O_CREAT | O_EXCL | O_RDWR, 0o600, 0);
    t!(SYS_mq_open, name.as_c_str(), O_CREAT | O_EXCL | O_RDWR, 0o600, 0);
    t!(SYS_mq_open, name.as_c_str(), 3, 0, 0);
    o!(SYS_mq_open, name.as_c_str(), O_CREAT | O_RDWR, 0o600, &[0i64; 8]);
    t!(SYS_mq_unlink, name.as_c_str());
    t!(SYS_mq_unlink, name.as_c_str());
}

fn names() {
    let long = c(&"n".repeat(255));
    let too_long = c(&"n".repeat(256));
    for name in [c"", c".", c"..", c"/a", c"a/b", too_long.as_c_str()] {
        println!("{}: {}", name.to_bytes().len(), sc!(SYS_mq_open, name, O_CREAT | O_RDWR, 0o600, 0).ok());
        println!("  {}", sc!(SYS_mq_unlink, name));
    }
    println!("{}", sc!(SYS_mq_open, long.as_c_str(), O_CREAT | O_RDWR, 0o600, 0).ok());
    println!("{}", sc!(SYS_mq_unlink, long.as_c_str()));
    t!(SYS_mq_unlink, 8);
}

fn attributes() {
    let name = name();
    let fd = must!(SYS_mq_open, name.as_c_str(), O_CREAT | O_RDWR, 0o600, 0).fd();
    v!(&get_attributes(fd)[..4]);
    must!(SYS_mq_unlink, name.as_c_str());
    let fd = queue();
    send(fd, "abc", 0);
    v!(&get_attributes(fd)[..4]);
    v!(sc!(SYS_fcntl, fd, F_GETFD));
}

fn send_and_receive() {
    let fd = queue();
    v!(receive(fd));
    for text in ["one", "", "three"] {
        v!(send(fd, text, 0));
    }
    v!((receive(fd), receive(fd), receive(fd), receive(fd)));
}

fn priorities() {
    let fd = queue();
    for (text, priority) in [("a", 1), ("b", 32767), ("c", 1), ("d", 5)] {
        v!(send(fd, text, priority));
    }
    v!((receive(fd), receive(fd), receive(fd), receive(fd)));
}

fn send_errors() {
    let fd = queue();
    v!((send(fd, "a", 32768), send(fd, "a", u32::MAX), send(-1, "a", 0), send(-1, "a", 32768)));
    v!(send(fd, &"x".repeat(65), 0));
    v!(send(fd, &"x".repeat(64), 0));
    t!(SYS_mq_timedsend, fd, 8, 1, 0, 0);
    t!(SYS_mq_timedsend, fd, 8, 0, 0, 0);
    t!(SYS_mq_timedsend, fd, b"a", 1, 0, 8);
    let bad = timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    t!(SYS_mq_timedsend, fd, b"a", 1, 0, &bad);
    t!(SYS_mq_timedsend, -1, b"a", 1, 0, &bad);
    let (r, w) = pipe();
    t!(SYS_mq_timedsend, w, b"a", 1, 0, 0);
    t!(SYS_mq_timedreceive, r, &mut [0u8; 64], 64, 0, 0);
    t!(SYS_mq_getsetattr, r, 0, &mut [0i64; 8]);
    t!(SYS_mq_notify, r, 0);
    v!(&get_attributes(fd)[..4]);
}

fn receive_errors() {
    let fd = queue();
    t!(SYS_mq_timedreceive, fd, &mut [0u8; 64], 63, 0, 0);
    t!(SYS_mq_timedreceive, fd, 8, 64, 0, 0);
    send(fd, "abc", 0);
    send(fd, "def", 0);
    send(fd, "ghi", 0);
    t!(SYS_mq_timedreceive, fd, 8, 64, 0, 0);
    t!(SYS_mq_timedreceive, fd, &mut [0u8; 64], 64, 8, 0);
    t!(SYS_mq_timedreceive, fd, &mut [0u8; 64], 64, 0, 8);
    v!((receive(fd), receive(fd)));
}

fn full() {
    let fd = queue();
    v!((0..6).map(|_| send(fd, "x", 0)).collect::<Vec<_>>());
    v!((receive(fd), send(fd, "y", 1), send(fd, "z", 2), receive(fd)));
}

fn receiver(fd: i32) -> i32 {
    let kid = spawn(|| exit(receive(fd).2.0.len() as i32));
    until_sleeping(kid);
    kid
}

fn waits_for_message() {
    let fd = queue();
    blocking(fd);
    let kid = receiver(fd);
    v!(send(fd, "hello", 3));
    v!((reap(kid), get_attributes(fd)[3]));
}

fn waits_for_room() {
    let fd = queue();
    blocking(fd);
    send_many(fd, 4, "x", 1);
    let kids = ["first", "second"].map(|text| {
        let kid = spawn(|| exit(if send(fd, text, 1).is_ok() { 0 } else { 1 }));
        until_sleeping(kid);
        kid
    });
    v!((receive(fd), receive(fd)));
    v!(kids.map(reap));
    v!((0..4).map(|_| receive(fd)).collect::<Vec<_>>());
}

fn receivers_in_order() {
    let fd = queue();
    blocking(fd);
    let kids = [(); 3].map(|()| receiver(fd));
    for text in ["a", "bb", "ccc"] {
        send(fd, text, 0);
    }
    v!(kids.map(reap));
}

fn timeouts() {
    let fd = queue();
    let mut now: timespec = zeroed();
    let mut bytes = [0u8; 64];
    let past = timespec { tv_sec: 1, tv_nsec: 0 };
    t!(SYS_mq_timedreceive, fd, &mut bytes, 64, 0, &past);
    blocking(fd);
    t!(SYS_mq_timedreceive, fd, &mut bytes, 64, 0, &past);
    must!(SYS_clock_gettime, CLOCK_REALTIME, &mut now);
    let soon = timespec { tv_sec: now.tv_sec + (now.tv_nsec + 20_000_000) / 1_000_000_000, tv_nsec: (now.tv_nsec + 20_000_000) % 1_000_000_000 };
    t!(SYS_mq_timedreceive, fd, &mut bytes, 64, 0, &soon);
    send_many(fd, 4, "x", 1);
    t!(SYS_mq_timedsend, fd, b"a", 1, 0, &past);
    v!((receive(fd).0, sc!(SYS_mq_timedsend, fd, b"a", 1, 0, &past)));
}

fn interrupted() {
    let fd = queue();
    blocking(fd);
    let kid = spawn(|| {
        catch(SIGUSR1, 0);
        v!(receive(fd));
        v!(caught(SIGUSR1));
    });
    until_sleeping(kid);
    sc!(SYS_kill, kid, SIGUSR1);
    v!(reap(kid));
    let kid = spawn(|| {
        catch(SIGUSR1, SA_RESTART);
        v!(receive(fd));
        v!(caught(SIGUSR1));
    });
    until_sleeping(kid);
    sc!(SYS_kill, kid, SIGUSR1);
    sleep_ms(20);
    until_sleeping(kid);
    send(fd, "again", 0);
    v!(reap(kid));
}

fn killed_while_waiting() {
    let fd = queue();
    blocking(fd);
    let kid = receiver(fd);
    sc!(SYS_kill, kid, SIGKILL);
    v!((reap(kid), send(fd, "x", 0), receive(fd)));
}

fn flags() {
    let fd = queue();
    let mut old = [7i64; 8];
    for flags in [0, i64::from(O_NONBLOCK), 1, -1, i64::from(O_NONBLOCK | O_APPEND)] {
        let new = [flags, 99, 99, 99, 0, 0, 0, 0];
        t!(SYS_mq_getsetattr, fd, &new, &mut old);
        v!((&old[..4], format!("{:o}", sc!(SYS_fcntl, fd, F_GETFL).0 & i64::from(O_NONBLOCK))));
    }
    t!(SYS_mq_getsetattr, fd, 8, &mut old);
    t!(SYS_mq_getsetattr, fd, 0, 8);
    t!(SYS_mq_getsetattr, -1, 8, 0);
    t!(SYS_mq_getsetattr, fd, 0, 0);
}

fn access() {
    let name = name();
    let fd = queue_with(&name, 4, 64);
    send(fd, "abc", 0);
    let r = must!(SYS_mq_open, name.as_c_str(), O_RDONLY | O_NONBLOCK, 0, 0).fd();
    let w = must!(SYS_mq_open, name.as_c_str(), O_WRONLY | O_NONBLOCK, 0, 0).fd();
    v!((send(r, "x", 0), receive(w).0, receive(r), send(w, "y", 0), receive(fd)));
    must!(SYS_mq_unlink, name.as_c_str());
}

fn unlinking() {
    let name = name();
    let a = queue_with(&name, 4, 64);
    must!(SYS_mq_unlink, name.as_c_str());
    let b = queue_with(&name, 4, 64);
    send(a, "to a", 0);
    v!((receive(b).0, receive(a)));
    must!(SYS_mq_unlink, name.as_c_str());
}

fn others() {
    let name = name();
    for mode in [0o600, 0o604, 0o602, 0o666] {
        sc!(SYS_umask, 0);
        close(must!(SYS_mq_open, name.as_c_str(), O_CREAT | O_RDWR, mode, 0).fd());
        println!("{mode:o}");
        v!(unprivileged(|| {
            v!([O_RDONLY, O_WRONLY, O_RDWR].map(|flags| sc!(SYS_mq_open, name.as_c_str(), flags, 0, 0).ok()));
            if is_root() || sc!(SYS_geteuid).0 == 65534 {
                t!(SYS_mq_unlink, name.as_c_str());
            }
        }));
        sc!(SYS_mq_unlink, name.as_c_str());
    }
}

/// struct sigevent's first words.
fn event(kind: i32, signal: i32, value: u64) -> [u64; 8] {
    [value, u64::from(signal as u32) | (kind as u64) << 32, 0, 0, 0, 0, 0, 0]
}

fn notifies() {
    let fd = queue();
    mask(SIG_BLOCK, &[SIGUSR1]);
    let set: u64 = 1 << (SIGUSR1 - 1);
    let none = timespec { tv_sec: 0, tv_nsec: 0 };
    let told = || {
        let mut info = [0u32; 32];
        let ret = sc!(SYS_rt_sigtimedwait, &set, &mut info, &none, 8);
        (ret, info[2] as i32, u64::from(info[3]) == sc!(SYS_getpid).0 as u64, u64::from(info[5]) | u64::from(info[6]) << 32, info[6])
    };
    t!(SYS_mq_notify, fd, &event(SIGEV_SIGNAL, SIGUSR1, 42));
    v!(send(fd, "a", 0));
    let first = told();
    v!((first.0, first.1, first.2, first.4));
    // Once only.
    receive(fd);
    send(fd, "b", 0);
    v!(told().0);
    // Only when it was empty.
    t!(SYS_mq_notify, fd, &event(SIGEV_SIGNAL, SIGUSR1, 43));
    send(fd, "c", 0);
    v!(told().0);
    receive(fd);
    receive(fd);
    send(fd, "d", 0);
    v!((told().0, told().0));
    receive(fd);
    t!(SYS_mq_notify, fd, &event(SIGEV_NONE, 0, 0));
    t!(SYS_mq_notify, fd, &event(SIGEV_SIGNAL, SIGUSR1, 43));
    send(fd, "e", 0);
    v!(told().0);
    t!(SYS_mq_notify, fd, &event(SIGEV_SIGNAL, SIGUSR1, 43));
    t!(SYS_mq_notify, fd, 0);
    receive(fd);
    send(fd, "f", 0);
    v!(told().0);
}

fn notify_errors() {
    let fd = queue();
    for (kind, signal) in [(SIGEV_SIGNAL, 65), (SIGEV_SIGNAL, -1), (3, SIGUSR1), (SIGEV_THREAD_ID, SIGUSR1), (-1, 0)] {
        println!("{kind} {signal}: {}", sc!(SYS_mq_notify, fd, &event(kind, signal, 0)));
    }
    t!(SYS_mq_notify, fd, 8);
    t!(SYS_mq_notify, -1, 8);
    t!(SYS_mq_notify, -1, &event(SIGEV_SIGNAL, 65, 0));
    t!(SYS_mq_notify, -1, &event(SIGEV_SIGNAL, SIGUSR1, 0));
    t!(SYS_mq_notify, fd, 0);
    t!(SYS_mq_notify, fd, &event(SIGEV_SIGNAL, SIGUSR1, 0));
    v!(in_child(|| {
        t!(SYS_mq_notify, fd, &event(SIGEV_SIGNAL, SIGUSR1, 0));
        t!(SYS_mq_notify, fd, 0);
    }));
    t!(SYS_mq_notify, fd, &event(SIGEV_SIGNAL, SIGUSR1, 0));
}

fn notify_not_when_waited_for() {
    let fd = queue();
    blocking(fd);
    catch(SIGUSR1, 0);
    t!(SYS_mq_notify, fd, &event(SIGEV_SIGNAL, SIGUSR1, 0));
    let kid = receiver(fd);
    v!(send(fd, "abc", 0));
    v!((reap(kid), caught(SIGUSR1)));
    send(fd, "abc", 0);
    v!(caught(SIGUSR1));
}

fn notify_lost_on_close() {
    let name = name();
    let fd = queue_with(&name, 4, 64);
    let other = must!(SYS_mq_open, name.as_c_str(), O_RDWR | O_NONBLOCK, 0, 0).fd();
    must!(SYS_mq_unlink, name.as_c_str());
    catch(SIGUSR1, 0);
    t!(SYS_mq_notify, fd, &event(SIGEV_SIGNAL, SIGUSR1, 0));
    close(other);
    send(fd, "abc", 0);
    v!(caught(SIGUSR1));
    // The end of the process does it too.
    v!(in_child(|| {
        t!(SYS_mq_notify, fd, &event(SIGEV_SIGNAL, SIGUSR1, 0));
    }));
    t!(SYS_mq_notify, fd, &event(SIGEV_SIGNAL, SIGUSR1, 0));
}

fn polls() {
    let fd = queue();
    let events = || {
        let mut set = pollfd { fd, events: 0x7fff, revents: 0 };
        must!(SYS_poll, &mut set, 1, 0);
        format!("{:x}", set.revents)
    };
    v!(events());
    send(fd, "a", 0);
    v!(events());
    send_many(fd, 3, "b", 0);
    v!(events());
    for _ in 0..4 {
        receive(fd);
    }
    let (ready, wait) = pipe();
    let kid = spawn(|| {
        let mut set = pollfd { fd, events: POLLIN, revents: 0 };
        put(wait, b"x");
        v!(sc!(SYS_poll, &mut set, 1, -1));
    });
    get(ready, 1);
    until_sleeping(kid);
    send(fd, "c", 0);
    v!(reap(kid));
}

fn file_of_queue() {
    let name = name();
    sc!(SYS_umask, 0o027);
    let fd = must!(SYS_mq_open, name.as_c_str(), O_CREAT | O_RDWR, 0o777, 0).fd();
    must!(SYS_mq_unlink, name.as_c_str());
    let st = fstat(fd);
    v!((format!("{:o}", st.st_mode), st.st_size, st.st_uid == sc!(SYS_geteuid).0 as u32));
    send(fd, "abc", 0);
    let mut bytes = [0u8; 99];
    let n = sc!(SYS_read, fd, &mut bytes, 99);
    v!((n, text(&bytes[..n.0.max(0) as usize])));
    v!((sc!(SYS_read, fd, &mut bytes, 99), sc!(SYS_write, fd, b"x", 1)));
    must!(SYS_mq_notify, fd, &event(SIGEV_NONE, 0, 0));
    let n = sc!(SYS_pread64, fd, &mut bytes, 36, 0);
    v!((n, text(&bytes[..36])));
}

fn inherited() {
    let fd = queue();
    v!(in_child(|| {
        v!(send(fd, "from the child", 0));
    }));
    v!(receive(fd));
}

fn limit_of_user() {
    v!(unprivileged(|| {
        let name = name();
        let attributes: Attributes = [0, 10, 100, 0, 0, 0, 0, 0];
        for limit in [0u64, 1000, 1959, 1960, 4000] {
            must!(SYS_setrlimit, RLIMIT_MSGQUEUE, &[limit, 819_200]);
            let fd = sc!(SYS_mq_open, name.as_c_str(), O_CREAT | O_RDWR, 0o600, &attributes);
            println!("{limit}: {}", fd.ok());
            sc!(SYS_mq_unlink, name.as_c_str());
            if fd.is_ok() {
                close(fd.fd());
            }
        }
        for (messages, size) in [(11, 64), (10, 8193)] {
            let attributes: Attributes = [0, messages, size, 0, 0, 0, 0, 0];
            println!("{messages} of {size}: {}", sc!(SYS_mq_open, name.as_c_str(), O_CREAT | O_RDWR, 0o600, &attributes));
        }
    }));
}

fn settings() {
    for name in ["msg_default", "msg_max", "msgsize_default", "msgsize_max", "queues_max"] {
        v!(std::fs::read_to_string(format!("/proc/sys/fs/mqueue/{name}")));
    }
}
