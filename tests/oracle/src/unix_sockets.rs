//! AF_UNIX sockets: addresses, connections, options, and their errors.

use crate::sock::{address, connect, listener};
use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    pair_stream,
    pair_errors,
    path_connect,
    path_errors,
    path_mode,
    abstract_names,
    autobind,
    listen_accept_errors,
    backlog_nonblock,
    accept_flags,
    accept_waits,
    shutdown_rules,
    sigpipe_and_nosignal,
    half_closed_reads,
    names_of_ends,
    sockopts,
    sockopt_errors,
    timeouts,
    stream_nonblock_full,
    stream_partial_send,
    not_connected,
    wrong_types,
    not_a_socket,
    no_such_family,
    reconnect,
    fionread_and_outq,
    ioctl_nonblock,
    reset_by_peer,
    socket_file_kept,
    listen_queue_order,
    proc_name,
    concurrent_clients,
    rdhup_after_exit,
];

pub fn sock(kind: i32) -> i32 {
    must!(SYS_socket, AF_UNIX, kind, 0).fd()
}

fn bind(fd: i32, path: &[u8]) -> Ret {
    let (addr, len) = address(path);
    sc!(SYS_bind, fd, &addr, len)
}

fn pair_stream() {
    let (a, b) = socketpair(SOCK_STREAM);
    put(a, b"one");
    put(a, b"two");
    v!((get(b, 4), get(b, 10)));
    put(b, b"back");
    v!(get(a, 10));
    close(a);
    v!((get(b, 1), get(b, 1)));
}

fn pair_errors() {
    let mut p = [0i32; 2];
    t!(SYS_socketpair, AF_UNIX, 77, 0, &mut p);
    t!(SYS_socketpair, AF_UNIX, SOCK_STREAM, 5, &mut p);
    t!(SYS_socketpair, 1000, SOCK_STREAM, 0, &mut p);
    t!(SYS_socketpair, AF_UNIX, SOCK_STREAM | 0x100, 0, &mut p);
    t!(SYS_socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, &mut p);
    v!((sc!(SYS_fcntl, p[0], F_GETFD), sc!(SYS_fcntl, p[1], F_GETFL).0 & i64::from(O_NONBLOCK) != 0));
    t!(SYS_socketpair, AF_UNIX, SOCK_RAW, 0, &mut p);
}

fn path_connect() {
    let l = listener(b"s", SOCK_STREAM);
    let (client, r) = connect(b"s", SOCK_STREAM);
    v!(r);
    let server = o!(SYS_accept, l, 0, 0).fd();
    put(client, b"request");
    v!(get(server, 20));
    put(server, b"response");
    v!(get(client, 20));
    v!(stat(c"s").st_mode & S_IFMT == S_IFSOCK);
}

/// The node has the mode of the socket's own file, as far as the umask lets it.
fn path_mode() {
    for (name, mode) in [(b"a", 0o600), (b"b", 0), (b"c", 0o6777)] {
        let fd = sock(SOCK_DGRAM);
        println!("{:o}", fstat(fd).st_mode);
        t!(SYS_fchmod, fd, mode);
        v!(bind(fd, name));
        let path = std::ffi::CString::new(name.to_vec()).expect("no NUL");
        println!("{:o} {:o}", fstat(fd).st_mode, stat(&path).st_mode);
        v!(unprivileged(|| {
            t!(SYS_openat, AT_FDCWD, path.as_c_str(), O_RDONLY);
        }));
    }
}

