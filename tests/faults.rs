//! Guests that misbehave, and guests that are ended: the guest kernel lives on where it should, and
//! nothing is left on the host in any case. (That nothing is left is checked after every run, see
//! `common::run`.)

mod common;

use common::{Program, end_session, members, spawn_in_session, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Start a guest that makes processes all the time, end `uml` by SIGKILL after a while, and see
/// that all is gone.
fn killed_after(milliseconds: u64, script: &str) {
    let mut command = Program::new(&["bash", "-c", script]).guest_command();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = spawn_in_session(command);
    let session = child.id();
    std::thread::sleep(Duration::from_millis(milliseconds));
    let before = members(session);
    kill(Pid::from_raw(session as i32), Signal::SIGKILL).unwrap();
    wait(&mut child, Duration::from_secs(10));
    let start = Instant::now();
    while !members(session).is_empty() && start.elapsed() < Duration::from_secs(1) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let left = end_session(session);
    assert!(left.is_empty(), "left {milliseconds} ms after the start, of {before:?}: {left:?}");
}

#[test]
fn sigkill_leaves_no_process() {
    let busy = "for i in 1 2 3 4; do (while :; do /bin/true; (:); done) & done; sleep 100 & cat /dev/zero >/dev/null";
    // Some fall into the boot, the first exec, and the steady state.
    for milliseconds in [0, 1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 200, 500, 1000] {
        killed_after(milliseconds, busy);
    }
    killed_after(300, "kill -STOP $$");
    killed_after(300, "while :; do :; done");
}

#[test]
fn the_commands_end_is_the_guests() {
    // What is still running when the command ends goes with it.
    let start = Instant::now();
    Program::sh("sleep 1000 & (setsid sleep 1000 &) ; (while :; do :; done) & echo over; exit 5")
        .in_guest()
        .code(5)
        .says("over");
    assert!(start.elapsed() < Duration::from_secs(60));
}

/// After the misdeed, the same guest still makes processes, files and pipes, and computes
/// correctly.
const CHECK: &str = "seq 1 1000 | sort -rn | tail -n 1; echo text >/tmp/check.$$ && cat /tmp/check.$$; /bin/echo alive";
const CHECKED: &str = "1\ntext\nalive";

#[test]
fn fork_bomb() {
    // The bomb has a session of its own; what ends it is a signal to everybody else.
    let script = format!(
        "trap '' TERM
         setsid bash -c 'b() {{ b | b & }}; b' >/dev/null 2>&1 &
         sleep 3
         for i in 1 2 3 4 5; do kill -KILL -1; sleep 0.2; done 2>/dev/null
         {CHECK}"
    );
    Program::new(&["bash", "-c", &script]).options(&["--mem", "1G"]).limit(300).in_guest().code(0).says(CHECKED);
}

#[test]
fn processes_up_to_the_limit() {
    let script = "
import os, resource, time
resource.setrlimit(resource.RLIMIT_NPROC, (300, 300))
children = []
try:
    while True:
        pid = os.fork()
        if pid == 0:
            time.sleep(1000)
        children.append(pid)
except OSError as error:
    print(error.errno, len(children), flush=True)
for pid in children:
    os.kill(pid, 9)
for pid in children:
    os.waitpid(pid, 0)
os.execvp('sh', ['sh', '-c', os.environ['CHECK']])
";
    let argv = ["/usr/bin/python3", "-c", script];
    let program = Program::new(&argv).env("CHECK", CHECK).options(&["--user", "12345", "--mem", "1G"]).limit(180);
    program.in_guest().code(0).says(&format!("11 299\n{CHECKED}"));
}

#[test]
fn memory_filler() {
    for filler in ["tail /dev/zero", "perl -e '@a = map { \"x\" x 1000 } 1 .. 1e9'"] {
        // Ended by the guest's kernel (137), or told that there is no memory and ended by itself.
        let script = format!("({filler}) >/dev/null 2>&1; test $? != 0 && echo ended; {CHECK}");
        let program = Program::new(&["bash", "-c", &script]).options(&["--mem", "256M"]).limit(180);
        program.in_guest().code(0).says(&format!("ended\n{CHECKED}"));
    }
}

#[test]
fn several_memory_fillers_at_once() {
    let script = format!("for i in 1 2 3 4; do tail /dev/zero >/dev/null 2>&1 & done; wait; {CHECK}");
    Program::new(&["bash", "-c", &script]).options(&["--mem", "256M"]).limit(180).in_guest().code(0).says(CHECKED);
}

#[test]
fn a_command_that_fills_memory_ends_alone() {
    let outcome = Program::new(&["tail", "/dev/zero"]).options(&["--mem", "128M"]).limit(180).in_guest();
    outcome.code(137);
}

#[test]
fn overlay_filler() {
    let script = format!(
        "dd if=/dev/zero of=/filled bs=1M 2>/dev/null; echo $?
         test -s /filled && rm /filled
         {CHECK}
         i=0; while mkdir /many.$i 2>/dev/null && [ $i -lt 2000 ]; do i=$((i + 1)); done; rm -rf /many.*
         {CHECK}"
    );
    let program = Program::new(&["bash", "-c", &script]).options(&["--mem", "256M"]).limit(300);
    program.in_guest().code(0).says(&format!("1\n{CHECKED}\n{CHECKED}"));
}

#[test]
fn tmpfs_and_shared_memory_fillers() {
    let script = format!(
        "dd if=/dev/zero of=/dev/shm/filled bs=1M 2>/dev/null; echo $?; rm /dev/shm/filled
         dd if=/dev/zero of=/tmp/filled bs=1M 2>/dev/null; echo $?; rm /tmp/filled
         {CHECK}"
    );
    let program = Program::new(&["bash", "-c", &script])
        .options(&["--mem", "256M", "--tmpfs", "/tmp", "--workdir", "/"])
        .limit(180);
    program.in_guest().code(0).says(&format!("1\n1\n{CHECKED}"));
}

#[test]
fn descriptors_and_pipes_up_to_the_limit() {
    let script = "
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
kept = []
try:
    while True:
        kept += os.pipe()
        os.set_blocking(kept[-1], False)
        os.write(kept[-1], b'x' * 65536)
except OSError as error:
    print(error.errno, len(kept), flush=True)
for fd in kept:
    os.close(fd)
os.execvp('sh', ['sh', '-c', os.environ['CHECK']])
";
    let argv = ["/usr/bin/python3", "-c", script];
    let outcome = Program::new(&argv).env("CHECK", CHECK).options(&["--mem", "256M"]).limit(180).in_guest();
    outcome.code(0).says(&format!("24 4092\n{CHECKED}"));
}

#[test]
fn crashes_of_every_kind() {
    let script = "
import ctypes, mmap, os, signal
def crash(what):
    pid = os.fork()
    if pid == 0:
        os.close(2)
        what()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
def run(code):
    block = mmap.mmap(-1, 4096, prot=7)
    block.write(code)
    ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(block)))()
