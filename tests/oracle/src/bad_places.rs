//! Sockets and futexes given memory that is only partly there: what was done, what is lost, what is
//! kept.

use crate::sock::{address, connect, listener, send_fds};
use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    stream_receive,
    stream_receive_vectors,
    stream_peek,
    stream_wait_all,
    stream_send,
    packets_receive,
    packets_send,
    receive_name,
    receive_control,
    send_name_and_control,
    many_messages,
    accept_name,
    names_and_options,
    futex_pages,
    futex_pages_that_others_see,
    futex_pairs,
    futex_locks,
    futex_many,
    futex_private_file_page,
];

/// Two pages of which the second is not there: the address of the last byte that is, plus one.
fn edge() -> usize {
    let at = map(2 * PAGE, RW, ANON);
    must!(SYS_munmap, at + PAGE, PAGE);
    at + PAGE
}

fn rest(fd: i32) -> Ret {
    sc!(SYS_recvfrom, fd, &mut [0u8; 3 * PAGE], 3 * PAGE, MSG_DONTWAIT, 0, 0)
}

fn stream_receive() {
    let (a, b) = socketpair(SOCK_STREAM);
    let edge = edge();
    put(a, &[b'x'; 5000]);
    t!(SYS_recvfrom, b, edge - PAGE, 2 * PAGE, 0, 0, 0);
    t!(SYS_read, b, edge - 10, 20);
    t!(SYS_read, b, edge - 10, 10);
    v!(rest(b));
    // Messages that arrive whole are received, whatever happens to the next.
    for text in [&b"one"[..], b"two", b"three"] {
        put(a, text);
    }
    t!(SYS_read, b, edge - 7, 100);
    v!(peek_text(edge - 7, 7));
    v!(rest(b));
}

fn stream_receive_vectors() {
    let (a, b) = socketpair(SOCK_STREAM);
    let edge = edge();
    put(a, b"one");
    put(a, b"second");
    let v = iov(&[(edge - 5, 5), (edge, 10)]);
    t!(SYS_readv, b, &v[..], 2);
    v!((peek_text(edge - 5, 5), rest(b)));
    put(a, b"again");
    let v = iov(&[(edge - 2, 2), (edge, 2), (edge - 4, 2)]);
    t!(SYS_readv, b, &v[..], 3);
    v!(rest(b));
}

fn stream_peek() {
    let (a, b) = socketpair(SOCK_STREAM);
    let edge = edge();
    put(a, b"one");
    put(a, b"second");
    t!(SYS_recvfrom, b, edge - 2, 100, MSG_PEEK, 0, 0);
    t!(SYS_recvfrom, b, edge - 5, 100, MSG_PEEK, 0, 0);
    t!(SYS_recvfrom, b, edge - 9, 100, MSG_PEEK, 0, 0);
    v!(rest(b));
}

fn stream_wait_all() {
    let (a, b) = socketpair(SOCK_STREAM);
    let edge = edge();
    put(a, b"one");
    put(a, b"second");
    t!(SYS_recvfrom, b, edge - 5, 9, MSG_WAITALL, 0, 0);
    v!(rest(b));
}

fn stream_send() {
    let (a, b) = socketpair(SOCK_STREAM);
    let edge = edge();
    t!(SYS_write, a, edge - 10, 20);
    v!(rest(b));
    // The first part is a message of its own.
    let big = map(20 * PAGE, RW, ANON);
    must!(SYS_munmap, big + 19 * PAGE, PAGE);
    t!(SYS_write, a, big, 20 * PAGE);
    t!(SYS_sendto, a, edge - 1, 2, MSG_DONTWAIT, 0, 0);
}

fn packets_receive() {
    for kind in [SOCK_DGRAM, SOCK_SEQPACKET] {
        let (a, b) = socketpair(kind);
        let edge = edge();
        put(a, b"first message");
        put(a, b"second");
        t!(SYS_recvfrom, b, edge - 5, 100, MSG_PEEK, 0, 0);
        t!(SYS_recvfrom, b, edge - 5, 100, 0, 0, 0);
        t!(SYS_recvfrom, b, edge - 5, 5, MSG_TRUNC, 0, 0);
        v!(rest(b));
    }
}

fn packets_send() {
    for kind in [SOCK_DGRAM, SOCK_SEQPACKET] {
        let (a, b) = socketpair(kind);
        let edge = edge();
        t!(SYS_write, a, edge - 5, 10);
        t!(SYS_write, a, edge, 0);
        v!((rest(b), rest(b)));
    }
}

