//! Encoding and decoding one message event, on both wires and as others do it, for texts of several sizes.
//!
//! `cargo bench -p benches --bench codec`, or `… -- "decode, 256 B"` for a part of it.
//! `cargo run --release -p benches --bin compare -- --only codec` measures the same in turns, and holds it against the
//! goals.

use std::time::Duration;

use benches::codec::{Size, Way};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn codec(c: &mut Criterion) {
    for way in Way::ALL {
        for size in Size::ALL {
            let mut group = c.benchmark_group(format!("{way}, {size}"));
            group.throughput(Throughput::Bytes(size.bytes() as u64));
            for mut candidate in way.candidates(size) {
                group.bench_function(candidate.name, |b| b.iter_custom(|iterations| candidate.run(iterations)));
            }
        }
    }
}

criterion_group! {
    name = all;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = codec
}
criterion_main!(all);
