//! Watching files of the host with inotify(7): what the host does there comes to the guest, and
//! what the guest does comes once.

mod common;

use common::{Program, end_session, spawn_in_session, wait};
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// A guest whose lines come one after the other.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(program: &Program) -> Running {
        let mut command = program.guest_command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = spawn_in_session(command);
        let out: BufReader<ChildStdout> = BufReader::new(child.stdout.take().expect("a pipe from the guest"));
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                _ = send.send(line);
            }
        });
        Running { child, lines }
    }

    #[track_caller]
    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(30)).expect("a line in time")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.child.kill();
        wait(&mut self.child, Duration::from_secs(10));
        end_session(self.child.id());
    }
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// The ways to show a directory: the root's own tree, read-only, writable.
fn ways(dir: &Path) -> [Vec<OsString>; 3] {
    let dir = dir.as_os_str().to_owned();
    [vec![], vec!["--ro".into(), dir.clone()], vec!["--rw".into(), dir]]
}

#[test]
fn tail_shows_what_the_host_appends() {
    for model in ["skas", "tt"] {
        let dir = tempfile::tempdir().unwrap();
        for options in ways(dir.path()) {
            let log = dir.path().join("log");
            fs::write(&log, "first\n").unwrap();
            let argv: [OsString; 5] = ["tail", "-n", "+1", "-f", ""].map(Into::into);
            let argv = [&argv[..4], &[log.clone().into_os_string()]].concat();
            let guest = Running::start(&Program::new(&argv).model(model).options(&options));
            assert_eq!(guest.line(), "first", "{model} {options:?}");
            for n in 0..5 {
                append(&log, &format!("line {n}\n"));
                assert_eq!(guest.line(), format!("line {n}"), "{model} {options:?}");
            }
            drop(guest);
        }
    }
}

/// Prints every event, one a line, until a name "end" comes.
const PRINTER: &str = r#"
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
NAMES = "ACCESS MODIFY ATTRIB CLOSE_WRITE CLOSE_NOWRITE OPEN MOVED_FROM MOVED_TO CREATE DELETE DELETE_SELF MOVE_SELF".split()
NAMES = dict(enumerate(NAMES)) | {13: "UNMOUNT", 14: "OVERFLOW", 15: "IGNORED", 30: "DIR"}
def names(mask):
    return "|".join(NAMES[bit] for bit in range(32) if mask >> bit & 1)
os.chdir(sys.argv[1])
fd = libc.inotify_init1(0)
for path in sys.argv[2:]:
    libc.inotify_add_watch(fd, path.encode(), 0xfff & ~0x31)
print("ready", flush=True)
cookies, ended = {}, False
while not ended:
    data, at = os.read(fd, 65536), 0
    while at < len(data):
        watch, mask, cookie, length = struct.unpack_from("iIII", data, at)
        name = data[at + 16:at + 16 + length].rstrip(b"\0").decode()
        at += 16 + length
        rename = " %d" % cookies.setdefault(cookie, len(cookies)) if cookie else ""
        print(watch, names(mask), name + rename, flush=True)
        ended = ended or name == "end"
"#;

#[test]
fn the_guest_hears_what_the_host_does() {
    for model in ["skas", "tt"] {
        let dir = tempfile::tempdir().unwrap();
        for options in ways(dir.path()) {
            let at = |name: &str| dir.path().join(name);
            fs::create_dir(at("sub")).unwrap();
            fs::write(at("file"), "x").unwrap();
            let path = dir.path().as_os_str().to_owned();
            let argv =
                ["/usr/bin/python3".into(), "-c".into(), PRINTER.into(), path, ".".into(), "file".into(), "sub".into()];
            let guest = Running::start(&Program::new(&argv).model(model).options(&options));
            assert_eq!(guest.line(), "ready");
            append(&at("file"), "more");
            fs::write(at("new"), "text").unwrap();
            fs::create_dir(at("made")).unwrap();
            fs::rename(at("new"), at("sub/moved")).unwrap();
            fs::remove_dir(at("made")).unwrap();
            fs::rename(at("file"), at("renamed")).unwrap();
            fs::remove_file(at("sub/moved")).unwrap();
            fs::remove_file(at("renamed")).unwrap();
            fs::write(at("end"), "").unwrap();
            let mut expected = vec![
                "1 MODIFY file",
                "2 MODIFY ",
                "1 CLOSE_WRITE file",
                "2 CLOSE_WRITE ",
                "1 CREATE new",
                "1 MODIFY new",
                "1 CLOSE_WRITE new",
                "1 CREATE|DIR made",
                "1 MOVED_FROM new 0",
                "3 MOVED_TO moved 0",
                "1 DELETE|DIR made",
                "1 MOVED_FROM file 1",
                "1 MOVED_TO renamed 1",
                "2 MOVE_SELF ",
                "3 DELETE moved",
                "2 ATTRIB ",
                "2 DELETE_SELF ",
                "2 IGNORED ",
                "1 DELETE renamed",
                "1 CREATE end",
            ];
            let mut seen = Vec::new();
            while seen.last().is_none_or(|line| line != "1 CREATE end") {
                seen.push(guest.line());
            }
            // The file's end is told when the guest kernel has closed it, too, which is a little
            // later.
            let ending = |line: &str| matches!(line, "2 DELETE_SELF " | "2 IGNORED ");
            expected.retain(|line| !ending(line));
            let ends: Vec<String> = seen.extract_if(.., |line| ending(line)).collect();
            assert_eq!(seen, expected, "{model} {options:?}");
            assert!(ends.is_empty() || ends == ["2 DELETE_SELF ", "2 IGNORED "], "{model} {options:?}: {ends:?}");
            drop(guest);
            for entry in fs::read_dir(dir.path()).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { fs::remove_dir(path).unwrap() } else { fs::remove_file(path).unwrap() }
            }
        }
    }
}

