//! What a guest can set of its kernel takes effect, and time is charged to who used it.

mod common;

use common::Program;
use std::process::Stdio;

/// Each line is a setting that was changed, and what came of it.
#[test]
fn settings_take_effect() {
    let script = r#"
import ctypes, errno, mmap, os, resource
libc = ctypes.CDLL(None, use_errno=True)
def set(name, value):
    with open("/proc/sys/" + name, "w") as f: f.write(str(value))
    assert open("/proc/sys/" + name).read().strip() == str(value), name
def attempt(name, call, *arguments):
    try: print(name, call(*arguments), flush=True)
    except OSError as e: print(name, errno.errorcode[e.errno], flush=True)
import sys
sys.stdout.reconfigure(line_buffering=True)
def child():
    pid = os.fork()
    if pid == 0: os._exit(0)
    os.waitpid(pid, 0)
    return pid
set("kernel/ns_last_pid", 20000)
print("ns_last_pid", child())
set("kernel/pid_max", 20010)
print("pid_max", max(child() for _ in range(30)))
try: set("kernel/pid_max", 10)
except OSError as e: print("pid_max", errno.errorcode[e.errno])
set("fs/nr_open", 2048)
try: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
except (OSError, ValueError) as e: print("nr_open refused")
set("fs/inotify/max_user_instances", 3)
kept = [libc.inotify_init1(0) for _ in range(4)]
print("max_user_instances", [fd > 0 for fd in kept], errno.errorcode[ctypes.get_errno()])
set("fs/inotify/max_user_watches", 2)
paths = [b"/", b"/tmp", b"/etc"]
watches = [libc.inotify_add_watch(kept[n], path, 0x100) > 0 for n, path in enumerate(paths)]
print("max_user_watches", watches, errno.errorcode[ctypes.get_errno()])
os.close(kept[0])
print("and after one file was closed", libc.inotify_add_watch(kept[1], b"/etc", 0x100) > 0)
set("fs/inotify/max_queued_events", 4)
os.close(kept[2])
fd = libc.inotify_init1(os.O_NONBLOCK)
os.close(kept[1])
libc.inotify_add_watch(fd, b"/tmp", 0x100)
for n in range(9): open("/tmp/queued%d" % n, "w").close()
print("max_queued_events", len(os.read(fd, 65536)))
set("fs/pipe-max-size", 65536)
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    os.setuid(1000)
    import fcntl
    attempt("pipe-max-size", fcntl.fcntl, w, 1031, 131072)
    os._exit(0)
os.waitpid(pid, 0)
set("vm/max_map_count", 200)
maps = []
try:
    while len(maps) < 1000: maps.append(mmap.mmap(-1, 4096, mmap.MAP_SHARED, mmap.PROT_READ))
except OSError as e: print("max_map_count", errno.errorcode[e.errno], len(maps) < 200)
maps.clear()
set("kernel/threads-max", 20)
pids = []
try:
    while len(pids) < 100:
        pid = os.fork()
        if pid == 0:
            import time
            time.sleep(5)
            os._exit(0)
        pids.append(pid)
except OSError as e: print("threads-max", errno.errorcode[e.errno], len(pids) < 20)
for pid in pids: os.kill(pid, 9)
"#;
    let expected = "ns_last_pid 20001\npid_max 20009\npid_max EINVAL\nnr_open refused\n\
                    max_user_instances [True, True, True, False] EMFILE\nmax_user_watches [True, True, False] ENOSPC\n\
                    and after one file was closed True\nmax_queued_events 144\npipe-max-size EPERM\n\
                    max_map_count ENOMEM True\nthreads-max EAGAIN True";
    Program::new(&["/usr/bin/python3", "-c", script]).options(&["--user", "0"]).in_guest().code(0).says(expected);
}

/// A guest has no namespaces but the first ones: who might have others is told so as by a kernel
/// that was built without them, EINVAL, so that programs go on without; who might not, that he
/// might not.
#[test]
fn there_are_no_other_namespaces() {
    let script = r#"
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
kinds = dict(time=0x80, mnt=0x20000, cgroup=0x2000000, uts=0x4000000, ipc=0x8000000, user=0x10000000, pid=0x20000000, net=0x40000000)
def name(result): return "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()]
def answers(flag):
    own = os.pidfd_open(os.getpid())
    yield name(libc.unshare(flag))
    # As SIGCHLD's number is part of them, clone's flags cannot have the one for time.
    yield name(libc.syscall(56, flag & ~0xff | 17, 0, 0, 0, 0)) if flag & ~0xff else "-"
    yield name(libc.syscall(435, (ctypes.c_uint64 * 8)(flag, 0, 0, 0, 17), 64))
    yield name(libc.setns(own, flag))
def all_answers(): return {kind: " ".join(answers(flag)) for kind, flag in kinds.items()}
for who in ("root", "a user"):
    if who == "a user": os.setgid(1000); os.setuid(1000)
    found = all_answers()
    for answer in sorted(set(found.values())): print(who, answer + ":", *(kind for kind in kinds if found[kind] == answer))
"#;
    let expected = "root EINVAL - EINVAL EINVAL: time\nroot EINVAL EINVAL EINVAL EINVAL: mnt cgroup uts ipc user pid net\n\
                    a user EINVAL EINVAL EINVAL EINVAL: user\na user EPERM - EPERM EPERM: time\n\
                    a user EPERM EPERM EPERM EPERM: mnt cgroup uts ipc pid net";
    Program::new(&["/usr/bin/python3", "-c", script]).options(&["--user", "0"]).in_guest().code(0).says(expected);
}

/// Two guests that compute on one CPU of the host have that CPU's time together, not each all that
/// passes.
#[test]
fn time_in_which_the_host_does_something_else_is_nobodys() {
    const SECONDS: f64 = 2.0;
    let script = format!(
        "import os, time\nend = time.monotonic() + {SECONDS}\nn = 0\nwhile n % 1000 or time.monotonic() < end: n += 1\n\
         print(sum(os.times()[:2]))"
    );
    for model in ["skas", "tt"] {
        let start = || {
            let program = Program::new(&["/usr/bin/python3", "-c", &script]).model(model).options(&["--cpus", "1"]);
            let guest = program.guest_command();
            let mut command = std::process::Command::new("taskset");
            command.args(["-c", "0"]).arg(guest.get_program()).args(guest.get_args());
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("taskset")
        };
        let guests = [start(), start(), start()];
        let used = guests.map(|guest| {
            let out = guest.wait_with_output().expect("a guest's output");
            String::from_utf8_lossy(&out.stdout).trim().parse::<f64>().expect("seconds")
        });
        let all: f64 = used.iter().sum();
        // Starting takes time, too, and they do not all run at once.
        assert!(all < 1.5 * SECONDS + 1.0, "{model}: {used:?}");
        assert!(all > 0.02, "{model}: {used:?}");
    }
}
