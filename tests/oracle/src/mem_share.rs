//! Memory and processes: copy on write, sharing, memfd and its seals, reading another process.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    cow_child_writes, cow_parent_writes, cow_nested, cow_grandchild_outlives, cow_siblings, cow_file_private,
    cow_by_syscall, cow_large, cow_partial_pages, fork_keeps_shared, shared_nested, shared_file_between, mixed_layout,
    fork_then_unmap, vfork_shares, fork_stack_is_private, memfd_basic, memfd_bad, memfd_grow_and_punch,
    memfd_seal_write, memfd_seal_size, memfd_seal_seal, memfd_seal_future, memfd_link, memfd_passed, memfd_cloexec,
    vm_readv_self, vm_readv_child, vm_readv_errors, proc_mem_read, shared_futex, shm_sysv, shared_counter,
];

fn cow_child_writes() {
    let a = map(2 * PAGE, RW, ANON);
    fill(a, 2 * PAGE, 1);
    v!(in_child(|| {
        v!((load(a), store(a, 2), load(a), load(a + PAGE)));
    }));
    v!((load(a), load(a + PAGE)));
}

fn cow_parent_writes() {
    let a = map(PAGE, RW, ANON);
    fill(a, PAGE, 1);
    let (r, w) = pipe();
    let kid = spawn(|| {
        get(r, 1);
        v!(load(a));
    });
    v!(store(a, 9));
    put(w, b"g");
    v!(reap(kid));
    v!(load(a));
}

fn cow_nested() {
    let a = map(4 * PAGE, RW, ANON);
    let show = |who: &str| println!("{who}: {:?}", (0..4).map(|i| load(a + i * PAGE)).collect::<Vec<_>>());
    fill(a, 4 * PAGE, 1);
    v!(in_child(|| {
        fill(a, PAGE, 2);
        v!(in_child(|| {
            fill(a, 2 * PAGE, 3);
            v!(in_child(|| {
                fill(a + 2 * PAGE, PAGE, 4);
                show("great-grandchild");
            }));
            show("grandchild");
        }));
        fill(a + 3 * PAGE, PAGE, 5);
        show("child");
    }));
    show("parent");
}

fn cow_grandchild_outlives() {
    let a = map(PAGE, RW, ANON);
    fill(a, PAGE, 1);
    let (r, w) = pipe();
    let (done_r, done_w) = pipe();
    v!(in_child(|| {
        fill(a, PAGE, 2);
        spawn(|| {
            get(r, 1);
            v!((load(a), store(a, 3), load(a)));
            put(done_w, b"d");
        });
    }));
    v!(load(a));
    fill(a, PAGE, 7);
    put(w, b"g");
    get(done_r, 1);
    v!(load(a));
}

fn cow_siblings() {
    let a = map(8 * PAGE, RW, ANON);
    fill(a, 8 * PAGE, 100);
    let kids: Vec<i32> = (0..8)
        .map(|n| {
            spawn(move || {
                fill(a + n * PAGE, PAGE, n as u8);
                let want = |i| if i == n { n.to_string() } else { "100".to_string() };
                let ok = (0..8).all(|i| load(a + i * PAGE).0 == want(i));
                exit(i32::from(!ok));
            })
        })
        .collect();
    fill(a, PAGE, 50);
    v!(kids.into_iter().map(reap).collect::<Vec<_>>());
    v!((load(a), load(a + PAGE)));
}

fn cow_file_private() {
    let fd = file(c"f", b"file");
    let a = map_fd(fd, PAGE, RW, MAP_PRIVATE);
    copy_in(a, b"F");
    v!(in_child(|| {
        v!(peek_text(a, 4));
        copy_in(a + 1, b"III");
        v!(peek_text(a, 4));
    }));
    v!((peek_text(a, 4), content("f")));
}

fn cow_by_syscall() {
    let a = map(2 * PAGE, RW, ANON);
    fill(a, 2 * PAGE, b'o');
    let fd = file(c"f", b"from the kernel");
    v!(in_child(|| {
        // The kernel's own writes must break sharing as the program's do.
        t!(SYS_read, fd, a + PAGE - 4, 15);
        v!(peek_text(a + PAGE - 6, 20));
    }));
    v!(peek_text(a + PAGE - 6, 20));
    let zero = open(c"/dev/zero", O_RDONLY);
    let kid = spawn(|| {
        must!(SYS_read, zero, a, 2 * PAGE);
    });
    v!(reap(kid));
    v!(peek_text(a, 3));
}

