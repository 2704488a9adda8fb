//! Options at the level SOL_SOCKET (socket(7)).

use super::Socket;
use crate::lock::KCell;
use crate::mm::user::{bytes_of, zeroed};
use crate::{Errno, Result};
use abi::number::saturated_i32;
use smallvec::SmallVec;
use umlab_abi::socket::Linger;
use umlab_abi::time::Timeval;

/// The bytes of an option, as getsockopt(2) copies them.
pub type OptionValue = SmallVec<[u8; 16]>;

/// net.core.wmem_default, rmem_default and their maxima.
const DEFAULT_BUFFER: usize = 212_992;
const MAX_BUFFER: usize = 212_992;
const MIN_SEND_BUFFER: usize = 4608;
const MIN_RECEIVE_BUFFER: usize = 2304;

/// Options that are only remembered, because nothing here depends on them: they take and give an
/// int that is 0 or 1.
const REMEMBERED: &[i32] = &[
    abi::SO_REUSEADDR,
    abi::SO_KEEPALIVE,
    abi::SO_BROADCAST,
    abi::SO_DONTROUTE,
    abi::SO_OOBINLINE,
    abi::SO_REUSEPORT,
    abi::SO_NO_CHECK,
];

/// What every socket keeps.
#[derive(Default)]
pub struct Common {
    settings: KCell<Settings>,
}

#[derive(Clone, Copy)]
struct Settings {
    send_buffer: usize,
    receive_buffer: usize,
    /// Nanoseconds; None waits for ever.
    send_timeout: Option<u64>,
    receive_timeout: Option<u64>,
    pass_credentials: bool,
    low_water: i32,
    priority: i32,
    linger: Linger,
    remembered: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            send_buffer: DEFAULT_BUFFER,
            receive_buffer: DEFAULT_BUFFER,
            send_timeout: None,
            receive_timeout: None,
            pass_credentials: false,
            low_water: 1,
            priority: 0,
            linger: Linger { l_onoff: 0, l_linger: 0 },
            remembered: 0,
        }
    }
}

impl Common {
    pub fn send_buffer(&self) -> usize {
        self.settings.borrow().send_buffer
    }

    pub fn receive_buffer(&self) -> usize {
        self.settings.borrow().receive_buffer
    }

    pub fn send_timeout(&self) -> Option<u64> {
        self.settings.borrow().send_timeout
    }

    pub fn receive_timeout(&self) -> Option<u64> {
        self.settings.borrow().receive_timeout
    }

    pub fn pass_credentials(&self) -> bool {
        self.settings.borrow().pass_credentials
    }

    /// SO_RCVLOWAT.
    pub fn low_water(&self) -> usize {
        self.settings.borrow().low_water.max(1).cast_unsigned() as usize
    }

    /// A copy of the options, for the socket that accept(2) makes.
    pub fn inherit(&self) -> Common {
        Common { settings: KCell::new(*self.settings.borrow()) }
    }
}

/// The value as an int option.
pub fn int(value: i32) -> OptionValue {
    SmallVec::from_slice(&value.to_ne_bytes())
}

/// An option's bytes as an int; EINVAL when they are too few.
pub fn parse_int(value: &[u8]) -> Result<i32> {
    let bytes = value.get(..4).ok_or(Errno::EINVAL)?;
    Ok(i32::from_ne_bytes(bytes.try_into().map_err(|_| Errno::EINVAL)?))
}

/// getsockopt(2).
///
/// # Errors
/// ENOPROTOOPT for an option that does not exist, EOPNOTSUPP for a level the family does not have.
pub fn get(socket: &dyn Socket, level: i32, name: i32) -> Result<OptionValue> {
    if let Some(result) = socket.option(level, name) {
        return result;
    }
    if level != abi::SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP);
    }
    let settings = *socket.common().settings.borrow();
    Ok(match name {
        abi::SO_TYPE => int(socket.kind()),
        abi::SO_DOMAIN => int(socket.domain()),
        abi::SO_PROTOCOL => int(socket.protocol()),
        abi::SO_ERROR => int(socket.take_error().map_or(0, Errno::raw)),
        abi::SO_ACCEPTCONN => int(i32::from(socket.listening())),
        abi::SO_SNDBUF => int(saturated_i32(settings.send_buffer)),
        abi::SO_RCVBUF => int(saturated_i32(settings.receive_buffer)),
        abi::SO_RCVTIMEO => timeout_value(settings.receive_timeout),
        abi::SO_SNDTIMEO => timeout_value(settings.send_timeout),
        abi::SO_PASSCRED => int(i32::from(settings.pass_credentials)),
        abi::SO_RCVLOWAT => int(settings.low_water),
        abi::SO_SNDLOWAT => int(1),
        abi::SO_PRIORITY => int(settings.priority),
        abi::SO_LINGER => SmallVec::from_slice(bytes_of(&settings.linger)),
        _ => match REMEMBERED.iter().position(|&n| n == name) {
            Some(bit) => int((settings.remembered >> bit & 1).cast_signed()),
            None => return Err(Errno::ENOPROTOOPT),
        },
    })
}