for code in [b'\\xf4', b'\\x0f\\x0b', b'\\xcc', b'\\xfa', b'\\xcd\\x80\\xc3', b'\\xcd\\x03', b'\\xcd\\x21', b'\\x31\\xc9\\xf7\\xf1',
             b'\\x48\\xb8' + b'\\xff' * 7 + b'\\x7f\\xff\\xe0', b'\\x9c\\x81\\x0c\\x24\\x00\\x01\\x00\\x00\\x9d\\x90\\xc3', b'\\x0f\\x34', b'\\x0f\\x01\\xd0']:
    print(code.hex(), crash(lambda: run(code)))
print(crash(lambda: ctypes.string_at(0)), crash(lambda: ctypes.memset(8, 0, 1)), crash(os.abort))
";
    let argv = ["/usr/bin/python3", "-c", script];
    Program::new(&argv).compare().code(0);
}

/// A host file that is mapped by a guest, and read through the mapping by the guest kernel, is cut.
#[test]
fn a_mapped_host_file_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let script = r#"
import ctypes, mmap, os, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(sys.argv[1], os.O_RDWR)
os.ftruncate(fd, 3 * 4096)
memory = mmap.mmap(fd, 3 * 4096)
at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
def tell(what, result):
    print(what, result, os.strerror(ctypes.get_errno()) if result < 0 else "")
null = os.open("/dev/null", os.O_WRONLY)
zero = os.open("/dev/zero", os.O_RDONLY)
r, w = os.pipe()
os.write(w, b"12345678")
tell("whole", libc.write(w, ctypes.c_void_p(at + 4096), 100))
os.ftruncate(fd, 4096)
tell("pipe", libc.write(w, ctypes.c_void_p(at + 4096), 100))
tell("from pipe", libc.read(r, ctypes.c_void_p(at + 4096), 4))
tell("zero", libc.read(zero, ctypes.c_void_p(at + 8192), 4))
tell("path", libc.open(ctypes.c_void_p(at + 4096), 0))
tell("futex", libc.syscall(202, ctypes.c_void_p(at + 4096), 0, 0, None))
tell("wake op", libc.syscall(202, ctypes.c_void_p(at), 5, 1, 1, ctypes.c_void_p(at + 4096), 0))
tell("stat", libc.stat(b"/", ctypes.c_void_p(at + 4096)))
tell("first page", libc.write(w, ctypes.c_void_p(at), 100))
print("alive")
"#;
    let file = file.to_str().unwrap();
    let directory = directory.path().to_str().unwrap();
    Program::new(&["/usr/bin/python3", "-c", script, file]).options(&["--rw", directory]).compare().code(0);
}

