//! linux/xattr.h: setxattr(2).

pub const XATTR_CREATE: i32 = 1;
pub const XATTR_REPLACE: i32 = 2;
