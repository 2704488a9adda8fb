//! Core dumps: a debugger on the host opens what a guest process left, and the rules of core(5)
//! hold.

mod common;

use common::Program;

/// Each model, and its options.
const MODELS: [(&str, &[&str]); 6] = [
    ("skas", &["--cpus", "2"]),
    ("unotify", &["--cpus", "2"]),
    ("sigsys", &["--cpus", "1"]),
    ("tt", &["--cpus", "2"]),
    ("tt-jail", &["--cpus", "1"]),
    ("inproc", &["--cpus", "2"]),
];

/// Two threads beside the one that ends it all.
const CRASH: &str = r#"
#include <pthread.h>
#include <unistd.h>
static int ready;
volatile int known = 4711;
__attribute__((noinline)) void sleeper(int n) { __atomic_add_fetch(&ready, n, 5); for (;;) pause(); }
__attribute__((noinline)) void spinner(int n) { __atomic_add_fetch(&ready, n, 5); for (volatile int i = 0;; i++); }
static void *sleep_for_ever(void *p) { sleeper(1); return p; }
static void *spin_for_ever(void *p) { spinner(2); return p; }
__attribute__((noinline)) void crash(int depth) {
    if (depth) crash(depth - 1); else *(volatile int *)8 = known;
    __asm__ volatile("");
}
int main(void) {
    pthread_t thread;
    pthread_create(&thread, 0, sleep_for_ever, 0);
    pthread_create(&thread, 0, spin_for_ever, 0);
    while (__atomic_load_n(&ready, 5) != 3) usleep(100);
    crash(3);
}
"#;

#[test]
fn gdb_shows_every_thread_of_a_process_that_crashed() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_string();
    std::fs::write(path("crash.c"), CRASH).unwrap();
    Program::new(&["gcc", "-g", "-O1", "-pthread", "-o", &path("crash"), &path("crash.c")]).on_host().code(0);
    for (model, options) in MODELS {
        let script = format!("cd {} && ulimit -c unlimited && ./crash", directory.path().display());
        let program = Program::new(&["bash", "-c", &script]).model(model).options(options);
        program.options(&["--rw", directory.path().to_str().unwrap()]).in_guest().code(139);
        let gdb = ["gdb", "-batch", "-nx", "-ex", "thread apply all backtrace", "-ex", "print known"];
        let out = Program::new(&[&gdb[..], &[&path("crash"), &path("core")]].concat()).on_host().code(0).out();
        let expected = [
            "terminated with signal SIGSEGV",
            "crash (depth=0)",
            "crash (depth=3)",
            "main ()",
            "sleeper (n=1)",
            "spinner (n=2)",
            "sleep_for_ever",
            "$1 = 4711",
        ];
        for expected in expected {
            // Arguments are given as the value at the function's entry where they are only known
            // from there.
            let found = out.replace("depth=depth@entry=", "depth=").replace("n=n@entry=", "n=");
            assert!(found.contains(expected), "{model}: no '{expected}' in:\n{out}");
        }
        std::fs::remove_file(path("core")).unwrap();
    }
}

/// What the scripts below begin with: `dump` has a child end itself, and tells whether it left a
/// core file and what is there.
const DUMP: &str = r#"
import ctypes, errno, mmap, os, resource, shutil, signal, sys, time
libc = ctypes.CDLL(None, use_errno=True)
sys.stdout.reconfigure(line_buffering=True)
resource.setrlimit(resource.RLIMIT_CORE, (-1, -1))
os.mkdir("/tmp/cores")
os.chdir("/tmp/cores")
def clean():
    for name in os.listdir("."):
        shutil.rmtree(name) if os.path.isdir(name) else os.unlink(name)
def end(before=None, core=-1, size=-1, how=os.abort):
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (core, core))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        if before: before()
        how()
    return pid, os.waitpid(pid, 0)[1]
def there(pid=0):
    found = sorted((name.replace(str(pid), "PID"), oct(os.lstat(name).st_mode)) for name in os.listdir("."))
    return " ".join(" ".join(each) for each in found) or "nothing"