fn receive_name() {
    let named = listener(b"from", SOCK_DGRAM);
    let to = listener(b"to", SOCK_DGRAM);
    let (address, len) = address(b"to");
    let edge = edge();
    let send_it = || must!(SYS_sendto, named, b"hello", 5, 0, &address, len);
    let mut buffer = [0u8; 10];
    let mut size = 100u32;
    send_it();
    t!(SYS_recvfrom, to, &mut buffer, 10, 0, edge, &mut size);
    v!((size, rest(to)));
    send_it();
    t!(SYS_recvfrom, to, &mut buffer, 10, 0, edge - 4, &mut size);
    send_it();
    size = 4;
    t!(SYS_recvfrom, to, &mut buffer, 10, 0, edge - 4, &mut size);
    v!(size);
    send_it();
    t!(SYS_recvfrom, to, &mut buffer, 10, 0, edge - 4, edge);
    send_it();
    t!(SYS_recvfrom, to, &mut buffer, 10, 0, 0, edge);
    send_it();
    size = u32::MAX;
    t!(SYS_recvfrom, to, &mut buffer, 10, 0, edge - 4, &mut size);
    v!(rest(to));
}

fn message(base: usize, len: usize, v: &mut Vec<iovec>) -> msghdr {
    *v = iov(&[(base, len)]);
    let mut msg: msghdr = zeroed();
    msg.msg_iov = v.as_mut_ptr();
    msg.msg_iovlen = 1;
    msg
}

fn receive_control() {
    let (a, b) = socketpair(SOCK_STREAM);
    let edge = edge();
    let mut buffer = [0u8; 10];
    let mut v = Vec::new();
    for (at, len) in [(edge - 8, 64), (edge, 64), (edge - 24, 64), (edge - 16, 16), (edge - 20, 20)] {
        send_fds(a, b"x", &[0]);
        let mut msg = message(buffer.as_mut_ptr() as usize, 10, &mut v);
        msg.msg_control = at as *mut _;
        msg.msg_controllen = len;
        let ret = sc!(SYS_recvmsg, b, &mut msg, MSG_DONTWAIT);
        v!((ret, msg.msg_controllen, msg.msg_flags, rest(b)));
        // Files that nobody was told of are not left open.
        let next = must!(SYS_dup, 1).fd();
        v!(next);
        close(next);
    }
    send_fds(a, b"x", &[0]);
    let mut msg = message(edge, 10, &mut v);
    t!(SYS_recvmsg, b, &mut msg, 0);
    v!(rest(b));
}

fn send_name_and_control() {
    let (a, b) = socketpair(SOCK_DGRAM);
    let edge = edge();
    let mut v = Vec::new();
    let mut msg = message(b"x".as_ptr() as usize, 1, &mut v);
    msg.msg_control = (edge - 16) as *mut _;
    msg.msg_controllen = 20;
    t!(SYS_sendmsg, a, &msg, 0);
    msg.msg_controllen = 16;
    t!(SYS_sendmsg, a, &msg, 0);
    msg.msg_controllen = 8;
    t!(SYS_sendmsg, a, &msg, 0);
    msg.msg_controllen = usize::MAX;
    t!(SYS_sendmsg, a, &msg, 0);
    msg.msg_controllen = 0;
    msg.msg_name = (edge - 1) as *mut _;
    msg.msg_namelen = 10;
    t!(SYS_sendmsg, a, &msg, 0);
    msg.msg_namelen = u32::MAX;
    t!(SYS_sendmsg, a, &msg, 0);
    v!((rest(b), rest(b), rest(b)));
    t!(SYS_sendto, a, b"x", 1, 0, edge - 1, 10);
    t!(SYS_sendto, a, b"x", 1, 0, edge - 1, 1);
    t!(SYS_sendto, a, b"x", 1, 0, edge, 1000);
    t!(SYS_connect, a, edge - 1, 10);
    t!(SYS_bind, a, edge - 2, 110);
}

fn many_messages() {
    let (a, b) = socketpair(SOCK_DGRAM);
    let edge = edge();
    let mut parts = [Vec::new(), Vec::new(), Vec::new()];
    let [first, second, third] = &mut parts;
    let mut messages = [
        mmsghdr { msg_hdr: message(b"one".as_ptr() as usize, 3, first), msg_len: 9 },
        mmsghdr { msg_hdr: message(edge, 3, second), msg_len: 9 },
        mmsghdr { msg_hdr: message(b"three".as_ptr() as usize, 5, third), msg_len: 9 },
    ];
    t!(SYS_sendmmsg, a, &messages, 3, 0);
    v!(messages.iter().map(|m| m.msg_len).collect::<Vec<_>>());
    t!(SYS_sendmmsg, a, &messages[1..], 2, 0);
    v!((rest(b), rest(b)));
    put(a, b"one");
    put(a, b"two");
    let mut buffer = [0u8; 10];
    messages[0].msg_hdr = message(buffer.as_mut_ptr() as usize, 10, &mut parts[0]);
    t!(SYS_recvmmsg, b, &mut messages, 3, MSG_DONTWAIT, 0);
    v!(messages.iter().map(|m| m.msg_len).collect::<Vec<_>>());
    v!(rest(b));
    // The end of the array is not there.
    let size = size_of::<mmsghdr>();
    let at = edge - size;
    // SAFETY: the page before the edge is mapped.
    unsafe { (at as *mut mmsghdr).write(messages[0]) };
    put(a, b"one");
    put(a, b"two");
    t!(SYS_recvmmsg, b, at, 2, MSG_DONTWAIT, 0);
    t!(SYS_recvmmsg, b, edge, 2, MSG_DONTWAIT, 0);
    v!((rest(b), rest(b)));
}

