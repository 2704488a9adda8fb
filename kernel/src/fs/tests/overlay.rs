use super::*;
use crate::vfs::inode::SetAttr;

#[test]
fn changes_stay_in_memory() {
    in_kernel(|| {
        let host = HostDir::new();
        host.file("d/f", "lower");
        host.file("d/g", "lower");
        let guest = host.overlay();
        let before = guest.stat("d/f").unwrap();
        guest.write("d/f", "upper").unwrap();
        guest.write("d/new", "new").unwrap();
        guest.unlink("d/g").unwrap();
        assert_eq!(guest.list("d").unwrap(), "f new");
        assert_eq!(guest.read("d/f").unwrap(), "upper");
        assert_eq!(error(guest.stat("d/g")), Some(Errno::ENOENT));
        let after = guest.stat("d/f").unwrap();
        assert_eq!((before.ino, before.dev, before.mode), (after.ino, after.dev, after.mode));
        assert_eq!(std::fs::read_to_string(host.0.join("d/f")).unwrap(), "lower");
        assert!(host.0.join("d/g").exists() && !host.0.join("d/new").exists());
        guest.write("d/g", "again").unwrap();
        assert_eq!(guest.list("d").unwrap(), "f g new");
        guest.unlink("d/g").unwrap();
        guest.unlink("d/f").unwrap();
        guest.unlink("d/new").unwrap();
        assert_eq!(guest.list("d").unwrap(), "");
        guest.rmdir("d").unwrap();
        guest.mkdir("d").unwrap();
        assert_eq!(guest.list("d").unwrap(), "", "what was below does not come back");
    });
}

#[test]
fn copying_up_keeps_what_a_file_is() {
    in_kernel(|| {
        let host = HostDir::new();
        host.file("f", "contents");
        std::fs::hard_link(host.0.join("f"), host.0.join("g")).unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        std::fs::File::options().write(true).open(host.0.join("f")).unwrap().set_modified(old).unwrap();
        let guest = host.overlay();
        let reader = guest.open("f", abi::O_RDONLY).unwrap();
        let chmod = SetAttr { mode: Some(0o600), ..SetAttr::default() };
        guest.find("f").unwrap().inode().set_attr(&chmod).unwrap();
        let attr = guest.stat("g").unwrap();
        assert_eq!((attr.mode, attr.nlink, attr.mtime), (0o600, 2, 1_000_000_000_000_000));
        let writer = guest.open("g", abi::O_RDWR).unwrap();
        assert_eq!(read_all(&writer), b"contents");
        write_at(&writer, b"C", 0).unwrap();
        assert_eq!(guest.read("f").unwrap(), "Contents");
        assert_eq!(read_all(&reader), b"contents");
        guest.unlink("f").unwrap();
        assert_eq!((guest.read("g").unwrap().as_str(), guest.stat("g").unwrap().nlink), ("Contents", 1));
    });
}

#[test]
fn directories_move_with_what_is_below() {
    in_kernel(|| {
        let host = HostDir::new();
        host.file("a/b/c/f", "deep");
        host.file("a/x", "");
        let guest = host.overlay();
        guest.write("a/b/own", "own").unwrap();
        guest.rename("a/b", "moved").unwrap();
        assert_eq!(guest.read("moved/c/f").unwrap(), "deep");
        assert_eq!(guest.read("moved/own").unwrap(), "own");
        assert_eq!(guest.list("a").unwrap(), "x");
        assert_eq!(error(guest.stat("a/b/c/f")), Some(Errno::ENOENT));
        guest.write("moved/c/f", "changed").unwrap();
        guest.rename("moved/c", "a/b").unwrap();
        assert_eq!(guest.list("a").unwrap(), "b x");
        assert_eq!(guest.read("a/b/f").unwrap(), "changed");
        assert_eq!(guest.list("moved").unwrap(), "own");
        guest.rename2("a", "moved", abi::RENAME_EXCHANGE).unwrap();
        assert_eq!(guest.list("a").unwrap(), "own");
        assert_eq!(guest.read("moved/b/f").unwrap(), "changed");
        guest.rename("moved/b/f", "moved/x").unwrap();
        assert_eq!(guest.list("moved").unwrap(), "b x");
        assert_eq!(error(guest.rename("a", "moved")), Some(Errno::ENOTEMPTY));
    });
}

#[test]
fn changes_outlive_the_cache() {
    in_kernel(|| {
        let host = HostDir::new();
        host.file("a/b/f", "lower");
        let guest = host.overlay();
        guest.write("a/b/f", "upper").unwrap();
        guest.root.dentry.prune();
        assert_eq!(guest.read("a/b/f").unwrap(), "upper");
        // Even when the host gives the name to another file.
        host.file("a/b/g", "other");
        std::fs::rename(host.0.join("a/b/g"), host.0.join("a/b/f")).unwrap();
        guest.root.dentry.prune();
        assert_eq!(guest.read("a/b/f").unwrap(), "upper");
    });
}
