//! What GitHub keeps: statuses, check runs and Apps' tokens, and how it shows them.

use super::{Reply, description::Operation};
use model::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A token of everything but check runs, which only Apps may make.
pub const TOKEN: &str = "ghp_A1b2C3d4E5f6";

/// What there is.
#[derive(Debug)]
pub struct Kept {
    /// `OWNER/NAME`.
    pub repositories: BTreeSet<String>,
    /// In the order in which they came.
    pub statuses: Vec<Value>,
    pub runs: Vec<Value>,
    /// Tokens that hold, with what they may write and whether an App has them.
    pub tokens: BTreeMap<String, Rights>,
    /// Tokens that were made for an App.
    pub minted: usize,
    /// How long those hold, in seconds.
    pub lifetime: i64,
    base: String,
}

/// What a token is good for.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    app: bool,
    statuses: bool,
    checks: bool,
}

impl Kept {
    /// One repository, one token.
    pub fn new(base: &str) -> Self {
        let rights = Rights { statuses: true, checks: true, app: false };
        Self {
            repositories: ["example/project".to_owned()].into(),
            statuses: Vec::new(),
            runs: Vec::new(),
            tokens: [(TOKEN.to_owned(), rights)].into(),
            minted: 0,
            lifetime: 3600,
            base: base.to_owned(),
        }
    }

    /// Does what is asked.
    pub fn done(
        &mut self,
        operation: &Operation,
        token: &str,
        query: &BTreeMap<String, String>,
        body: &Value,
    ) -> Reply {
        let Some(rights) = self.tokens.get(token).cloned() else {
            return refusal(401, "Bad credentials", &[]);
        };
        let named = |name: &str| operation.named.get(name).cloned().unwrap_or_default();
        let repository = format!("{}/{}", named("owner"), named("repo"));
        if !self.repositories.contains(&repository) {
            return refusal(404, "Not Found", &[]);
        }
        let checks = operation.path.contains("check-runs");
        if checks && !rights.app {
            return refusal(403, "You must authenticate via a GitHub App.", &[]);
        }
        if !(if checks { rights.checks } else { rights.statuses }) {
            return refusal(403, "Resource not accessible by integration", &[]);
        }
        match operation.path.as_str() {
            "/repos/{owner}/{repo}/statuses/{sha}" => self.status(&repository, &named("sha"), body),
            "/repos/{owner}/{repo}/commits/{ref}/statuses" => {
                let mut own = of(&self.statuses, &repository, "sha", &named("ref"));
                own.reverse();
                Reply::json(200, page(&own, query).into())
            }
            "/repos/{owner}/{repo}/check-runs" => self.run(&repository, body),
            "/repos/{owner}/{repo}/check-runs/{check_run_id}" => {
                let id = named("check_run_id").parse::<u64>().ok();
                let runs = self.runs.iter_mut();
                let run = runs.filter(|run| run["_repository"] == repository);
                match run.into_iter().find(|run| run["id"].as_u64() == id) {
                    Some(run) => {
                        put(run, body);
                        Reply::json(200, shown(run))
                    }
                    None => refusal(404, "Not Found", &[]),
                }
            }
            "/repos/{owner}/{repo}/commits/{ref}/check-runs" => {
                let mut own = of(&self.runs, &repository, "head_sha", &named("ref"));
                own.reverse();
                own.retain(|run| query.get("check_name").is_none_or(|name| run["name"] == **name));
                if query.get("filter").map(String::as_str) != Some("all") {
                    own.truncate(1);
                }
                let runs = page(&own, query);
                Reply::json(200, json!({ "total_count": own.len(), "check_runs": runs }))
            }
            other => panic!("nobody serves {other}"),
        }
    }