/// What pipes and sockets hold counts as memory: it comes to an end, and is free again when they
/// are closed. Who fills it is told so, although it needs memory of its own all the time.
#[test]
fn pipes_and_messages_fill_memory() {
    let script = "
import os, resource, socket
resource.setrlimit(resource.RLIMIT_NOFILE, (100000, 100000))
def pipe():
    r, w = os.pipe()
    os.set_blocking(w, False)
    kept.extend([r, w])
    return os.write(w, b'x' * 65536)
def pair():
    a, b = socket.socketpair()
    a.setblocking(False)
    kept.extend([a.detach(), b.detach()])
    return os.write(kept[-2], b'x' * 65536)
def datagram():
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.setblocking(False)
    kept.extend([a.detach(), b.detach()])
    return os.write(kept[-2], b'x' * 65536)
for fill in [pipe, pair, datagram, pipe]:
    kept, kept_too, filled = [], [], 0
    try:
        while filled < 1 << 30:
            filled += fill()
            kept_too.append(bytearray(10000))
    except OSError as error:
        print(error.errno, 50 << 20 < filled < 128 << 20, flush=True)
    for fd in kept:
        os.close(fd)
os.execvp('sh', ['sh', '-c', os.environ['CHECK']])
";
    let argv = ["/usr/bin/python3", "-c", script];
    let outcome = Program::new(&argv).env("CHECK", CHECK).options(&["--mem", "128M"]).limit(180).in_guest();
    outcome.code(0).says(&format!("12 True\n12 True\n12 True\n12 True\n{CHECKED}"));
}

/// Whoever asks for the page that is not there any more: the largest process has to go, but for
/// those that must not.
#[test]
fn the_largest_process_is_killed() {
    let script = "
import os, sys, time
def touch(megabytes):
    return [bytearray(os.urandom(1 << 10) * 1024) for _ in range(megabytes)]
r, w = os.pipe()
large = os.fork()
if large == 0:
    kept = touch(130)
    open('/proc/self/oom_score_adj', 'w').write(sys.argv[1])
    os.write(w, b'.')
    time.sleep(100)
    os._exit(0)
os.read(r, 1)
asking = os.fork()
if asking == 0:
    touch(150)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(asking, 0)[1]), os.waitpid(large, os.WNOHANG) == (large, 9))
";
    for (adjustment, expected) in [("0", "0 True"), ("-1000", "-9 False"), ("-900", "-9 False")] {
        let program =
            Program::new(&["/usr/bin/python3", "-c", script, adjustment]).options(&["--mem", "256M", "--user", "0"]);
        program.limit(180).in_guest().code(0).says(expected);
    }
}

/// A user who may have few processes on the host: fork(2) says so in the guest, and what runs there
/// goes on.
#[test]
fn the_host_refuses_processes() {
    let script = "
import os, time
children = []
try:
    while True:
        child = os.fork()
        if child == 0:
            time.sleep(1000)
        children.append(child)
except OSError as error:
    print(error.errno, 20 < len(children) < 60, flush=True)
for child in children:
    os.kill(child, 9)
print({os.waitpid(child, 0)[1] for child in children}, flush=True)
os.execvp('sh', ['sh', '-c', os.environ['CHECK']])
";
    // The limit is the user's, and root has none: a user that nobody else here is.
    let wrapper = "exec setpriv --reuid 54321 --regid 54321 --clear-groups prlimit --nproc=60 \"$@\"";
    let guest = Program::new(&["/usr/bin/python3", "-c", script])
        .options(&["--env", &format!("CHECK={CHECK}")])
        .guest_command();
    let mut command = std::process::Command::new("bash");
    command.args(["-c", wrapper, "bash"]).arg(guest.get_program()).args(guest.get_args()).env_clear();
    command.envs(guest.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let outcome = common::run(command, b"", Duration::from_secs(120));
    if outcome.err().starts_with("setpriv:") || outcome.err().starts_with("prlimit:") {
        eprintln!("not tested: not root, or the build's directory is closed to other users");
        return;
    }
    outcome.code(0).says(&format!("11 True\n{{9}}\n{CHECKED}"));
}
