//! Encoding and decoding one message event, on both wires and as others do it, for texts of several sizes.
//!
//! `cargo bench -p benches --bench codec`, or `… -- decode/256` for a part of it.
//! `cargo run --release -p benches --bin codec` measures the same in turns, and holds it against the goals.

use std::time::Duration;

use benches::codec::{Candidate, Size, decoders, encoders};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn encode(c: &mut Criterion) {
    measure(c, "encode", encoders);
}

fn decode(c: &mut Criterion) {
    measure(c, "decode", decoders);
}

fn measure(c: &mut Criterion, what: &str, candidates: fn(Size) -> Vec<Candidate>) {
    for size in Size::ALL {
        let mut group = c.benchmark_group(format!("{what}/{size}"));
        group.throughput(Throughput::Bytes(size.bytes() as u64));
        for mut candidate in candidates(size) {
            group.bench_function(candidate.name, |b| b.iter_custom(|iterations| candidate.run(iterations)));
        }
    }
}

criterion_group! {
    name = codec;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = encode, decode
}
criterion_main!(codec);
