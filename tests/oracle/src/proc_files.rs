//! /proc, as far as its content is decided by the program and not by the machine.

use crate::sys::*;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

pub const CASES: &[crate::harness::Case] = cases![
    status_keys,
    status_values,
    status_masks,
    status_ids,
    status_threads,
    stat_fields,
    stat_odd_name,
    statm_shape,
    cmdline_environ,
    exe_cwd_root,
    fd_directory,
    fdinfo_shape,
    comm_read_write,
    task_directory,
    limits_rows,
    oom_score,
    mounts_shape,
    mountinfo_shape,
    filesystems_list,
    meminfo_keys,
    cpuinfo_count,
    stat_system,
    uptime_loadavg,
    version_shape,
    sys_kernel,
    random_files,
    self_links,
    pid_directories,
    gone_process,
    zombie_entries,
    other_users,
    read_only_files,
    maps_shape,
    small_reads,
    seeks,
    smaps_keys,
    auxv_shape,
    children_list,
    wchan_and_io,
    environ_after_fork,
    proc_stat_types,
    uuid_changes,
    directory_links,
    fdinfo_of_kinds,
    settings_refuse,
    page_map,
    soft_interrupts,
];

fn read(path: &str) -> String {
    match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(e) => errno_name(e.raw_os_error().unwrap_or(0)),
    }
}

fn status(key: &str) -> String {
    let all = read("/proc/self/status");
    let line = all.lines().find_map(|l| l.strip_prefix(key).and_then(|l| l.strip_prefix(':')));
    line.map_or("missing".to_string(), |l| l.split_whitespace().collect::<Vec<_>>().join(" "))
}

pub fn link(path: &str) -> String {
    match std::fs::read_link(path) {
        Ok(to) => to.display().to_string(),
        Err(e) => errno_name(e.raw_os_error().unwrap_or(0)),
    }
}

pub fn me() -> i64 {
    sc!(SYS_getpid).0
}

fn status_keys() {
    let all = read("/proc/self/status");
    for key in [
        "Name", "Umask", "State", "Tgid", "Pid", "PPid", "TracerPid", "Uid", "Gid", "FDSize", "Groups", "VmPeak", "VmSize",
        "VmHWM", "VmRSS", "VmData", "VmStk", "VmExe", "VmLib", "Threads", "SigQ", "SigPnd", "ShdPnd", "SigBlk", "SigIgn",
        "SigCgt", "CapInh", "CapPrm", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp", "Cpus_allowed", "voluntary_ctxt_switches",
    ] {
        println!("{key}: {}", all.lines().any(|l| l.starts_with(&format!("{key}:\t"))));
    }
}

