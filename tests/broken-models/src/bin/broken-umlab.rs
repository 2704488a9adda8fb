//! `umlab` with the broken models.

fn main() {
    umlab::umlab(broken_models::MODELS);
}
