//! Structures that calls point to: mostly well formed, with something odd in them.

use super::Maker;
use super::numbers::odd_number;
use crate::program::{FdKind, Field, Region, Value};

pub(super) fn data(maker: &mut Maker, fields: Vec<Field>) -> Value {
    match maker.below(if maker.determined() { 100 } else { 30 }) {
        0 => Value::Int(0),
        1 if !maker.determined() => maker.memory(),
        2..5 => Value::Data { fields, at_border: true },
        _ => Value::Data { fields, at_border: false },
    }
}

pub(super) fn field(width: u8, value: Value) -> Field {
    Field { width, value }
}

pub(super) fn int(width: u8, n: u64) -> Field {
    field(width, Value::Int(n))
}

/// The usual number, and sometimes an odd one.
pub(super) fn mostly(maker: &mut Maker, width: u8, n: u64) -> Field {
    let odd = maker.one_in(25);
    int(width, if odd { odd_number(maker) } else { n })
}

pub fn bytes(maker: &mut Maker, len: u32) -> Value {
    let fields = (0..len / 8).map(|_| mostly(maker, 8, 0x0041_4141)).collect();
    data(maker, fields)
}

pub fn text(maker: &mut Maker) -> Value {
    const TEXTS: &[&str] = &[
        "tmpfs",
        "proc",
        "sysfs",
        "devpts",
        "devtmpfs",
        "size=1m",
        "mode=700",
        "size=0",
        "size=99999999999",
        "bind",
        "overlay",
        "lowerdir=/,upperdir=/tmp,workdir=/tmp",
        "",
        "ext4",
        "mqueue",
        "cgroup2",
    ];
    Value::Text(maker.pick(TEXTS).into())
}

pub fn attribute(maker: &mut Maker) -> Value {
    const NAMES: &[&str] = &[
        "user.a",
        "user.b",
        "user.",
        "trusted.a",
        "security.a",
        "system.posix_acl_access",
        "security.capability",
        "",
        "user",
    ];
    Value::Text(maker.pick(NAMES).into())
}

/// A directory for the calls whose names end in "at".
pub fn directory(maker: &mut Maker) -> Value {
    match maker.below(4) {
        0 => maker.descriptor(&[FdKind::Dir, FdKind::Place]),
        _ => Value::Int(-100_i64 as u64),
    }
}

pub fn small_count(maker: &mut Maker) -> Value {
    match maker.below(30) {
        0 => Value::Int(maker.pick(&[1024, 1025, u64::MAX, 1 << 31, 0])),
        _ => Value::Int(maker.below(5)),
    }
}

pub fn iovecs(maker: &mut Maker) -> Value {
    let mut fields = Vec::new();
    for _ in 0..4 {
        let buffer = maker.memory();
        let size = maker.size();
        fields.extend([field(8, buffer), int(8, size)]);
    }
    data(maker, fields)
}

pub fn offset_pointer(maker: &mut Maker) -> Value {
    if maker.one_in(2) {
        return Value::Int(0);
    }
    let fields = vec![int(8, maker.offset())];
    data(maker, fields)
}

pub fn length_pointer(maker: &mut Maker) -> Value {
    let fields = vec![mostly(maker, 4, 110)];
    data(maker, fields)
}

/// Seconds and a fraction; in a comparison no time passes.
fn moment(maker: &mut Maker, most: u64) -> [Field; 2] {
    let pair = match maker.below(10) {
        0 => [u64::MAX, 0],
        1 => [0, u64::MAX],
        2 => [0, most],
        3 | 4 => [0, 0],
        _ if maker.determined() => [0, 0],
        5 => [odd_number(maker), 0],
        6 => [0, odd_number(maker)],
        _ => [0, maker.below(most / 200)],
    };
    pair.map(|n| int(8, n))
}

