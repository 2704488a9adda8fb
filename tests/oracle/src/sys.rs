//! System calls as the cases write them: by number, with bad arguments where a case wants bad
//! arguments.
//!
//! Going around the C library keeps its own checks, retries and caches out of the comparison: what
//! is printed is what the kernel answered. `t!` performs a call and prints it with its result; `o!`
//! prints only whether it worked, for results that differ between runs such as addresses; `must!`
//! is for the steps a case stands on.

/// The kernel's constants and structures; the names defined here shadow the C library's functions.
pub use libc::*;
use std::ffi::{CStr, CString};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst};

pub const PAGE: usize = 4096;

/// A value as it goes into an argument register. References pass their address.
pub trait Arg {
    fn word(self) -> usize;
}

macro_rules! int_args {
    ($($t:ty)*) => { $(impl Arg for $t { fn word(self) -> usize { self as usize } })* };
}
int_args!(i16 u16 i32 u32 i64 u64 isize usize);

impl<T: ?Sized> Arg for &T {
    fn word(self) -> usize {
        std::ptr::from_ref(self).cast::<()>() as usize
    }
}

impl<T: ?Sized> Arg for &mut T {
    fn word(self) -> usize {
        std::ptr::from_mut(self).cast::<()>() as usize
    }
}

/// What a system call returned: a value, or a negated errno.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ret(pub i64);

impl Ret {
    pub fn is_ok(self) -> bool {
        !(-4095..0).contains(&self.0)
    }

    /// The same failure, or just "ok".
    pub fn ok(self) -> Verdict {
        Verdict(self)
    }

    pub fn fd(self) -> i32 {
        self.0 as i32
    }

    pub fn addr(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for Ret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_ok() { write!(f, "{}", self.0) } else { f.write_str(&errno_name(-self.0 as i32)) }
    }
}

pub struct Verdict(Ret);

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_ok() { f.write_str("ok") } else { self.0.fmt(f) }
    }
}

pub fn raw(nr: libc::c_long, args: &[usize]) -> Ret {
    let mut a = [0usize; 6];
    a[..args.len()].copy_from_slice(args);
    let ret: i64;
    // SAFETY: none in the language's sense. A case decides what the call does to its own process,
    // which is a child made for that case; the clobbers are those of the system call convention.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") nr => ret, in("rdi") a[0], in("rsi") a[1], in("rdx") a[2],
            in("r10") a[3], in("r8") a[4], in("r9") a[5], lateout("rcx") _, lateout("r11") _);
    }
    Ret(ret)
}

/// Perform a call silently.
#[macro_export]
macro_rules! sc {
    ($nr:ident $(, $a:expr)* $(,)?) => {
        $crate::sys::raw(libc::$nr, &[$($crate::sys::Arg::word($a)),*])
    };
}

/// Perform a call and print it with its value or errno.
#[macro_export]
macro_rules! t {
    ($nr:ident $(, $a:expr)* $(,)?) => {{
        let ret = $crate::sc!($nr $(, $a)*);
        println!("{} = {ret}", $crate::sys::call_text(stringify!($nr), stringify!($($a),*)));
        ret
    }};
}

/// Perform a call and print only `ok` or its errno.
#[macro_export]
macro_rules! o {
    ($nr:ident $(, $a:expr)* $(,)?) => {{
        let ret = $crate::sc!($nr $(, $a)*);
        println!("{} = {}", $crate::sys::call_text(stringify!($nr), stringify!($($a),*)), ret.ok());
        ret
    }};
}

/// Perform a call that the rest of the case depends on.
#[macro_export]
macro_rules! must {
    ($nr:ident $(, $a:expr)* $(,)?) => {{
        let ret = $crate::sc!($nr $(, $a)*);
        if !ret.is_ok() {
            println!("{} = {ret}: giving up", $crate::sys::call_text(stringify!($nr), stringify!($($a),*)));
            $crate::sys::exit(99);
        }
        ret
    }};
}

/// Print an expression and its value.
#[macro_export]
macro_rules! v {
    ($e:expr) => {
        println!("{} = {:?}", $crate::sys::expr_text(stringify!($e)), $e)
    };
}

pub fn call_text(nr: &str, args: &str) -> String {
    format!("{}({})", nr.trim_start_matches("SYS_"), expr_text(args))
}

