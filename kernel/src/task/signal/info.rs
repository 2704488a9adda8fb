//! What is told about a signal: the kernel's siginfo, 128 bytes.

use crate::Pid;
use crate::mm::user::{bytes_of, bytes_of_mut};
use abi::number::Low;

/// The siginfo of sigaction(2) in its ABI layout. Which fields hold depends on signal and code;
/// they begin at byte 16.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SigInfo {
    words: [u32; 32],
}

impl SigInfo {
    pub const SIZE: usize = 128;

    /// Signal and code alone.
    pub fn new(signal: i32, code: i32) -> SigInfo {
        let mut words = [0; 32];
        words[0] = signal.cast_unsigned();
        words[2] = code.cast_unsigned();
        SigInfo { words }
    }

    /// Sent by the kernel itself, with nothing more to say (SI_KERNEL).
    pub fn kernel(signal: i32) -> SigInfo {
        SigInfo::new(signal, abi::SI_KERNEL)
    }

    /// From kill(2).
    pub fn kill(signal: i32, sender: Pid, uid: u32) -> SigInfo {
        SigInfo::new(signal, abi::SI_USER).with_sender(sender, uid)
    }

    /// From tkill(2) or tgkill(2).
    pub fn tgkill(signal: i32, sender: Pid, uid: u32) -> SigInfo {
        SigInfo::new(signal, abi::SI_TKILL).with_sender(sender, uid)
    }

    /// From rt_sigqueueinfo(2) as sigqueue(3) uses it, and from kernel parts that pass a value on.
    pub fn queue(signal: i32, code: i32, sender: Pid, uid: u32, value: u64) -> SigInfo {
        let mut info = SigInfo::new(signal, code).with_sender(sender, uid);
        info.set_long(6, value);
        info
    }

    /// SIGCHLD. `code` is CLD_*, `status` the exit code or the signal, the times in clock ticks
    /// (1/100 s).
    pub fn child(signal: i32, code: i32, pid: Pid, uid: u32, status: i32, utime: i64, stime: i64) -> SigInfo {
        let mut info = SigInfo::new(signal, code).with_sender(pid, uid);
        info.words[6] = status.cast_unsigned();
        info.set_long(8, utime.cast_unsigned());
        info.set_long(10, stime.cast_unsigned());
        info
    }

    /// A fault of the thread itself.
    pub fn fault(signal: i32, code: i32, addr: u64) -> SigInfo {
        let mut info = SigInfo::new(signal, code);
        info.set_long(4, addr);
        info
    }

    /// Expiration of a POSIX timer.
    pub fn timer(signal: i32, timer: i32, value: u64) -> SigInfo {
        let mut info = SigInfo::new(signal, abi::SI_TIMER);
        info.words[4] = timer.cast_unsigned();
        info.set_long(6, value);
        info
    }

    /// SIGIO and kin, with a descriptor (fcntl(2), F_SETSIG): `code` is POLL_*, `band` the poll
    /// events.
    pub fn poll(signal: i32, code: i32, band: i64, fd: i32) -> SigInfo {
        let mut info = SigInfo::new(signal, code);
        info.set_long(4, band.cast_unsigned());
        info.words[6] = fd.cast_unsigned();
        info
    }

    /// SIGSYS of a refused system call.
    pub fn sys(code: i32, call_addr: u64, syscall: i32, arch: u32) -> SigInfo {
        let mut info = SigInfo::new(abi::SIGSYS, code);
        info.set_long(4, call_addr);
        info.words[6] = syscall.cast_unsigned();
        info.words[7] = arch;
        info
    }

    fn with_sender(mut self, pid: Pid, uid: u32) -> SigInfo {
        self.words[4] = pid.cast_unsigned();
        self.words[5] = uid;
        self
    }

    fn set_long(&mut self, word: usize, value: u64) {
        self.words[word] = value.low_u32();
        self.words[word + 1] = (value >> 32) as u32;
    }

