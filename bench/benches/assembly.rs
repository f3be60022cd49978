//! How long frames take: from the websocket's text to observations, and from there to events.
//!
//! `cargo bench -p bench --bench assembly`. The frames are those of the recording in `e2e/`.
#![allow(
    missing_docs,
    clippy::print_stderr,
    clippy::expect_used,
    reason = "criterion has no other end"
)]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use master::{Assembler, Known, Observation, Recording};
use std::hint::black_box;

fn assembly(criterion: &mut Criterion) {
    let [frames, builds, collections] = bench::recorded::capture().expect("it is unpacked");
    let recording = Recording::from_capture(&frames, &builds, &collections).expect("it is read");
    let seen: Vec<Observation> = recording.observations().cloned().collect();
    let mut assembler = Assembler::new(Known::default());
    let events: usize = seen.iter().map(|o| assembler.observe(o.clone()).events.len()).sum();
    eprintln!(
        "{} frames, {} observations, {events} events, {} builds",
        frames.lines().count(),
        seen.len(),
        recording.builds()
    );

    let mut group = criterion.benchmark_group("frames");
    group.sample_size(20);
    group.throughput(Throughput::Elements(frames.lines().count() as u64));
    group.bench_function("from text to a recording, assembled once", |b| {
        b.iter(|| black_box(Recording::from_capture(&frames, &builds, &collections).is_ok()));
    });
    group.throughput(Throughput::Elements(seen.len() as u64));
    group.bench_function("from observations to events", |b| {
        b.iter_batched(
            || seen.clone(),
            |seen| {
                let mut assembler = Assembler::new(Known::default());
                seen.into_iter().map(|o| assembler.observe(o).events.len()).sum::<usize>()
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, assembly);
criterion_main!(benches);
