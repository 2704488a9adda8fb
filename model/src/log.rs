//! Messages of the guest kernel to the person who runs it, on standard error.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Error as u8);

/// Shows messages up to `level`.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

#[inline]
pub fn enabled(level: Level) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

pub fn write(level: Level, message: std::fmt::Arguments<'_>) {
    use std::io::Write;
    // The guest may have the terminal in raw mode: the carriage returns are ours.
    let _ = write!(std::io::stderr(), "uml: {level:?}: {message}\r\n");
}

/// `log!(Warn, "...", ...)`: the message is only made when it is shown.
#[macro_export]
macro_rules! log {
    ($level:ident, $($message:tt)*) => {
        if $crate::log::enabled($crate::log::Level::$level) {
            $crate::log::write($crate::log::Level::$level, format_args!($($message)*));
        }
    };
}

/// As `log!`, for what a guest can bring about as often as it likes: each place in the code is
/// shown some times only.
#[macro_export]
macro_rules! log_few {
    ($level:ident, $($message:tt)*) => {{
        static SHOWN: ::std::sync::atomic::AtomicU32 = ::std::sync::atomic::AtomicU32::new(0);
        if $crate::log::enabled($crate::log::Level::$level) && $crate::log::is_one_of_few(&SHOWN) {
            $crate::log::write($crate::log::Level::$level, format_args!($($message)*));
        }
    }};
}

/// Whether a message that was written `shown` times is to be written again.
pub fn is_one_of_few(shown: &AtomicU32) -> bool {
    const FEW: u32 = 10;
    shown.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < FEW).then_some(n + 1)).is_ok()
}
