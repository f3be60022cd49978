//! The dashboards are whole, and ask only for figures and labels that `docs/metrics.md` lists. That the queries
//! find something is seen in `e2e/tests/dashboards.rs`, and of the operator's in `e2e/tests/operator/`.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use regex::Regex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use support::{CHARTS, chart, names, read, repository};

/// Labels that Prometheus itself gives, and those of histograms.
const GIVEN: [&str; 3] = ["job", "instance", "le"];

fn dashboards() -> Vec<(String, Value)> {
    let folder = chart(CHARTS[1]).join("dashboards");
    let load = |name: String| {
        let text = read(&folder.join(&name));
        (name, serde_json::from_str(&text).unwrap())
    };
    names(&folder).into_iter().map(load).collect()
}

/// Labels by figure.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = read(&repository("docs/metrics.md"));
    let figures = charts::figures(&page).unwrap();
    let labels = |figure: charts::Figure| figure.labels.into_iter().chain(["master".to_owned()]);
    figures.into_iter().map(|(name, figure)| (name, labels(figure).collect())).collect()
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

#[test]
fn k06_panels_ask_for_documented_figures_by_documented_labels() {
    let documented = documented();
    let figure = Regex::new(r"\b((?:buildbot_status|process)_[a-z_]+)(?:\{([^}]*)\})?").unwrap();
    let matcher = Regex::new(r"([a-z]+) *(?:=~|!~|!=|=)").unwrap();
    let groups = Regex::new(r"\b(?:by|on|group_left) \(([^)]*)\)").unwrap();
    let legend = Regex::new(r"\{\{([a-z]+)\}\}").unwrap();
    let mut seen = 0;
    for (name, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            for target in panel["targets"].as_array().unwrap() {
                let expr = target["expr"].as_str().unwrap();
                let mut known: BTreeSet<String> = GIVEN.map(str::to_owned).into();
                for found in figure.captures_iter(expr) {
                    let full = &found[1];
                    let base =
                        ["_bucket", "_count", "_sum"].iter().find_map(|end| full.strip_suffix(end));
                    let labels = documented.get(full).or_else(|| documented.get(base?));
                    let labels =
                        labels.unwrap_or_else(|| panic!("{name}: {full} is not documented"));
                    for asked in matcher.captures_iter(found.get(2).map_or("", |m| m.as_str())) {
                        assert!(labels.contains(&asked[1]), "{name}: {full} has no {}", &asked[1]);
                    }
                    known.extend(labels.iter().cloned());
                    seen += 1;
                }
                let grouped = groups.captures_iter(expr).flat_map(|found| {
                    found[1].split(',').map(|label| label.trim().to_owned()).collect::<Vec<_>>()
                });
                let shown = target["legendFormat"].as_str().unwrap();
                let shown = legend.captures_iter(shown).map(|found| found[1].to_owned());
                for label in grouped.chain(shown) {
                    assert!(known.contains(&label), "{name}: {expr} has no label {label}");
                }
            }
        }
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn k06_each_panel_has_a_place_of_its_own_a_title_and_words_about_it() {
    for (name, dashboard) in dashboards() {
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            assert!(ids.insert(panel["id"].as_i64().unwrap()), "{name}: {title}");
            let [x, y, w, h] =
                ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_i64().unwrap());
            assert!(x + w <= 24, "{name}: {title} is out of the page");
            for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(place), "{name}: {title} is over another");
            }
            let row = panel["type"] == "row";
            assert!(
                row || panel["description"].as_str().is_some_and(|words| words.len() > 3),
                "{title}"
            );
        }
        for panel in panels(&dashboard) {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{name}: {}", panel["title"]);
        }
    }
}