/// What a program does to files that it watches itself, and hears of that.
const SELF_WATCHER: &str = r#"
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
os.chdir(sys.argv[1])
fd = libc.inotify_init1(os.O_NONBLOCK)
open("f", "w").write("x")
os.mkdir("sub")
for path in [b".", b"f", b"sub"]:
    libc.inotify_add_watch(fd, path, 0xfff)
cookies = {}
def step(what, action, *arguments):
    try: action(*arguments)
    except OSError as e: what += " " + e.strerror
    line = [what]
    while True:
        try: data = os.read(fd, 65536)
        except BlockingIOError: break
        at = 0
        while at < len(data):
            watch, mask, cookie, length = struct.unpack_from("iIII", data, at)
            name = data[at + 16:at + 16 + length].rstrip(b"\0").decode()
            at += 16 + length
            rename = cookies.setdefault(cookie, len(cookies)) if cookie else ""
            line.append("%d:%x:%s%s" % (watch, mask, name, rename))
    print(*line)
def write(name, flags):
    f = os.open(name, flags, 0o644)
    os.write(f, b"abc")
    os.write(f, b"abc")
    os.close(f)
step("write", write, "f", os.O_WRONLY | os.O_APPEND)
step("cut and write", write, "f", os.O_WRONLY | os.O_TRUNC)
step("create", write, "g", os.O_WRONLY | os.O_CREAT)
step("read", lambda: open("f").read())
step("chmod", os.chmod, "f", 0o600)
step("utime", os.utime, "f")
step("setxattr", os.setxattr, "f", "user.a", b"1")
step("truncate", os.truncate, "f", 1)
step("mkdir", os.mkdir, "d")
step("rmdir", os.rmdir, "d")
step("link", os.link, "f", "l")
step("symlink", os.symlink, "f", "s")
step("rename", os.rename, "l", "sub/m")
step("rename over", os.rename, "g", "sub/m")
f = os.open("f", os.O_RDWR)
step("unlink an open file", os.unlink, "f")
step("fallocate", os.posix_fallocate, f, 0, 100)
step("close it", os.close, f)
step("unlink", os.unlink, "sub/m")
step("remove a watched directory", os.rmdir, "sub")
for n in range(50):
    write("many%d" % n, os.O_WRONLY | os.O_CREAT)
    os.unlink("many%d" % n)
step("many", lambda: None)
"#;

#[test]
fn the_guests_own_doing_is_told_once() {
    let (on_host, in_guest) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let program = |dir: &Path| {
        let argv: [OsString; 4] = ["/usr/bin/python3".into(), "-c".into(), SELF_WATCHER.into(), dir.into()];
        Program::new(&argv).options(&[OsString::from("--rw"), dir.into()])
    };
    let host = program(on_host.path()).on_host().code(0).out();
    for model in ["skas", "tt"] {
        let guest = program(in_guest.path()).model(model).in_guest().code(0).out();
        for (host, guest) in host.lines().zip(guest.lines()) {
            assert_eq!(host, guest, "{model}");
        }
        assert_eq!(host.lines().count(), guest.lines().count());
        for entry in fs::read_dir(in_guest.path()).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
}
