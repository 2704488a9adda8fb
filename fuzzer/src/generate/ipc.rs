//! What calls on System V objects and on POSIX message queues point to.

use super::Maker;
use super::structures::{data, int, mostly};
use crate::program::Value;

/// A shmid_ds, semid_ds or msqid_ds to be set (they begin alike, with an ipc_perm), or room for one
/// and for what else such a call writes.
pub fn ipc_settings(maker: &mut Maker) -> Value {
    if maker.one_in(2) {
        return maker.memory();
    }
    let mode = maker.pick(&[0o600, 0o666, 0, 0o7777]);
    let owner = maker.pick(&[0, 65534, 5, u64::MAX]);
    let mut fields = vec![int(4, 0), int(4, owner), int(4, owner), int(4, 0), int(4, 0), mostly(maker, 4, mode)];
    // A queue's room, among them.
    fields.extend((0..11).map(|_| mostly(maker, 8, 4096)));
    data(maker, fields)
}

pub fn semaphore_operations(maker: &mut Maker) -> Value {
    let mut fields = Vec::new();
    for _ in 0..3 {
        let number = maker.pick(&[0, 0, 1, 2, 249, 0xffff]);
        let change = maker.pick(&[0, 1, 1, 2, -1_i64 as u64, -1_i64 as u64, -2_i64 as u64, 0x7fff, 0x8000]);
        let flags = maker.pick(&[0, 0o4000, 0o4000, 0o10000, 0o10000, 0o14000]);
        fields.extend([int(2, number), int(2, change), int(2, flags)]);
    }
    data(maker, fields)
}

/// A number for SETVAL, values for SETALL.
pub fn semaphore_value(maker: &mut Maker) -> Value {
    if maker.one_in(2) {
        return Value::Int(maker.pick(&[0, 1, 2, 32767, 32768, u64::MAX]));
    }
    let fields = (0..12).map(|_| mostly(maker, 2, 1)).collect();
    data(maker, fields)
}

pub fn queued_message(maker: &mut Maker) -> Value {
    let kind = maker.pick(&[1, 1, 2, 3, 0, u64::MAX, i64::MAX as u64]);
    let mut fields = vec![int(8, kind)];
    fields.extend((0..8).map(|_| int(8, 0x6d6d)));
    data(maker, fields)
}

/// Names that processes have in common, and some that no queue can have.
pub fn queue_name(maker: &mut Maker) -> Value {
    Value::Text(maker.pick(&["q", "q", "r", "r", "s", "", ".", "..", "a/b"]).into())
}

/// A mq_attr: flags, the most messages, the most bytes of each, messages there are.
pub fn queue_settings(maker: &mut Maker) -> Value {
    if maker.one_in(3) {
        return Value::Int(0);
    }
    let flags = maker.pick(&[0o4000, 0o4000, 0, 1]);
    let messages = maker.pick(&[1, 2, 10, 11, 0, 65536, 65537, u64::MAX]);
    let size = maker.pick(&[1, 16, 4096, 8192, 8193, 0, 16 << 20, 1 << 63]);
    let mut fields = vec![mostly(maker, 8, flags), int(8, messages), int(8, size)];
    fields.extend((0..5).map(|_| int(8, 0)));
    data(maker, fields)
}
