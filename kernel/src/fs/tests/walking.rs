use super::*;
use crate::vfs::mount;

#[test]
fn paths() {
    in_kernel(|| {
        let guest = Guest::memory();
        guest.mkdir("a").unwrap();
        guest.mkdir("/a/b/").unwrap();
        guest.write("a/b/f", "text").unwrap();
        guest.symlink("b/f", "a/l").unwrap();
        guest.symlink("/a/b", "d").unwrap();
        guest.symlink("nowhere", "dangling").unwrap();
        guest.symlink("loop", "loop").unwrap();
        for (path, expected) in [
            ("/a/b/f", None),
            ("a//b/./../b/f", None),
            ("../../a/l", None),
            ("d/f", None),
            ("d/", None),
            ("a/b/f/", Some(Errno::ENOTDIR)),
            ("a/l/x", Some(Errno::ENOTDIR)),
            ("a/b/f/..", Some(Errno::ENOTDIR)),
            ("dangling", Some(Errno::ENOENT)),
            ("loop", Some(Errno::ELOOP)),
            ("x/y", Some(Errno::ENOENT)),
            ("", Some(Errno::ENOENT)),
        ] {
            assert_eq!(error(guest.find(path)), expected, "{path}");
        }
        assert_eq!(error(guest.find(&"n".repeat(256))), Some(Errno::ENAMETOOLONG));
        assert_eq!(error(guest.find(&"n".repeat(255))), Some(Errno::ENOENT));
        assert_eq!(guest.find("d/f").unwrap().name_below(&guest.root), (b"/a/b/f".to_vec(), true));
        assert_eq!(guest.stat("d").unwrap().size, 4);
    });
}

#[test]
fn confined_walks() {
    in_kernel(|| {
        let guest = Guest::memory();
        guest.mkdir("jail").unwrap();
        guest.mkdir("jail/d").unwrap();
        guest.write("secret", "").unwrap();
        guest.symlink("../secret", "jail/up").unwrap();
        guest.symlink("/d", "jail/abs").unwrap();
        let jail = guest.open("jail", abi::O_PATH).unwrap();
        // The table's limit is the current task's, and there is none here: the working directory
        // stands for the descriptor.
        guest.task.fs.borrow().cwd.set(jail.path.clone().unwrap());
        let walk = |path: &str, how| error(walk::lookup(&guest.task, HERE, path.as_bytes(), how | Walk::FOLLOW));
        assert_eq!(walk("up", Walk::empty()), None);
        assert_eq!(walk("up", Walk::BENEATH), Some(Errno::EXDEV));
        assert_eq!(walk("up", Walk::IN_ROOT), Some(Errno::ENOENT));
        assert_eq!(walk("abs", Walk::BENEATH), Some(Errno::EXDEV));
        assert_eq!(walk("abs", Walk::IN_ROOT), None);
        assert_eq!(walk("d/..", Walk::BENEATH), None);
        assert_eq!(walk("d/../..", Walk::BENEATH), Some(Errno::EXDEV));
        assert_eq!(walk("up", Walk::NO_LINKS), Some(Errno::ELOOP));
    });
}

#[test]
fn permissions() {
    in_kernel(|| {
        let guest = Guest::memory();
        guest.mkdir("mine").unwrap();
        guest.write("mine/f", "x").unwrap();
        let chmod = |path: &str, mode| {
            let change = crate::vfs::inode::SetAttr { mode: Some(mode), ..Default::default() };
            guest.find(path).unwrap().inode().set_attr(&change).unwrap();
        };
        let other = guest.user(1000);
        assert_eq!(other.read("mine/f").unwrap(), "x");
        assert_eq!(error(other.write("mine/f", "y")), Some(Errno::EACCES));
        assert_eq!(error(other.write("mine/g", "y")), Some(Errno::EACCES));
        assert_eq!(error(other.unlink("mine/f")), Some(Errno::EACCES));
        chmod("mine", 0o700);
        assert_eq!(error(other.stat("mine/f")), Some(Errno::EACCES));
        chmod("mine", 0o1777);
        assert_eq!(error(other.unlink("mine/f")), Some(Errno::EPERM), "sticky");
        other.write("mine/g", "y").unwrap();
        other.unlink("mine/g").unwrap();
        chmod("mine/f", 0o000);
        assert_eq!(guest.read("mine/f").unwrap(), "x", "privileged");
        assert_eq!(error(other.read("mine/f")), Some(Errno::EACCES));
    });
}