fn status_values() {
    v!((status("Name"), status("Umask"), status("State"), status("TracerPid"), status("Threads")));
    v!((status("Pid") == me().to_string(), status("Tgid") == me().to_string()));
    v!(status("PPid") == sc!(SYS_getppid).to_string());
    must!(SYS_umask, 0o137);
    v!(status("Umask"));
    must!(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    v!(status("NoNewPrivs"));
}

fn status_masks() {
    mask(SIG_SETMASK, &[SIGUSR1, SIGTERM]);
    ignore(SIGUSR2);
    catch(SIGHUP, 0);
    must!(SYS_kill, me(), SIGTERM);
    must!(SYS_tkill, sc!(SYS_gettid).0, SIGUSR1);
    v!((status("SigBlk"), status("SigPnd"), status("ShdPnd")));
    let (ign, cgt) = (status("SigIgn"), status("SigCgt"));
    let bit = |mask: &str, sig: i32| u64::from_str_radix(mask, 16).is_ok_and(|m| m & 1 << (sig - 1) != 0);
    v!((bit(&ign, SIGUSR2), bit(&ign, SIGHUP), bit(&cgt, SIGHUP), bit(&cgt, SIGUSR2)));
}

fn status_ids() {
    let uid = sc!(SYS_getuid).0;
    v!(status("Uid") == format!("{uid} {uid} {uid} {uid}"));
    v!(unprivileged(|| {
        let (u, g) = (sc!(SYS_getuid), sc!(SYS_getgid));
        v!((status("Uid") == format!("{u} {u} {u} {u}"), status("Gid") == format!("{g} {g} {g} {g}"), status("CapEff")));
    }));
    if is_root() {
        v!(in_child(|| {
            must!(SYS_setgroups, 2, &[7u32, 5]);
            must!(SYS_setresuid, 1, 2, 3);
            v!((status("Uid"), status("Groups")));
        }));
    } else {
        println!("skipped");
    }
}

fn status_threads() {
    let (r, w) = pipe();
    let thread = std::thread::spawn(move || get(r, 1));
    v!(status("Threads"));
    v!(std::fs::read_dir("/proc/self/task").map(Iterator::count).ok());
    put(w, b"x");
    thread.join().expect("thread");
    until(|| status("Threads") == "1");
    v!(status("Threads"));
}

fn stat_field(n: usize) -> String {
    let stat = read("/proc/self/stat");
    stat.rsplit(')').next().and_then(|s| s.split_whitespace().nth(n - 3)).unwrap_or("missing").to_string()
}

fn stat_fields() {
    let stat = read("/proc/self/stat");
    v!((stat.split_whitespace().count(), stat.ends_with('\n'), stat.starts_with(&format!("{} (", me()))));
    v!((stat_field(3), stat_field(4) == sc!(SYS_getppid).to_string(), stat_field(5) == sc!(SYS_getpgid, 0).to_string()));
    v!((stat_field(6) == sc!(SYS_getsid, 0).to_string(), stat_field(20), stat_field(38)));
    let (vsize, rss) = (stat_field(23).parse().unwrap_or(0u64), stat_field(24).parse().unwrap_or(0u64));
    v!((vsize > 100_000, rss > 10, vsize > rss * 4096));
}

fn stat_odd_name() {
    must!(SYS_prctl, PR_SET_NAME, c"a) b (c");
    let stat = read("/proc/self/stat");
    v!((stat.contains(" (a) b (c) R "), status("Name")));
}

fn statm_shape() {
    let fields: Vec<u64> = read("/proc/self/statm").split_whitespace().map(|n| n.parse().expect("number")).collect();
    v!((fields.len(), fields[0] > fields[1], fields[1] > fields[2], fields[4], fields[6]));
    let a = map(1 << 20, RW, ANON);
    let more: Vec<u64> = read("/proc/self/statm").split_whitespace().map(|n| n.parse().expect("number")).collect();
    v!(more[0] - fields[0] >= 256);
    must!(SYS_munmap, a, 1 << 20);
}

fn cmdline_environ() {
    let cmdline = read("/proc/self/cmdline");
    let args: Vec<String> = std::env::args().collect();
    v!(cmdline == args.iter().map(|a| format!("{a}\0")).collect::<String>());
    let env = read("/proc/self/environ");
    v!((env.is_empty() || env.ends_with('\0'), env.split('\0').filter(|e| !e.is_empty()).all(|e| e.contains('='))));
    v!(std::env::vars().all(|(k, v)| env.split('\0').any(|e| e == format!("{k}={v}"))));
}

fn environ_after_fork() {
    let here = read("/proc/self/environ");
    v!(in_child(|| {
        v!((read("/proc/self/environ") == here, read("/proc/self/cmdline").is_empty()));
    }));
}

fn exe_cwd_root() {
    let exe = link("/proc/self/exe");
    v!((exe.starts_with('/'), std::env::current_exe().is_ok_and(|p| p.display().to_string() == exe)));
    v!(link("/proc/self/root"));
    v!(link("/proc/self/cwd") == std::env::current_dir().expect("cwd").display().to_string());
    v!(stat(c"/proc/self/exe").st_mode & S_IFMT == S_IFLNK);
    let mut head = [0u8; 4];
    t!(SYS_read, open(c"/proc/self/exe", O_RDONLY), &mut head, 4);
    v!(text(&head));
    t!(SYS_readlink, c"/proc/self/exe", &mut [0u8; 3], 3);
}

fn fd_directory() {
    let fd = file(c"f", b"abc");
    v!(link(&format!("/proc/self/fd/{fd}")).ends_with("/f"));
    v!(link("/proc/self/fd/999"));
    let fds = || -> Vec<i32> {
        let dir = std::fs::read_dir("/proc/self/fd").expect("fd");
        let mut out: Vec<i32> = dir.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).collect();
        out.sort_unstable();
        out
    };
    let before = fds();
    must!(SYS_dup2, fd, 50);
    let after = fds();
    v!((before.contains(&fd), after.contains(&50), after.len() - before.len()));
    let mode = |fd: i32| stat(c(&format!("/proc/self/fd/{fd}")).as_c_str()).st_mode & 0o777;
    let (r, w) = (open(c"f", O_RDONLY), open(c"f", O_WRONLY));
    println!("{:o} {:o} {:o}", mode(fd), mode(r), mode(w));
}

