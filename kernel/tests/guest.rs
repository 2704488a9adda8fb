//! The kernel on a model whose programs are closures: mm, scheduling, fork, exec and signals
//! without a host process.
//!
//! A process can boot one guest, so each test runs itself again in a process of its own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;
use umlab_kernel::boot::{Access, Bind, Config, boot};
use umlab_kernel::limits::Inherited;
use umlab_scripted::{Scripted, User};

const MARK: &str = "UMLAB_TEST_GUEST";
/// Far longer than any of them takes on a busy machine.
const LONGEST: Duration = Duration::from_secs(60);

/// Runs the first of `programs` as the command of a guest, which has all of them in /programs, by
/// their names. The test fails unless it exits with 0.
#[track_caller]
fn in_a_guest(test: &str, programs: &[(&str, fn(&User) -> i32)]) {
    if std::env::var_os(MARK).is_some_and(|name| name == test) {
        std::thread::spawn(|| {
            std::thread::sleep(LONGEST);
            eprintln!("the guest does not end");
            std::process::exit(1);
        });
        std::process::exit(run(programs));
    }
    let own = std::env::current_exe().expect("the test has a file");
    let output = Command::new(own).args([test, "--exact", "--nocapture"]).env(MARK, test).output().expect("it runs");
    assert!(output.status.success(), "{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
}

fn run(programs: &[(&str, fn(&User) -> i32)]) -> i32 {
    let folder = tempfile::tempdir().expect("a folder");
    let model = Scripted::new();
    for (name, program) in programs {
        let path = folder.path().join(name);
        std::fs::write(&path, model.program(*program)).expect("a file");
        make_executable(&path);
    }
    let config = Config {
        cpus: 1,
        memory: 64 << 20,
        root: "/".into(),
        binds: vec![Bind { host: folder.path().into(), guest: b"/programs".to_vec(), access: Access::ReadOnly }],
        tmpfs: Vec::new(),
        environment: Vec::new(),
        workdir: b"/".to_vec(),
        uid: 0,
        gid: 0,
        groups: Vec::new(),
        inherited: Inherited::own(),
        hostname: b"test".to_vec(),
        audit: 0,
        command: vec![format!("/programs/{}", programs[0].0).into_bytes()],
    };
    match boot(config, Box::new(model)) {
        Ok(status) => status,
        Err(failure) => {
            eprintln!("{}", failure.message);
            failure.status
        }
    }
}

fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("its mode changes");
}

const READ: i32 = libc::PROT_READ;
const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;
const PAGE: u64 = 4096;

#[test]
fn memory_is_zero_and_keeps_what_is_written() {
    in_a_guest(
        "memory_is_zero_and_keeps_what_is_written",
        &[("main", |user| {
            let area = user.map(64 * PAGE, READ_WRITE);
            assert_eq!(user.read(area + 5 * PAGE), [0; 8]);
            user.store(area + PAGE - 3, b"across");
            assert_eq!(&user.read(area + PAGE - 3), b"across");
            user.must(libc::SYS_munmap, &[area, 64 * PAGE]);
            let again = user.map(64 * PAGE, READ_WRITE);
            assert_eq!(user.read(again + PAGE - 3), [0; 6], "a new area has nothing of the old one");
            0
        })],
    );
}

#[test]
fn what_is_taken_away_faults() {
    in_a_guest(
        "what_is_taken_away_faults",
        &[("main", |user| {
            let area = user.map(2 * PAGE, READ_WRITE);
            user.store(area, b"x");
            user.on_signal(libc::SIGSEGV, move |user, _| {
                user.must(libc::SYS_mprotect, &[area, PAGE, READ_WRITE as u64]);
            });
            user.must(libc::SYS_mprotect, &[area, PAGE, READ as u64]);
            assert_eq!(&user.read(area), b"x");
            // The handler makes it writable again.
            user.store(area, b"y");
            user.must(libc::SYS_mprotect, &[area, PAGE, 0]);
            assert_eq!(&user.read(area), b"y");
            0
        })],
    );
}

#[test]
fn a_fault_without_a_handler_ends_the_process() {
    in_a_guest(
        "a_fault_without_a_handler_ends_the_process",
        &[("main", |user| {
            let child = user.fork(|user| {
                user.read::<1>(0x1000);
                0
            });
            assert_eq!(user.wait(child) & 0x7f, libc::SIGSEGV);
            0
        })],
    );
}

