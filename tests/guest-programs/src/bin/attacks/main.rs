//! Attacks of a guest process on other guest processes and on the guest kernel, one for each way
//! that was ever found open.
//!
//! Usage: attacks NAME | attacks (to list the names)
//!
//! Prints `held` and ends with 0 when nothing got through, else a line that says what did, and ends
//! with 1. An attack that ends or freezes the guest kernel prints nothing of the kind.
//! `tests/attacks.rs` runs each of them in every model.
//!
//! An attack is a module with a function, and a line in [`ATTACKS`] and in the table of
//! `tests/attacks.rs`. It has at most 20 seconds and 1 GiB, begins as root of the guest, and
//! repeats itself where it is a race. A filler of memory has little of that, and the host's is
//! measured.

mod bounds;
mod endless;
mod entry;
mod fill;
mod frames;
mod leavings;
mod shootdown;
mod stale;
mod tools;
mod traces;
mod vdso;

/// What got through, if anything did.
type Verdict = Result<(), String>;

const ATTACKS: &[(&str, fn() -> Verdict)] = &[
    ("flags", entry::flags),
    ("frames_of_others", entry::frames_of_others),
    ("left_runners", leavings::runners),
    ("pages_of_the_model", traces::pages_of_the_model),
    ("registers", traces::registers),
    ("stale_pages", stale::pages),
    ("vdso_code", vdso::code),
    ("empty_ranges", frames::empty_ranges),
    ("zero_device", frames::zero_device),
    ("stale_window", shootdown::stale_window),
    ("borrowed_pipe", shootdown::borrowed_pipe),
    ("endless_faults", endless::faults),
    ("epoll_chain", bounds::epoll_chain),
    ("epoll_layers", bounds::epoll_layers),
    ("nested_mounts", bounds::nested_mounts),
    ("huge_mincore", bounds::huge_mincore),
    ("long_transfers", bounds::long_transfers),
    ("fill_links", fill::links),
    ("fill_symlinks", fill::symlinks),
    ("fill_absent_names", fill::absent_names),
    ("fill_attributes", fill::attributes),
    ("fill_open_directories", fill::open_directories),
    ("fill_watches", fill::watches),
    ("fill_descriptor_tables", fill::descriptor_tables),
    ("fill_touched_late", fill::touched_late),
    ("fill_forked_copies", fill::forked_copies),
];

/// Instead of an attack's name: this is a fresh program, which shows what it has for a vDSO.
const FRESH_VDSO: &str = "--fresh-vdso";

fn main() {
    let Some(name) = std::env::args().nth(1) else {
        return ATTACKS.iter().for_each(|(name, _)| println!("{name}"));
    };
    if name == FRESH_VDSO {
        return vdso::fresh_program();
    }
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
