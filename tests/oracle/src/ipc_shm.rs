//! System V shared memory.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    get_errors, get_by_key, attach_and_detach, attach_places, attach_rights, counts, parts, removal, removal_while_attached,
    fork_exec_exit, status, permissions, others_permissions, changing, control_errors, information, proc_file, locking,
    limits_of_size, maps_line, many,
];

const SHM_STAT: i32 = 13;
const SHM_INFO: i32 = 14;

/// A key that no other run has, from the case's own directory.
fn key() -> i32 {
    (fstat(open(c".", O_RDONLY)).st_ino as i32 & 0xff_ffff) | 0x5500_0000
}

fn segment(size: usize, mode: i32) -> i32 {
    must!(SYS_shmget, IPC_PRIVATE, size, IPC_CREAT | mode).fd()
}

fn remove(id: i32) {
    must!(SYS_shmctl, id, IPC_RMID, 0);
}

fn attach(id: i32, flags: i32) -> usize {
    must!(SYS_shmat, id, 0, flags).addr()
}

fn info(id: i32) -> shmid_ds {
    let mut ds = zeroed();
    must!(SYS_shmctl, id, IPC_STAT, &mut ds);
    ds
}

fn get_errors() {
    t!(SYS_shmget, IPC_PRIVATE, 0, IPC_CREAT | 0o600);
    t!(SYS_shmget, IPC_PRIVATE, -1, IPC_CREAT | 0o600);
    t!(SYS_shmget, IPC_PRIVATE, -5000, IPC_CREAT | 0o600);
    t!(SYS_shmget, IPC_PRIVATE, isize::MAX, IPC_CREAT | 0o600);
    t!(SYS_shmget, key(), 10, 0);
    t!(SYS_shmget, key(), 0, 0);
    // A private one needs no IPC_CREAT.
    let id = o!(SYS_shmget, IPC_PRIVATE, 10, 0o600).fd();
    remove(id);
}

fn get_by_key() {
    let key = key();
    let id = o!(SYS_shmget, key, 5000, IPC_CREAT | IPC_EXCL | 0o640).fd();
    t!(SYS_shmget, key, 5000, IPC_CREAT | IPC_EXCL | 0o640);
    for size in [0, 1, 5000, 5001, 8192] {
        println!("{size}: {}", match sc!(SYS_shmget, key, size, 0) {
            same if same.fd() == id => "the same".to_string(),
            other => other.to_string(),
        });
    }
    v!(sc!(SYS_shmget, key, 10, IPC_CREAT | 0o600).fd() == id);
    remove(id);
    t!(SYS_shmget, key, 10, 0);
    let again = o!(SYS_shmget, key, 10, IPC_CREAT | 0o600).fd();
    v!(again == id);
    remove(again);
}

fn attach_and_detach() {
    let id = segment(5000, 0o600);
    let a = o!(SYS_shmat, id, 0, 0).addr();
    v!((load(a), store(a + 4999, 5), store(a + 8191, 6)));
    let b = o!(SYS_shmat, id, 0, 0).addr();
    v!((a != b, load(b + 4999), load(b + 8191)));
    t!(SYS_shmdt, a + 1);
    t!(SYS_shmdt, a + PAGE);
    t!(SYS_shmdt, a);
    t!(SYS_shmdt, a);
    v!((load(a), load(b + 4999)));
    t!(SYS_shmdt, b);
    t!(SYS_shmdt, 0);
    t!(SYS_shmdt, map(PAGE, RW, ANON));
    t!(SYS_shmdt, usize::MAX);
    let c = attach(id, 0);
    v!((load(c + 4999), load(c)));
    remove(id);
}

