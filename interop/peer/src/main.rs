//! A user of the Rust client that another program drives over JSON lines.
fn main() {}