/// Source text on one line, and not too long a one.
pub fn expr_text(source: &str) -> String {
    let line = source.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.find(" {").or_else(|| line.char_indices().nth(100).map(|(at, _)| at)) {
        Some(end) => format!("{} ..", &line[..end]),
        None => line,
    }
}

/// Text that is printed as it is, without quotes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(pub String);

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl fmt::Debug for Ret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

pub fn exit(code: i32) -> ! {
    raw(libc::SYS_exit_group, &[code as usize]);
    unreachable!()
}

/// Run `f` in a child process. It exits with 0 when `f` returns.
pub fn spawn(f: impl FnOnce()) -> i32 {
    // SAFETY: a case's process has one thread unless the case made more, and then it does not call
    // this.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let done = catch_unwind(AssertUnwindSafe(f));
        exit(if done.is_ok() { 0 } else { 98 });
    }
    pid
}

/// Wait for a child and say how it ended.
pub fn reap(pid: i32) -> Text {
    let mut status = 0i32;
    loop {
        let ret = sc!(SYS_wait4, pid, &mut status, 0, 0);
        if ret.0 != -i64::from(libc::EINTR) {
            return if ret.is_ok() { status_text(status) } else { Text(ret.to_string()) };
        }
    }
}

pub fn status_text(status: i32) -> Text {
    Text(if libc::WIFEXITED(status) {
        format!("exit {}", libc::WEXITSTATUS(status))
    } else if libc::WIFSIGNALED(status) {
        format!("killed by {}", signal_name(libc::WTERMSIG(status)))
    } else if libc::WIFSTOPPED(status) {
        format!("stopped by {}", signal_name(libc::WSTOPSIG(status)))
    } else {
        "continued".to_string()
    })
}

pub fn in_child(f: impl FnOnce()) -> Text {
    reap(spawn(f))
}

/// Run `f` as user and group 65534 when we are root, as ourselves otherwise: never with root's
/// powers.
pub fn unprivileged(f: impl FnOnce()) -> Text {
    in_child(|| {
        if sc!(SYS_geteuid).0 == 0 {
            must!(SYS_setgroups, 0, 0);
            must!(SYS_setresgid, 65534, 65534, 65534);
            must!(SYS_setresuid, 65534, 65534, 65534);
        }
        f();
    })
}

pub fn is_root() -> bool {
    sc!(SYS_geteuid).0 == 0
}

pub fn sleep_ms(ms: i64) {
    let ts = libc::timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 };
    sc!(SYS_nanosleep, &ts, 0);
}

/// Wait until `done` holds; the harness's watchdog bounds it. For states of another process that
/// nothing announces.
pub fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        sleep_ms(1);
    }
}

/// The scheduler state letter of a process or thread, `-` when it is gone.
pub fn state_of(pid: i32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|s| s.trim().chars().next()).unwrap_or('-')
}

/// Wait until it sleeps, or has ended: then what comes next tells so, better than a wait without an
/// end.
pub fn until_sleeping(pid: i32) {
    until(|| matches!(state_of(pid), 'S' | 'Z'));
}

/// As [`until`], but without a sleep: whoever waits for this thread's sleep sees the one that comes
/// next, not one in here.
pub fn spin_until(mut done: impl FnMut() -> bool) {
    while !done() {
        sc!(SYS_sched_yield);
    }
}

/// Threads that say that they are about to sleep, and do nothing else until they do.
#[derive(Default)]
pub struct Sleepers(std::sync::Mutex<Vec<i32>>);

impl Sleepers {
    pub const fn new() -> Sleepers {
        Sleepers(std::sync::Mutex::new(Vec::new()))
    }

    pub fn announce(&self) {
        self.0.lock().unwrap().push(own_tid());
    }

    /// Wait until so many sleep, and forget them.
    pub fn until_asleep(&self, count: usize) {
        until(|| self.0.lock().unwrap().len() == count);
        std::mem::take(&mut *self.0.lock().unwrap()).into_iter().for_each(until_sleeping);
    }
}

pub fn own_tid() -> i32 {
    sc!(SYS_gettid).0 as i32
}

// --- files ---

pub fn c(s: &str) -> CString {
    CString::new(s).expect("a name without NUL")
}