fn fdinfo_shape() {
    let fd = file(c"f", b"abcdef");
    get(fd, 4);
    let info = read(&format!("/proc/self/fdinfo/{fd}"));
    let value = |key: &str| {
        let line = info.lines().find_map(|l| l.strip_prefix(key)).unwrap_or("missing");
        line.trim().to_string()
    };
    v!((value("pos:"), u32::from_str_radix(&value("flags:"), 8).map(|f| f & 3).ok(), value("ino:") == fstat(fd).st_ino.to_string()));
    v!(read("/proc/self/fdinfo/999"));
}

fn comm_read_write() {
    v!(read("/proc/self/comm"));
    std::fs::write("/proc/self/comm", "renamed").expect("write");
    v!((read("/proc/self/comm"), status("Name")));
    std::fs::write("/proc/self/comm", "a name that is too long").expect("write");
    v!(read("/proc/self/comm"));
    let mut name = [0u8; 16];
    must!(SYS_prctl, PR_GET_NAME, &mut name);
    v!(text(&name));
}

fn task_directory() {
    let tasks: Vec<String> =
        std::fs::read_dir("/proc/self/task").expect("task").map(|e| e.expect("entry").file_name().to_string_lossy().into_owned()).collect();
    v!((tasks.len(), tasks[0] == me().to_string()));
    v!(read(&format!("/proc/self/task/{}/comm", me())));
    v!(read("/proc/self/task/1073741807/comm"));
    v!(read("/proc/thread-self/comm") == read("/proc/self/comm"));
}

fn limits_rows() {
    let lim = rlimit { rlim_cur: 123, rlim_max: 456 };
    must!(SYS_prlimit64, 0, RLIMIT_NOFILE, &lim, 0);
    let all = read("/proc/self/limits");
    v!(all.lines().count());
    for line in all.lines() {
        let name = line.get(..26).unwrap_or("").trim();
        // The other limits are as we were started with.
        let known = ["Max open files", "Max core file size", "Max stack size"].contains(&name);
        println!("{name}: {}", if known { line[26..].split_whitespace().next().unwrap_or("") } else { "" });
    }
}

fn oom_score() {
    std::fs::write("/proc/self/oom_score_adj", "500").expect("write");
    v!(read("/proc/self/oom_score_adj"));
    let fd = open(c"/proc/self/oom_score_adj", O_RDWR);
    t!(SYS_write, fd, b"2000", 4);
    t!(SYS_write, fd, b"junk", 4);
    v!(in_child(|| {
        v!(read("/proc/self/oom_score_adj"));
    }));
}

fn mounts_shape() {
    let all = read("/proc/self/mounts");
    v!(all.lines().all(|l| l.split(' ').count() == 6));
    let at = |point: &str| all.lines().filter(|l| l.split(' ').nth(1) == Some(point)).count() > 0;
    v!((at("/"), at("/proc"), link("/proc/mounts")));
    v!(all.lines().any(|l| l.split(' ').nth(2) == Some("proc")));
}

fn mountinfo_shape() {
    let all = read("/proc/self/mountinfo");
    v!(all.lines().all(|l| l.contains(" - ") && l.split(' ').count() >= 10));
    v!(all.lines().any(|l| l.split(' ').nth(4) == Some("/")));
}

fn filesystems_list() {
    let all = read("/proc/filesystems");
    for name in ["proc", "tmpfs", "devpts"] {
        println!("{name}: {}", all.lines().any(|l| l == format!("nodev\t{name}")));
    }
}

fn meminfo_keys() {
    let all = read("/proc/meminfo");
    let value = |key: &str| -> u64 {
        let line = all.lines().find_map(|l| l.strip_prefix(key)).unwrap_or(":0");
        line.trim_start_matches(':').split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
    };
    v!((value("MemTotal") > 0, value("MemFree") > 0, value("MemAvailable") > 0, value("MemFree") <= value("MemTotal")));
    v!(["Buffers", "Cached", "SwapTotal", "SwapFree", "Shmem"].map(|k| all.contains(&format!("\n{k}:"))));
    let mut info: libc::sysinfo = zeroed();
    must!(SYS_sysinfo, &mut info);
    v!(info.totalram * u64::from(info.mem_unit) / 1024 == value("MemTotal"));
}

