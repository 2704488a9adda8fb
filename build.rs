//! Links `uml`.

fn main() {
    umlab_link::uml("uml");
}
