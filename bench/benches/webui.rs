//! How long the waterfall takes: from the view in memory to HTML.
//!
//! `cargo bench -p bench --bench webui`. Bytes and boxes of each page are printed first.
#![allow(missing_docs, clippy::print_stderr)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::Timestamp;
use std::hint::black_box;
use webui::{
    Ask, Query, Site,
    testing::{self, NOW},
    view::View,
    waterfall,
};

fn with<T>(view: &View, site: &Site, query: &str, ask: impl FnOnce(&Ask<'_>) -> T) -> T {
    let query = Query::parse(query);
    let ask_of =
        Ask { view, site, query: &query, root: "./", path: "waterfall", theme: None, now: NOW };
    ask(&ask_of)
}

fn site() -> Option<Site> {
    let spec = serde_json::json!({ "masterRef": { "name": "m" } });
    Site::new(serde_json::from_value(spec).ok()?).ok()
}

fn waterfalls(criterion: &mut Criterion) {
    let Some(site) = site() else { return };
    for (name, builders, builds, query) in [
        ("default, 8 builders", 8, 60, ""),
        ("24 builders", 24, 100, "num_events=2000"),
        ("20 builders x 200 builds x 8 steps", 20, 200, "num_events=100000"),
    ] {
        let view = testing::site(builders, builds, 8, Timestamp(NOW.0));
        let made = with(&view, &site, query, waterfall::page);
        let Ok(made) = made else { continue };
        let html = made.html();
        let packed: usize = view.builds().map(|b| b.packed_len()).sum();
        eprintln!(
            "{name}: {} boxes, {} bytes of HTML; {packed} bytes of packed builds",
            made.boxes(),
            html.len()
        );
        let mut group = criterion.benchmark_group(name);
        group.sample_size(20);
        group.throughput(Throughput::Bytes(html.len() as u64));
        group.bench_function("until the first byte", |b| {
            b.iter(|| black_box(with(&view, &site, query, waterfall::page).is_ok()));
        });
        group.bench_function("whole page", |b| {
            b.iter(|| with(&view, &site, query, waterfall::page).map(|made| made.html().len()));
        });
        group.finish();
    }
}

criterion_group!(benches, waterfalls);
criterion_main!(benches);