pub fn timespec(maker: &mut Maker) -> Value {
    let fields = moment(maker, 1_000_000_000).into();
    match maker.determined() {
        true => Value::Data { fields, at_border: false }, // none would be to wait for ever
        false => data(maker, fields),
    }
}

pub fn timespec_pair(maker: &mut Maker) -> Value {
    let mut fields = Vec::new();
    for _ in 0..2 {
        let nanoseconds = maker.pick(&[0, 999_999_999, 1_000_000_000, 0x3fff_ffff, 0x3fff_fffe, u64::MAX]);
        fields.extend([mostly(maker, 8, 1000), int(8, nanoseconds)]);
    }
    data(maker, fields)
}

pub fn itimerspec(maker: &mut Maker) -> Value {
    let fields = [moment(maker, 1_000_000_000), moment(maker, 1_000_000_000)].concat();
    data(maker, fields)
}

pub fn itimerval(maker: &mut Maker) -> Value {
    let fields = [moment(maker, 1_000_000), moment(maker, 1_000_000)].concat();
    data(maker, fields)
}

pub fn short_timeout(maker: &mut Maker) -> Value {
    if maker.determined() {
        return Value::Int(0);
    }
    Value::Int(maker.pick(&[0, 0, 0, 1, 5, 20, u64::MAX, 0x7fff_ffff]))
}

pub fn sigset(maker: &mut Maker) -> Value {
    let set = maker.pick(&[0, 0, 0x800, 0x20000, 0x2200, u64::MAX, 1 << 33, 1 << 63]);
    data(maker, vec![int(8, set)])
}

/// The kernel's form: handler, flags, restorer, mask. A handler that is an address does not exist.
pub fn sigaction(maker: &mut Maker) -> Value {
    let handler = match maker.below(8) {
        0 if !maker.determined() => odd_number(maker),
        0..4 => 1,
        _ => 0,
    };
    let flags = (0..maker.below(4)).fold(0x0400_0000, |all, _| {
        all | maker.pick(&[1, 2, 4, 0x0800_0000, 0x1000_0000, 0x4000_0000, 0x8000_0000, 0x400, 0x800])
    });
    let fields = vec![int(8, handler), int(8, flags), int(8, 0), int(8, 0)];
    data(maker, fields)
}

pub fn siginfo(maker: &mut Maker) -> Value {
    let code = maker.pick(&[-1_i64, -2, -3, -6, 0, 1, 0x80]) as u64;
    let mut fields = vec![mostly(maker, 4, 10), int(4, 0), int(4, code), int(4, 0)];
    fields.extend((0..14).map(|_| mostly(maker, 8, 1)));
    data(maker, fields)
}

pub fn signal_stack(maker: &mut Maker) -> Value {
    let stack = maker.memory();
    let flags = maker.pick(&[0, 0, 2, 1, 4, 1 << 31, 3]);
    let size = maker.pick(&[8192, 4096, 2048, 2047, 0, 1 << 40, u64::MAX]);
    data(maker, vec![field(8, stack), int(4, flags), int(4, 0), int(8, size)])
}

pub fn sigevent(maker: &mut Maker) -> Value {
    let notify = maker.pick(&[0, 1, 0, 4, 2, 9]);
    let signal = maker.pick(&[12, 23, 34, 64, 0, 65]);
    let mut fields =
        vec![int(8, 7), int(4, signal), int(4, notify), field(4, Value::Who(crate::program::Who::Thread)), int(4, 0)];
    fields.extend((0..5).map(|_| int(8, 0)));
    data(maker, fields)
}

pub fn epoll_event(maker: &mut Maker) -> Value {
    let events = (0..maker.below(4))
        .fold(1, |all, _| all | maker.pick(&[1, 4, 8, 16, 0x2000, 1 << 28, 1 << 29, 1 << 30, 1 << 31]));
    data(maker, vec![int(4, events), int(8, 5)])
}

