//! Mappings. They have a high weight: frames reused while they are mapped are the gravest kind of
//! fault.

use super::Arg::{Below, Bits, Fd, Made, Offset, One, Out, Place, Size, Span};
use super::{Arg, Call, Seen, call};
use crate::generate::structures::{iovecs, map_flags, small_count};
use crate::program::FdKind as K;
use libc as l;

const PROT: Arg = One(&[0, 1, 3, 3, 3, 5, 7, 2, 4, 6, 8, 0x0100_0003, 0x0200_0003]);
const MAPPED: Arg = Fd(&[K::File, K::Memory, K::Memory, K::Device, K::Dir, K::PipeRead]);

pub const CALLS: &[Call] = &[
    call("mmap", l::SYS_mmap, 30, &[Place, Span, PROT, Made(map_flags), MAPPED, Span]).seen(Seen::Success),
    call("munmap", l::SYS_munmap, 14, &[Place, Span]).seen(Seen::Return),
    call("mprotect", l::SYS_mprotect, 16, &[Place, Span, PROT]).seen(Seen::Return),
    call("pkey_mprotect", l::SYS_pkey_mprotect, 2, &[Place, Span, PROT, One(&[u64::MAX, 0, 1, 15, 16])]),
    call("mremap", l::SYS_mremap, 16, &[Place, Span, Span, Bits(&[1, 1, 2, 4]), Place]).seen(Seen::Success),
    call(
        "madvise",
        l::SYS_madvise,
        14,
        &[
            Place,
            Span,
            One(&[0, 1, 2, 3, 4, 4, 4, 8, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 20, 21, 22, 22, 23, 23, 24, 25, 100]),
        ],
    )
    .seen(Seen::Leave),
    call("brk", l::SYS_brk, 2, &[Place]),
    call("msync", l::SYS_msync, 4, &[Place, Span, Bits(&[1, 2, 4])]).seen(Seen::Return),
    call("mincore", l::SYS_mincore, 4, &[Place, Span, Out(256)]),
    call("mlock", l::SYS_mlock, 6, &[Place, Span]),
    call("mlock2", l::SYS_mlock2, 2, &[Place, Span, Bits(&[1])]),
    call("munlock", l::SYS_munlock, 4, &[Place, Span]),
    call("mlockall", l::SYS_mlockall, 1, &[Bits(&[1, 2, 4])]),
    call("munlockall", l::SYS_munlockall, 1, &[]),
    call("pkey_alloc", l::SYS_pkey_alloc, 1, &[Below(2), Below(4)]),
    call("pkey_free", l::SYS_pkey_free, 1, &[Below(17)]),
    call(
        "process_vm_readv",
        l::SYS_process_vm_readv,
        3,
        &[Arg::Who, Made(iovecs), Made(small_count), Made(iovecs), Made(small_count), One(&[0, 0, 0, 1])],
    ),
    call(
        "process_vm_writev",
        l::SYS_process_vm_writev,
        3,
        &[Arg::Who, Made(iovecs), Made(small_count), Made(iovecs), Made(small_count), One(&[0, 0, 0, 1])],
    ),
    call("remap_file_pages", l::SYS_remap_file_pages, 1, &[Place, Span, One(&[0]), Below(9), Bits(&[0x10000])]),
    call(
        "process_madvise",
        l::SYS_process_madvise,
        1,
        &[Fd(&[K::Process]), Made(iovecs), Made(small_count), Below(26), One(&[0])],
    ),
    call("userfaultfd", l::SYS_userfaultfd, 1, &[Bits(&[1, 0x800, 0x80000])]),
    call("mseal", 462, 1, &[Place, Span, One(&[0, 0, 1])]),
    call("touch", super::TOUCH, 24, &[Place, Below(2), Below(8)]),
    call("move_pages", l::SYS_move_pages, 1, &[Arg::Who, Size, Out(64), Out(64), Out(64), Below(5)]),
    call("mbind", l::SYS_mbind, 1, &[Place, Span, Below(7), Out(8), Size, Below(8)]),
    call("mmap-at-offset", super::ALSO + l::SYS_mmap, 2, &[Place, Span, PROT, Made(map_flags), MAPPED, Offset]),
];
