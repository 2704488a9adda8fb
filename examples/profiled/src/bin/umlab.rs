//! `umlab` with this model.

fn main() {
    umlab::umlab(profiled::MODELS);
}