pub fn poll_fds(maker: &mut Maker) -> Value {
    let mut fields = Vec::new();
    for _ in 0..5 {
        let descriptor = maker.descriptor(FdKind::DESCRIPTORS);
        let events = maker.pick(&[1, 4, 5, 0, 0x2000, 0xffff]);
        fields.extend([field(4, descriptor), int(2, events), int(2, 0)]);
    }
    data(maker, fields)
}

pub fn fd_set(maker: &mut Maker) -> Value {
    if maker.one_in(3) {
        return Value::Int(0);
    }
    let words = [maker.pick(&[0, 1 << 5, 0xfff8, 1 << 63, u64::MAX]), 0];
    let fields = words.iter().chain(&[0; 14]).map(|&word| int(8, word)).collect();
    data(maker, fields)
}

pub fn rlimit(maker: &mut Maker) -> Value {
    let soft = maker.pick(&[0, 1, 64, 4096, 1 << 20, 1 << 26, 1 << 32, u64::MAX]);
    let hard = maker.pick(&[u64::MAX, u64::MAX, 1 << 26, 64, 0]);
    data(maker, vec![int(8, soft), int(8, hard)])
}

pub fn flock(maker: &mut Maker) -> Value {
    let (kind, whence) = (maker.pick(&[0, 1, 2, 3]), maker.pick(&[0, 0, 0, 1, 2, 3]));
    let (start, len) = (maker.offset(), maker.offset());
    data(maker, vec![int(2, kind), int(2, whence), int(4, 0), int(8, start), int(8, len), int(4, 0), int(4, 0)])
}

pub fn sockaddr(maker: &mut Maker) -> Value {
    let family = mostly(maker, 2, 1);
    // In the file system, by an abstract name, and with a name that does not end.
    let name: &[u8] =
        [b"sock\0\0".as_slice(), b"sock\0\0", b"\0abst", b"a\0", b"absent\0", &[b'x'; 108]][maker.below(6) as usize];
    let mut fields = vec![family];
    fields.extend(name.iter().map(|&byte| int(1, byte.into())));
    fields.extend((name.len()..108).map(|_| int(1, 0)));
    data(maker, fields)
}

/// A msghdr, with descriptors, credentials or something broken as its control messages.
pub fn message(maker: &mut Maker) -> Value {
    let fields = message_fields(maker);
    data(maker, fields)
}

fn message_fields(maker: &mut Maker) -> Vec<Field> {
    let name = if maker.one_in(3) { sockaddr(maker) } else { Value::Int(0) };
    let name_len = if name == Value::Int(0) { 0 } else { 110 };
    let vectors = iovecs(maker);
    let count = small_count(maker);
    let (control, len) = control(maker);
    vec![
        field(8, name),
        int(8, name_len),
        field(8, vectors),
        field(8, count),
        field(8, control),
        int(8, len),
        int(8, 0),
    ]
}

fn control(maker: &mut Maker) -> (Value, u64) {
    match maker.below(6) {
        0 | 1 => (Value::Int(0), 0),
        2 => (Value::Out(64), 64),
        _ => {
            let n = maker.below(4);
            let kind = maker.pick(&[1, 1, 1, 2, 3, 4]);
            let mut fields = vec![mostly(maker, 8, 16 + 4 * n), mostly(maker, 4, 1), int(4, kind)];
            for _ in 0..n {
                let descriptor = maker.descriptor(FdKind::DESCRIPTORS);
                fields.push(field(4, descriptor));
            }
            let len = mostly(maker, 8, (16 + 4 * n).next_multiple_of(8));
            let Value::Int(len) = len.value else { unreachable!("it is a number") };
            (data(maker, fields), len)
        }
    }
}

pub fn messages(maker: &mut Maker) -> Value {
    let mut fields = Vec::new();
    for _ in 0..3 {
        fields.extend(message_fields(maker));
        fields.push(int(8, 0));
    }
    data(maker, fields)
}