pub fn open(path: &CStr, flags: i32) -> i32 {
    must!(SYS_openat, libc::AT_FDCWD, path, flags, 0o644).fd()
}

/// Create a file with this content and return a descriptor open for reading and writing, at the
/// start.
pub fn file(path: &CStr, content: &[u8]) -> i32 {
    let fd = open(path, libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC);
    put(fd, content);
    must!(SYS_lseek, fd, 0, libc::SEEK_SET);
    fd
}

pub fn close(fd: i32) {
    must!(SYS_close, fd);
}

pub fn put(fd: i32, data: &[u8]) {
    let n = must!(SYS_write, fd, data, data.len());
    assert_eq!(n.0 as usize, data.len(), "short write");
}

/// One read, shown as text.
pub fn get(fd: i32, max: usize) -> Text {
    let mut buf = vec![0u8; max];
    let n = sc!(SYS_read, fd, &mut buf[..], max);
    if n.is_ok() { text(&buf[..n.0 as usize]) } else { Text(n.to_string()) }
}

pub fn text(bytes: &[u8]) -> Text {
    Text(format!("\"{}\"", bytes.escape_ascii()))
}

pub fn content(path: &str) -> Text {
    match std::fs::read(path) {
        Ok(bytes) => text(&bytes),
        Err(e) => Text(errno_name(e.raw_os_error().unwrap_or(0))),
    }
}

pub fn zeroed<T>() -> T {
    // SAFETY: used for the kernel's plain structures only, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

pub fn stat(path: &CStr) -> libc::stat {
    let mut st = zeroed();
    must!(SYS_newfstatat, libc::AT_FDCWD, path, &mut st, libc::AT_SYMLINK_NOFOLLOW);
    st
}

pub fn fstat(fd: i32) -> libc::stat {
    let mut st = zeroed();
    must!(SYS_fstat, fd, &mut st);
    st
}

pub fn pipe() -> (i32, i32) {
    let mut p = [0i32; 2];
    must!(SYS_pipe2, &mut p, 0);
    (p[0], p[1])
}

pub fn socketpair(kind: i32) -> (i32, i32) {
    let mut p = [0i32; 2];
    must!(SYS_socketpair, libc::AF_UNIX, kind, 0, &mut p);
    (p[0], p[1])
}

pub fn iov(parts: &[(usize, usize)]) -> Vec<libc::iovec> {
    parts.iter().map(|&(base, len)| libc::iovec { iov_base: base as *mut _, iov_len: len }).collect()
}

// --- memory ---

pub const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
pub const ANON: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

pub fn map(len: usize, prot: i32, flags: i32) -> usize {
    must!(SYS_mmap, 0, len, prot, flags, -1, 0).addr()
}

pub fn map_fd(fd: i32, len: usize, prot: i32, flags: i32) -> usize {
    must!(SYS_mmap, 0, len, prot, flags, fd, 0).addr()
}

static FAULT: [AtomicI32; 2] = [AtomicI32::new(0), AtomicI32::new(0)];
static FAULT_ADDR: AtomicUsize = AtomicUsize::new(0);

/// Step over the faulting access. Both accesses below are two bytes long.
extern "C" fn on_fault(sig: i32, info: *mut libc::siginfo_t, ctx: *mut libc::c_void) {
    // SAFETY: the kernel passes valid pointers to a handler installed with SA_SIGINFO.
    unsafe {
        FAULT[0].store(sig, SeqCst);
        FAULT[1].store((*info).si_code, SeqCst);
        FAULT_ADDR.store((*info).si_addr() as usize, SeqCst);
        (*ctx.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize] += 2;
    }
}

fn guarded(addr: usize, access: impl FnOnce()) -> Option<String> {
    let mut old: [libc::sigaction; 2] = zeroed();
    let mut new: libc::sigaction = zeroed();
    new.sa_sigaction = on_fault as *const () as usize;
    new.sa_flags = libc::SA_SIGINFO;
    FAULT[0].store(0, SeqCst);
    // SAFETY: the handler touches only atomics and its own frame.
    unsafe {
        libc::sigaction(libc::SIGSEGV, &raw const new, &raw mut old[0]);
        libc::sigaction(libc::SIGBUS, &raw const new, &raw mut old[1]);
    }
    access();
    // SAFETY: as above.
    unsafe {
        libc::sigaction(libc::SIGSEGV, &raw const old[0], std::ptr::null_mut());
        libc::sigaction(libc::SIGBUS, &raw const old[1], std::ptr::null_mut());
    }
    let sig = FAULT[0].load(SeqCst);
    if sig == 0 {
        return None;
    }
    let offset = FAULT_ADDR.load(SeqCst).wrapping_sub(addr) as isize;
    Some(format!("{} code {} at {offset:+}", signal_name(sig), FAULT[1].load(SeqCst)))
}

/// Load a byte, or say which signal that raised.
pub fn load(addr: usize) -> Text {
    let mut byte = 0u8;
    // SAFETY: a fault is stepped over by the handler.
    let fault = guarded(addr, || unsafe {
        std::arch::asm!("mov al, byte ptr [rdi]", in("rdi") addr, inout("al") byte, options(nostack));
    });
    Text(fault.unwrap_or_else(|| byte.to_string()))
}

/// Store a byte, or say which signal that raised.
pub fn store(addr: usize, byte: u8) -> Text {
    // SAFETY: as in `load`.
    let fault = guarded(addr, || unsafe {
        std::arch::asm!("mov byte ptr [rdi], al", in("rdi") addr, in("al") byte, options(nostack));
    });
    Text(fault.unwrap_or_else(|| "stored".to_string()))
}

/// Write memory that is known to be there.
pub fn fill(addr: usize, len: usize, byte: u8) {
    // SAFETY: the caller mapped it.
    unsafe { std::ptr::write_bytes(addr as *mut u8, byte, len) }
}

pub fn copy_in(addr: usize, data: &[u8]) {
    // SAFETY: the caller mapped it.
    unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), addr as *mut u8, data.len()) }
}