fn path_errors() {
    v!(connect(b"absent", SOCK_STREAM).1);
    close(file(c"plain", b""));
    v!((connect(b"plain", SOCK_STREAM).1, bind(sock(SOCK_STREAM), b"plain"), bind(sock(SOCK_STREAM), b"no/such")));
    let s = sock(SOCK_STREAM);
    let watch = must!(SYS_inotify_init1, IN_NONBLOCK).fd();
    must!(SYS_inotify_add_watch, watch, c".", IN_CREATE | IN_DELETE);
    v!((bind(s, b"s"), bind(s, b"again"), bind(sock(SOCK_STREAM), b"s"), bind(s, b"no/such")));
    t!(SYS_read, watch, &mut [0u8; 256], 256);
    v!(connect(b"s", SOCK_STREAM).1);
    close(s);
    v!((connect(b"s", SOCK_STREAM).1, bind(sock(SOCK_STREAM), b"s")));
    let (addr, _) = address(b"x");
    t!(SYS_bind, sock(SOCK_STREAM), &addr, 1);
    t!(SYS_bind, sock(SOCK_STREAM), &addr, 200);
    let mut wrong = addr;
    wrong.sun_family = AF_INET as u16;
    t!(SYS_bind, sock(SOCK_STREAM), &wrong, 10);
    t!(SYS_connect, sock(SOCK_STREAM), &wrong, 10);
    let long = [b'p'; 108];
    let mut full = address(b"").0;
    full.sun_path.fill(long[0] as i8);
    t!(SYS_bind, sock(SOCK_STREAM), &full, 110);
    v!(stat(c(&"p".repeat(108)).as_c_str()).st_mode & S_IFMT == S_IFSOCK);
}

/// An abstract name of this process's own: the name space is the whole machine's.
fn abstract_name(tail: &str) -> Vec<u8> {
    format!("\0oracle-{}-{tail}", sc!(SYS_getpid).0).into_bytes()
}

fn abstract_names() {
    let name = abstract_name("x");
    let l = listener(&name, SOCK_STREAM);
    let (client, r) = connect(&name, SOCK_STREAM);
    v!((r, sc!(SYS_accept, l, 0, 0).ok(), bind(sock(SOCK_STREAM), &name)));
    put(client, b"x");
    // The length is part of the name.
    v!(connect(&name[..name.len() - 1], SOCK_STREAM).1);
    close(l);
    v!((connect(&name, SOCK_STREAM).1, bind(sock(SOCK_STREAM), &name)));
    v!(std::fs::read_dir(".").map(Iterator::count).ok());
}

fn autobind() {
    let s = sock(SOCK_DGRAM);
    let (addr, _) = address(b"");
    t!(SYS_bind, s, &addr, 2);
    let (mut addr, mut len) = (address(b"").0, 110u32);
    t!(SYS_getsockname, s, &mut addr, &mut len);
    v!((len, addr.sun_path[0], addr.sun_path[1..6].iter().all(|c| (*c as u8).is_ascii_hexdigit())));
}

fn listen_accept_errors() {
    let s = sock(SOCK_STREAM);
    t!(SYS_listen, s, 1);
    t!(SYS_accept, s, 0, 0);
    t!(SYS_listen, sock(SOCK_DGRAM), 1);
    let (a, _b) = socketpair(SOCK_STREAM);
    t!(SYS_listen, a, 1);
    t!(SYS_accept, a, 0, 0);
    let l = listener(b"l", SOCK_STREAM);
    t!(SYS_accept4, l, 0, 0, 0x1);
    t!(SYS_read, l, &mut [0u8; 1], 1);
    ignore(SIGPIPE);
    t!(SYS_write, l, b"x", 1);
    t!(SYS_listen, l, 5);
    let (addr, len) = address(b"l");
    t!(SYS_connect, l, &addr, len);
    let dgram = sock(SOCK_DGRAM);
    t!(SYS_connect, dgram, &addr, len);
}

fn backlog_nonblock() {
    let l = listener(b"l", SOCK_STREAM);
    must!(SYS_fcntl, l, F_SETFL, O_NONBLOCK);
    t!(SYS_accept, l, 0, 0);
    must!(SYS_listen, l, 1);
    let (addr, len) = address(b"l");
    let tries: Vec<Ret> = (0..4).map(|_| sc!(SYS_connect, sock(SOCK_STREAM | SOCK_NONBLOCK), &addr, len)).collect();
    v!(tries);
    o!(SYS_accept, l, 0, 0);
    t!(SYS_connect, sock(SOCK_STREAM | SOCK_NONBLOCK), &addr, len);
}

