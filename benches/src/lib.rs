//! What the benchmarks measure: `benches/*.rs` hand it to criterion, the programs in `src/bin` compare and count.

pub mod clock;
pub mod codec;
pub mod machines;