fn attach_places() {
    let id = segment(2 * PAGE, 0o600);
    let room = map(8 * PAGE, RW, ANON);
    must!(SYS_munmap, room + PAGE, 4 * PAGE);
    let at = room + PAGE;
    t!(SYS_shmat, id, at + 1, 0);
    v!(sc!(SYS_shmat, id, at + 5, SHM_RND).addr() == at);
    t!(SYS_shmat, id, at, 0);
    t!(SYS_shmat, id, at + PAGE, 0);
    t!(SYS_shmat, id, room, 0);
    v!(sc!(SYS_shmat, id, at + PAGE, SHM_REMAP).addr() == at + PAGE);
    v!(info(id).shm_nattch);
    t!(SYS_shmat, id, 0, SHM_REMAP);
    v!(sc!(SYS_shmat, id, 5, SHM_RND).ok());
    t!(SYS_shmat, id, 0xffff_8000_0000_0000usize, 0);
    t!(SYS_shmat, -1, 0, 0);
    t!(SYS_shmat, i32::MAX, 0, 0);
    remove(id);
}

fn attach_rights() {
    let id = segment(PAGE, 0o600);
    let w = attach(id, 0);
    let r = attach(id, SHM_RDONLY);
    v!((store(w, 7), load(r), store(r, 8)));
    t!(SYS_mprotect, r, PAGE, RW);
    t!(SYS_mprotect, w, PAGE, PROT_READ);
    v!((load(w), store(w, 1)));
    t!(SYS_mprotect, w, PAGE, RW);
    let x = o!(SYS_shmat, id, 0, SHM_EXEC).ok();
    v!(x);
    t!(SYS_mremap, r, PAGE, 2 * PAGE, 0);
    remove(id);
}

fn counts() {
    let id = segment(4 * PAGE, 0o600);
    v!(info(id).shm_nattch);
    let a = attach(id, 0);
    let b = attach(id, SHM_RDONLY);
    v!(info(id).shm_nattch);
    must!(SYS_mprotect, a + PAGE, PAGE, PROT_READ);
    v!(info(id).shm_nattch);
    must!(SYS_munmap, b + PAGE, PAGE);
    v!(info(id).shm_nattch);
    must!(SYS_munmap, b, PAGE);
    v!(info(id).shm_nattch);
    must!(SYS_shmdt, b);
    v!(info(id).shm_nattch);
    must!(SYS_munmap, a, 4 * PAGE);
    v!(info(id).shm_nattch);
    remove(id);
}

fn parts() {
    let id = segment(4 * PAGE, 0o600);
    let a = attach(id, 0);
    must!(SYS_munmap, a + PAGE, PAGE);
    let own = must!(SYS_mmap, a + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0).addr();
    v!(store(own, 3));
    // What is not the segment's any more stays.
    t!(SYS_shmdt, a);
    v!((load(a), load(own), load(a + 2 * PAGE)));
    let a = attach(id, 0);
    must!(SYS_munmap, a, PAGE);
    t!(SYS_shmdt, a + PAGE);
    t!(SYS_shmdt, a);
    v!(info(id).shm_nattch);
    remove(id);
}

fn removal() {
    let id = segment(PAGE, 0o600);
    t!(SYS_shmctl, id, IPC_RMID, 0);
    t!(SYS_shmctl, id, IPC_RMID, 0);
    t!(SYS_shmat, id, 0, 0);
    t!(SYS_shmctl, id, IPC_STAT, &mut zeroed::<shmid_ds>());
}

fn removal_while_attached() {
    let key = key();
    let id = must!(SYS_shmget, key, PAGE, IPC_CREAT | 0o600).fd();
    let a = attach(id, 0);
    store(a, 9);
    remove(id);
    let ds = info(id);
    v!((ds.shm_perm.__key, format!("{:o}", ds.shm_perm.mode), ds.shm_nattch));
    t!(SYS_shmget, key, PAGE, 0);
    // By its number it can still be had.
    let b = o!(SYS_shmat, id, 0, 0).addr();
    v!((load(b), info(id).shm_nattch));
    t!(SYS_shmctl, id, IPC_RMID, 0);
    must!(SYS_shmdt, a);
    v!(load(b));
    must!(SYS_shmdt, b);
    t!(SYS_shmat, id, 0, 0);
}

