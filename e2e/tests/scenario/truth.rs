//! What the master says over REST, and what is due of it: worked out here, from nothing but the manual's words.

use e2e::Buildmaster;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Names of results by Buildbot's codes.
const RESULTS: [&str; 7] =
    ["success", "warnings", "failure", "skipped", "exception", "retry", "cancelled"];
/// Results that have a mode of mail: `passing`, `warnings`, `failing`, `exception`.
const MAILED: [&str; 4] = ["success", "warnings", "failure", "exception"];

/// A build that has ended.
#[derive(Debug)]
pub struct Build {
    pub builder: String,
    pub number: u64,
    pub result: &'static str,
    pub request: u64,
    /// The commit that was asked for.
    pub revision: String,
    /// Number, whether it began, and the result, if it ended.
    steps: Vec<(u64, bool, Option<u64>)>,
}

/// A buildset, and the last build of each of its requests.
#[derive(Debug)]
struct Buildset {
    revision: String,
    last: Vec<usize>,
}

/// Everything that the master has.
#[derive(Debug)]
pub struct Truth {
    /// In the order in which they began.
    pub builds: Vec<Build>,
    buildsets: BTreeMap<u64, Buildset>,
    requests: BTreeSet<u64>,
    changes: BTreeSet<u64>,
}

fn number(row: &Value, field: &str) -> u64 {
    row[field].as_u64().unwrap_or_else(|| panic!("{field} of {row}"))
}

impl Truth {
    /// Reads it, from a master that is done.
    pub async fn read(master: &Buildmaster) -> Self {
        let list = async |path: &str, kind: &str| master.list(path, kind).await.unwrap();
        let builders = list("builders", "builders").await;
        let name = |id: u64| {
            let of_id = builders.iter().find(|builder| number(builder, "builderid") == id);
            of_id.unwrap()["name"].as_str().unwrap().to_owned()
        };
        let rows = list("buildrequests?limit=5000&order=buildrequestid", "buildrequests").await;
        let requests = rows.iter().map(|row| number(row, "buildrequestid")).collect();
        let set_of: BTreeMap<u64, u64> = rows
            .iter()
            .map(|row| (number(row, "buildrequestid"), number(row, "buildsetid")))
            .collect();
        let mut buildsets: BTreeMap<u64, Buildset> = list("buildsets?limit=5000", "buildsets")
            .await
            .iter()
            .map(|row| {
                let revision = row["sourcestamps"][0]["revision"].as_str().unwrap().to_owned();
                (number(row, "bsid"), Buildset { revision, last: Vec::new() })
            })
            .collect();
        let mut builds: Vec<Build> = Vec::new();
        for row in list("builds?limit=5000&order=buildid", "builds").await {
            let steps = format!("builds/{}/steps?order=number", row["buildid"]);
            let step = |row: &Value| {
                let ended = !row["complete_at"].is_null();
                let result = ended.then(|| number(row, "results"));
                (number(row, "number"), !row["started_at"].is_null(), result)
            };
            let steps = list(&steps, "steps").await.iter().map(step).collect();
            let request = number(&row, "buildrequestid");
            let set = buildsets.get_mut(&set_of[&request]).unwrap();
            set.last.retain(|at| builds[*at].request != request);
            set.last.push(builds.len());
            builds.push(Build {
                builder: name(number(&row, "builderid")),
                number: number(&row, "number"),
                result: RESULTS[usize::try_from(number(&row, "results")).unwrap()],
                request,
                revision: set.revision.clone(),
                steps,
            });
        }
        let rows = list("changes?limit=5000", "changes").await;
        let changes = rows.iter().map(|row| number(row, "changeid")).collect();
        Self { builds, buildsets, requests, changes }
    }

    /// The builds of mails about every result that has a mode.
    pub fn mailed(&self) -> BTreeSet<String> {
        let due = self.builds.iter().filter(|build| MAILED.contains(&build.result));
        due.map(Build::line).collect()
    }

    /// The builds of mails of the mode `change`: another result than the build before.
    pub fn changed(&self) -> BTreeSet<String> {
        let before = |build: &Build| {
            let earlier = self.builds.iter().filter(|b| b.builder == build.builder);
            earlier.filter(|b| b.number < build.number).max_by_key(|b| b.number)
        };
        let due = self.builds.iter().filter(|b| before(b).is_some_and(|e| e.result != b.result));
        due.map(Build::line).collect()
    }

    /// Packets of builds, steps, requests, buildsets and changes, in words.
    pub fn packets(&self) -> BTreeSet<String> {
        let mut due = BTreeSet::new();
        for build in &self.builds {
            let Build { builder, number, result, .. } = build;
            due.insert(format!("buildStarted {builder} {number}"));
            due.insert(format!("buildFinished {builder} {number} {result}"));
            for (step, began, result) in &build.steps {
                if *began {
                    due.insert(format!("stepStarted {builder} {number} {step}"));
                }
                if let Some(result) = result {
                    due.insert(format!("stepFinished {builder} {number} {step} {result}"));
                }
            }
        }
        due.extend(self.requests.iter().map(|id| format!("requestSubmitted {id}")));
        due.extend(self.buildsets.keys().map(|id| format!("buildsetSubmitted {id}")));
        due.extend(self.changes.iter().map(|id| format!("changeAdded {id}")));
        due
    }

    /// What GitHub is told of each commit and context, in order: each build is pending and then what
    /// became of it.
    pub fn statuses(&self) -> BTreeMap<(String, String), Vec<String>> {
        let mut due: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for build in &self.builds {
            let end = match build.result {
                "success" => "success",
                "failure" => "failure",
                _ => "error",
            };
            let page = build.page();
            let context = format!("buildbot/{}", build.builder);
            let told = due.entry((build.revision.clone(), context)).or_default();
            told.extend([format!("pending {page}"), format!("{end} {page}")]);
        }
        due
    }

    /// Reviews of single builds: commit and text.
    pub fn reviews(&self) -> BTreeSet<(String, String)> {
        self.builds.iter().map(|build| (build.revision.clone(), build.line())).collect()
    }

    /// Summaries of buildsets: commit, and the text with its vote as Gerrit shows them.
    pub fn summaries(&self) -> BTreeSet<(String, String)> {
        let summary = |set: &Buildset| {
            let mut last: Vec<&Build> = set.last.iter().map(|at| &self.builds[*at]).collect();
            last.sort_by(|a, b| a.builder.cmp(&b.builder));
            let vote = if last.iter().all(|build| build.result == "success") { "+1" } else { "-1" };
            let lines: Vec<String> = last.into_iter().map(Build::line).collect();
            (set.revision.clone(), format!("Verified{vote} {}", lines.join("; ")))
        };
        self.buildsets.values().map(summary).collect()
    }
}

impl Build {
    /// Builder, number and result.
    fn line(&self) -> String {
        format!("{}|{}|{}", self.builder, self.number, self.result)
    }

    /// Where its page would be.
    fn page(&self) -> String {
        let builder = model::segment(&self.builder);
        format!("http://status.example.org/builders/{builder}/builds/{}", self.number)
    }
}

/// The name of a result.
pub fn result(code: &Value) -> &'static str {
    let code = code.as_u64().and_then(|code| usize::try_from(code).ok());
    code.and_then(|code| RESULTS.get(code).copied()).unwrap_or("none")
}