pub fn open_how(maker: &mut Maker) -> Value {
    let flags = (0..maker.below(3)).fold(0, |all, _| all | maker.pick(&[1, 2, 0x40, 0x80, 0x800, 0x10000, 0x200000]));
    let resolve = (0..maker.below(3)).fold(0, |all, _| all | maker.pick(&[1, 2, 4, 8, 16, 32]));
    let fields = vec![
        mostly(maker, 8, flags),
        mostly(maker, 8, if flags & 0x40 == 0 { 0 } else { 0o644 }),
        int(8, resolve),
        mostly(maker, 8, 0),
    ];
    data(maker, fields)
}

pub fn clone_args(maker: &mut Maker) -> Value {
    let flags = (0..maker.below(3)).fold(0, |all, _| {
        all | maker.pick(&[
            0x100,
            0x100,
            0x200,
            0x400,
            0x4000,
            0x4100,
            0x10900,
            0x800,
            0x1000,
            0x8000,
            0x10_0000,
            0x20_0000,
            0x100_0000,
            0x2000_0000,
        ])
    });
    let signal = maker.pick(&[17, 17, 0, 9, 65, 1 << 32]);
    let [a, b, c] = [(); 3].map(|()| field(8, maker.memory()));
    let (base, size) = match maker.one_in(2) {
        true => (Value::At(Region::Writable, 0), 0x8000),
        false => (Value::Int(0), 0),
    };
    let fields = vec![
        mostly(maker, 8, flags),
        a,
        b,
        c,
        int(8, signal),
        field(8, base),
        int(8, size),
        int(8, 0),
        int(8, 0),
        int(8, 0),
        int(8, 0),
    ];
    data(maker, fields)
}

/// Two pointers and an end: what execve(2) takes, with a string, a hole or too much in it.
pub fn two(maker: &mut Maker) -> Value {
    let first = Value::Text("program".into());
    let second = maker.memory();
    data(maker, vec![field(8, first), field(8, second), int(8, 0)])
}

/// Words that threads and processes have in common, in private and shared memory.
pub fn futex_word(maker: &mut Maker) -> Value {
    let slot = maker.below(4) as i64 * 4;
    match maker.below(10) {
        0 => maker.memory(),
        1..5 => Value::At(Region::Writable, 0xf000 + slot),
        5..8 => Value::At(Region::Shared, slot),
        8 => Value::At(Region::File, slot),
        _ => Value::At(Region::Copy, slot),
    }
}

pub fn wait_vector(maker: &mut Maker) -> Value {
    let mut fields = Vec::new();
    for _ in 0..4 {
        let word = futex_word(maker);
        let flags = maker.pick(&[2, 2, 0x82, 3, 0]);
        fields.extend([int(8, 0), field(8, word), int(4, flags), int(4, 0)]);
    }
    data(maker, fields)
}

pub fn robust_list(maker: &mut Maker) -> Value {
    let next = maker.memory();
    let offset = maker.pick(&[0, 0, 8, -8_i64 as u64, 1 << 40]);
    let pending = if maker.one_in(2) { futex_word(maker) } else { maker.memory() };
    data(maker, vec![field(8, next), int(8, offset), field(8, pending)])
}

/// Of mmap(2): in a comparison, at the place asked for.
pub fn map_flags(maker: &mut Maker) -> Value {
    let kind = maker.pick(&[1, 2, 2, 2, 2, 3, 0]);
    let anonymous = maker.pick(&[0x20, 0x20, 0]);
    let placed = match maker.determined() {
        true => 0x10,
        false => maker.pick(&[0x10, 0x10, 0x10, 0x10_0000, 0]),
    };
    let more = match maker.below(12) {
        0 => 0x8000,
        1 => 0x2000,
        2 if !maker.determined() => 0x4000,
        3 if !maker.determined() => 0x100,
        4 if !maker.determined() => 0x40000,
        5 => 0x40,
        _ => 0,
    };
    Value::Int(kind | anonymous | placed | more)
}
