//! What the benchmarks measure: `benches/*.rs` hand it to criterion, the programs in `src/bin` compare.

pub mod codec;
