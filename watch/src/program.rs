//! Where the programs lie that run in guests.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The program of this name that was built for guests, for the `umlab` at this path.
///
/// # Errors
/// It is not built.
pub fn guest_program(umlab: &Path, name: &str) -> Result<PathBuf> {
    let profile = umlab.parent().unwrap_or(Path::new("/"));
    let places = [
        // Where scripts/guest-programs builds it, static, so that the host, guests with any root
        // and peers can run the same file.
        profile.join("../guest-programs/x86_64-unknown-linux-gnu/release").join(name),
        profile.join(name),
    ];
    let found = places.iter().find_map(|path| path.canonicalize().ok());
    found.with_context(|| {
        format!("the program {name}, which runs in guests, is not built; build it: scripts/guest-programs")
    })
}