fn accept_flags() {
    let l = listener(b"l", SOCK_STREAM);
    connect(b"l", SOCK_STREAM);
    let s = must!(SYS_accept4, l, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK).fd();
    v!((sc!(SYS_fcntl, s, F_GETFD), sc!(SYS_fcntl, s, F_GETFL).0 & i64::from(O_NONBLOCK) != 0));
    must!(SYS_fcntl, l, F_SETFL, O_NONBLOCK);
    connect(b"l", SOCK_STREAM);
    let s = must!(SYS_accept, l, 0, 0).fd();
    v!(sc!(SYS_fcntl, s, F_GETFL).0 & i64::from(O_NONBLOCK) != 0);
}

fn accept_waits() {
    let l = listener(b"l", SOCK_STREAM);
    let kid = spawn(|| {
        let s = must!(SYS_accept, l, 0, 0).fd();
        v!(get(s, 10));
    });
    until_sleeping(kid);
    let (client, r) = connect(b"l", SOCK_STREAM);
    assert!(r.is_ok());
    put(client, b"hello");
    v!(reap(kid));
}

fn shutdown_rules() {
    let (a, b) = socketpair(SOCK_STREAM);
    put(a, b"left over");
    t!(SYS_shutdown, a, SHUT_WR);
    v!((get(b, 20), get(b, 20)));
    put(b, b"still");
    v!(get(a, 20));
    t!(SYS_shutdown, b, SHUT_RD);
    t!(SYS_shutdown, b, 9);
    t!(SYS_shutdown, sock(SOCK_STREAM), SHUT_RD);
    t!(SYS_shutdown, b, SHUT_RDWR);
    t!(SYS_shutdown, b, SHUT_RDWR);
    v!(get(a, 1));
}

fn sigpipe_and_nosignal() {
    let (a, b) = socketpair(SOCK_STREAM);
    close(b);
    catch(SIGPIPE, 0);
    t!(SYS_sendto, a, b"x", 1, MSG_NOSIGNAL, 0, 0);
    v!(caught(SIGPIPE));
    t!(SYS_write, a, b"x", 1);
    v!(caught(SIGPIPE));
    t!(SYS_sendto, a, b"x", 1, 0, 0, 0);
    v!(caught(SIGPIPE));
    let (d, e) = socketpair(SOCK_DGRAM);
    close(e);
    t!(SYS_write, d, b"x", 1);
    v!(caught(SIGPIPE));
}

fn half_closed_reads() {
    let (a, b) = socketpair(SOCK_STREAM);
    must!(SYS_shutdown, a, SHUT_RD);
    v!(get(a, 1));
    t!(SYS_sendto, b, b"x", 1, MSG_NOSIGNAL, 0, 0);
    put(a, b"out");
    v!(get(b, 5));
}

fn name(nr: libc::c_long, fd: i32) -> String {
    let (mut addr, mut len) = (address(b"").0, 110u32);
    let r = raw(nr, &[fd.word(), (&mut addr).word(), (&mut len).word()]);
    if !r.is_ok() {
        return r.to_string();
    }
    let path: Vec<u8> = addr.sun_path.iter().map(|c| *c as u8).collect();
    format!("family {} length {len} {}", addr.sun_family, path[..len as usize - 2].escape_ascii())
}

fn names_of_ends() {
    let l = listener(b"server", SOCK_STREAM);
    let (client, _) = connect(b"server", SOCK_STREAM);
    let s = must!(SYS_accept, l, 0, 0).fd();
    for fd in [l, client, s, socketpair(SOCK_STREAM).0, sock(SOCK_DGRAM)] {
        println!("{} / {}", name(SYS_getsockname, fd), name(SYS_getpeername, fd));
    }
    let (mut addr, mut len) = (address(b"").0, 4u32);
    t!(SYS_getsockname, l, &mut addr, &mut len);
    v!((len, addr.sun_path[0] as u8, addr.sun_path[2]));
}

fn get_opt(fd: i32, opt: i32) -> Result<i32, Ret> {
    let (mut value, mut len) = (0i32, 4u32);
    let r = sc!(SYS_getsockopt, fd, SOL_SOCKET, opt, &mut value, &mut len);
    if r.is_ok() { Ok(value) } else { Err(r) }
}

