//! skas: the core in its own address space.
