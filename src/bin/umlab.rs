//! `umlab`, the testbed's command line.

fn main() {
    umlab::umlab(&[]);
}
