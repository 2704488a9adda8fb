use super::*;
use crate::fs::memfs;
use crate::vfs::inode::SetAttr;
use crate::vfs::mount;

#[test]
fn contents_with_holes() {
    in_kernel(|| {
        let guest = Guest::memory();
        let file = guest.open("f", abi::O_CREAT | abi::O_RDWR).unwrap();
        write_at(&file, b"start", 0).unwrap();
        write_at(&file, b"end", 1 << 20).unwrap();
        assert_eq!(file.inode.attr().unwrap().size, (1 << 20) + 3);
        assert_eq!(file.inode.attr().unwrap().blocks, 16);
        assert_eq!(read_at(&file, 8, 3), b"rt\0\0\0\0\0\0");
        assert_eq!(read_at(&file, 100, (1 << 20) - 1), b"\0end");
        assert_eq!(file.seek_special(0, abi::SEEK_HOLE), Ok(4096));
        assert_eq!(file.seek_special(4096, abi::SEEK_DATA), Ok(1 << 20));
        assert_eq!(file.seek_special(2 << 20, abi::SEEK_DATA), Err(Errno::ENXIO));
        // What was cut off does not come back.
        let size = |size| SetAttr { size: Some(size), ..SetAttr::default() };
        file.inode.set_attr(&size(2)).unwrap();
        file.inode.set_attr(&size(100)).unwrap();
        assert_eq!(read_at(&file, 6, 0), b"st\0\0\0\0");
        file.inode.allocate(abi::FALLOC_FL_PUNCH_HOLE | abi::FALLOC_FL_KEEP_SIZE, 1, 1).unwrap();
        assert_eq!(read_at(&file, 3, 0), b"s\0\0");
        file.inode.allocate(0, 0, 8192).unwrap();
        assert_eq!(file.inode.attr().unwrap().size, 8192);
        assert_eq!(file.inode.attr().unwrap().blocks, 16);
    });
}

#[test]
fn growing_files_report_what_they_hold() {
    in_kernel(|| {
        let guest = Guest::memory();
        let file = guest.open("f", abi::O_CREAT | abi::O_RDWR).unwrap();
        for i in 0..100 {
            write_at(&file, &[i; 1000], u64::from(i) * 1000).unwrap();
        }
        let attr = file.inode.attr().unwrap();
        assert_eq!((attr.size, attr.blocks), (100_000, 25 * 8));
        // Memory that was taken ahead is a hole when the end jumps over it.
        let size = SetAttr { size: Some(1 << 20), ..SetAttr::default() };
        file.inode.set_attr(&size).unwrap();
        assert_eq!(file.inode.attr().unwrap().blocks, 25 * 8);
        assert_eq!(file.seek_special(0, abi::SEEK_HOLE), Ok(25 * 4096));
        assert_eq!(read_at(&file, 1000, 99_000), [99; 1000]);
    });
}

#[test]
fn names_and_links() {
    in_kernel(|| {
        let guest = Guest::memory();
        guest.write("a", "one").unwrap();
        guest.link("a", "b").unwrap();
        assert_eq!(guest.stat("a").unwrap().nlink, 2);
        assert_eq!(guest.stat("a").unwrap().ino, guest.stat("b").unwrap().ino);
        guest.unlink("a").unwrap();
        assert_eq!((guest.read("b").unwrap().as_str(), guest.stat("b").unwrap().nlink), ("one", 1));
        assert_eq!(error(guest.unlink("a")), Some(Errno::ENOENT));
        guest.mkdir("d").unwrap();
        assert_eq!(guest.stat("/").unwrap().nlink, 3);
        assert_eq!(error(guest.mkdir("d")), Some(Errno::EEXIST));
        assert_eq!(error(guest.unlink("d")), Some(Errno::EISDIR));
        assert_eq!(error(guest.rmdir("b")), Some(Errno::ENOTDIR));
        assert_eq!(error(guest.rmdir("d/.")), Some(Errno::EINVAL));
        assert_eq!(error(guest.link("d", "e")), Some(Errno::EPERM));
        guest.write("d/f", "").unwrap();
        assert_eq!(error(guest.rmdir("d")), Some(Errno::ENOTEMPTY));
        let open = guest.open("d/f", abi::O_RDWR).unwrap();
        guest.unlink("d/f").unwrap();
        write_at(&open, b"still here", 0).unwrap();
        assert_eq!(read_all(&open), b"still here");
        assert_eq!(open.path.as_ref().unwrap().display(&guest.root), b"/d/f (deleted)");
        guest.rmdir("d").unwrap();
        assert_eq!(guest.stat("/").unwrap().nlink, 2);
        assert_eq!(guest.list("/").unwrap(), "b");
    });
}

