//! POSIX message queues.

use super::Arg::{Below, Fd, Made, Memory, One, Out, Size};
use super::{Arg, Call, call};
use crate::generate::ipc::{queue_name, queue_settings};
use crate::generate::structures::{sigevent, timespec};
use crate::program::FdKind as K;
use libc as l;

const QUEUE: Arg = Fd(&[K::Messages]);
const PRIORITY: Arg = One(&[0, 0, 1, 5, 32767, 32768]);

pub const CALLS: &[Call] = &[
    call(
        "mq_open",
        l::SYS_mq_open,
        3,
        &[
            Made(queue_name),
            One(&[0o102, 0o4102, 0o4102, 2, 0o4002, 0, 1, 3, 0o302]),
            Below(0o10000),
            Made(queue_settings),
        ],
    )
    .makes(K::Messages),
    call("mq_unlink", l::SYS_mq_unlink, 1, &[Made(queue_name)]),
    call("mq_timedsend", l::SYS_mq_timedsend, 4, &[QUEUE, Memory, Size, PRIORITY, Made(timespec)]),
    call(
        "mq_timedreceive",
        l::SYS_mq_timedreceive,
        4,
        &[QUEUE, Memory, One(&[8192, 8192, 16, 1, 0, u64::MAX]), Out(4), Made(timespec)],
    ),
    call("mq_notify", l::SYS_mq_notify, 2, &[QUEUE, Made(sigevent)]),
    call("mq_getsetattr", l::SYS_mq_getsetattr, 2, &[QUEUE, Made(queue_settings), Memory]),
];
