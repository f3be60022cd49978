//! A build that has everything, for trying what users write before there is a build.

use crate::{BuildContext, Site};
use model::{
    Build, BuilderRef, Buildset, Change, Links, Log, Outcome, Patch, SourceStamp, Step, StepUrl,
    Timestamp, WorkerId, WorkerRef,
};

/// A build with this outcome in which all is set that a build may have, but properties: those may be of any
/// type.
pub fn sample(outcome: Outcome) -> Build {
    let some = || Some("sample".to_owned());
    let log = Log { name: "stdio".to_owned(), lines: 1, ..Log::default() };
    let step = Step {
        name: "compile".to_owned(),
        outcome: Some(outcome),
        started_at: Some(Timestamp(0)),
        complete_at: Some(Timestamp(1)),
        urls: vec![StepUrl { name: "report".to_owned(), url: "http://localhost/".to_owned() }],
        logs: vec![log],
        ..Step::default()
    };
    let stamp = SourceStamp {
        branch: some(),
        revision: some(),
        patch: Some(Patch::default()),
        ..SourceStamp::default()
    };
    let change = Change {
        author: "Ann <ann@example.org>".to_owned(),
        committer: some(),
        branch: some(),
        revision: some(),
        revlink: some(),
        category: some(),
        files: vec!["README".to_owned()],
        ..Change::default()
    };
    Build {
        builder: BuilderRef { tags: vec!["sample".to_owned()], ..BuilderRef::default() },
        worker: Some(WorkerRef { id: WorkerId(1), name: "worker".into() }),
        complete_at: Some(Timestamp(1)),
        outcome: Some(outcome),
        previous: Some(Outcome::Success),
        buildset: Buildset { scheduler: some(), source_stamps: vec![stamp], ..Buildset::default() },
        changes: vec![change],
        steps: vec![step],
        ..Build::default()
    }
}

impl BuildContext {
    /// Of [`sample`].
    pub fn sample(outcome: Outcome) -> Self {
        let links = Some(Links::web_status("http://localhost/"));
        let mut context = Self::new(&sample(outcome), &Site { links, ..Site::default() });
        // What is taken from properties.
        context.owners = vec!["ann".to_owned()];
        context.projects = vec!["project".to_owned()];
        for stamp in &mut context.source_stamps {
            stamp.got_revision = Some("sample".to_owned());
        }
        context
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn unset(value: &Value, path: &str, all: &mut Vec<String>) {
        match value {
            Value::Null => all.push(path.to_owned()),
            Value::Array(items) if items.is_empty() => all.push(path.to_owned()),
            Value::Array(items) => items.iter().for_each(|item| unset(item, path, all)),
            Value::Object(fields) => {
                fields
                    .iter()
                    .for_each(|(name, value)| unset(value, &format!("{path}.{name}"), all));
            }
            _ => {}
        }
    }

    #[test]
    fn the_sample_has_a_value_in_every_field() {
        let mut all = Vec::new();
        let context = serde_json::to_value(BuildContext::sample(Outcome::Failure));
        unset(&context.unwrap_or_default(), "", &mut all);
        assert_eq!(all, Vec::<String>::new());
    }
}
