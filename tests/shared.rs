//! Shared host directories: what of a guest's doing reaches the host, and what of the host a guest
//! can see.

mod common;

use common::{Outcome, Program, UMLAB, run};
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The permission bits of a host file.
fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A guest whose root gives files privileges in every way there is, and prints what it sees.
const PRIVILEGES: &str = r#"
cd "$1" || exit
cp /bin/true chmod && chmod 6755 chmod && stat -c '%n %a' chmod
install -m 2711 /bin/true install && stat -c '%n %a' install
cp /bin/true /tmp/copied && chmod 4755 /tmp/copied && mv /tmp/copied copied && stat -c '%n %a' copied
ln chmod link && stat -c '%n %a' link
mkdir dir && chmod 2775 dir && stat -c '%n %a' dir
mv chmod renamed && stat -c '%n %a' renamed
python3 - <<'END'
import ctypes, os
f = os.open("created", os.O_CREAT | os.O_RDWR, 0o4755)
os.posix_fallocate(f, 0, 4096)
print("created %o" % (os.fstat(f).st_mode & 0o7777))
os.fchmod(f, 0o2755)
print("created %o" % (os.fstat(f).st_mode & 0o7777))
def attempt(name, what, *arguments):
    try: print(name, what(*arguments))
    except OSError as e: print(name, e.strerror)
attempt("device", os.mknod, "device", 0o020666, os.makedev(1, 3))
attempt("block", os.mknod, "block", 0o060666, os.makedev(7, 0))
attempt("capability", os.setxattr, "created", "security.capability", b"\1\0\0\2\0\40\0\0" + bytes(12))
attempt("trusted", os.setxattr, "dir", "trusted.overlay.opaque", b"y")
attempt("acl", os.setxattr, "created", "system.posix_acl_access", b"\2\0\0\0")
attempt("fifo", os.mkfifo, "fifo")
libc = ctypes.CDLL(None, use_errno=True)
done = libc.renameat2(-100, b"copied", -100, b"whiteout", 4)
print("whiteout", os.strerror(ctypes.get_errno()) if done < 0 else done)
attempt("nameless", os.open, ".", os.O_TMPFILE | os.O_RDWR, 0o4755)
END
"#;

fn give_privileges(option: &str, dir: &Path) -> Outcome {
    let script = ["sh", "-c", PRIVILEGES, "sh"].map(Into::into);
    let mut argv: Vec<std::ffi::OsString> = script.to_vec();
    argv.push(dir.into());
    Program::new(&argv).options(&[option.into(), dir.as_os_str().to_owned()]).in_guest().code(0)
}

#[test]
fn privileges_stay_in_the_guest() {
    let dir = tempfile::tempdir().unwrap();
    let guest = give_privileges("--rw", dir.path());
    guest.says(
        "chmod 6755\ninstall 2711\ncopied 4755\nlink 6755\ndir 2775\nrenamed 6755\ncreated 4755\ncreated 2755\n\
         device Operation not permitted\nblock Operation not permitted\ncapability Operation not permitted\n\
         trusted Operation not permitted\nacl Operation not supported\nfifo None\nwhiteout Operation not permitted\n\
         nameless Operation not supported",
    );
    for (name, expected) in
        [("renamed", 0o755), ("install", 0o711), ("copied", 0o755), ("link", 0o755), ("dir", 0o775), ("created", 0o755)]
    {
        assert_eq!(mode(&dir.path().join(name)), expected, "{name}");
    }
    assert!(!dir.path().join("device").exists() && !dir.path().join("block").exists());
}

#[test]
fn privileges_pass_where_that_is_asked_for() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let guest = give_privileges("--rw-special", dir.path()).out();
    for line in ["device None", "capability None", "renamed 6755", "whiteout 0"] {
        assert!(guest.lines().any(|other| other == line), "no '{line}' in {guest}");
    }
    for (name, expected) in [("renamed", 0o6755), ("install", 0o2711), ("dir", 0o2775), ("created", 0o2755)] {
        assert_eq!(mode(&dir.path().join(name)), expected, "{name}");
    }
    assert_eq!(fs::metadata(dir.path().join("device")).unwrap().rdev(), nix::sys::stat::makedev(1, 3));
}