fn sockopts() {
    let s = sock(SOCK_STREAM);
    v!((get_opt(s, SO_TYPE), get_opt(s, SO_DOMAIN), get_opt(s, SO_PROTOCOL), get_opt(s, SO_ERROR)));
    v!((get_opt(s, SO_ACCEPTCONN), get_opt(s, SO_REUSEADDR), get_opt(s, SO_KEEPALIVE), get_opt(s, SO_PASSCRED)));
    t!(SYS_setsockopt, s, SOL_SOCKET, SO_REUSEADDR, &5i32, 4);
    v!(get_opt(s, SO_REUSEADDR));
    // The kernel doubles what is asked for.
    t!(SYS_setsockopt, s, SOL_SOCKET, SO_SNDBUF, &10_000i32, 4);
    v!(get_opt(s, SO_SNDBUF));
    t!(SYS_setsockopt, s, SOL_SOCKET, SO_RCVBUF, &20_000i32, 4);
    v!(get_opt(s, SO_RCVBUF));
    must!(SYS_listen, listener(b"l", SOCK_STREAM), 1);
    v!(get_opt(listener(b"m", SOCK_STREAM), SO_ACCEPTCONN));
    let (mut wide, mut len) = (0xaaaa_aaaa_aaaa_aaaau64, 8u32);
    t!(SYS_getsockopt, s, SOL_SOCKET, SO_TYPE, &mut wide, &mut len);
    v!((len, wide & 0xffff_ffff));
    len = 2;
    t!(SYS_getsockopt, s, SOL_SOCKET, SO_TYPE, &mut wide, &mut len);
    v!(len);
}

fn sockopt_errors() {
    let s = sock(SOCK_STREAM);
    v!((get_opt(s, 12345), get_opt(1, SO_TYPE), get_opt(999, SO_TYPE)));
    t!(SYS_setsockopt, s, SOL_SOCKET, SO_TYPE, &1i32, 4);
    t!(SYS_setsockopt, s, SOL_SOCKET, 12345, &1i32, 4);
    t!(SYS_setsockopt, s, SOL_SOCKET, SO_REUSEADDR, &1i32, 2);
    t!(SYS_setsockopt, s, SOL_SOCKET, SO_REUSEADDR, &1i32, -1);
    t!(SYS_setsockopt, s, IPPROTO_TCP, 1, &1i32, 4);
    t!(SYS_getsockopt, s, SOL_SOCKET, SO_TYPE, &mut 0i32, &mut -1i32);
}

fn timeouts() {
    let (a, b) = socketpair(SOCK_STREAM);
    t!(SYS_setsockopt, a, SOL_SOCKET, SO_RCVTIMEO, &[0i64, 20_000], 16);
    let start = std::time::Instant::now();
    v!(get(a, 1));
    v!(start.elapsed().as_millis() >= 20);
    t!(SYS_setsockopt, a, SOL_SOCKET, SO_RCVTIMEO, &[0i64, 1_000_000], 16);
    t!(SYS_setsockopt, a, SOL_SOCKET, SO_RCVTIMEO, &[0i64, 0], 8);
    let (mut tv, mut len) = ([9i64; 2], 16u32);
    t!(SYS_getsockopt, b, SOL_SOCKET, SO_SNDTIMEO, &mut tv, &mut len);
    v!((tv, len));
}

fn stream_nonblock_full() {
    let (a, b) = socketpair(SOCK_STREAM | SOCK_NONBLOCK);
    let block = [1u8; 4096];
    let mut sent = 0;
    let end = loop {
        let n = sc!(SYS_write, a, &block, 4096);
        if !n.is_ok() {
            break n;
        }
        sent += n.0;
    };
    v!((end, sent > 50_000));
    let mut received = 0;
    loop {
        let n = sc!(SYS_read, b, &mut [0u8; 8192], 8192);
        if !n.is_ok() {
            v!(n);
            break;
        }
        received += n.0;
    }
    v!((received == sent, sc!(SYS_write, a, &block, 4096)));
}

