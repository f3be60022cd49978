//! `docs/metrics.md` lists the figures that the program exports, and no others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use prometheus::{core::Collector, proto::MetricType};
use std::{cell::RefCell, collections::BTreeMap};

/// By name: type and labels, as the page has them in its second and third column.
type Figures = BTreeMap<String, (String, String)>;

fn exported() -> Figures {
    let figures = RefCell::new(Figures::new());
    let take = |collector: Box<dyn Collector>| {
        // A collector without values yet has a family without metrics, which has a type all the same.
        for (desc, family) in collector.desc().into_iter().zip(collector.collect()) {
            let kind = match family.get_field_type() {
                MetricType::COUNTER => "counter",
                MetricType::GAUGE => "gauge",
                MetricType::HISTOGRAM => "histogram",
                other => panic!("{}: {other:?}", desc.fq_name),
            };
            let labels: Vec<_> = desc.variable_labels.iter().map(|l| format!("`{l}`")).collect();
            let row = (kind.to_owned(), labels.join(", "));
            assert!(figures.borrow_mut().insert(desc.fq_name.clone(), row).is_none());
        }
        Ok(())
    };
    master::Metrics::build("", take).unwrap();
    feed::Metrics::build("", take).unwrap();
    delivery::Metrics::build("", take).unwrap();
    figures.into_inner()
}

#[test]
fn the_page_of_metrics_lists_exactly_what_is_exported() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let page = std::fs::read_to_string(path).unwrap();
    let documented: Figures = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [_, name, kind, labels, _unit, meaning, _] = cells[..] else {
                panic!("a row has five cells: {line}")
            };
            assert!(!meaning.is_empty(), "{line}");
            (name.trim_matches('`').to_owned(), (kind.to_owned(), labels.to_owned()))
        })
        .collect();
    assert_eq!(documented, exported());
}
