//! System calls that another process makes and this one answers: seccomp's user notification
//! (seccomp_unotify(2)).
//!
//! A thread installs a filter that says [`seccomp::NOTIFY`] of some calls. The filter's listener
//! goes to the supervisor: by a descriptor table that both share, or over a unix socket. Each such
//! call of the thread, and of all that it forks, then sleeps in the host until the supervisor has
//! received and answered it; the host does nothing else for it. Only its result can be set: another
//! register needs a ptrace stop, and other memory its own way.
//!
//! - The thread that installs must not keep the listener: who has it can answer its own calls.
//! - What a call's arguments point to can change at any time; the arguments themselves are copies.
//!   So there is no way here to have the host carry a call out after all
//!   (SECCOMP_USER_NOTIF_FLAG_CONTINUE).
//! - A call may end before its answer: its thread is killed, or a signal interrupts it. Then the
//!   answer is ENOENT, and the thread may make the same call again. With `WAIT_KILLABLE_RECV`
//!   ([`waits_for_answers`]) only what kills ends a call that was received.
//! - When the last listener is closed, calls fail with ENOSYS.
//!
//! One listener serves any number of threads, and any number of threads may receive from it: each
//! call goes to one of them.

use crate::seccomp::{self, Instruction};
use crate::{Errno, Result};
use std::collections::BTreeSet;
use std::ffi::c_ulong;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, which the C library does not have.
const SYNC_WAKE_UP: c_ulong = 1;

/// A structure that the host exchanges with us, and room for what later hosts append to it.
#[repr(C)]
struct Roomy<T> {
    known: T,
    more: [u64; 16],
}

impl<T> Roomy<T> {
    fn zeroed() -> Roomy<T>
    where
        T: Plain,
    {
        // SAFETY: numbers, for which zero is a value.
        unsafe { MaybeUninit::zeroed().assume_init() }
    }
}

/// Structures of numbers only.
trait Plain {}
impl Plain for libc::seccomp_notif {}
impl Plain for libc::seccomp_notif_resp {}

/// Whether this host has user notification as it is used here, and if not which error says so.
pub fn probe() -> Result<()> {
    let action: u32 = libc::SECCOMP_RET_USER_NOTIF;
    let mut sizes = libc::seccomp_notif_sizes { seccomp_notif: 0, seccomp_notif_resp: 0, seccomp_data: 0 };
    let ask = |operation: libc::c_uint, argument: *mut libc::c_void| {
        // SAFETY: each operation's argument is a live object of the type it asks for.
        Errno::check(unsafe { libc::syscall(libc::SYS_seccomp, operation, 0, argument) })
    };
    ask(libc::SECCOMP_GET_ACTION_AVAIL, (&raw const action).cast_mut().cast())?;
    ask(libc::SECCOMP_GET_NOTIF_SIZES, (&raw mut sizes).cast())?;
    let fits = usize::from(sizes.seccomp_notif) <= size_of::<Roomy<libc::seccomp_notif>>()
        && usize::from(sizes.seccomp_notif_resp) <= size_of::<Roomy<libc::seccomp_notif_resp>>();
    if fits { Ok(()) } else { Err(Errno::EOVERFLOW) }
}

/// Whether calls that were received wait for their answer whatever signals come, but for those that
/// kill (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, Linux 5.19). Filters are installed so where the
/// host can.
pub fn waits_for_answers() -> bool {
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    let nothing = std::ptr::null::<libc::sock_fprog>();
    // SAFETY: the host looks at the flags first, and then finds no filter: nothing is installed.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, nothing) };
    Errno::check(result) == Err(Errno::EFAULT)
}