fn stream_partial_send() {
    let (a, b) = socketpair(SOCK_STREAM);
    let kid = spawn(|| {
        let data: Vec<u8> = (0..1_000_000).map(|i| (i % 253) as u8).collect();
        t!(SYS_write, a, &data[..], 1_000_000);
    });
    close(a);
    let (mut total, mut ok) = (0usize, true);
    let mut buf = vec![0u8; 30_000];
    loop {
        let n = must!(SYS_read, b, &mut buf[..], 30_000).0 as usize;
        if n == 0 {
            break;
        }
        ok &= (0..n).all(|i| buf[i] == ((total + i) % 253) as u8);
        total += n;
    }
    v!((reap(kid), total, ok));
}

fn not_connected() {
    let s = sock(SOCK_STREAM);
    ignore(SIGPIPE);
    t!(SYS_read, s, &mut [0u8; 1], 1);
    t!(SYS_write, s, b"x", 1);
    t!(SYS_sendto, s, b"x", 1, 0, 0, 0);
    t!(SYS_getpeername, s, &mut [0u8; 110], &mut 110u32);
    t!(SYS_shutdown, s, SHUT_WR);
    let d = sock(SOCK_DGRAM);
    t!(SYS_write, d, b"x", 1);
    t!(SYS_recvfrom, d, &mut [0u8; 1], 1, MSG_DONTWAIT, 0, 0);
}

fn wrong_types() {
    listener(b"stream", SOCK_STREAM);
    v!((connect(b"stream", SOCK_DGRAM).1, connect(b"stream", SOCK_SEQPACKET).1));
    let (a, _b) = socketpair(SOCK_STREAM);
    let (addr, len) = address(b"stream");
    t!(SYS_connect, a, &addr, len);
    t!(SYS_sendto, a, b"x", 1, 0, &addr, len);
}

fn not_a_socket() {
    let f = file(c"f", b"");
    let (addr, len) = address(b"x");
    t!(SYS_bind, f, &addr, len);
    t!(SYS_connect, f, &addr, len);
    t!(SYS_listen, f, 1);
    t!(SYS_accept, f, 0, 0);
    t!(SYS_shutdown, f, SHUT_RD);
    t!(SYS_sendto, f, b"x", 1, 0, 0, 0);
    t!(SYS_recvfrom, f, &mut [0u8; 1], 1, 0, 0, 0);
    t!(SYS_getsockname, f, &mut [0u8; 100], &mut 100u32);
    t!(SYS_sendmsg, f, 8, 0);
    t!(SYS_listen, 999, 1);
}

fn no_such_family() {
    t!(SYS_socket, 9999, SOCK_STREAM, 0);
    t!(SYS_socket, -1, SOCK_STREAM, 0);
    t!(SYS_socket, AF_UNIX, 99, 0);
    t!(SYS_socket, AF_UNIX, -1, 0);
    t!(SYS_socket, AF_UNIX, SOCK_STREAM, 99);
    o!(SYS_socket, AF_UNIX, SOCK_STREAM, AF_UNIX);
    o!(SYS_socket, AF_UNIX, SOCK_RAW, 0);
}

fn reconnect() {
    let l = listener(b"l", SOCK_STREAM);
    let (c, r) = connect(b"l", SOCK_STREAM);
    let (addr, len) = address(b"l");
    v!((r, sc!(SYS_connect, c, &addr, len)));
    close(l);
    // Never accepted, and now it never will be.
    v!(get(c, 1));
    ignore(SIGPIPE);
    t!(SYS_write, c, b"x", 1);
}

fn fionread_and_outq() {
    let (a, b) = socketpair(SOCK_STREAM);
    put(a, b"12345");
    let mut n = 0i32;
    t!(SYS_ioctl, b, FIONREAD, &mut n);
    v!(n);
    must!(SYS_ioctl, a, FIONREAD, &mut n);
    v!(n);
    must!(SYS_ioctl, a, TIOCOUTQ, &mut n);
    v!(n > 0);
    get(b, 5);
    must!(SYS_ioctl, a, TIOCOUTQ, &mut n);
    v!(n);
    let (d, e) = socketpair(SOCK_DGRAM);
    put(d, b"123");
    put(d, b"45");
    must!(SYS_ioctl, e, FIONREAD, &mut n);
    v!(n);
}