fn cow_large() {
    let len = 16 << 20;
    let a = map(len, RW, ANON);
    for i in (0..len).step_by(PAGE) {
        copy_in(a + i, &(i as u32).to_le_bytes());
    }
    let sum = |step: usize| -> u64 {
        (0..len).step_by(step).map(|i| u64::from(peek(a + i + 1, 1)[0]) + u64::from(peek(a + i + 2, 1)[0])).sum()
    };
    let before = sum(PAGE);
    v!(in_child(|| {
        v!(sum(PAGE) == before);
        for i in (0..len).step_by(3 * PAGE) {
            copy_in(a + i, &[0; 4]);
        }
        v!(sum(PAGE));
    }));
    v!((before, sum(PAGE) == before));
}

fn cow_partial_pages() {
    let a = map(PAGE, RW, ANON);
    for i in 0..PAGE {
        copy_in(a + i, &[i as u8]);
    }
    v!(in_child(|| {
        copy_in(a + 2000, &[0]);
        v!((0..PAGE).filter(|&i| peek(a + i, 1)[0] != i as u8).collect::<Vec<_>>());
    }));
    v!((0..PAGE).filter(|&i| peek(a + i, 1)[0] != i as u8).count());
}

fn fork_keeps_shared() {
    let a = map(2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
    fill(a, PAGE, 1);
    v!(in_child(|| {
        v!(load(a));
        fill(a, 2 * PAGE, 2);
    }));
    v!((load(a), load(a + PAGE)));
}

fn shared_nested() {
    let a = map(PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
    v!(in_child(|| {
        v!(in_child(|| {
            must!(SYS_mprotect, a, PAGE, PROT_READ);
            v!(store(a, 1));
            must!(SYS_mprotect, a, PAGE, RW);
            v!(store(a, 2));
        }));
        v!(load(a));
        must!(SYS_munmap, a, PAGE);
    }));
    v!(load(a));
}

fn shared_file_between() {
    let fd = file(c"f", &[b'.'; 16]);
    let a = map_fd(fd, PAGE, RW, MAP_SHARED);
    let (r, w) = pipe();
    let kid = spawn(|| {
        // A mapping of its own, of its own open file.
        let fd = open(c"f", O_RDWR);
        let b = map_fd(fd, PAGE, RW, MAP_SHARED);
        get(r, 1);
        v!(peek_text(b, 8));
        copy_in(b + 4, b"kid");
    });
    copy_in(a, b"dad");
    put(w, b"g");
    v!(reap(kid));
    v!((peek_text(a, 8), content("f")));
}

fn mixed_layout() {
    let a = map(6 * PAGE, RW, ANON);
    let fd = file(c"f", &[b'f'; 2 * PAGE]);
    must!(SYS_mmap, a + PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0);
    must!(SYS_mmap, a + 2 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd, PAGE);
    must!(SYS_mmap, a + 3 * PAGE, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    must!(SYS_munmap, a + 4 * PAGE, PAGE);
    v!(in_child(|| {
        v!((0..6).map(|i| store(a + i * PAGE, b'k')).collect::<Vec<_>>());
    }));
    v!((0..6).map(|i| load(a + i * PAGE)).collect::<Vec<_>>());
}

fn fork_then_unmap() {
    let a = map(4 * PAGE, RW, ANON);
    fill(a, 4 * PAGE, 3);
    v!(in_child(|| {
        must!(SYS_munmap, a, 4 * PAGE);
        v!(load(a));
        must!(SYS_mmap, a, 4 * PAGE, RW, ANON | MAP_FIXED, -1, 0);
        v!((load(a), store(a, 4)));
    }));
    v!((load(a), load(a + 3 * PAGE)));
}

fn vfork_shares() {
    let a = map(PAGE, RW, ANON);
    let stack = map(16 * PAGE, RW, ANON) + 16 * PAGE - 64;
    extern "C" fn kid(arg: *mut c_void) -> i32 {
        copy_in(arg as usize, b"v");
        5
    }
    // SAFETY: the child runs on a stack of its own while the parent waits for it.
    let pid = unsafe { libc::clone(kid, stack as *mut _, CLONE_VM | CLONE_VFORK | SIGCHLD, a as *mut _) };
    v!(peek_text(a, 1));
    v!(reap(pid));
}

fn fork_stack_is_private() {
    let mut local = 1;
    v!(in_child(|| {
        local += 1;
        std::hint::black_box(&mut local);
        v!(local);
    }));
    v!(local);
}

fn memfd_basic() {
    let fd = o!(SYS_memfd_create, c"name", 0).fd();
    v!(fstat(fd).st_size);
    t!(SYS_write, fd, b"hello", 5);
    let a = map_fd(fd, PAGE, RW, MAP_SHARED);
    v!(peek_text(a, 5));
    copy_in(a, b"J");
    let mut buf = [0u8; 5];
    t!(SYS_pread64, fd, &mut buf, 5, 0);
    v!(text(&buf));
    v!((fstat(fd).st_mode & S_IFMT == S_IFREG, fstat(fd).st_nlink));
    v!(sc!(SYS_fcntl, fd, F_GETFL).0 & i64::from(O_ACCMODE) == i64::from(O_RDWR));
}

fn memfd_bad() {
    t!(SYS_memfd_create, 0, 0);
    t!(SYS_memfd_create, c"x", 0x8000);
    let long = c(&"n".repeat(249));
    o!(SYS_memfd_create, long.as_c_str(), 0);
    let longer = c(&"n".repeat(250));
    t!(SYS_memfd_create, longer.as_c_str(), 0);
    o!(SYS_memfd_create, c"", 0);
}

fn memfd_grow_and_punch() {
    let fd = must!(SYS_memfd_create, c"x", 0).fd();
    must!(SYS_ftruncate, fd, 3 * PAGE);
    let a = map_fd(fd, 3 * PAGE, RW, MAP_SHARED);
    fill(a, 3 * PAGE, 1);
    t!(SYS_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, PAGE);
    v!((load(a), load(a + PAGE), load(a + 2 * PAGE)));
    t!(SYS_fallocate, fd, 0, 0, 5 * PAGE);
    v!(fstat(fd).st_size as usize / PAGE);
    must!(SYS_ftruncate, fd, PAGE);
    v!((load(a), load(a + PAGE)));
}

fn memfd_seal_write() {
    let fd = must!(SYS_memfd_create, c"x", MFD_ALLOW_SEALING).fd();
    put(fd, b"data");
    let a = map_fd(fd, PAGE, RW, MAP_SHARED);
    t!(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE);
    must!(SYS_munmap, a, PAGE);
    t!(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE);
    t!(SYS_pwrite64, fd, b"x", 1, 0);
    t!(SYS_mmap, 0, PAGE, RW, MAP_SHARED, fd, 0);
    o!(SYS_mmap, 0, PAGE, RW, MAP_PRIVATE, fd, 0);
    t!(SYS_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE);
    t!(SYS_fcntl, fd, F_GET_SEALS);
}

fn memfd_seal_size() {
    let fd = must!(SYS_memfd_create, c"x", MFD_ALLOW_SEALING).fd();
    must!(SYS_ftruncate, fd, 2 * PAGE);
    t!(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_SHRINK);
    t!(SYS_ftruncate, fd, PAGE);
    t!(SYS_ftruncate, fd, 3 * PAGE);
    t!(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_GROW);
    t!(SYS_ftruncate, fd, 4 * PAGE);
    t!(SYS_pwrite64, fd, b"x", 1, 3 * PAGE);
    t!(SYS_pwrite64, fd, b"x", 1, 0);
    t!(SYS_fallocate, fd, 0, 0, 9 * PAGE);
}

fn memfd_seal_seal() {
    let plain = must!(SYS_memfd_create, c"x", 0).fd();
    t!(SYS_fcntl, plain, F_GET_SEALS);
    t!(SYS_fcntl, plain, F_ADD_SEALS, F_SEAL_WRITE);
    let fd = must!(SYS_memfd_create, c"x", MFD_ALLOW_SEALING).fd();
    t!(SYS_fcntl, fd, F_GET_SEALS);
    t!(SYS_fcntl, fd, F_ADD_SEALS, 0x1000);
    t!(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_SEAL);
    t!(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_GROW);
    let (r, _) = pipe();
    t!(SYS_fcntl, r, F_GET_SEALS);
}

fn memfd_seal_future() {
    let fd = must!(SYS_memfd_create, c"x", MFD_ALLOW_SEALING).fd();
    must!(SYS_ftruncate, fd, PAGE);
    let a = map_fd(fd, PAGE, RW, MAP_SHARED);
    t!(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
    v!((store(a, 1), load(a)));
    t!(SYS_mmap, 0, PAGE, RW, MAP_SHARED, fd, 0);
    t!(SYS_write, fd, b"x", 1);
}

fn memfd_link() {
    let fd = must!(SYS_memfd_create, c"shown", 0).fd();
    v!(std::fs::read_link(format!("/proc/self/fd/{fd}")).map(|p| p.display().to_string()).ok());
    put(fd, b"again");
    let again = must!(SYS_openat, AT_FDCWD, c(&format!("/proc/self/fd/{fd}")).as_c_str(), O_RDONLY).fd();
    v!(get(again, 10));
    t!(SYS_write, again, b"x", 1);
}

fn memfd_passed() {
    let (a, b) = socketpair(SOCK_STREAM);
    let kid = spawn(|| {
        let fd = must!(SYS_memfd_create, c"x", 0).fd();
        must!(SYS_ftruncate, fd, PAGE);
        let m = map_fd(fd, PAGE, RW, MAP_SHARED);
        copy_in(m, b"from child");
        crate::sock::send_fds(b, b"f", &[fd]);
        get(b, 1);
        v!(peek_text(m, 12));
    });
    let (data, fds) = crate::sock::recv_fds(a, 8);
    v!((text(&data), fds.len()));
    let m = map_fd(fds[0], PAGE, RW, MAP_SHARED);
    v!(peek_text(m, 10));
    copy_in(m + 5, b"parent!");
    put(a, b"g");
    v!(reap(kid));
}

fn memfd_cloexec() {
    let fd = must!(SYS_memfd_create, c"x", MFD_CLOEXEC).fd();
    t!(SYS_fcntl, fd, F_GETFD);
    let fd = must!(SYS_memfd_create, c"x", 0).fd();
    t!(SYS_fcntl, fd, F_GETFD);
}

fn vm_readv_self() {
    let src = map(2 * PAGE, RW, ANON);
    copy_in(src + PAGE - 3, b"across");
    let mut dst = [0u8; 10];
    let pid = sc!(SYS_getpid).0;
    let local = iov(&[(dst.as_mut_ptr() as usize, 4), (dst.as_mut_ptr() as usize + 4, 6)]);
    let remote = iov(&[(src + PAGE - 3, 2), (src + PAGE - 1, 4)]);
    t!(SYS_process_vm_readv, pid, &local[..], 2, &remote[..], 2, 0);
    v!(text(&dst));
    t!(SYS_process_vm_writev, pid, &local[..], 1, &remote[..], 1, 0);
}

fn vm_readv_child() {
    let a = map(PAGE, RW, ANON);
    let (r, w) = pipe();
    let (told, tell) = pipe();
    let kid = spawn(|| {
        copy_in(a, b"child's");
        put(w, b"g");
        until(|| load(a + 10) == "42");
        get(told, 1);
        v!(peek_text(a, 8));
    });
    get(r, 1);
    let mut buf = [0u8; 8];
    let local = iov(&[(buf.as_mut_ptr() as usize, 8)]);
    let remote = iov(&[(a, 8)]);
    t!(SYS_process_vm_readv, kid, &local[..], 1, &remote[..], 1, 0);
    v!((text(&buf), peek_text(a, 2)));
    let byte = [42u8];
    let local = iov(&[(byte.as_ptr() as usize, 1)]);
    let remote = iov(&[(a + 10, 1)]);
    t!(SYS_process_vm_writev, kid, &local[..], 1, &remote[..], 1, 0);
    put(tell, b"g");
    v!(reap(kid));
    t!(SYS_process_vm_readv, kid, &local[..], 1, &remote[..], 1, 0);
}

fn vm_readv_errors() {
    let pid = sc!(SYS_getpid).0;
    let a = map(3 * PAGE, RW, ANON);
    must!(SYS_munmap, a + PAGE, PAGE);
    let mut buf = vec![0u8; 3 * PAGE];
    let local = iov(&[(buf.as_mut_ptr() as usize, 3 * PAGE)]);
    let hole = iov(&[(a + PAGE - 10, 100)]);
    t!(SYS_process_vm_readv, pid, &local[..], 1, &hole[..], 1, 0);
    let gone = iov(&[(a + PAGE, 100)]);
    t!(SYS_process_vm_readv, pid, &local[..], 1, &gone[..], 1, 0);
    t!(SYS_process_vm_readv, pid, &local[..], 1, &gone[..], 1, 1);
    t!(SYS_process_vm_readv, pid, 0, 1, &gone[..], 1, 0);
    t!(SYS_process_vm_readv, pid, &local[..], 0, &gone[..], 0, 0);
    t!(SYS_process_vm_readv, pid, &local[..], 1, &gone[..], 2000, 0);
    t!(SYS_process_vm_readv, 0x3fff_fff0, &local[..], 1, &gone[..], 1, 0);
}

fn proc_mem_read() {
    let a = map(PAGE, RW, ANON);
    copy_in(a, b"through mem");
    let fd = open(c"/proc/self/mem", O_RDWR);
    let mut buf = [0u8; 11];
    t!(SYS_pread64, fd, &mut buf, 11, a);
    v!(text(&buf));
    t!(SYS_pwrite64, fd, b"THROUGH", 7, a);
    v!(peek_text(a, 11));
    t!(SYS_pread64, fd, &mut buf, 11, 0);
    must!(SYS_munmap, a, PAGE);
    t!(SYS_pread64, fd, &mut buf, 11, a);
}

fn shared_futex() {
    let a = map(PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
    let kid = spawn(|| {
        must!(SYS_futex, a, FUTEX_WAIT, 0, 0);
        exit(i32::from(load(a) == "1"));
    });
    until_sleeping(kid);
    copy_in(a, &[1]);
    t!(SYS_futex, a, FUTEX_WAKE, 10);
    // The child exits with 1 when it was woken and saw the value.
    v!(reap(kid));
    t!(SYS_futex, a, FUTEX_WAIT, 0, 0);
    t!(SYS_futex, a, FUTEX_WAKE, 10);
}

fn shm_sysv() {
    let id = o!(SYS_shmget, IPC_PRIVATE, 2 * PAGE, IPC_CREAT | 0o600).fd();
    let a = o!(SYS_shmat, id, 0, 0).addr();
    v!((load(a), store(a + PAGE, 5)));
    v!(in_child(|| {
        v!((load(a + PAGE), store(a, 6)));
    }));
    v!(load(a));
    let b = o!(SYS_shmat, id, 0, SHM_RDONLY).addr();
    v!((load(b), store(b, 1)));
    let mut ds: shmid_ds = zeroed();
    t!(SYS_shmctl, id, IPC_STAT, &mut ds);
    v!((ds.shm_segsz, ds.shm_nattch));
    t!(SYS_shmctl, id, IPC_RMID, 0);
    t!(SYS_shmdt, b);
    t!(SYS_shmdt, a);
    t!(SYS_shmdt, a);
    t!(SYS_shmat, id, 0, 0);
}

fn shared_counter() {
    let a = map(PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
    // SAFETY: mapped above and aligned to a page.
    let counter = unsafe { &*(a as *const std::sync::atomic::AtomicU64) };
    let kids: Vec<i32> = (0..4)
        .map(|_| {
            spawn(|| {
                for _ in 0..10_000 {
                    counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                }
            })
        })
        .collect();
    v!(kids.into_iter().map(reap).collect::<Vec<_>>());
    v!(counter.load(std::sync::atomic::Ordering::SeqCst));
}