fn accept_name() {
    let s = listener(b"l", SOCK_STREAM);
    let edge = edge();
    let (_one, _) = connect(b"l", SOCK_STREAM);
    let mut len = 10u32;
    let next = must!(SYS_dup, 1).fd();
    close(next);
    t!(SYS_accept4, s, edge, &mut len, 0);
    // That connection is lost.
    let (_two, _) = connect(b"l", SOCK_STREAM);
    t!(SYS_accept4, s, edge, &mut len, SOCK_NONBLOCK);
    must!(SYS_fcntl, s, F_SETFL, O_NONBLOCK);
    t!(SYS_accept, s, edge, &mut len);
    let (_three, _) = connect(b"l", SOCK_STREAM);
    t!(SYS_accept, s, edge - 4, edge);
    t!(SYS_accept, s, 0, 0);
    // Nothing is open but the two further clients.
    v!(must!(SYS_dup, 1).fd() == next + 2);
}

fn names_and_options() {
    let s = listener(b"name", SOCK_STREAM);
    let edge = edge();
    let mut len = 10u32;
    t!(SYS_getsockname, s, edge - 7, &mut len);
    t!(SYS_getsockname, s, edge - 6, &mut len);
    len = 6;
    t!(SYS_getsockname, s, edge - 6, &mut len);
    v!(len);
    len = u32::MAX;
    t!(SYS_getsockname, s, edge - 6, &mut len);
    t!(SYS_getsockname, s, edge - 6, edge - 2);
    len = 4;
    t!(SYS_getsockopt, s, SOL_SOCKET, SO_TYPE, edge - 3, &mut len);
    len = 2;
    t!(SYS_getsockopt, s, SOL_SOCKET, SO_TYPE, edge - 3, &mut len);
    v!(len);
    len = u32::MAX;
    t!(SYS_getsockopt, s, SOL_SOCKET, SO_TYPE, edge - 3, &mut len);
    t!(SYS_getsockopt, s, SOL_SOCKET, SO_TYPE, edge - 3, edge - 3);
    t!(SYS_setsockopt, s, SOL_SOCKET, SO_SNDBUF, edge - 3, 4);
    t!(SYS_setsockopt, s, SOL_SOCKET, SO_SNDBUF, edge - 4, 100);
    t!(SYS_setsockopt, s, SOL_SOCKET, SO_RCVTIMEO, edge - 8, 16);
    t!(SYS_setsockopt, s, SOL_SOCKET, SO_LINGER, edge - 4, 8);
    t!(SYS_setsockopt, s, SOL_SOCKET, SO_SNDBUF, edge, -1);
}

/// The pages that a futex may be asked to lie in, by name.
fn pages() -> Vec<(&'static str, usize)> {
    let fd = must!(SYS_memfd_create, c"m", 0).fd();
    must!(SYS_ftruncate, fd, PAGE);
    let f = file(c"f", &[0; 4096]);
    let past = map_fd(fd, 2 * PAGE, RW, MAP_SHARED);
    vec![
        ("nothing", edge()),
        ("none", map(PAGE, PROT_NONE, ANON)),
        ("shared none", map(PAGE, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS)),
        ("own", map(PAGE, RW, ANON)),
        ("read-only", map(PAGE, PROT_READ, ANON)),
        ("shared read-only", map(PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS)),
        ("a file's", map_fd(f, PAGE, PROT_READ, MAP_PRIVATE)),
        ("a file's to write", map_fd(f, PAGE, RW, MAP_PRIVATE)),
        ("past the end", past + PAGE),
        ("odd", map(PAGE, RW, ANON) + 2),
        ("kernel", 0xffff_8000_0000_0000),
    ]
}