fn ioctl_nonblock() {
    let (a, _b) = socketpair(SOCK_STREAM);
    t!(SYS_ioctl, a, FIONBIO, &1i32);
    v!((get(a, 1), sc!(SYS_fcntl, a, F_GETFL).0 & i64::from(O_NONBLOCK) != 0));
    t!(SYS_ioctl, a, FIONBIO, &0i32);
    v!(sc!(SYS_fcntl, a, F_GETFL).0 & i64::from(O_NONBLOCK) != 0);
    t!(SYS_ioctl, a, TCGETS, &mut [0u8; 64]);
}

fn reset_by_peer() {
    let (a, b) = socketpair(SOCK_STREAM);
    put(a, b"unread");
    close(b);
    // The peer closed without reading what was sent.
    v!((get(a, 1), get(a, 1)));
    v!(get_opt(a, SO_ERROR));
}

fn socket_file_kept() {
    let l = listener(b"s", SOCK_STREAM);
    must!(SYS_rename, c"s", c"moved");
    v!((connect(b"s", SOCK_STREAM).1, connect(b"moved", SOCK_STREAM).1));
    must!(SYS_unlink, c"moved");
    v!(connect(b"moved", SOCK_STREAM).1);
    v!((bind(sock(SOCK_STREAM), b"moved"), name(SYS_getsockname, l)));
    must!(SYS_chmod, c".", 0o755);
    let hidden = listener(b"hidden", SOCK_STREAM);
    must!(SYS_chmod, c"hidden", 0o600);
    if is_root() {
        v!(unprivileged(|| {
            v!(connect(b"hidden", SOCK_STREAM).1);
        }));
    } else {
        println!("skipped");
    }
    close(hidden);
}

fn listen_queue_order() {
    let l = listener(b"l", SOCK_STREAM);
    for n in [b"1", b"2", b"3"] {
        let (c, _) = connect(b"l", SOCK_STREAM);
        put(c, n);
    }
    v!((0..3).map(|_| get(must!(SYS_accept, l, 0, 0).fd(), 1)).collect::<Vec<_>>());
}

fn proc_name() {
    let (a, b) = socketpair(SOCK_STREAM);
    let link = |fd: i32| std::fs::read_link(format!("/proc/self/fd/{fd}")).expect("link").display().to_string();
    v!((link(a).starts_with("socket:["), link(a) == link(b)));
    t!(SYS_openat, AT_FDCWD, c(&format!("/proc/self/fd/{a}")).as_c_str(), O_RDWR);
    v!(fstat(a).st_mode & 0o777);
}

fn concurrent_clients() {
    let l = listener(b"l", SOCK_STREAM);
    let kids: Vec<i32> = (0..8u8)
        .map(|n| {
            spawn(move || {
                let (s, _) = connect(b"l", SOCK_STREAM);
                put(s, &[n; 10]);
                let mut back = [0u8; 10];
                must!(SYS_recvfrom, s, &mut back, 10, MSG_WAITALL, 0, 0);
                exit(i32::from(back != [n * 2; 10]));
            })
        })
        .collect();
    for _ in 0..8 {
        let s = must!(SYS_accept, l, 0, 0).fd();
        let mut data = [0u8; 10];
        must!(SYS_recvfrom, s, &mut data, 10, MSG_WAITALL, 0, 0);
        put(s, &data.map(|b| b * 2));
        close(s);
    }
    v!(kids.into_iter().map(reap).collect::<Vec<_>>());
}

fn rdhup_after_exit() {
    let (a, b) = socketpair(SOCK_STREAM);
    let kid = spawn(|| {
        put(b, b"last words");
        must!(SYS_kill, sc!(SYS_getpid).0, SIGKILL);
    });
    close(b);
    v!(reap(kid));
    v!((get(a, 20), get(a, 20)));
}
