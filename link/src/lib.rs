//! How `uml` is linked: statically, as a position-independent program. For build scripts.
//!
//! Models in which the core lies in every guest's address space need all of it in one piece at the
//! top, which is where the host loads such a program. The usual switch for it, `crt-static`, holds
//! for a whole target and so for build scripts and macros too, which cannot be static. Here the
//! linker is shown the static libraries under the names that it is asked for.

#![forbid(unsafe_code)]

use std::{env, fs, path::Path};

/// Called by the build script (`build.rs`) of a package whose program of this name calls
/// `umlab::uml`.
///
/// # Panics
/// Not called by a build script, or the package's output directory cannot be written.
pub fn uml(program: &str) {
    let out = env::var("OUT_DIR").expect("cargo gives build scripts a directory");
    let libraries = ["c", "m", "dl", "rt", "util", "pthread"].map(|name| (name, name));
    for (asked, given) in libraries.into_iter().chain([("gcc_s", "gcc_eh")]) {
        let script = format!("INPUT ( -l:lib{given}.a )\n");
        fs::write(Path::new(&out).join(format!("lib{asked}.so")), script).expect("our own directory can be written");
    }
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bin={program}=-L{out}");
    println!("cargo:rustc-link-arg-bin={program}=-static-pie");
}
