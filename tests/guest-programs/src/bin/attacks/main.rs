//! Attacks of a guest process on other guest processes and on the guest kernel, one for each way that was ever found open.
//!
//! Usage: attacks NAME | attacks (to list the names)
//!
//! Prints `held` and ends with 0 when nothing got through, else a line that says what did, and ends with 1. An attack that ends or
//! freezes the guest kernel prints nothing of the kind. `tests/attacks.rs` runs each of them in every model.
//!
//! An attack is a module with a function, and a line in [`ATTACKS`] and in the table of `tests/attacks.rs`. It has at most 20 seconds and 1 GiB, begins as
//! root of the guest, and repeats itself where it is a race.

mod stale;
mod tools;

/// What got through, if anything did.
type Verdict = Result<(), String>;

const ATTACKS: &[(&str, fn() -> Verdict)] = &[("stale_pages", stale::pages)];

fn main() {
    let Some(name) = std::env::args().nth(1) else {
        return ATTACKS.iter().for_each(|(name, _)| println!("{name}"));
    };
    let Some((_, attack)) = ATTACKS.iter().find(|(known, _)| *known == name) else {
        eprintln!("there is no attack '{name}'");
        std::process::exit(2);
    };
    match attack() {
        Ok(()) => println!("held"),
        Err(got_through) => {
            println!("{got_through}");
            std::process::exit(1);
        }
    }
}