pub fn peek(addr: usize, len: usize) -> Vec<u8> {
    // SAFETY: the caller mapped it.
    (0..len).map(|i| unsafe { ((addr + i) as *const u8).read_volatile() }).collect()
}

pub fn peek_text(addr: usize, len: usize) -> Text {
    text(&peek(addr, len))
}

// --- signals ---

static CAUGHT: [AtomicI32; 65] = [const { AtomicI32::new(0) }; 65];

extern "C" fn count(sig: i32) {
    CAUGHT[sig as usize].fetch_add(1, SeqCst);
}

/// Count this signal from now on, see `caught`.
pub fn catch(sig: i32, flags: i32) {
    let mut new: libc::sigaction = zeroed();
    new.sa_sigaction = count as *const () as usize;
    new.sa_flags = flags;
    // SAFETY: the handler touches only an atomic.
    unsafe { libc::sigaction(sig, &raw const new, std::ptr::null_mut()) };
}

pub fn caught(sig: i32) -> i32 {
    CAUGHT[sig as usize].load(SeqCst)
}

pub fn ignore(sig: i32) {
    // SAFETY: no handler is involved.
    unsafe { libc::signal(sig, libc::SIG_IGN) };
}

pub fn default(sig: i32) {
    // SAFETY: no handler is involved.
    unsafe { libc::signal(sig, libc::SIG_DFL) };
}

pub fn mask(how: i32, sigs: &[i32]) {
    let set: u64 = sigs.iter().map(|s| 1u64 << (s - 1)).sum();
    must!(SYS_rt_sigprocmask, how, &set, 0, 8);
}

// --- names ---

macro_rules! names {
    ($n:expr; $($name:ident)*) => { match $n { $(libc::$name => stringify!($name).to_string(),)* n => format!("?{n}") } };
}

pub fn signal_name(sig: i32) -> String {
    names!(sig; SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE
        SIGALRM SIGTERM SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ SIGWINCH SIGIO SIGSYS)
}

pub fn errno_name(e: i32) -> String {
    names!(e; EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK
        EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK
        EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP ENODATA EOVERFLOW ENOTSOCK EDESTADDRREQ
        EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EAFNOSUPPORT EADDRINUSE
        EADDRNOTAVAIL ENETUNREACH ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ETIMEDOUT ECONNREFUSED
        EHOSTUNREACH EALREADY EINPROGRESS ESTALE EDQUOT ECANCELED)
}
