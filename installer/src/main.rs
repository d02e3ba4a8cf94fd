//! chom-install.
fn main() {}