fn cpuinfo_count() {
    let all = read("/proc/cpuinfo");
    let n = all.lines().filter(|l| l.starts_with("processor\t")).count();
    v!((n > 0, ["vendor_id", "model name", "flags"].map(|k| all.contains(&format!("\n{k}\t")))));
    let stat = read("/proc/stat");
    let cpus = stat.lines().filter(|l| l.starts_with("cpu") && !l.starts_with("cpu ")).count();
    v!(cpus == n);
}

fn stat_system() {
    let all = read("/proc/stat");
    v!(["cpu ", "intr ", "ctxt ", "btime ", "processes ", "procs_running ", "procs_blocked "].map(|k| all.lines().any(|l| l.starts_with(k))));
    v!(all.lines().next().map(|l| l.split_whitespace().count()));
}

fn uptime_loadavg() {
    let uptime = read("/proc/uptime");
    let parts: Vec<f64> = uptime.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    v!((parts.len(), parts[0] > 0.0));
    let load = read("/proc/loadavg");
    let parts: Vec<&str> = load.split_whitespace().collect();
    v!((parts.len(), parts[..3].iter().all(|n| n.parse::<f64>().is_ok()), parts[3].split('/').count()));
}

fn version_shape() {
    let mut u: utsname = zeroed();
    must!(SYS_uname, &mut u);
    let field = |f: &[i8]| f.iter().take_while(|c| **c != 0).map(|c| *c as u8 as char).collect::<String>();
    v!((field(&u.sysname), field(&u.machine)));
    v!(read("/proc/version").starts_with(&format!("Linux version {} ", field(&u.release))));
    v!(read("/proc/sys/kernel/osrelease") == format!("{}\n", field(&u.release)));
    v!(read("/proc/sys/kernel/hostname") == format!("{}\n", field(&u.nodename)));
    v!(read("/proc/sys/kernel/ostype"));
    v!(field(&u.release).split('.').next().is_some_and(|n| n.parse::<u32>().is_ok()));
}

fn sys_kernel() {
    v!(read("/proc/sys/kernel/pid_max").trim().parse::<u32>().is_ok_and(|n| n > 300));
    v!(read("/proc/sys/fs/file-max").trim().parse::<u64>().is_ok());
    v!(read("/proc/sys/fs/pipe-max-size").trim().parse::<u64>().is_ok());
    v!(read("/proc/sys/vm/overcommit_memory").trim().parse::<u32>().is_ok());
    v!(read("/proc/sys/kernel/nonexistent"));
    v!(unprivileged(|| {
        o!(SYS_openat, AT_FDCWD, c"/proc/sys/kernel/pid_max", O_WRONLY);
    }));
}

fn is_uuid(s: &str) -> bool {
    let s = s.trim_end();
    s.len() == 36 && s.chars().enumerate().all(|(i, c)| if [8, 13, 18, 23].contains(&i) { c == '-' } else { c.is_ascii_hexdigit() })
}

fn random_files() {
    v!((is_uuid(&read("/proc/sys/kernel/random/uuid")), is_uuid(&read("/proc/sys/kernel/random/boot_id"))));
    v!(read("/proc/sys/kernel/random/boot_id") == read("/proc/sys/kernel/random/boot_id"));
}

fn uuid_changes() {
    v!(read("/proc/sys/kernel/random/uuid") != read("/proc/sys/kernel/random/uuid"));
    v!(read("/proc/sys/kernel/random/entropy_avail").trim().parse::<u32>().is_ok());
}

fn self_links() {
    v!(link("/proc/self") == me().to_string());
    v!(link("/proc/thread-self") == format!("{}/task/{}", me(), me()));
    v!(in_child(|| {
        v!(link("/proc/self") == me().to_string());
    }));
    v!(link("/dev/fd"));
}

fn pid_directories() {
    let kid = spawn(|| sleep_ms(10_000));
    let listed = std::fs::read_dir("/proc").expect("proc").any(|e| e.expect("entry").file_name().to_string_lossy() == kid.to_string());
    v!((listed, stat(c("/proc/1").as_c_str()).st_mode & 0o777));
    v!(read(&format!("/proc/{kid}/comm")));
    must!(SYS_kill, kid, SIGKILL);
    reap(kid);
    v!(read(&format!("/proc/{kid}/comm")));
    v!((read("/proc/0/comm"), read("/proc/-1/comm"), read("/proc/01/comm"), read("/proc/1x/comm")));
}