def dump(what, before=None, **more):
    pid, status = end(before, **more)
    print(what, os.WTERMSIG(status), os.WCOREDUMP(status), there(pid))
    clean()
def make(name, mode=0o644):
    with open(name, "w") as f: f.write("old")
    os.chmod(name, mode)
def set(name, value):
    with open("/proc/sys/kernel/" + name, "w") as f: f.write(value)
"#;

/// Runs a script that begins with `DUMP`, in every model.
fn in_models(script: &str, expected: &str) {
    for (model, options) in MODELS {
        let program = Program::new(&["/usr/bin/python3", "-c", &format!("{DUMP}{script}")]).model(model);
        let outcome = program.options(options).options(&["--user", "0", "--mem", "512M"]).in_guest().code(0);
        assert_eq!(outcome.out().trim(), expected, "{model}: {outcome:?}");
    }
}

#[test]
fn where_and_when_a_core_file_is_made() {
    let script = r#"
dump("limits")
for core in (0, 1, 4095, 4096, 8192): dump("limit %d" % core, core=core)
for size in (0, 100): dump("size %d" % size, size=size)
dump("undumpable", lambda: libc.prctl(4, 0))
dump("umask", lambda: os.umask(0o777))
os.symlink("elsewhere", "core"); dump("a link")
make("core"); os.link("core", "other"); dump("another name")
os.mkdir("core"); dump("a directory")
def user():
    os.setgid(1000); os.setuid(1000)
    libc.prctl(4, 1)
os.chmod(".", 0o755); dump("no right", user)
os.chmod(".", 0o1777); dump("a right", user)
make("core"); dump("somebody else's", user)
os.chmod(".", 0o755)
shutil.copy("/bin/sleep", "/tmp/sleep")
def sleeper(mode):
    os.chmod("/tmp/sleep", mode)
    pid = os.fork()
    if pid == 0:
        os.setuid(1000)
        os.execv("/tmp/sleep", ["sleep", "100"])
    while os.read(os.open("/proc/%d/comm" % pid, 0), 6) != b"sleep\n": time.sleep(0.01)
    os.kill(pid, signal.SIGQUIT)
    print("mode %o" % mode, os.WCOREDUMP(os.waitpid(pid, 0)[1]), there())
    clean()
os.chmod(".", 0o777)
sleeper(0o4755)
sleeper(0o755)
pid = os.fork()
if pid == 0: os.abort()
info = os.waitid(os.P_PID, pid, os.WEXITED)
print("waitid", info.si_code == os.CLD_DUMPED, info.si_status)
clean()
set("core_uses_pid", "1"); dump("uses pid")
set("core_pattern", "c.%p.%s.%u.%%.%e.%"); dump("a pattern")
set("core_pattern", "/tmp/cores/there/c"); os.mkdir("there"); dump("a path"); os.mkdir("there")
dump("its file", how=lambda: os._exit(0))
set("core_pattern", "\n"); dump("no name but the pid")
set("core_uses_pid", "0"); dump("no name")
try: set("core_pattern", "|/bin/cat")
except OSError as e: print("a program", errno.errorcode[e.errno])
print(repr(open("/proc/sys/kernel/core_pattern").read()))
"#;
    let expected = "\
limits 6 True core 0o100600
limit 0 6 False nothing
limit 1 6 False nothing
limit 4095 6 False nothing
limit 4096 6 True core 0o100600
limit 8192 6 True core 0o100600
size 0 6 True core 0o100600
size 100 6 True core 0o100600
undumpable 6 False nothing
umask 6 False core 0o100000
a link 6 True core 0o100600
another name 6 True core 0o100600 other 0o100644
a directory 6 False core 0o40755
no right 6 False nothing
a right 6 True core 0o100600
somebody else's 6 False core 0o100644
mode 4755 False nothing
mode 755 True core 0o100600
waitid True 6
uses pid 6 True core.PID 0o100600
a pattern 6 True c.PID.6.0.%.python3. 0o100600
a path 6 True there 0o40755
its file 0 False there 0o40755
no name but the pid 6 True .PID 0o100600
no name 6 False nothing
a program EINVAL
'\\n'";
    in_models(script, expected);
}

