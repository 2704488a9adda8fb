//! Links `uml` statically, as a position-independent program.
//!
//! Models in which the core lies in every guest's address space need all of it in one piece at the
//! top, which is where the host loads such a program. The usual switch for it, `crt-static`, holds
//! for a whole target and so for build scripts and macros too, which cannot be static. Here the
//! linker is shown the static libraries under the names that it is asked for.

use std::{env, fs, path::Path};

fn main() {
    let out = env::var("OUT_DIR").expect("cargo says where to");
    let libraries = ["c", "m", "dl", "rt", "util", "pthread"].map(|name| (name, name));
    for (asked, given) in libraries.into_iter().chain([("gcc_s", "gcc_eh")]) {
        let script = format!("INPUT ( -l:lib{given}.a )\n");
        fs::write(Path::new(&out).join(format!("lib{asked}.so")), script).expect("writing into our own directory");
    }
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bin=uml=-L{out}");
    println!("cargo:rustc-link-arg-bin=uml=-static-pie");
}