fn fork_exec_exit() {
    let id = segment(PAGE, 0o600);
    let a = attach(id, 0);
    let (r, w) = pipe();
    let (r2, w2) = pipe();
    let kid = spawn(|| {
        store(a, 5);
        put(w2, b"x");
        get(r, 1);
    });
    get(r2, 1);
    v!((info(id).shm_nattch, load(a)));
    put(w, b"x");
    v!(reap(kid));
    v!(info(id).shm_nattch);
    let kid = spawn(|| {
        let program = c"/bin/sleep";
        let args = [program.as_ptr(), c"9".as_ptr(), std::ptr::null()];
        sc!(SYS_execve, program, &args, 0);
    });
    until(|| std::fs::read_to_string(format!("/proc/{kid}/comm")).is_ok_and(|name| name == "sleep\n"));
    v!(info(id).shm_nattch);
    sc!(SYS_kill, kid, SIGKILL);
    v!(reap(kid));
    must!(SYS_shmdt, a);
    // What the last one left behind is still there.
    let b = attach(id, 0);
    v!(load(b));
    remove(id);
}

fn status() {
    let before = sc!(SYS_time, 0).0;
    let id = segment(5000, 0o640);
    let ds = info(id);
    let me = sc!(SYS_getpid).0 as i32;
    v!((ds.shm_segsz, format!("{:o}", ds.shm_perm.mode), ds.shm_perm.__key));
    v!((ds.shm_perm.uid == ds.shm_perm.cuid, ds.shm_perm.gid == ds.shm_perm.cgid));
    v!((ds.shm_cpid == me, ds.shm_lpid, ds.shm_atime, ds.shm_dtime, ds.shm_ctime >= before));
    let a = attach(id, 0);
    let ds = info(id);
    v!((ds.shm_lpid == me, ds.shm_atime >= before, ds.shm_dtime));
    let kid = spawn(|| {
        must!(SYS_shmdt, a);
    });
    v!(reap(kid));
    let ds = info(id);
    v!((ds.shm_lpid == kid, ds.shm_dtime >= before, ds.shm_nattch));
    remove(id);
}

fn permissions() {
    for mode in [0o600, 0o400, 0o200, 0o000, 0o777] {
        let id = segment(PAGE, mode);
        let all = [0, SHM_RDONLY, SHM_EXEC].map(|flags| sc!(SYS_shmat, id, 0, flags).ok());
        println!("{mode:o}: {all:?}");
        v!(sc!(SYS_shmctl, id, IPC_STAT, &mut zeroed::<shmid_ds>()));
        remove(id);
    }
}

fn others_permissions() {
    let key = key();
    for mode in [0o600, 0o644, 0o666, 0o602, 0o660] {
        let id = must!(SYS_shmget, key, PAGE, IPC_CREAT | mode).fd();
        println!("{mode:o}");
        v!(unprivileged(|| {
            v!([0, SHM_RDONLY].map(|flags| sc!(SYS_shmat, id, 0, flags).ok()));
            v!([0, 0o400, 0o200, 0o600, 0o004].map(|wanted| sc!(SYS_shmget, key, 1, wanted).ok()));
            t!(SYS_shmctl, id, IPC_STAT, &mut zeroed::<shmid_ds>());
            t!(SYS_shmctl, id, IPC_RMID, 0);
            t!(SYS_shmctl, id, IPC_SET, &zeroed::<shmid_ds>());
            t!(SYS_shmctl, id, SHM_LOCK, 0);
        }));
        remove(id);
    }
}

fn changing() {
    let id = segment(PAGE, 0o600);
    let mut ds = info(id);
    ds.shm_perm.mode = 0o17_7644;
    ds.shm_perm.uid = 65534;
    ds.shm_perm.gid = 65534;
    ds.shm_perm.cuid = 77;
    ds.shm_segsz = 1;
    t!(SYS_shmctl, id, IPC_SET, &ds);
    let ds = info(id);
    v!((format!("{:o}", ds.shm_perm.mode), ds.shm_perm.uid, ds.shm_perm.gid, ds.shm_perm.cuid, ds.shm_segsz));
    v!(unprivileged(|| {
        v!(sc!(SYS_shmat, id, 0, 0).ok());
        t!(SYS_shmctl, id, IPC_RMID, 0);
    }));
    t!(SYS_shmctl, id, IPC_RMID, 0);
    let id = segment(PAGE, 0o600);
    t!(SYS_shmctl, id, IPC_SET, 8);
    let mut ds = info(id);
    ds.shm_perm.uid = u32::MAX;
    t!(SYS_shmctl, id, IPC_SET, &ds);
    remove(id);
}