fn gone_process() {
    let kid = spawn(|| sleep_ms(10_000));
    let dir = open(&c(&format!("/proc/{kid}")), O_RDONLY | O_DIRECTORY);
    let stat = open(&c(&format!("/proc/{kid}/stat")), O_RDONLY);
    must!(SYS_kill, kid, SIGKILL);
    reap(kid);
    t!(SYS_openat, dir, c"stat", O_RDONLY);
    t!(SYS_read, stat, &mut [0u8; 10], 10);
}

fn zombie_entries() {
    let kid = spawn(|| ());
    until(|| state_of(kid) == 'Z');
    let path = |f: &str| format!("/proc/{kid}/{f}");
    v!((read(&path("cmdline")), read(&path("maps")), link(&path("exe")), link(&path("cwd"))));
    v!((read(&path("comm")), read(&path("statm"))));
    v!(read(&path("status")).contains("VmSize"));
    reap(kid);
}

fn other_users() {
    let path = c(&format!("/proc/{}/fd", me()));
    let env = c(&format!("/proc/{}/environ", me()));
    let parent = me();
    v!(unprivileged(|| {
        if is_root() {
            return;
        }
        v!((sc!(SYS_openat, AT_FDCWD, path.as_c_str(), O_RDONLY).ok(), sc!(SYS_openat, AT_FDCWD, env.as_c_str(), O_RDONLY).ok()));
        v!((link(&format!("/proc/{parent}/exe")), read(&format!("/proc/{parent}/comm"))));
    }));
}

fn read_only_files() {
    t!(SYS_openat, AT_FDCWD, c"/proc/self/newfile", O_CREAT | O_RDWR, 0o600);
    t!(SYS_mkdir, c"/proc/newdir", 0o700);
    t!(SYS_unlink, c"/proc/self/stat");
    t!(SYS_rename, c"/proc/self/stat", c"/proc/self/stat2");
    v!(unprivileged(|| {
        o!(SYS_openat, AT_FDCWD, c"/proc/self/stat", O_WRONLY);
        o!(SYS_openat, AT_FDCWD, c"/proc/meminfo", O_WRONLY);
    }));
}

fn maps_shape() {
    let all = read("/proc/self/maps");
    v!(all.lines().all(|l| {
        let col: Vec<&str> = l.split_whitespace().collect();
        col.len() >= 5 && col[0].contains('-') && col[1].len() == 4 && col[3].contains(':')
    }));
    v!(["[stack]", "[heap]", "[vdso]"].map(|n| all.lines().filter(|l| l.ends_with(n)).count() == 1));
    let starts: Vec<u64> =
        all.lines().map(|l| u64::from_str_radix(l.split('-').next().expect("start"), 16).expect("hex")).collect();
    v!(starts.windows(2).all(|w| w[0] < w[1]));
    let exe = link("/proc/self/exe");
    v!(all.lines().any(|l| l.ends_with(&exe) && l.contains(" r-xp ")));
}

fn smaps_keys() {
    let all = read("/proc/self/smaps");
    v!(["Size:", "Rss:", "Pss:", "Private_Dirty:", "VmFlags:"].map(|k| all.lines().any(|l| l.starts_with(k))));
}

fn small_reads() {
    let whole = read("/proc/self/limits");
    let fd = open(c"/proc/self/limits", O_RDONLY);
    let mut out = Vec::new();
    loop {
        let mut b = [0u8; 7];
        let n = must!(SYS_read, fd, &mut b, 7).0 as usize;
        if n == 0 {
            break;
        }
        out.extend_from_slice(&b[..n]);
    }
    v!(out == whole.as_bytes());
}

fn seeks() {
    let fd = open(c"/proc/self/comm", O_RDONLY);
    let first = get(fd, 100);
    v!(get(fd, 100));
    t!(SYS_lseek, fd, 0, SEEK_SET);
    v!(get(fd, 100) == first);
    t!(SYS_lseek, fd, 2, SEEK_SET);
    v!(get(fd, 3));
    t!(SYS_pread64, fd, &mut [0u8; 2], 2, 1);
    v!((fstat(fd).st_size, fstat(fd).st_mode & S_IFMT == S_IFREG));
}

