//! What the dashboards ask of Prometheus.

use serde_json::Value;
use std::path::Path;

/// A query of a panel, and the labels that its legend shows.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The panel's title.
    pub panel: String,
    /// The query, with Grafana's variables filled in.
    pub query: String,
    /// The labels.
    pub labels: Vec<String>,
}

impl Asked {
    /// Panics unless every series has the labels that the legend shows.
    pub fn check(&self, series: &[Value]) {
        for one in series {
            for label in &self.labels {
                let there = one["metric"][label].is_string();
                assert!(there, "{}: {label} is not in {one}", self.panel);
            }
        }
    }
}

/// All queries of a dashboard of the chart: `operator` or `targets`.
pub fn panels(dashboard: &str) -> Vec<Asked> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/buildbot-status-operator");
    let file = folder.join(format!("dashboards/{dashboard}.json"));
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut asked = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let legend = text(&target["legendFormat"]);
            let labels = legend.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
            let query = text(&target["expr"]);
            asked.push(Asked {
                panel: text(&panel["title"]),
                query: query.replace("$__rate_interval", "1m").replace("$master", ".*"),
                labels: labels.map(|(label, _)| label.to_owned()).collect(),
            });
        }
    }
    asked
}