/// How much of a value to be set is looked at.
pub fn value_size(level: i32, name: i32) -> usize {
    match (level, name) {
        (abi::SOL_SOCKET, abi::SO_RCVTIMEO | abi::SO_SNDTIMEO) => size_of::<Timeval>(),
        (abi::SOL_SOCKET, abi::SO_LINGER) => size_of::<Linger>(),
        _ => size_of::<i32>(),
    }
}

/// setsockopt(2).
///
/// # Errors
/// As `get`; EINVAL for a value that is too short, EDOM for a time that makes no sense.
pub fn set(socket: &dyn Socket, level: i32, name: i32, value: &[u8]) -> Result<()> {
    if let Some(result) = socket.set_option(level, name, value) {
        return result;
    }
    if level != abi::SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP);
    }
    let number = parse_int(value)?;
    let mut settings = socket.common().settings.borrow_mut();
    match name {
        abi::SO_SNDBUF | abi::SO_SNDBUFFORCE => settings.send_buffer = buffer_size(number, MIN_SEND_BUFFER),
        abi::SO_RCVBUF | abi::SO_RCVBUFFORCE => settings.receive_buffer = buffer_size(number, MIN_RECEIVE_BUFFER),
        abi::SO_RCVTIMEO => settings.receive_timeout = parse_timeout(value)?,
        abi::SO_SNDTIMEO => settings.send_timeout = parse_timeout(value)?,
        abi::SO_PASSCRED => settings.pass_credentials = number != 0,
        abi::SO_RCVLOWAT => settings.low_water = if number < 0 { i32::MAX } else { number.max(1) },
        abi::SO_PRIORITY => settings.priority = number,
        abi::SO_LINGER => {
            let bytes = value.get(..size_of::<Linger>()).ok_or(Errno::EINVAL)?;
            let mut linger: Linger = zeroed();
            crate::mm::user::bytes_of_mut(&mut linger).copy_from_slice(bytes);
            linger.l_onoff = i32::from(linger.l_onoff != 0);
            settings.linger = linger;
        }
        abi::SO_TYPE | abi::SO_DOMAIN | abi::SO_PROTOCOL | abi::SO_ERROR | abi::SO_ACCEPTCONN => {
            return Err(Errno::ENOPROTOOPT);
        }
        _ => {
            let bit = REMEMBERED.iter().position(|&n| n == name).ok_or(Errno::ENOPROTOOPT)?;
            settings.remembered = settings.remembered & !(1 << bit) | u32::from(number != 0) << bit;
        }
    }
    Ok(())
}

/// Twice what was asked, for what is stored beside the bytes, within the limits.
fn buffer_size(asked: i32, min: usize) -> usize {
    let asked = usize::try_from(asked).map_or(MAX_BUFFER, |asked| asked.min(MAX_BUFFER));
    (asked * 2).max(min)
}

fn timeout_value(timeout: Option<u64>) -> OptionValue {
    let ns = timeout.unwrap_or(0);
    let (sec, usec) = (ns / 1_000_000_000, ns % 1_000_000_000 / 1000);
    SmallVec::from_slice(bytes_of(&[sec, usec]))
}

fn parse_timeout(value: &[u8]) -> Result<Option<u64>> {
    let word = |at: usize| -> Result<i64> {
        let bytes = value.get(at..at + 8).ok_or(Errno::EINVAL)?;
        Ok(i64::from_ne_bytes(bytes.try_into().map_err(|_| Errno::EINVAL)?))
    };
    let (sec, usec) = (word(0)?, word(8)?);
    if !(0..1_000_000).contains(&usec) {
        return Err(Errno::EDOM);
    }
    if sec < 0 {
        // Linux: no waiting at all.
        return Ok(Some(0));
    }
    if sec == 0 && usec == 0 {
        return Ok(None);
    }
    Ok(sec.cast_unsigned().checked_mul(1_000_000_000).and_then(|ns| ns.checked_add(usec.cast_unsigned() * 1000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts() {
        let value = |sec: i64, usec: i64| parse_timeout(bytes_of(&[sec, usec]));
        assert_eq!(value(0, 0), Ok(None));
        assert_eq!(value(1, 5), Ok(Some(1_000_005_000)));
        assert_eq!(value(-1, 0), Ok(Some(0)));
        assert_eq!(value(0, 1_000_000), Err(Errno::EDOM));
        assert_eq!(value(i64::MAX, 0), Ok(None), "longer than any clock runs");
        assert_eq!(parse_timeout(&[0; 8]), Err(Errno::EINVAL));
    }

    #[test]
    fn buffers_are_doubled() {
        assert_eq!(buffer_size(0, MIN_SEND_BUFFER), 4608);
        assert_eq!(buffer_size(10_000, MIN_SEND_BUFFER), 20_000);
        assert_eq!(buffer_size(i32::MAX, MIN_SEND_BUFFER), 425_984);
    }
}
