//! chom-bundle.
fn main() {}