    pub fn signal(&self) -> i32 {
        self.words[0].cast_signed()
    }

    pub fn set_signal(&mut self, signal: i32) {
        self.words[0] = signal.cast_unsigned();
    }

    pub fn set_code(&mut self, code: i32) {
        self.words[2] = code.cast_unsigned();
    }

    pub fn errno(&self) -> i32 {
        self.words[1].cast_signed()
    }

    pub fn code(&self) -> i32 {
        self.words[2].cast_signed()
    }

    /// si_pid, where the code has one.
    pub fn pid(&self) -> Pid {
        self.words[4].cast_signed()
    }

    /// si_uid, where the code has one.
    pub fn uid(&self) -> u32 {
        self.words[5]
    }

    /// si_status of SIGCHLD; si_fd of SIGIO.
    pub fn status(&self) -> i32 {
        self.words[6].cast_signed()
    }

    /// si_addr of a fault; si_band of SIGIO.
    pub fn addr(&self) -> u64 {
        self.long(4)
    }

    /// si_value of a queued signal or timer.
    pub fn value(&self) -> u64 {
        self.long(6)
    }

    /// si_timerid of a timer.
    pub fn timer_id(&self) -> i32 {
        self.words[4].cast_signed()
    }

    /// si_overrun of a timer.
    pub fn overrun(&self) -> i32 {
        self.words[5].cast_signed()
    }

    pub fn set_overrun(&mut self, count: i32) {
        self.words[5] = count.cast_unsigned();
    }

    /// si_utime and si_stime of SIGCHLD.
    pub fn times(&self) -> (i64, i64) {
        (self.long(8).cast_signed(), self.long(10).cast_signed())
    }

    fn long(&self, word: usize) -> u64 {
        u64::from(self.words[word]) | u64::from(self.words[word + 1]) << 32
    }

    /// Whether a process, not the kernel, caused it (SI_FROMUSER).
    pub fn from_user(&self) -> bool {
        self.code() <= 0
    }

    /// The bytes a guest sees.
    pub fn bytes(&self) -> &[u8] {
        bytes_of(&self.words)
    }

    /// From a guest's bytes: any are a siginfo.
    pub fn from_bytes(bytes: &[u8; SigInfo::SIZE]) -> SigInfo {
        let mut words = [0u32; 32];
        bytes_of_mut(&mut words).copy_from_slice(bytes);
        SigInfo { words }
    }
}

impl std::fmt::Debug for SigInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigInfo").field("signal", &self.signal()).field("code", &self.code()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(unsafe_code)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_that_of_libc() {
        let as_libc = |info: &SigInfo| {
            assert_eq!(info.bytes().len(), size_of::<libc::siginfo_t>());
            // SAFETY: as many bytes as it has, and any are a value of it.
            unsafe { info.bytes().as_ptr().cast::<libc::siginfo_t>().read_unaligned() }
        };
        let child = as_libc(&SigInfo::child(abi::SIGCHLD, abi::CLD_KILLED, 12, 34, 9, 5, 6));
        // SAFETY: the fields of a SIGCHLD, which was just built.
        let got = unsafe { (child.si_pid(), child.si_uid(), child.si_status(), child.si_utime(), child.si_stime()) };
        assert_eq!((child.si_signo, child.si_code), (abi::SIGCHLD, abi::CLD_KILLED));
        assert_eq!(got, (12, 34, 9, 5, 6));
        let queued = as_libc(&SigInfo::queue(40, abi::SI_QUEUE, 1, 2, 0x1234_5678_9abc));
        // SAFETY: a queued signal has a value.
        assert_eq!(unsafe { queued.si_value() }.sival_ptr as u64, 0x1234_5678_9abc);
        let fault = as_libc(&SigInfo::fault(abi::SIGSEGV, 1, 0xdead_beef_0000));
        // SAFETY: a fault has an address.
        assert_eq!(unsafe { fault.si_addr() } as u64, 0xdead_beef_0000);
    }
}