fn control_errors() {
    let id = segment(PAGE, 0o600);
    t!(SYS_shmctl, id, 99, 0);
    t!(SYS_shmctl, id, -1, 0);
    t!(SYS_shmctl, -1, IPC_STAT, 0);
    t!(SYS_shmctl, i32::MAX, IPC_STAT, 8);
    t!(SYS_shmctl, i32::MAX, IPC_SET, 8);
    t!(SYS_shmctl, i32::MAX, IPC_RMID, 8);
    t!(SYS_shmctl, id, IPC_STAT, 8);
    t!(SYS_shmctl, id, IPC_STAT | 0x100, &mut zeroed::<shmid_ds>());
    t!(SYS_shmctl, 0, IPC_INFO, 8);
    remove(id);
}

fn information() {
    let id = segment(3 * PAGE + 1, 0o600);
    let mut limits = [7u64; 9];
    o!(SYS_shmctl, 0, IPC_INFO, &mut limits);
    v!(limits);
    let mut used = [7u64; 6];
    let highest = o!(SYS_shmctl, 0, SHM_INFO, &mut used).fd();
    v!((used[0] as i32 >= 1, used[1] >= 4, used[4], used[5]));
    let found = (0..=highest).any(|index| sc!(SYS_shmctl, index, SHM_STAT, &mut zeroed::<shmid_ds>()).fd() == id);
    let any = (0..=highest).any(|index| sc!(SYS_shmctl, index, 15, &mut zeroed::<shmid_ds>()).fd() == id);
    v!((found, any));
    t!(SYS_shmctl, 30_000, SHM_STAT, &mut zeroed::<shmid_ds>());
    remove(id);
}

fn proc_file() {
    let id = segment(5000, 0o640);
    let a = attach(id, 0);
    store(a, 1);
    let text = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    v!(text.lines().next());
    let line = text.lines().find(|line| line.split_whitespace().nth(1) == Some(&id.to_string())).unwrap_or("");
    let fields: Vec<&str> = line.split_whitespace().collect();
    for n in [0, 2, 3, 6, 7, 8, 9, 10, 15] {
        println!("{n}: {:?}", fields.get(n));
    }
    remove(id);
    let text = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    let line = text.lines().find(|line| line.split_whitespace().nth(1) == Some(&id.to_string())).unwrap_or("");
    v!(line.split_whitespace().nth(2));
}

fn locking() {
    let id = segment(PAGE, 0o600);
    t!(SYS_shmctl, id, SHM_LOCK, 0);
    v!(format!("{:o}", info(id).shm_perm.mode));
    t!(SYS_shmctl, id, SHM_UNLOCK, 0);
    v!(format!("{:o}", info(id).shm_perm.mode));
    remove(id);
}

fn limits_of_size() {
    let id = segment(16 * PAGE, 0o600);
    v!(in_child(|| {
        let limit = [1u64 << 20, 1 << 20];
        must!(SYS_setrlimit, RLIMIT_AS, &limit);
        v!(sc!(SYS_shmat, id, 0, 0).ok());
    }));
    remove(id);
}

fn maps_line() {
    let id = segment(PAGE, 0o600);
    let a = attach(id, 0);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let line = maps.lines().find(|line| line.starts_with(&format!("{a:x}-"))).unwrap_or("");
    let fields: Vec<&str> = line.split_whitespace().collect();
    v!((fields.get(1), fields.get(2), fields.get(5), fields.get(6)));
    remove(id);
}

fn many() {
    let ids: Vec<i32> = (0..200).map(|_| segment(PAGE, 0o600)).collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    sorted.dedup();
    v!(sorted.len());
    for id in ids {
        remove(id);
    }
}
