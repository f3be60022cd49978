//! What the master says of itself over REST.

use e2e::{Lab, wait_until};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A configured builder.
pub struct Builder {
    pub name: String,
    pub tags: Vec<String>,
    /// Whether one of its workers is connected.
    pub online: bool,
}

/// A build that has ended.
pub struct Build {
    pub builder: String,
    pub number: u64,
    /// When it ended, in seconds since 1970.
    pub end: i64,
    /// Buildbot's code, 0 to 6.
    pub results: u64,
    /// Of its source stamps; `None` where a stamp has none.
    pub branches: BTreeSet<Option<String>>,
    /// Of its source stamps, and its property `project`.
    pub projects: BTreeSet<String>,
    /// Authors and committers of changes that came with it for the first time, and of patches.
    pub people: BTreeSet<String>,
    /// The same of changes of earlier builds too. Of several builds that run side by side the one that ends first
    /// has the changes since the last success, so who belongs to a build is between the two.
    pub most: BTreeSet<String>,
    /// Steps of its configuration that are not hidden and began, with the names of their logs that hold something.
    pub steps: Vec<(String, Vec<String>)>,
}

impl Build {
    pub fn key(&self) -> (String, u64) {
        (self.builder.clone(), self.number)
    }
}

/// A change.
pub struct Change {
    pub id: u64,
    pub branch: Option<String>,
    pub people: BTreeSet<String>,
    pub when: i64,
}

/// Everything that the waterfall can show of a master at rest.
pub struct Truth {
    pub builders: Vec<Builder>,
    pub builds: Vec<Build>,
    pub changes: Vec<Change>,
}

async fn list(lab: &Lab, path: &str, kind: &str) -> Vec<Value> {
    // The master loses the end of an answer now and then.
    let answer = wait_until(path, Duration::from_secs(120), async || lab.get(path).await).await;
    answer[kind].as_array().unwrap_or_else(|| panic!("{path}: {answer}")).clone()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn people(change: &Value) -> BTreeSet<String> {
    [text(&change["author"]), text(&change["committer"])].into_iter().flatten().collect()
}

/// Changes of a build by codebase: from the last successful build on, as the master lists them.
type Listed = BTreeMap<String, BTreeSet<u64>>;

/// The listed changes that no earlier build of the builder had before; one of the same head had the same.
fn news(listed: &Listed, earlier: &[Listed]) -> BTreeSet<u64> {
    let of = |(codebase, ids): (&String, &BTreeSet<u64>)| {
        let before =
            earlier.iter().filter_map(|e| e.get(codebase)).filter(|e| e.last() != ids.last());
        let had: BTreeSet<u64> = before.flatten().copied().collect();
        ids.difference(&had).copied().collect::<Vec<_>>()
    };
    listed.iter().flat_map(of).collect()
}

async fn steps(lab: &Lab, build: &Value) -> Vec<(String, Vec<String>)> {
    let mut shown = Vec::new();
    for step in list(lab, &format!("builds/{}/steps", build["buildid"]), "steps").await {
        // The master prepares the worker in a step that nobody configured.
        let own = step["name"] == "worker_preparation";
        if own || step["hidden"] == true || step["started_at"].is_null() {
            continue;
        }
        let logs = list(lab, &format!("steps/{}/logs", step["stepid"]), "logs").await;
        let full = logs.iter().filter(|log| log["num_lines"] != 0);
        shown.push((text(&step["name"]).unwrap(), full.filter_map(|l| text(&l["name"])).collect()));
    }
    shown
}

impl Truth {
    /// Asks a master that nothing runs on.
    pub async fn ask(lab: &Lab) -> Self {
        let workers = list(lab, "workers", "workers").await;
        let online = |builder: &Value| {
            let is_on = |place: &Value| place["builderid"] == *builder;
            workers
                .iter()
                .filter(|w| w["connected_to"].as_array().is_some_and(|to| !to.is_empty()))
                .any(|w| w["configured_on"].as_array().is_some_and(|on| on.iter().any(is_on)))
        };
        let mut names = BTreeMap::new();
        let mut builders = Vec::new();
        for row in list(lab, "builders", "builders").await {
            let name = text(&row["name"]).unwrap();
            names.insert(row["builderid"].as_u64().unwrap(), name.clone());
            if row["masterids"].as_array().is_some_and(|ids| !ids.is_empty()) {
                let tags = row["tags"].as_array().unwrap().iter().filter_map(text).collect();
                builders.push(Builder { name, tags, online: online(&row["builderid"]) });
            }
        }
        let rows = |kind: &'static str, key: &'static str| async move {
            let all = list(lab, &format!("{kind}?limit=5000"), kind).await;
            all.into_iter().map(|r| (r[key].as_u64().unwrap(), r)).collect::<BTreeMap<u64, Value>>()
        };
        let requests = rows("buildrequests", "buildrequestid").await;
        let sets = rows("buildsets", "bsid").await;
        let path = "builds?complete=true&property=project&order=buildid&limit=5000";
        let changes = list(lab, "changes?limit=5000", "changes").await;
        let mut earlier: BTreeMap<String, Vec<Listed>> = BTreeMap::new();
        let mut builds = Vec::new();
        for row in list(lab, path, "builds").await {
            let request = &requests[&row["buildrequestid"].as_u64().unwrap()];
            let set = &sets[&request["buildsetid"].as_u64().unwrap()];
            let mut build = Build {
                builder: names[&row["builderid"].as_u64().unwrap()].clone(),
                number: row["number"].as_u64().unwrap(),
                end: row["complete_at"].as_i64().unwrap(),
                results: row["results"].as_u64().unwrap(),
                branches: BTreeSet::new(),
                projects: text(&row["properties"]["project"][0]).into_iter().collect(),
                people: BTreeSet::new(),
                most: BTreeSet::new(),
                steps: steps(lab, &row).await,
            };
            for stamp in set["sourcestamps"].as_array().unwrap() {
                build.people.extend(text(&stamp["patch"]["author"]));
                build.branches.insert(text(&stamp["branch"]));
                build.projects.extend(text(&stamp["project"]));
            }
            let mut listed = Listed::new();
            let path = format!("builds/{}/changes", row["buildid"]);
            for change in list(lab, &path, "changes").await {
                let codebase = change["codebase"].as_str().unwrap().to_owned();
                listed.entry(codebase).or_default().insert(change["changeid"].as_u64().unwrap());
            }
            let earlier = earlier.entry(build.builder.clone()).or_default();
            let news = news(&listed, earlier);
            let is_new = |c: &&Value| c["changeid"].as_u64().is_some_and(|id| news.contains(&id));
            build.people.extend(changes.iter().filter(is_new).flat_map(people));
            let ids: BTreeSet<u64> = match listed.is_empty() {
                true => BTreeSet::new(),
                false => earlier
                    .iter()
                    .chain([&listed])
                    .flat_map(Listed::values)
                    .flatten()
                    .copied()
                    .collect(),
            };
            let is_listed = |c: &&Value| c["changeid"].as_u64().is_some_and(|id| ids.contains(&id));
            build.most.extend(changes.iter().filter(is_listed).flat_map(people));
            build.most.extend(build.people.iter().cloned());
            earlier.push(listed);
            builds.push(build);
        }
        let changes = changes.iter().map(|row| Change {
            id: row["changeid"].as_u64().unwrap(),
            branch: text(&row["branch"]),
            people: people(row),
            when: row["when_timestamp"].as_i64().unwrap(),
        });
        Self { builders, builds, changes: changes.collect() }
    }
}
