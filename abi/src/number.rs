//! Numbers as registers and memory carry them.
//!
//! A register has 64 bits, and most arguments have fewer: a kernel takes the low ones, with their
//! sign (System V ABI, x86-64, 3.2.3 and A.2). A conversion that drops or reinterprets bits stands
//! here under a name, so that no `as` in the kernel can do so by mistake.

/// The low bits of a number that a register, or a field wider than its meaning, holds.
pub trait Low: Copy {
    fn low_u8(self) -> u8;
    fn low_u16(self) -> u16;
    fn low_u32(self) -> u32;
    /// As a C `int`.
    fn low_i32(self) -> i32;
    /// As a C `short`.
    fn low_i16(self) -> i16;
}

macro_rules! low {
    ($($number:ty),*) => {$(
        #[allow(clippy::cast_lossless, clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]
        impl Low for $number {
            #[inline]
            fn low_u8(self) -> u8 {
                self as u8
            }
            #[inline]
            fn low_u16(self) -> u16 {
                self as u16
            }
            #[inline]
            fn low_u32(self) -> u32 {
                self as u32
            }
            #[inline]
            fn low_i32(self) -> i32 {
                self as i32
            }
            #[inline]
            fn low_i16(self) -> i16 {
                self as i16
            }
        }
    )*};
}

low!(u16, i16, u32, i32, u64, i64, usize);

/// A length or an index of the guest's as one of the kernel's: the same number, as both have 64
/// bits.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "usize has 64 bits on x86-64")]
pub const fn to_usize(number: u64) -> usize {
    const { assert!(size_of::<usize>() == size_of::<u64>()) }
    number as usize
}

/// A signed number as a register carries it: extended with its sign.
#[inline]
pub fn extended(number: impl Into<i64>) -> u64 {
    number.into().cast_unsigned()
}

/// What stands before the point of a number that is not negative.
#[inline]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn whole(number: f64) -> u64 {
    number as u64
}

/// A count as a C `int` that a program reads: the most that fits if it is more.
#[inline]
pub fn saturated_i32(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// A count as a signed number that a program reads: the most that fits if it is more.
#[inline]
pub fn saturated_i64(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_bits_keep_their_sign() {
        assert_eq!(0xffff_ffff_ffff_fffe_u64.low_i32(), -2);
        assert_eq!(0x1_0000_0003_u64.low_u32(), 3);
        assert_eq!((-1i32).low_u16(), 0xffff);
    }

    #[test]
    fn a_sign_is_extended() {
        assert_eq!(extended(-1i32), u64::MAX);
        assert_eq!(extended(7u8), 7);
    }

    #[test]
    fn what_follows_the_point_is_cut() {
        assert_eq!(whole(2.9), 2);
    }

    #[test]
    fn counts_stop_at_the_most() {
        assert_eq!(saturated_i32(1 << 40), i32::MAX);
        assert_eq!(saturated_i64(u64::MAX), i64::MAX);
    }
}
