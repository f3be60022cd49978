//! Which changes a build is about: from properties that Buildbot's Gerrit sources and steps set.

use model::Properties;
use serde_json::Value;

/// A patch set, as a build knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The project's name.
    pub project: String,
    /// The patch set's commit, in hexadecimal.
    pub revision: String,
    /// The change's number, where the build knows it: a commit may be in changes for two branches.
    pub change: Option<u64>,
}

/// The patch sets that a build with these properties is about; usually one or none.
///
/// What `repo` downloaded comes first, and alone where it is known; then the event of a
/// `GerritChangeSource`; then what 0.8's Gerrit step sets.
pub fn places(properties: &Properties) -> Vec<Place> {
    let of_repo = set(properties, "repo_downloads").zip(set(properties, "repo_downloaded"));
    if let Some((downloads, downloaded)) = of_repo {
        return repo(downloads, downloaded).unwrap_or_default();
    }
    event(properties).or_else(|| step(properties)).into_iter().collect()
}

/// The value of a property that is set and not null.
fn set<'a>(properties: &'a Properties, name: &str) -> Option<&'a Value> {
    properties.get(name).filter(|value| !value.is_null())
}

fn text<'a>(properties: &'a Properties, name: &str) -> Option<&'a str> {
    properties.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// `repo_downloads` lists `PROJECT CHANGE/PATCHSET`, and `repo_downloaded` has `CHANGE/PATCHSET
/// COMMIT` for each, in the same order. Where they disagree, nobody knows what was built.
fn repo(downloads: &Value, downloaded: &Value) -> Option<Vec<Place>> {
    let downloads = downloads.as_array()?;
    let downloaded: Vec<&str> = downloaded.as_str()?.split_whitespace().collect();
    if downloaded.len() != 2 * downloads.len() {
        return None;
    }
    let pairs = downloads.iter().zip(downloaded.chunks(2));
    pairs
        .map(|(download, got)| {
            let (project, change) = download.as_str()?.split_once(' ')?;
            if got.first() != Some(&change) {
                return None;
            }
            let number = change.split('/').next().and_then(|number| number.parse().ok());
            Place::new(project, got.last()?, number)
        })
        .collect()
}

/// Of Buildbot's `GerritChangeSource`, as its own `GerritStatusPush` reads it.
fn event(properties: &Properties) -> Option<Place> {
    set(properties, "event.change.id")?;
    let project = text(properties, "event.change.project")?;
    let revision = ["event.patchSet.revision", "got_revision", "revision"]
        .into_iter()
        .filter_map(|name| properties.get(name))
        .find(|value| !matches!(value, Value::Null) && value.as_str() != Some(""))?;
    // Of several codebases, the build says which one the change is of.
    let revision = match revision {
        Value::Object(all) => all.get(text(properties, "codebase")?)?.as_str()?,
        other => other.as_str()?,
    };
    let number = properties.text("event.change.number").and_then(|number| number.parse().ok());
    Place::new(project, revision, number)
}

/// Of 0.8's Gerrit step.
fn step(properties: &Properties) -> Option<Place> {
    set(properties, "gerrit_branch")?;
    Place::new(text(properties, "project")?, text(properties, "got_revision")?, None)
}