/// A program that is set-user-ID on the host is an ordinary one there as soon as a guest could have
/// written to it.
#[test]
fn a_changed_program_loses_its_privileges_on_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let ways = [
        ("appended", "open(n, 'ab').write(b'x')"),
        ("cut", "os.truncate(n, 0)"),
        ("mapped", "m = mmap.mmap(os.open(n, os.O_RDWR), 0, mmap.MAP_SHARED); m[0] = 65; m.close()"),
        ("chmodded", "os.chmod(n, 0o4777)"),
        ("given", "os.chown(n, os.getuid(), os.getgid())"),
        ("read", "open(n, 'rb').read()"),
    ];
    for (name, way) in ways {
        let path = dir.path().join(name);
        fs::copy("/bin/true", &path).unwrap();
        set_mode(&path, 0o4755);
        let script = format!("import os, mmap; n = '{}'; {way}", path.display());
        Program::new(&["/usr/bin/python3", "-c", &script])
            .options(&["--rw".into(), dir.path().as_os_str().to_owned()])
            .in_guest()
            .code(0);
        assert_eq!(mode(&path) & 0o6000, if name == "read" { 0o4000 } else { 0 }, "{name}");
    }
}

/// An ordinary user of a guest that root started reads and changes on the host what that user could
/// there.
#[test]
fn an_ordinary_user_has_an_ordinary_users_rights() {
    if !is_root() {
        return;
    }
    const NOBODY: u32 = 65534;
    const SCRIPT: &str = r#"
import os, sys
os.chdir(sys.argv[1])
def attempt(*what):
    function, *arguments = what
    try:
        result = function(*arguments)
        return "ok"
    except OSError as e:
        return os.strerror(e.errno)
def opened(name, flags):
    os.close(os.open(name, flags))
for name in sorted(os.listdir(".")):
    inner = os.path.join(name, "inner")
    for file in [name, inner] if os.path.isdir(name) else [name]:
        print(file, attempt(opened, file, os.O_RDONLY), attempt(opened, file, os.O_WRONLY), attempt(os.stat, file),
            attempt(os.listdir, file), attempt(os.chmod, file, 0o777), attempt(os.chown, file, 65534, 65534),
            attempt(os.truncate, file, 1), attempt(os.utime, file, (1, 1)), attempt(os.utime, file),
            attempt(os.setxattr, file, "user.a", b"1"), attempt(os.getxattr, file, "user.a"),
            attempt(os.setxattr, file, "security.a", b"1"), attempt(os.setxattr, file, "trusted.a", b"1"),
            attempt(os.getxattr, file, "trusted.b"), attempt(os.removexattr, file, "user.b"),
            attempt(os.access, file, os.X_OK), attempt(os.chdir, file) if file == inner else "",
            attempt(os.link, file, "theirs/linked"), attempt(os.unlink, "theirs/linked"),
            attempt(os.rename, file, file + ".moved"), attempt(os.rename, file + ".moved", file),
            attempt(os.mkdir, file + "/made"), attempt(os.mkfifo, file + "/fifo"), sep="; ")
"#;
    let lay_out = |dir: &Path| {
        set_mode(dir, 0o777);
        for (uid, whose) in [(0, "roots"), (NOBODY, "theirs"), (1234, "others")] {
            for bits in
                [0o000, 0o600, 0o640, 0o644, 0o604, 0o666, 0o060, 0o006, 0o4755, 0o2755, 0o1777, 0o711, 0o700, 0o777]
            {
                let file = dir.join(format!("{whose}-{bits:04o}"));
                fs::write(&file, "text").unwrap();
                let sub = dir.join(format!("{whose}-dir-{bits:04o}"));
                fs::create_dir(&sub).unwrap();
                fs::write(sub.join("inner"), "text").unwrap();
                for path in [&file, &sub, &sub.join("inner")] {
                    chown(path, Some(uid), Some(uid)).unwrap();
                    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
                    // Not on every file system.
                    for name in [c"user.b", c"trusted.b"] {
                        // SAFETY: C strings and a value of one byte.
                        unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), c"1".as_ptr().cast(), 1, 0) };
                    }
                }
                set_mode(&file, bits);
                set_mode(&sub, bits);
            }
        }
        let theirs = dir.join("theirs");
        fs::create_dir(&theirs).unwrap();
        chown(&theirs, Some(NOBODY), Some(NOBODY)).unwrap();
    };
    let (on_host, in_guest) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    lay_out(on_host.path());
    lay_out(in_guest.path());
    let mut host = Command::new("setpriv");
    host.args(["--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", SCRIPT])
        .arg(on_host.path());
    let host = run(host, b"", Duration::from_secs(60)).code(0).out();
    let dir = in_guest.path().as_os_str().to_owned();
    let guest = Program::new(&["/usr/bin/python3".into(), "-c".into(), SCRIPT.into(), dir.clone()])
        .options(&["--user".into(), "65534".into(), "--rw".into(), dir])
        .in_guest()
        .code(0)
        .out();
    for (host, guest) in host.lines().zip(guest.lines()) {
        assert_eq!(host, guest);
    }
    assert_eq!(host.lines().count(), guest.lines().count());
    // And the two trees are the same now.
    let listing = |dir: &Path| {
        let mut command = Command::new("sh");
        command.args(["-c", r#"cd "$1" && find . -printf '%p %m %U %G %s\n' | sort"#, "sh"]).arg(dir);
        run(command, b"", Duration::from_secs(60)).code(0).out()
    };
    assert_eq!(listing(on_host.path()), listing(in_guest.path()));
}

/// Files and directories of the host's kernel look empty, under whatever name they are mounted, and
/// cannot be changed.
#[test]
fn the_hosts_kernel_is_hidden() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for place in ["version", "domain", "uevent", "null"] {
        fs::write(dir.path().join(place), "").unwrap();
    }
    for place in ["proc", "class", "pts", "deep", "same"] {
        fs::create_dir(dir.path().join(place)).unwrap();
    }
    fs::write(dir.path().join("same/plain"), "text").unwrap();
    const MOUNT: &str = r#"
cd "$1" || exit
domain=$(cat /proc/sys/kernel/domainname)
mount --bind /proc/version version && mount --bind /proc/sys/kernel/domainname domain && mount -t proc none proc &&
mount --bind /sys/class class && mount --bind /sys/kernel/uevent_seqnum uevent && mount --bind /dev/null null &&
mount --bind /dev/pts pts && mount --bind same deep || { echo "cannot mount"; exit; }
"$2" run --model "$3" "$4" "$1" -- sh -c '
cd "$0"
wc -c version domain uevent; ls -A proc class pts; cat proc/self/status; cat deep/plain; echo
for file in version domain uevent null; do (echo lab >$file) 2>&1; done
mkdir proc/x; ln version linked; chmod 777 domain; touch proc/y; mv domain moved
' "$1" 2>&1
[ "$(cat /proc/sys/kernel/domainname)" = "$domain" ] || echo "the host was changed"
"$2" run --ro /proc/self:/x -- true; echo $?
"$2" run --ro "$1/version:/x" -- cat /x; echo $?
"#;
    for model in ["skas", "tt"] {
        for option in ["--ro", "--rw", "--rw-special"] {
            let mut command = Command::new("unshare");
            command.args(["-m", "sh", "-c", MOUNT, "sh"]).arg(dir.path()).args([UMLAB, model, option]);
            let outcome = run(command, b"", Duration::from_secs(60)).code(0);
            let out = outcome.out();
            if out.trim() == "cannot mount" {
                return;
            }
            let refused = if option == "--ro" { "" } else { "mv: " };
            assert!(out.contains("\n0 total\n"), "{outcome:?}");
            assert!(out.contains("proc/self/status: No such file") && out.contains("\ntext\n"), "{outcome:?}");
            assert!(
                !out.contains("the host was changed") && !out.to_lowercase().contains("linux version"),
                "{outcome:?}"
            );
            assert!(out.ends_with("125\n125\n") && out.contains(refused), "{outcome:?}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 9, "{outcome:?}");
        }
    }
}
