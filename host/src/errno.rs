//! Error numbers, one type for what the host tells us and what the guest is told.
//!
//! The numbers are those of Linux on x86-64 (errno(3)), so a host error can be handed to a guest as
//! it is.

use std::fmt;

pub type Result<T> = std::result::Result<T, Errno>;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(u16);

macro_rules! errnos {
    ($($name:ident)*) => {
        impl Errno {
            $(pub const $name: Errno = Errno(libc::$name as u16);)*

            /// The symbolic name, as errno(3) spells it.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Errno::$name => Some(stringify!($name)),)*
                    Errno::ERESTARTSYS => Some("ERESTARTSYS"),
                    Errno::ERESTARTNOINTR => Some("ERESTARTNOINTR"),
                    Errno::ERESTARTNOHAND => Some("ERESTARTNOHAND"),
                    Errno::ERESTART_RESTARTBLOCK => Some("ERESTART_RESTARTBLOCK"),
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST
    EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE
    EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP ENOMSG EIDRM ENODATA ETIME EBADMSG EOVERFLOW EILSEQ EUSERS
    ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT
    EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN
    ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EDQUOT
    ELIBBAD ENOMEDIUM EMEDIUMTYPE ECANCELED EOWNERDEAD ENOTRECOVERABLE
}

impl Errno {
    // Never seen by a guest: how a system call that a signal interrupted asks to be restarted (see
    // `signal`).
    /// Restart if the handler has SA_RESTART, else EINTR.
    pub const ERESTARTSYS: Errno = Errno(512);
    /// Restart always.
    pub const ERESTARTNOINTR: Errno = Errno(513);
    /// Restart only when no handler runs.
    pub const ERESTARTNOHAND: Errno = Errno(514);
    /// Like `ERESTARTNOHAND`, through restart_syscall(2) with what the task keeps in its restart
    /// block.
    pub const ERESTART_RESTARTBLOCK: Errno = Errno(516);

    /// Whether it is one of ERESTART*.
    pub fn is_restart(self) -> bool {
        (512..=516).contains(&self.0)
    }

    pub fn from_raw(number: i32) -> Errno {
        Errno(number.unsigned_abs() as u16)
    }

    pub fn raw(self) -> i32 {
        i32::from(self.0)
    }

    /// The calling thread's errno.
    pub fn last() -> Errno {
        Errno::from_raw(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
    }

    /// The result of a host call made without the C library: errors are small negative numbers.
    pub fn check_raw(result: i64) -> Result<i64> {
        if (-4095..0).contains(&result) { Err(Errno::from_raw(-result as i32)) } else { Ok(result) }
    }

    /// A host call's result: -1 means errno.
    pub fn check(result: i64) -> Result<i64> {
        if result == -1 { Err(Errno::last()) } else { Ok(result) }
    }
}

impl From<std::io::Error> for Errno {
    fn from(e: std::io::Error) -> Self {
        Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl From<rustix::io::Errno> for Errno {
    fn from(e: rustix::io::Errno) -> Self {
        Errno::from_raw(e.raw_os_error())
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

/// In words, and without an allocation: it may be a lack of memory that is told.
impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 128];
        // SAFETY: the call fills the buffer at most, and ends it with a zero byte.
        unsafe { libc::strerror_r(self.raw(), text.as_mut_ptr().cast(), text.len()) };
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        f.write_str(std::str::from_utf8(text).unwrap_or("unknown error"))
    }
}

impl std::error::Error for Errno {}