impl Place {
    /// `None` for what can't be a project or a commit: it would only make a broken question.
    fn new(project: &str, revision: &str, change: Option<u64>) -> Option<Self> {
        let odd = |c: char| c.is_control() || c == '"';
        let named = !project.is_empty() && !project.contains(odd);
        let commit = matches!(revision.len(), 40 | 64)
            && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
        (named && commit).then(|| Self {
            project: project.to_owned(),
            revision: revision.to_ascii_lowercase(),
            change,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::places;
    use model::{Properties, Property};
    use serde_json::{Value, json};

    const A: &str = "3819d5e801fcf438b5d6e86483ea574d032705a9";
    const B: &str = "aaaabbbbccccddddeeeeffff0000111122223333";

    /// `PROJECT COMMIT [CHANGE]` of each place.
    fn of(properties: &Value) -> Vec<String> {
        let all = properties.as_object().into_iter().flatten();
        let all = all.map(|(name, value)| (name.clone(), Property(value.clone(), "T".into())));
        let found = places(&Properties(all.collect()));
        let number = |n: Option<u64>| n.map_or(String::new(), |n| format!(" {n}"));
        found
            .into_iter()
            .map(|p| format!("{} {}{}", p.project, p.revision, number(p.change)))
            .collect()
    }

    #[test]
    fn g01_repo_downloads_make_one_review_a_pair() {
        let downloads = json!(["platform/build 12/3", "device/common 40/1"]);
        let both = json!({
            "repo_downloads": downloads, "repo_downloaded": format!("12/3 {A} 40/1 {B} "),
        });
        assert_eq!(of(&both), [format!("platform/build {A} 12"), format!("device/common {B} 40")]);
    }

    #[test]
    fn g01_repo_downloads_that_do_not_match_make_none_even_of_a_gerrit_build() {
        let downloads = json!(["platform/build 12/3", "device/common 40/1"]);
        for downloaded in [
            json!(format!("12/3 {A}")),
            json!(format!("12/3 {A} 41/1 {B}")),
            json!(format!("40/1 {B} 12/3 {A}")),
            json!(""),
            json!(7),
        ] {
            let properties = json!({
                "repo_downloads": downloads, "repo_downloaded": downloaded,
                "gerrit_branch": "refs/changes/01/1/1", "project": "demo", "got_revision": A,
            });
            assert_eq!(of(&properties), Vec::<String>::new(), "{downloaded}");
        }
        let odd =
            json!({ "repo_downloads": ["platform/build"], "repo_downloaded": format!("1/1 {A}") });
        assert_eq!(of(&odd), Vec::<String>::new());
    }

    #[test]
    fn g01_a_git_build_of_0_8_has_branch_project_and_got_revision() {
        let whole =
            json!({ "gerrit_branch": "refs/changes/01/1/1", "project": "demo", "got_revision": A });
        assert_eq!(of(&whole), [format!("demo {A}")]);
        for (name, value) in [
            ("gerrit_branch", Value::Null),
            ("project", Value::Null),
            ("project", json!("")),
            ("got_revision", Value::Null),
            ("got_revision", json!({ "": A })),
            ("got_revision", json!("1234")),
            ("got_revision", json!(format!("{A}'; gerrit ls-users"))),
        ] {
            let mut less = whole.clone();
            less[name] = value.clone();
            assert_eq!(of(&less), Vec::<String>::new(), "{name} {value}");
        }
    }

    #[test]
    fn g01_a_build_of_a_change_source_has_the_event() {
        let mut event = json!({
            "event.change.id": "I74c1", "event.change.project": "demo",
            "event.change.number": 7, "event.patchSet.revision": A, "got_revision": B,
            "revision": B, "gerrit_branch": "refs/changes/07/7/1", "project": "other",
        });
        assert_eq!(of(&event), [format!("demo {A} 7")]);
        event["event.patchSet.revision"] = Value::Null;
        event["event.change.number"] = json!("8");
        assert_eq!(of(&event), [format!("demo {B} 8")]);
        event["got_revision"] = json!({ "lib": A, "app": B });
        assert_eq!(of(&event), Vec::<String>::new(), "of which codebase?");
        event["codebase"] = json!("lib");
        assert_eq!(of(&event), [format!("demo {A} 8")]);
    }

    #[test]
    fn g01_other_builds_are_about_no_change() {
        assert_eq!(of(&json!({ "project": "demo", "got_revision": A })), Vec::<String>::new());
        let odd = json!({ "event.change.id": "I1", "event.change.project": "a\"b", "revision": A });
        assert_eq!(of(&odd), Vec::<String>::new());
    }
}
