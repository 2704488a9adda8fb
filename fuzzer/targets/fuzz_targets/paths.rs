//! Paths. The first byte of an input chooses: calls on names in a tree of memory, each answered as
//! [`umlab_fuzz_targets::tree`] has it; the options of a mount; or a name in /proc.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use umlab_fuzz_targets::guest::{self, task};
use umlab_fuzz_targets::input::Input;
use umlab_fuzz_targets::thread::FuzzedThread;
use umlab_fuzz_targets::tree::{Kind, Rename, Tree};
use umlab_kernel::fs::memfs::MemFs;
use umlab_kernel::mm::IoBuf;
use umlab_kernel::vfs::inode::NewNode;
use umlab_kernel::vfs::mount::{self, Mount, MountFlags};
use umlab_kernel::vfs::walk::{self, Walk};
use umlab_kernel::vfs::{Path, dentry, namei, open};
use umlab_kernel::{Errno, Result};

const HERE: i32 = libc::AT_FDCWD;
/// The longest path that a system call passes on.
const PATH_MAX: usize = libc::PATH_MAX as usize - 1;
/// Calls of one input.
const CALLS: usize = 100;

fuzz_target!(|data: &[u8]| {
    // Boots the guest, without which there is no memory for files.
    task();
    let mut input = Input(data);
    match input.byte() % 4 {
        0 | 1 => tree(&mut input),
        2 => mount_options(&mut input),
        _ => name_in_proc(&mut input),
    }
    dentry::shrink();
    guest::settle();
});

/// A path of the input.
fn path<'a>(input: &mut Input<'a>) -> &'a [u8] {
    let path = input.until(0);
    &path[..path.len().min(PATH_MAX)]
}

fn tree(input: &mut Input) {
    let root = Mount::new(MemFs::new(None, 0o755, 0, 0), b"tree", MountFlags::empty()).root_path();
    stand_at(&root, &root);
    let mut model = Tree::new(ino(&root));
    for _ in 0..CALLS {
        if input.is_empty() {
            break;
        }
        one_call(input, &root, &mut model);
    }
    for (id, node) in model.nodes.iter().enumerate() {
        if model.is_dir(id) && !model.is_cut_off(id) {
            let name = model.path(id);
            if name.len() <= PATH_MAX {
                let found = walk::lookup(task(), HERE, &name, Walk::DIRECTORY).expect("a directory is gone");
                assert_eq!(ino(&found), node.ino, "another directory at {:?}", name.escape_ascii().to_string());
            }
        }
    }
    stand_at(&mount::root(), &mount::root());
}

/// Root and working directory of the task.
fn stand_at(root: &Path, cwd: &Path) {
    let fs = task().fs.borrow();
    fs.root.set(root.clone());
    fs.cwd.set(cwd.clone());
}

fn ino(path: &Path) -> u64 {
    path.inode().attr().expect("attributes of what is in memory").ino
}

/// One call, to the kernel and to the model.
fn one_call(input: &mut Input, root: &Path, model: &mut Tree) {
    let call = input.byte();
    let first = path(input);
    match call % 9 {
        0 => make(model, first, Kind::Directory(BTreeMap::new()), &NewNode::Directory),
        1 => make(model, first, Kind::File, &NewNode::Regular),
        2 => {
            let target = path(input);
            if !target.is_empty() {
                make(model, first, Kind::Link(target.to_vec()), &NewNode::Symlink(target));
            }
        }
        3 => same("unlink", first, namei::remove(task(), HERE, first, false), model.remove(first, false)),
        4 => same("rmdir", first, namei::remove(task(), HERE, first, true), model.remove(first, true)),
        5 => {
            let (how, flags) = match call / 9 % 3 {
                0 => (Rename::Replace, 0),
                1 => (Rename::NoReplace, libc::RENAME_NOREPLACE),
                _ => (Rename::Exchange, libc::RENAME_EXCHANGE),
            };
            let to = path(input);
            let done = namei::rename(task(), (HERE, first), (HERE, to), flags);
            same("rename", first, done, model.rename(first, to, how));
        }
        6 => {
            let new = path(input);
            let done =
                walk::lookup(task(), HERE, first, Walk::empty()).and_then(|old| namei::link(task(), &old, HERE, new));
            same("link", first, done, model.link(first, new));
        }
        7 => {
            let how = Walk::FOLLOW | Walk::DIRECTORY;
            if let Ok(place) = look(root, model, first, how) {
                model.cwd = model.lookup(first, how).expect("found just now");
                stand_at(root, &place);
            }
        }
        _ => {
            let known = Walk::FOLLOW | Walk::EMPTY | Walk::DIRECTORY | Walk::NO_LINKS | Walk::BENEATH | Walk::IN_ROOT;
            let how = Walk::from_bits_truncate(input.number(2) as u32) & known;
            let _ = look(root, model, first, how);
        }
    }
}

