//! Messages of the guest kernel to the person who runs it, on standard error.

use std::sync::atomic::{AtomicU8, Ordering};

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
