//! ptrace(2), as far as process models use it.