    fn status(&mut self, repository: &str, sha: &str, body: &Value) -> Reply {
        let length = |key: &str| body[key].as_str().map_or(0, |text| text.chars().count());
        if !is_commit(sha) {
            return refusal(422, &format!("No commit found for SHA: {sha}"), &[]);
        }
        if length("description") > 140 {
            let text = "description is too long (maximum is 140 characters)";
            return refusal(422, "Validation Failed", &[text]);
        }
        if length("context") > 255 {
            let text = "context is too long (maximum is 255 characters)";
            return refusal(422, "Validation Failed", &[text]);
        }
        let (id, now) = (self.statuses.len() + 1, Timestamp::now().rfc3339());
        let mut status = json!({
            "_repository": repository,
            "sha": sha,
            "url": format!("{}/repos/{repository}/statuses/{sha}", self.base),
            "avatar_url": null,
            "id": id,
            "node_id": format!("S{id}"),
            "state": body["state"],
            "description": body["description"],
            "target_url": body["target_url"],
            "context": "default",
            "created_at": now,
            "updated_at": now,
            "creator": null,
        });
        if let Some(context) = body.get("context") {
            status["context"] = context.clone();
        }
        self.statuses.push(status.clone());
        Reply::json(201, shown(&status))
    }

    fn run(&mut self, repository: &str, body: &Value) -> Reply {
        let sha = body["head_sha"].as_str().unwrap_or_default();
        if !is_commit(sha) {
            return refusal(422, &format!("No commit found for SHA: {sha}"), &[]);
        }
        let id = self.runs.len() + 1;
        let mut run = json!({
            "_repository": repository,
            "id": id,
            "node_id": format!("C{id}"),
            "head_sha": sha,
            "external_id": null,
            "url": format!("{}/repos/{repository}/check-runs/{id}", self.base),
            "html_url": null,
            "details_url": null,
            "status": "queued",
            "conclusion": null,
            "started_at": null,
            "completed_at": null,
            "output": {
                "title": null,
                "summary": null,
                "text": null,
                "annotations_count": 0,
                "annotations_url": format!("{}/repos/{repository}/check-runs/{id}/annotations", self.base),
            },
            "name": body["name"],
            "check_suite": null,
            "app": null,
            "pull_requests": [],
        });
        put(&mut run, body);
        self.runs.push(run.clone());
        Reply::json(201, shown(&run))
    }

    /// A token for an App.
    pub fn mint(&mut self, body: &Value) -> Reply {
        let asked = |name: &str| body["permissions"].get(name).is_none_or(|right| right == "write");
        let some = body.get("permissions").is_some();
        let may = |name: &str| if some { body["permissions"].get(name).is_some() } else { true };
        let rights = Rights {
            app: true,
            statuses: may("statuses") && asked("statuses"),
            checks: may("checks") && asked("checks"),
        };
        self.minted += 1;
        let token = format!("ghs_installation{}", self.minted);
        self.tokens.insert(token.clone(), rights);
        let until = Timestamp(Timestamp::now().0 + self.lifetime).rfc3339();
        let answer = json!({
            "token": token,
            "expires_at": until,
            "permissions": body["permissions"],
            "repository_selection": "all",
        });
        Reply::json(201, answer)
    }
}

fn is_commit(sha: &str) -> bool {
    sha.len() == 40 && sha.bytes().all(|b| b.is_ascii_hexdigit())
}

fn of(all: &[Value], repository: &str, field: &str, sha: &str) -> Vec<Value> {
    let own = all.iter().filter(|one| one["_repository"] == repository && one[field] == *sha);
    own.map(shown).collect()
}

/// Without what is kept beside it.
fn shown(one: &Value) -> Value {
    let fields = one.as_object().into_iter().flatten();
    let fields = fields.filter(|(name, _)| *name != "_repository" && *name != "sha");
    Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
}

fn put(run: &mut Value, body: &Value) {
    for (name, value) in body.as_object().into_iter().flatten() {
        match value.as_object() {
            Some(parts) => parts.iter().for_each(|(part, value)| run[name][part] = value.clone()),
            None => run[name] = value.clone(),
        }
    }
}

fn page(all: &[Value], query: &BTreeMap<String, String>) -> Vec<Value> {
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
    let size = number("per_page").unwrap_or(30).min(100);
    let first = size * (number("page").unwrap_or(1) - 1);
    all.iter().skip(first).take(size).cloned().collect()
}

/// As GitHub says no.
pub fn refusal(status: u16, message: &str, errors: &[&str]) -> Reply {
    let mut body = json!({
        "message": message,
        "documentation_url": "https://docs.github.com/rest",
        "status": status.to_string(),
    });
    if !errors.is_empty() {
        let errors = errors.iter().map(|text| json!({ "code": "custom", "message": text }));
        body["errors"] = errors.collect();
    }
    Reply::json(status, body)
}