#[test]
fn mounts_cover_and_uncover() {
    in_kernel(|| {
        let guest = Guest::memory();
        // Mounts are made in the tree only.
        mount::set_root(&guest.root.mount);
        guest.mkdir("m").unwrap();
        guest.write("m/below", "").unwrap();
        let over = Mount::new(MemFs::new(None, 0o755, 0, 0), b"over", MountFlags::empty());
        mount::attach(&over, &guest.find("m").unwrap()).unwrap();
        assert_eq!(guest.list("m").unwrap(), "");
        guest.write("m/above", "").unwrap();
        assert_eq!(guest.find("m/above").unwrap().name_below(&guest.root).0, b"/m/above");
        assert_eq!(guest.find("m/..").unwrap().inode().attr().unwrap().ino, guest.stat("/").unwrap().ino);
        assert_eq!(error(guest.rename("m/above", "above")), Some(Errno::EXDEV));
        assert_eq!(error(guest.rmdir("m")), Some(Errno::EBUSY));
        let inside = guest.find("m/above").unwrap();
        assert_eq!(error(mount::detach(&over, false)), Some(Errno::EBUSY));
        drop(inside);
        over.set_flags(MountFlags::RDONLY);
        assert_eq!(error(guest.write("m/above", "x")), Some(Errno::EROFS));
        assert_eq!(error(guest.mkdir("m/x")), Some(Errno::EROFS));
        mount::detach(&over, false).unwrap();
        assert_eq!(guest.list("m").unwrap(), "below");
    });
}

#[test]
fn host_trees() {
    in_kernel(|| {
        let host = HostDir::new();
        host.file("d/f", "host");
        let guest = host.read_only();
        assert_eq!(guest.read("d/f").unwrap(), "host");
        assert_eq!(error(guest.stat("d/none")), Some(Errno::ENOENT));
        assert_eq!(error(guest.write("d/f", "x")), Some(Errno::EROFS));
        assert_eq!(guest.list("d").unwrap(), "f");

        let guest = host.writable();
        assert_eq!(error(guest.stat("d/new")), Some(Errno::ENOENT));
        host.file("d/new", "made by the host");
        assert_eq!(guest.read("d/new").unwrap(), "made by the host");
        guest.write("d/f", "guest").unwrap();
        guest.mkdir("e").unwrap();
        guest.rename("d/f", "e/g").unwrap();
        assert_eq!(guest.read("e/g").unwrap(), "guest");
        assert_eq!(std::fs::read_to_string(host.0.join("e/g")).unwrap(), "guest");
        guest.rename("e", "d/e").unwrap();
        assert_eq!(guest.read("d/e/g").unwrap(), "guest");
        guest.link("d/e/g", "h").unwrap();
        assert_eq!(guest.stat("h").unwrap().nlink, 2);
        let open = guest.open("h", abi::O_RDONLY).unwrap();
        guest.unlink("h").unwrap();
        assert_eq!(read_all(&open), b"guest");
        drop(open);
        guest.write("tmp", "object").unwrap();
        guest.link("tmp", "object").unwrap();
        guest.unlink("tmp").unwrap();
        assert_eq!(guest.read("object").unwrap(), "object");
        assert_eq!(error(guest.rmdir("d/e")), Some(Errno::ENOTEMPTY));
        guest.unlink("d/e/g").unwrap();
        guest.rmdir("d/e").unwrap();
        // A link that leads out of the tree leads to the guest's own root.
        std::os::unix::fs::symlink("/etc/passwd", host.0.join("out")).unwrap();
        assert_eq!(error(guest.read("out")), Some(Errno::ENOENT));
    });
}