fn futex_pages() {
    let soon = timespec { tv_sec: 0, tv_nsec: 1000 };
    for private in [0, FUTEX_PRIVATE_FLAG] {
        for (name, at) in pages() {
            let wake = sc!(SYS_futex, at, FUTEX_WAKE | private, 1);
            let bitset = sc!(SYS_futex, at, FUTEX_WAKE_BITSET | private, 1, 0, 0, 1);
            let differs = sc!(SYS_futex, at, FUTEX_WAIT | private, 1, &soon);
            let waits = sc!(SYS_futex, at, FUTEX_WAIT | private, 0, &soon);
            println!("{private} {name}: {wake} {bitset} {differs} {waits}");
        }
    }
}

fn futex_pages_that_others_see() {
    // A page that was there and is not any more.
    let fd = must!(SYS_memfd_create, c"m", 0).fd();
    must!(SYS_ftruncate, fd, PAGE);
    let at = map_fd(fd, PAGE, RW, MAP_SHARED);
    t!(SYS_futex, at, FUTEX_WAKE, 1);
    must!(SYS_ftruncate, fd, 0);
    t!(SYS_futex, at, FUTEX_WAKE, 1);
    let at = map(PAGE, RW, ANON);
    fill(at, 8, 0);
    must!(SYS_mprotect, at, PAGE, PROT_NONE);
    t!(SYS_futex, at, FUTEX_WAKE, 1);
    must!(SYS_mprotect, at, PAGE, PROT_READ);
    t!(SYS_futex, at, FUTEX_WAKE, 1);
}

fn futex_pairs() {
    let good = map(PAGE, RW, ANON);
    let set = 0; // FUTEX_OP_SET 0, if equal to 0
    for (name, at) in pages() {
        let requeue = sc!(SYS_futex, good, FUTEX_REQUEUE, 1, 1, at);
        let back = sc!(SYS_futex, at, FUTEX_REQUEUE, 1, 1, good);
        let compare = sc!(SYS_futex, at, FUTEX_CMP_REQUEUE, 1, 1, good, 7);
        let first = sc!(SYS_futex, at, FUTEX_WAKE_OP, 1, 1, good, set);
        let second = sc!(SYS_futex, good, FUTEX_WAKE_OP, 1, 1, at, set);
        let own = sc!(SYS_futex, good, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 1, 1, at, set);
        println!("{name}: {requeue} {back} {compare} {first} {second} {own}");
    }
}

fn futex_locks() {
    for private in [0, FUTEX_PRIVATE_FLAG] {
        for (name, at) in pages() {
            let try_lock = sc!(SYS_futex, at, FUTEX_TRYLOCK_PI | private);
            let unlock = sc!(SYS_futex, at, FUTEX_UNLOCK_PI | private);
            let lock = sc!(SYS_futex, at, FUTEX_LOCK_PI | private, 0, 0);
            let again = sc!(SYS_futex, at, FUTEX_LOCK_PI | private, 0, 0);
            println!("{private} {name}: {try_lock} {unlock} {lock} {again}");
        }
    }
}

fn futex_many() {
    let good = map(PAGE, RW, ANON) as u64;
    let soon = timespec { tv_sec: 1, tv_nsec: 0 };
    for (name, at) in pages() {
        let entries = [[0, good, 2u64], [0, at as u64, 2]];
        let late = [[1, good, 2u64], [0, at as u64, 2]];
        println!(
            "{name}: {} {}",
            sc!(SYS_futex_waitv, &entries, 2, 0, &soon, CLOCK_MONOTONIC),
            sc!(SYS_futex_waitv, &late, 2, 0, &soon, CLOCK_MONOTONIC)
        );
    }
    let edge = edge();
    copy_in(edge - 24, &[0; 8]);
    copy_in(edge - 16, &good.to_ne_bytes());
    copy_in(edge - 8, &2u64.to_ne_bytes());
    t!(SYS_futex_waitv, edge - 24, 2, 0, &soon, CLOCK_MONOTONIC);
    t!(SYS_futex_waitv, edge - 24, 1, 0, &soon, CLOCK_MONOTONIC);
    t!(SYS_futex_waitv, edge, 1, 0, &soon, CLOCK_MONOTONIC);
    t!(SYS_futex_waitv, edge - 24, 1, 0, edge - 8, CLOCK_MONOTONIC);
}

fn futex_private_file_page() {
    // A file's page is one futex for all who look at it, until they write.
    let fd = file(c"f", &[0; 4096]);
    let theirs = map_fd(fd, PAGE, PROT_READ, MAP_PRIVATE);
    let ours = map_fd(fd, PAGE, RW, MAP_SHARED);
    let kid = spawn(|| {
        let soon = timespec { tv_sec: 5, tv_nsec: 0 };
        exit(i32::from(sc!(SYS_futex, theirs, FUTEX_WAIT, 0, &soon).is_ok()));
    });
    until_sleeping(kid);
    t!(SYS_futex, ours, FUTEX_WAKE, 1);
    v!(reap(kid));
}