#[test]
fn the_filter_says_which_memory_is_dumped() {
    let script = r#"
# Each kind of memory holds its name many times, backwards, and put there byte by byte: it is nowhere else.
kinds = [b"private-" * 40, b"shared-" * 40, b"file private-" * 40, b"file shared-" * 40, b"not dumped-" * 40, b"without rights-" * 40]
def prepare(filter):
    for n in (2, 3):
        with open("/tmp/mapped%d" % n, "wb", buffering=0) as f:
            for byte in reversed(kinds[n]): f.write(bytes([byte]))
            f.truncate(4096)
    os.write(os.open("/proc/self/coredump_filter", os.O_WRONLY), filter.encode())
    kept = []
    for n, flags in ((0, mmap.MAP_PRIVATE), (1, mmap.MAP_SHARED), (4, mmap.MAP_PRIVATE), (5, mmap.MAP_PRIVATE)):
        m = mmap.mmap(-1, 4096, flags | mmap.MAP_ANONYMOUS)
        for i, byte in enumerate(reversed(kinds[n])): m[i] = byte
        kept.append(m)
    for n, flags in ((2, mmap.MAP_PRIVATE), (3, mmap.MAP_SHARED)):
        m = mmap.mmap(os.open("/tmp/mapped%d" % n, os.O_RDWR), 4096, flags)
        m[0]
        kept.append(m)
    kept[2].madvise(16)
    libc.mprotect(ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(kept[3]))), ctypes.c_size_t(4096), 0)
    prepare.kept = kept
def look(filter):
    with open("core", "rb") as f: found = f.read()
    with open("/proc/self/exe", "rb") as f: header = f.read(64)
    print(filter, [kind[:kind.index(b"-")].decode() for kind in kinds if kind[::-1] in found], header in found)
for filter in ("0x33", "0", "1", "2", "4", "8", "0x7f"):
    end(lambda: prepare(filter))
    # In a process of its own, of which the next one does not inherit what was looked for.
    end(lambda: look(filter), how=lambda: os._exit(0))
pid, status = end(lambda: os.write(os.open("/proc/self/coredump_filter", os.O_WRONLY), b"5"),
                  how=lambda: os.execvp("sh", ["sh", "-c", "grep -q 00000005 /proc/self/coredump_filter"]))
print("after exec", status)
"#;
    let expected = "\
0x33 ['private', 'shared', 'without rights'] True
0 [] False
1 ['private', 'without rights'] False
2 ['shared'] False
4 ['file private'] True
8 ['file shared'] False
0x7f ['private', 'shared', 'file private', 'file shared', 'without rights'] True
after exec 0";
    in_models(script, expected);
}

/// A long dump can be ended, and one that does not fit is cut; the guest goes on in both cases.
#[test]
fn a_dump_of_much_memory_can_be_ended_and_cut() {
    let script = r#"
def big(megabytes, kill):
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        m = mmap.mmap(-1, megabytes << 20)
        for i in range(0, megabytes << 20, 4096): m[i] = 1
        os.write(w, b"x")
        os.abort()
    os.close(w)
    if os.read(r, 1) != b"x": return "it ended early"
    os.close(r)
    dumping = not kill
    while not dumping:
        status = open("/proc/%d/status" % pid).read()
        dumping = "CoreDumping:\t1" in status or "State:\tZ" in status
    if kill: os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    size = os.stat("core").st_size >> 20
    clean()
    return (status, size < megabytes)
# It may have written all when it is killed, but hardly each time.
print((6, True) in [big(150, True) for n in range(10)])
print(big(350, False))
print(big(100, False))
"#;
    in_models(script, "True\n(134, True)\n(134, False)");
}
