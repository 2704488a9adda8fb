//! Files, as the kernel sees them whatever holds them: inodes, names, mounts, open files, locks,
//! permission.

pub mod anon;
pub mod async_io;
pub mod attributes;
pub mod context;
pub mod dentry;
pub mod device;
pub mod directory;
pub mod display;
pub mod exec;
pub mod fdtable;
pub mod file;
pub mod inode;
pub mod locks;
pub mod mapped;
pub mod mount;
pub mod namei;
pub mod notify;
pub mod open;
pub mod path;
pub mod permission;
pub mod transfer;
pub mod upcall;
pub mod walk;
pub mod watchers;
pub mod write_access;

pub use context::FsContext;
pub use fdtable::FdTable;
pub use path::Path;