#[test]
fn fork_copies_memory() {
    in_a_guest(
        "fork_copies_memory",
        &[("main", |user| {
            // A small area is copied at once, a large one when it is written to.
            for pages in [3, 2000] {
                let area = user.map(pages * PAGE, READ_WRITE);
                for page in [0, pages / 2, pages - 1] {
                    user.store(area + page * PAGE, b"parent");
                }
                let child = user.fork(move |user| {
                    for page in [0, pages / 2, pages - 1] {
                        assert_eq!(&user.read(area + page * PAGE), b"parent");
                        user.store(area + page * PAGE, b"child ");
                    }
                    7
                });
                assert_eq!(user.wait(child), 7 << 8);
                for page in [0, pages / 2, pages - 1] {
                    assert_eq!(&user.read(area + page * PAGE), b"parent", "page {page} of {pages}");
                }
            }
            0
        })],
    );
}

#[test]
fn shared_memory_is_shared() {
    in_a_guest(
        "shared_memory_is_shared",
        &[("main", |user| {
            let flags = (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as u64;
            let area = user.must(libc::SYS_mmap, &[0, PAGE, READ_WRITE as u64, flags, u64::MAX, 0]);
            let child = user.fork(move |user| {
                user.store(area, b"hello");
                0
            });
            assert_eq!(user.wait(child), 0);
            assert_eq!(&user.read(area), b"hello");
            0
        })],
    );
}

#[test]
fn exec_runs_another_program() {
    in_a_guest(
        "exec_runs_another_program",
        &[
            ("main", |user| {
                let before = user.map(PAGE, READ_WRITE);
                let child = user.fork(move |user| {
                    let path = user.text("/programs/other");
                    user.call(libc::SYS_execve, &[path, 0, 0]);
                    unreachable!("the program was not replaced");
                });
                assert_eq!(user.wait(child), 3 << 8);
                user.store(before, b"still here");
                0
            }),
            ("other", |user| {
                // Nothing was mapped there but what exec maps.
                assert_eq!(user.must(libc::SYS_getppid, &[]), 2);
                3
            }),
        ],
    );
}

#[test]
fn tasks_take_turns() {
    in_a_guest(
        "tasks_take_turns",
        &[("main", |user| {
            let ends = user.scratch();
            user.must(libc::SYS_pipe2, &[ends, 0]);
            let [reader, writer]: [u64; 2] = [0, 4].map(|at| u64::from(u32::from_le_bytes(user.read(ends + at))));
            let children: Vec<i64> = (0..20u8)
                .map(|number| {
                    user.fork(move |user| {
                        let place = user.scratch();
                        for _ in 0..number {
                            user.must(libc::SYS_sched_yield, &[]);
                        }
                        user.store(place, &[number]);
                        user.must(libc::SYS_write, &[writer, place, 1]);
                        0
                    })
                })
                .collect();
            let place = user.scratch();
            let mut seen: Vec<u8> = (0..20)
                .map(|_| {
                    assert_eq!(user.must(libc::SYS_read, &[reader, place, 1]), 1);
                    user.read::<1>(place)[0]
                })
                .collect();
            assert!(seen.is_sorted(), "who yields less often is done first: {seen:?}");
            seen.dedup();
            assert_eq!(seen.len(), 20);
            for child in children {
                assert_eq!(user.wait(child), 0);
            }
            0
        })],
    );
}

#[test]
fn a_signal_interrupts_a_sleep() {
    in_a_guest(
        "a_signal_interrupts_a_sleep",
        &[("main", |user| {
            let own = user.must(libc::SYS_getpid, &[]);
            user.on_signal(libc::SIGUSR1, |_, signal| assert_eq!(signal, libc::SIGUSR1));
            // Blocked until it sleeps, whoever runs first.
            let set = user.scratch();
            user.store(set, &(1u64 << (libc::SIGUSR1 - 1)).to_le_bytes());
            user.must(libc::SYS_rt_sigprocmask, &[libc::SIG_BLOCK as u64, set, 0, 8]);
            let child = user.fork(move |user| {
                user.must(libc::SYS_kill, &[own, libc::SIGUSR1 as u64]);
                0
            });
            user.store(set, &[0; 8]);
            assert_eq!(user.call(libc::SYS_rt_sigsuspend, &[set, 8]), -i64::from(libc::EINTR));
            assert_eq!(user.wait(child), 0);
            0
        })],
    );
}
