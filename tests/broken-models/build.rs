fn main() {
    umlab_link::uml("broken-uml");
}