fn make(model: &mut Tree, path: &[u8], kind: Kind, node: &NewNode) {
    let made = namei::make(task(), HERE, path, node, 0o755);
    let id = model.make(path, kind);
    if let (Ok(made), Ok(id)) = (&made, &id) {
        model.nodes[*id].ino = ino(made);
    }
    same("making", path, made.map(|_| ()), id.map(|_| ()));
}

fn look(root: &Path, model: &Tree, path: &[u8], how: Walk) -> Result<Path> {
    let (found, expected) = (walk::lookup(task(), HERE, path, how), model.lookup(path, how));
    same("lookup", path, found.as_ref().map(|_| ()).map_err(|e| *e), expected.map(|_| ()));
    if let (Ok(found), Ok(id)) = (&found, expected) {
        assert_eq!(ino(found), model.nodes[id].ino, "{:?} leads elsewhere", path.escape_ascii().to_string());
        assert_eq!(found.is_dir(), model.is_dir(id));
        if found.is_dir() && !model.is_cut_off(id) {
            let (name, name_is_below) = found.name_below(root);
            assert!(name_is_below);
            let whole = model.path(id);
            assert!(name == whole || whole.len() > PATH_MAX && whole.ends_with(&name), "a directory has another name");
        }
    }
    found
}

fn same(what: &str, path: &[u8], found: Result<()>, expected: Result<()>) {
    assert_eq!(found, expected, "{what} of {:?}", path.escape_ascii().to_string());
}

/// Where strings for system calls lie.
const STRINGS: u64 = 0x30_0000_0000;

/// mount(2) of a type, with options; the file system is looked at and taken off.
fn mount_options(input: &mut Input) {
    guest::map_zeros(STRINGS, 0x10000);
    let [target, kind, options] = [STRINGS, STRINGS + 0x1000, STRINGS + 0x2000];
    let put = |at, text: &[u8]| task().space().write_bytes(at, text).expect("mapped memory");
    put(target, b"/tree\0");
    put(kind, &[path(input), b"\0"].concat());
    put(options, input.bytes(0x2000));
    let mut user = FuzzedThread::new(0);
    match guest::call(&mut user, libc::SYS_mount, [0, target, kind, 0, options, 0]) {
        Err(error) => assert!(matches!(error, Errno::EINVAL | Errno::ENODEV | Errno::ENOMEM), "{error:?}"),
        Ok(_) => {
            let place = walk::lookup(task(), HERE, b"/tree", Walk::FOLLOW).expect("a mount");
            assert!(place.is_mount_root() && place.is_dir());
            drop(place);
            let buffer = STRINGS + 0x8000;
            guest::call(&mut user, libc::SYS_statfs, [target, buffer, 0, 0, 0, 0]).expect("statfs of a mount");
            read(b"/proc/mounts", 0);
            put(target, b"/tree/file\0");
            let _ = guest::call(&mut user, libc::SYS_mknod, [target, (libc::S_IFREG | 0o600) as u64, 0, 0, 0, 0]);
            put(target, b"/tree\0");
            guest::call(&mut user, libc::SYS_umount2, [target, 0, 0, 0, 0, 0]).expect("nobody uses it");
        }
    }
}

/// Looks up, and reads as from an offset of the input, a name below /proc.
fn name_in_proc(input: &mut Input) {
    let offset = input.number(8);
    let name = [b"/proc/", path(input)].concat();
    let how = Walk::from_bits_truncate(input.byte() as u32) | Walk::FOLLOW;
    let found = walk::lookup(task(), HERE, &name, how);
    if let Ok(found) = found {
        let root = mount::root();
        let (shown, is_below) = found.name_below(&root);
        assert!(!is_below || shown.starts_with(b"/"));
        let _ = walk::lookup(task(), HERE, &name, Walk::empty()).and_then(|link| link.inode().read_link());
        read(&name, offset);
    }
}

fn read(name: &[u8], offset: u64) {
    let flags = libc::O_RDONLY | libc::O_NONBLOCK;
    if let Ok(file) = open::open(task(), HERE, name, flags, 0, Walk::empty()) {
        let mut bytes = [0; 4096];
        // Offsets that a file cannot have do not come so far.
        let _ = file.read_at(&mut IoBuf::kernel_mut(&mut bytes), offset & i64::MAX as u64);
    }
}