fn proc_stat_types() {
    for path in [c"/proc", c"/proc/self/fd", c"/proc/self/status", c"/proc/self/exe", c"/proc/sys/kernel", c"/proc/self/task"] {
        let st = stat(path);
        println!("{path:?}: {:o} size {}", st.st_mode & S_IFMT, st.st_size * i64::from(st.st_mode & S_IFMT == S_IFREG));
    }
}

fn auxv_shape() {
    let bytes = std::fs::read("/proc/self/auxv").expect("auxv");
    let words: Vec<u64> = bytes.chunks(8).map(|w| u64::from_ne_bytes(w.try_into().expect("8 bytes"))).collect();
    let value = |key: u64| words.chunks(2).find(|p| p[0] == key).map(|p| p[1]);
    v!((value(AT_PAGESZ), value(AT_CLKTCK), value(AT_SECURE), value(AT_PHENT), value(AT_UID).map(|u| u as i64 == sc!(SYS_getuid).0)));
    v!((value(AT_ENTRY).is_some(), value(AT_RANDOM).is_some(), value(AT_SYSINFO_EHDR).is_some(), words[words.len() - 2]));
}

fn children_list() {
    let kids: Vec<i32> = (0..3).map(|_| spawn(|| sleep_ms(10_000))).collect();
    let list = read(&format!("/proc/self/task/{}/children", me()));
    let listed: Vec<i32> = list.split_whitespace().map(|p| p.parse().expect("pid")).collect();
    v!(listed == kids);
    for kid in kids {
        must!(SYS_kill, kid, SIGKILL);
        reap(kid);
    }
    v!(read(&format!("/proc/self/task/{}/children", me())));
}

fn wchan_and_io() {
    v!(read("/proc/self/personality").trim_end().len());
    v!(read("/proc/self/cgroup").lines().all(|l| l.split(':').count() >= 3));
    v!(link("/proc/self/ns/pid").starts_with("pid:["));
}

fn directory_links() {
    let links = |path: &str| stat(&c(path)).st_nlink;
    v!((links("/proc/self/task"), links("/proc/self/fd"), links("/proc/self/status")));
    static COUNTED: AtomicBool = AtomicBool::new(false);
    let threads: Vec<_> = (0..3).map(|_| std::thread::spawn(|| until(|| COUNTED.load(SeqCst)))).collect();
    v!(links("/proc/self/task"));
    COUNTED.store(true, SeqCst);
    for thread in threads {
        let _ = thread.join();
    }
    v!((links("/proc") > 10, links(&format!("/proc/{}", std::process::id())) > 2, links("/sys") > 4));
    let before = links("/proc");
    let pids: Vec<i32> = (0..100).map(|_| spawn(|| sleep_ms(10_000))).collect();
    v!(links("/proc") > before + 50);
    for pid in pids {
        sc!(SYS_kill, pid, SIGKILL);
        reap(pid);
    }
}