#[test]
fn renames() {
    in_kernel(|| {
        let guest = Guest::memory();
        guest.write("a", "a").unwrap();
        guest.write("b", "b").unwrap();
        guest.mkdir("d").unwrap();
        guest.mkdir("d/e").unwrap();
        guest.rename("a", "b").unwrap();
        assert_eq!(guest.read("b").unwrap(), "a");
        assert_eq!(error(guest.stat("a")), Some(Errno::ENOENT));
        assert_eq!(error(guest.rename("d", "d/e/x")), Some(Errno::EINVAL));
        assert_eq!(error(guest.rename("d/e", "d")), Some(Errno::ENOTEMPTY));
        assert_eq!(error(guest.rename("b", "d")), Some(Errno::EISDIR));
        assert_eq!(error(guest.rename("d", "b")), Some(Errno::ENOTDIR));
        assert_eq!(error(guest.rename2("b", "d", abi::RENAME_NOREPLACE)), Some(Errno::EEXIST));
        guest.rename2("b", "d", abi::RENAME_EXCHANGE).unwrap();
        assert_eq!(guest.read("d").unwrap(), "a");
        assert_eq!(guest.list("b").unwrap(), "e");
        guest.rename("b/e", "e").unwrap();
        assert_eq!(guest.find("e").unwrap().name_below(&guest.root).0, b"/e");
        assert_eq!((guest.stat("/").unwrap().nlink, guest.stat("b").unwrap().nlink), (4, 2));
        guest.link("d", "d2").unwrap();
        guest.rename("d", "d2").unwrap();
        assert_eq!(guest.list("/").unwrap(), "b d d2 e", "two names of one file: nothing happens");
    });
}

#[test]
fn limits() {
    in_kernel(|| {
        let guest = Guest::new(MemFs::new(Some(16 * 4096), 0o777, 0, 0));
        let file = guest.open("f", abi::O_CREAT | abi::O_RDWR).unwrap();
        let big = vec![1; 20 * 4096];
        assert_eq!(file.write_at(&mut IoBuf::kernel(&big), 0), Ok(16 * 4096));
        assert_eq!(file.write_at(&mut IoBuf::kernel(&big), 16 * 4096), Err(Errno::ENOSPC));
        guest.unlink("f").unwrap();
        drop(file);
        guest.write("g", "fits").unwrap();
        assert_eq!(guest.root.mount.fs.statfs().unwrap().free, 15);
    });
}

#[test]
fn sealed_memory_files() {
    in_kernel(|| {
        let creds = Creds::user(0, 0, Vec::new());
        let file = memfs::memfd(b"x", &creds, true, true).unwrap();
        write_at(&file, b"12345", 0).unwrap();
        memfs::add_seals(&file, (abi::F_SEAL_SHRINK | abi::F_SEAL_GROW) as u32).unwrap();
        write_at(&file, b"54321", 0).unwrap();
        let size = |size| file.inode.set_attr(&SetAttr { size: Some(size), ..SetAttr::default() });
        assert_eq!((size(4), size(6), size(5)), (Err(Errno::EPERM), Err(Errno::EPERM), Ok(())));
        memfs::add_seals(&file, abi::F_SEAL_WRITE as u32 | abi::F_SEAL_SEAL as u32).unwrap();
        assert_eq!(error(write_at(&file, b"1", 0)), Some(Errno::EPERM));
        assert_eq!(error(memfs::add_seals(&file, 0)), Some(Errno::EPERM));
        let unsealed = memfs::memfd(b"y", &creds, false, true).unwrap();
        assert_eq!(memfs::seals(&unsealed), Ok(abi::F_SEAL_SEAL as u32));
    });
}

#[test]
fn deep_trees_do_not_need_deep_stacks() {
    in_kernel(|| {
        let guest = Guest::memory();
        for _ in 0..20_000 {
            guest.mkdir("d").unwrap();
            guest.task.fs.borrow().cwd.set(guest.find("d").unwrap());
        }
        let deepest = guest.task.fs.borrow().cwd.cloned();
        drop(guest);
        drop(deepest);
    });
}

#[test]
fn file_systems_that_were_unmounted_give_their_memory_back() {
    in_kernel(|| {
        let guest = Guest::memory();
        mount::set_root(&guest.root.mount);
        guest.mkdir("m").unwrap();
        let over = Mount::new(MemFs::new(None, 0o755, 0, 0), b"over", MountFlags::empty());
        mount::attach(&over, &guest.find("m").unwrap()).unwrap();
        guest.mkdir("m/d").unwrap();
        guest.write("m/d/f", "some text").unwrap();
        let open = guest.open("m/d/f", abi::O_RDONLY).unwrap();
        let (root, file) = (Arc::downgrade(guest.find("m").unwrap().inode()), Arc::downgrade(&open.inode));
        mount::detach(&over, true).unwrap();
        drop(over);
        assert_eq!(read_all(&open), b"some text", "what is open stays");
        drop(open);
        assert!(root.upgrade().is_none() && file.upgrade().is_none());
    });
}
