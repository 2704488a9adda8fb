//! Pseudo terminals: what is typed, how it is read, and what rules it.

use super::Arg::{Bits, Fd, Made, Memory, One, Size};
use super::{Arg, Call, call};
use crate::generate::terminals::{multiplexer, process_number, terminal_settings, typed, window};
use crate::program::FdKind as K;
use libc as l;

const EITHER: Arg = Fd(&[K::Terminal, K::Terminal, K::Master]);
const ACCESS: Arg = Bits(&[2, 2, l::O_NOCTTY as u64, l::O_NONBLOCK as u64, l::O_NONBLOCK as u64]);
const TCGETS2: u64 = 0x802c_542a;
const TCSETS2: u64 = 0x402c_542b;

pub const CALLS: &[Call] = &[
    call("open-pty", super::ALSO * 4 + l::SYS_openat, 2, &[One(&[-100_i64 as u64]), Made(multiplexer), ACCESS])
        .makes(K::Master),
    // TIOCSPTLCK to the number that is zero, and TIOCGPTPEER.
    call("unlock-pty", super::ALSO + l::SYS_ioctl, 2, &[Fd(&[K::Master]), One(&[l::TIOCSPTLCK]), Arg::Out(4)]),
    call("open-terminal", super::ALSO * 2 + l::SYS_ioctl, 2, &[Fd(&[K::Master]), One(&[0x5441]), ACCESS])
        .makes(K::Terminal),
    call("type", super::ALSO + l::SYS_write, 8, &[Fd(&[K::Master]), Made(typed), One(&[1, 2, 4, 6, 12, 24])]),
    call("print", super::ALSO * 2 + l::SYS_write, 3, &[Fd(&[K::Terminal]), Made(typed), One(&[1, 2, 4, 6, 24])]),
    call("read-terminal", super::ALSO + l::SYS_read, 6, &[EITHER, Memory, Size]),
    call(
        "terminal-settings",
        super::ALSO * 3 + l::SYS_ioctl,
        6,
        &[
            EITHER,
            One(&[l::TCGETS, l::TCSETS, l::TCSETS, l::TCSETSW, l::TCSETSF, TCGETS2, TCSETS2, TCSETS2 + 1, TCSETS2 + 2]),
            Made(terminal_settings),
        ],
    ),
    call(
        "terminal-process",
        super::ALSO * 4 + l::SYS_ioctl,
        4,
        &[EITHER, One(&[l::TIOCSPGRP, l::TIOCGPGRP, l::TIOCGSID]), Made(process_number)],
    ),
    call(
        "terminal-window",
        super::ALSO * 5 + l::SYS_ioctl,
        2,
        &[EITHER, One(&[l::TIOCSWINSZ, l::TIOCGWINSZ, l::TIOCSTI, l::TIOCPKT]), Made(window)],
    ),
    call(
        "terminal-control",
        super::ALSO * 6 + l::SYS_ioctl,
        6,
        &[
            EITHER,
            One(&[
                l::TIOCSCTTY,
                l::TIOCSCTTY,
                l::TIOCNOTTY,
                l::TCFLSH,
                l::TCXONC,
                l::TCSBRK,
                l::TCSBRKP,
                l::TIOCEXCL,
                l::TIOCNXCL,
                l::TIOCSBRK,
                l::TIOCCBRK,
                l::TIOCVHANGUP,
            ]),
            One(&[0, 0, 1, 2, 3, 4]),
        ],
    ),
];