/// The lines after those that every file has.
fn own_lines(fd: i32) -> Vec<String> {
    let info = read(&format!("/proc/self/fdinfo/{fd}"));
    info.lines().skip(4).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn fdinfo_of_kinds() {
    let event = must!(SYS_eventfd2, 3, EFD_SEMAPHORE).fd();
    let mut lines = own_lines(event);
    lines.retain(|line| !line.starts_with("eventfd-id:"));
    v!(lines);
    let mask = 1u64 << (SIGUSR1 - 1);
    v!(own_lines(must!(SYS_signalfd4, -1, &mask, 8, 0).fd()));
    let timer = must!(SYS_timerfd_create, CLOCK_MONOTONIC, 0).fd();
    v!(own_lines(timer));
    must!(SYS_timerfd_settime, timer, TFD_TIMER_ABSTIME, &[5i64, 0, 1 << 40, 0], 0);
    let keys = |fd| -> Vec<String> {
        own_lines(fd).iter().map(|line| line.split(':').next().unwrap_or_default().to_string()).collect()
    };
    let lines = own_lines(timer);
    v!((&lines[..3], &lines[4], keys(timer)));
    let epoll = must!(SYS_epoll_create1, 0).fd();
    v!(own_lines(epoll));
    let interest = [EPOLLIN as u32, 0x1234, 0];
    must!(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, event, &interest);
    let ino = format!("ino:{:x}", fstat(event).st_ino);
    let lines = own_lines(epoll);
    v!((lines.len(), lines[0].starts_with(&format!("tfd: {event} events: 19 data: 1234 pos:0 {ino} sdev:"))));
    let inotify = must!(SYS_inotify_init1, 0).fd();
    v!(own_lines(inotify));
    close(file(c"f", b""));
    must!(SYS_inotify_add_watch, inotify, c"f", IN_CREATE | IN_MODIFY);
    let lines = own_lines(inotify);
    let start = format!("inotify wd:1 ino:{:x} sdev:", stat(c"f").st_ino);
    v!((lines.len(), lines[0].starts_with(&start), lines[0].contains(" mask:102 ignored_mask:0")));
    let pidfd = must!(SYS_pidfd_open, std::process::id(), 0).fd();
    v!((own_lines(pidfd)[0] == format!("Pid: {}", std::process::id()), keys(pidfd)));
    let child = spawn(|| exit(0));
    let pidfd = must!(SYS_pidfd_open, child, 0).fd();
    reap(child);
    v!(own_lines(pidfd)[0]);
}

/// Settings that can be written, and do not take just anything.
fn settings_refuse() {
    if !is_root() {
        println!("skipped");
        return;
    }
    for name in [
        "fs/file-max",
        "fs/inotify/max_queued_events",
        "fs/inotify/max_user_instances",
        "fs/inotify/max_user_watches",
        "fs/nr_open",
        "fs/pipe-max-size",
        "fs/protected_hardlinks",
        "fs/protected_symlinks",
        "kernel/ns_last_pid",
        "kernel/pid_max",
        "kernel/shmmax",
        "kernel/threads-max",
        "vm/drop_caches",
        "vm/max_map_count",
        "vm/overcommit_memory",
    ] {
        let path = c(&format!("/proc/sys/{name}"));
        let mode = stat(&path).st_mode & 0o777;
        let fd = must!(SYS_openat, AT_FDCWD, &*path, O_WRONLY).fd();
        println!("{name} {mode:o} {}", sc!(SYS_write, fd, c"x\n", 2).ok());
        close(fd);
    }
}

/// The bits of a page that do not say where it is.
fn page_bits(fd: i32, addr: usize) -> (Ret, String) {
    const KNOWN: u64 = 7 << 61;
    let mut word = 9u64;
    let ret = sc!(SYS_pread64, fd, &mut word, 8, addr / PAGE * 8);
    (ret, format!("{:x}", word & KNOWN))
}

fn page_map() {
    // So far apart that nothing brings in the one with the other.
    const STEP: usize = 8 << 20;
    let fd = open(c"/proc/self/pagemap", O_RDONLY);
    let a = map(4 * STEP, RW, ANON);
    let s = map(PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
    store(a + STEP / 2, 1);
    store(s, 1);
    v!((page_bits(fd, a + STEP / 2), page_bits(fd, a + 3 * STEP + STEP / 2), page_bits(fd, s)));
    must!(SYS_munmap, a + STEP, STEP);
    v!(page_bits(fd, a + STEP + STEP / 2));
    let mut words = [7u64; 4];
    v!(sc!(SYS_pread64, fd, &mut words, 32, (a + STEP + STEP / 2) / PAGE * 8));
    v!(words);
    for (len, offset) in [(8, 4), (7, 8), (12, 8), (0, 8), (8, 1usize << 50)] {
        println!("{len} at {offset}: {}", sc!(SYS_pread64, fd, &mut words, len, offset));
    }
    t!(SYS_write, fd, &words, 8);
    o!(SYS_openat, AT_FDCWD, c"/proc/self/pagemap", O_RDWR);
    v!(format!("{:o}", stat(c"/proc/self/pagemap").st_mode));
    let parent = std::ffi::CString::new(format!("/proc/{}/pagemap", sc!(SYS_getppid).0)).unwrap();
    v!(unprivileged(|| {
        if is_root() {
            return;
        }
        o!(SYS_openat, AT_FDCWD, c"/proc/1/pagemap", O_RDONLY);
    }));
    v!(sc!(SYS_openat, AT_FDCWD, parent.as_c_str(), O_RDONLY).ok());
}

fn soft_interrupts() {
    let text = read("/proc/softirqs");
    let online = read("/proc/cpuinfo").lines().filter(|line| line.starts_with("processor")).count();
    v!(text.lines().next().map(|line| line.split_whitespace().count() == online));
    v!(text.lines().next().map(|line| line.find("CPU0")));
}