/// Puts the calling thread under a filter, as [`seccomp::install`] does, and returns the listener.
/// EBUSY when it is under a filter with a listener already. Allocates nothing.
///
/// # Safety
/// The code that goes on under the filter must expect any result of the calls that it notifies of.
pub unsafe fn install(filter: &[Instruction]) -> Result<Listener> {
    let mut flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    if waits_for_answers() {
        flags |= libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    }
    // SAFETY: as the caller promises.
    let fd = unsafe { seccomp::set(filter, flags) }?;
    // SAFETY: a new descriptor that nothing else owns.
    Ok(Listener(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// A call that was received: an answer goes to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CallId(u64);

/// A call that waits for its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    pub id: CallId,
    /// The host's number of the thread that made it; zero if the supervisor's PID namespace has
    /// none.
    pub thread: i32,
    pub number: i32,
    /// Made through the 32-bit interface.
    pub compat: bool,
    /// Behind the instruction that made it.
    pub ip: u64,
    pub args: [u64; 6],
}

/// The supervisor's end. It polls readable when there is a call to receive, and hung up when no
/// thread is under the filter any more (Linux 5.9).
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl Listener {
    /// Sleeps until there is a call, and takes it. EINTR when a signal came first. ENOENT when the
    /// call that woke us has ended meanwhile, which is no reason to stop; or, on hosts that do not
    /// sleep on then, when no thread is under the filter any more: [`Listener::is_over`] tells.
    pub fn receive(&self) -> Result<Call> {
        // The host wants it to be zero.
        let mut notice = Roomy::<libc::seccomp_notif>::zeroed();
        // SAFETY: it has room for the host's structure, as `probe` has found.
        unsafe { self.ioctl(libc::SECCOMP_IOCTL_NOTIF_RECV, (&raw mut notice).cast()) }?;
        let libc::seccomp_notif { id, pid, data, .. } = notice.known;
        Ok(Call {
            id: CallId(id),
            thread: pid as i32,
            number: data.nr,
            compat: data.arch != seccomp::X86_64,
            ip: data.instruction_pointer,
            args: data.args,
        })
    }

    /// Ends a call with a result. ENOENT when it has ended already, EINPROGRESS when it was
    /// answered and its thread has not gone on yet.
    pub fn answer(&self, call: CallId, result: Result<u64>) -> Result<()> {
        let mut answer = Roomy::<libc::seccomp_notif_resp>::zeroed();
        answer.known.id = call.0;
        match result {
            Ok(value) => answer.known.val = value.cast_signed(),
            Err(errno) => answer.known.error = -errno.raw(),
        }
        // SAFETY: it is as long as the host's structure at least, as `probe` has found.
        unsafe { self.ioctl(libc::SECCOMP_IOCTL_NOTIF_SEND, (&raw mut answer).cast()) }
    }

    /// Whether a call that was received still waits. While it does, its thread's number and memory
    /// are those that it was made from: look after reading them.
    pub fn is_waiting(&self, call: CallId) -> bool {
        let mut id = call.0;
        // SAFETY: the request reads one number.
        unsafe { self.ioctl(libc::SECCOMP_IOCTL_NOTIF_ID_VALID, (&raw mut id).cast()) }.is_ok()
    }

    /// Whether each side wakes the other on its own CPU, as who is about to sleep itself
    /// (SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP). EINVAL before Linux 6.6.
    pub fn wake_on_same_cpu(&self, yes: bool) -> Result<()> {
        let flags = if yes { SYNC_WAKE_UP } else { 0 };
        // SAFETY: the request takes a plain number, not an address.
        unsafe { self.ioctl(libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, std::ptr::without_provenance_mut(flags as usize)) }
    }

    /// Whether no thread is under the filter any more, so that no call will come.
    pub fn is_over(&self) -> bool {
        let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: 0, revents: 0 };
        // SAFETY: one structure, and no waiting.
        unsafe { libc::poll(&raw mut poll, 1, 0) };
        poll.revents & libc::POLLHUP != 0
    }

    /// Whether there is a call to receive now, or soon; false as well when its threads have ended.
    pub fn is_ready_within(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        loop {
            let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            let left = deadline.saturating_duration_since(Instant::now());
            // SAFETY: one structure.
            match unsafe { libc::poll(&raw mut poll, 1, left.as_millis() as i32) } {
                -1 if Errno::last() == Errno::EINTR => {}
                count => return count == 1 && poll.revents & libc::POLLIN != 0,
            }
        }
    }

    /// # Safety
    /// The request must find at `argument` what it asks for.
    unsafe fn ioctl(&self, request: libc::Ioctl, argument: *mut libc::c_void) -> Result<()> {
        // SAFETY: as the caller promises.
        Errno::check(i64::from(unsafe { libc::ioctl(self.0.as_raw_fd(), request, argument) }))?;
        Ok(())
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Listener> for OwnedFd {
    fn from(listener: Listener) -> OwnedFd {
        listener.0
    }
}

impl Listener {
    /// Takes over a descriptor of this process by its number, which somebody told who is not
    /// trusted. EINVAL if it is no listener.
    ///
    /// # Safety
    /// Nothing else owns it, if it is one.
    pub unsafe fn adopt(fd: i32) -> Result<Listener> {
        if fd < 0 {
            return Err(Errno::EINVAL);
        }
        // SAFETY: a descriptor that is no listener's is not closed below.
        let listener = ManuallyDrop::new(Listener(unsafe { OwnedFd::from_raw_fd(fd) }));
        let mut nothing = 0u64;
        // SAFETY: the request reads one number. Other kinds of files do not have it.
        match unsafe { listener.ioctl(libc::SECCOMP_IOCTL_NOTIF_ID_VALID, (&raw mut nothing).cast()) } {
            Err(Errno::ENOENT) => Ok(ManuallyDrop::into_inner(listener)),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// Closes the listeners of this process whose threads have all ended, but those with these numbers.
///
/// # Safety
/// Nothing owns the others.
pub unsafe fn close_ended_but(known: &BTreeSet<i32>) {
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return };
    for entry in open.flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let is_listener =
            || std::fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str() == "anon_inode:seccomp notify");
        if let Some(fd) = number.filter(|fd| !known.contains(fd))
            && is_listener()
        {
            // SAFETY: as the caller promises.
            let listener = ManuallyDrop::new(Listener(unsafe { OwnedFd::from_raw_fd(fd) }));
            if listener.is_over() {
                drop(ManuallyDrop::into_inner(listener));
            }
        }
    }
}

/// A listener that has come from the thread that installed its filter.
impl From<OwnedFd> for Listener {
    fn from(fd: OwnedFd) -> Listener {
        Listener(fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::IntoRawFd;
    use std::sync::mpsc;
    use std::thread;

    const FILTER: [Instruction; 4] = seccomp::only(libc::SYS_getppid, seccomp::NOTIFY);

    /// A thread under the filter that makes calls, whose results or errors it returns.
    fn caller(calls: u64) -> Option<(Listener, thread::JoinHandle<Vec<Result<i64>>>)> {
        if let Err(errno) = probe() {
            eprintln!("not tested, there is no user notification: {errno}");
            return None;
        }
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || {
            // SAFETY: nothing but the calls below is notified of.
            sender.send(unsafe { install(&FILTER) }).unwrap();
            let call = |i: u64| {
                // SAFETY: the call takes no arguments; the filter's listener sees these numbers.
                Errno::check(unsafe { libc::syscall(libc::SYS_getppid, i, 2u64, 3u64, 4u64, 5u64, u64::MAX) })
            };
            (0..calls).map(call).collect()
        });
        Some((receiver.recv().unwrap().unwrap(), thread))
    }

    /// A thread is joined a little before the host has it give up its filter.
    fn await_end(listener: &Listener) {
        let start = Instant::now();
        while !listener.is_over() {
            assert!(start.elapsed() < Duration::from_secs(10), "the filter has an owner");
            thread::yield_now();
        }
    }

    #[test]
    fn calls_arrive_whole_and_get_their_answers() {
        let Some((listener, thread)) = caller(4) else { return };
        let answers = [Ok(0), Ok(u64::MAX - 5000), Err(Errno::EOVERFLOW), Ok(41)];
        for (i, answer) in answers.into_iter().enumerate() {
            let call = listener.receive().unwrap();
            assert_eq!((i64::from(call.number), call.compat), (libc::SYS_getppid, false));
            assert_eq!(call.args, [i as u64, 2, 3, 4, 5, u64::MAX]);
            assert_ne!((call.ip, call.thread), (0, 0));
            assert!(listener.is_waiting(call.id));
            listener.answer(call.id, answer).unwrap();
            let again = listener.answer(call.id, answer);
            assert!(matches!(again, Err(Errno::ENOENT | Errno::EINPROGRESS)), "{again:?}");
            assert!(!listener.is_waiting(call.id));
        }
        assert_eq!(thread.join().unwrap(), answers.map(|answer| answer.map(u64::cast_signed)));
        await_end(&listener);
    }

    #[test]
    fn a_call_without_a_supervisor_fails() {
        let Some((listener, thread)) = caller(1) else { return };
        assert!(!listener.is_over());
        drop(listener);
        assert_eq!(thread.join().unwrap(), [Err(Errno::ENOSYS)]);
    }

    #[test]
    fn a_listener_is_told_from_other_files() {
        let Some((listener, thread)) = caller(0) else { return };
        thread.join().unwrap();
        let fd = OwnedFd::from(listener).into_raw_fd();
        let other = std::fs::File::open("/dev/null").unwrap();
        // SAFETY: nothing owns the first; the other is no listener.
        unsafe {
            assert_eq!(Listener::adopt(other.as_raw_fd()).err(), Some(Errno::EINVAL));
            assert_eq!(Listener::adopt(-1).err(), Some(Errno::EINVAL));
            await_end(&Listener::adopt(fd).unwrap());
        }
    }

    #[test]
    fn a_thread_has_one_listener() {
        let Some((listener, thread)) = caller(0) else { return };
        thread.join().unwrap();
        await_end(&listener);
        let twice = thread::spawn(|| {
            // SAFETY: no call is made that is notified of.
            let [first, second] = [(), ()].map(|()| unsafe { install(&FILTER) });
            assert!(first.is_ok());
            assert_eq!(second.err(), Some(Errno::EBUSY));
        });
        twice.join().unwrap();
    }
}
