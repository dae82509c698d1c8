//! The `rtm` binary.
fn main() {}
