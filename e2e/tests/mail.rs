//! Mails about a real master's builds: logs, patches, buildsets, people. What arrives is compared with
//! what the master says over REST.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::{FinishedBuild, Lab, Mail, Mailbox, Standalone, wait_until};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(300);

/// A notifier whose mails go to the list of its own name; `more` is lines of its spec.
fn notifier(name: &str, smtp: u16, more: &str) -> String {
    let mut text = format!(
        "---\napiVersion: statustargets.dev/v1alpha1\nkind: MailNotifier\nmetadata: {{name: {name}}}\n\
         spec:\n  masterRef: {{name: main}}\n  fromaddr: Bot <bot@example.org>\n  relayhost: 127.0.0.1\n  \
         smtpPort: {smtp}\n  extraRecipients: [{name}@example.org]\n  \
         subject: '%(builder)s|%(prop:buildnumber)s|%(result)s'\n"
    );
    for line in more.lines() {
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// The notifiers of the test.
fn notifiers(folder: &Path, smtp: u16) -> String {
    let people = folder.join("people.csv");
    fs::write(
        &people,
        "name,address\nines,ines@csv.example.org\nAmara Okafor,amara@csv.example.org\n",
    )
    .unwrap();
    let quiet = "sendToInterestedUsers: false\n";
    let results = "mode: [failing, passing, warnings, exception]\n";
    [
        notifier("logs", smtp, &format!("{quiet}{results}addLogs: true")),
        notifier(
            "named",
            smtp,
            &format!("{quiet}mode: [failing]\naddLogs: ['unit tests.stdio', errors]\naddPatch: false"),
        ),
        notifier(
            "small",
            smtp,
            &format!("{quiet}mode: [failing]\naddLogs: [stdio]\nlogLimits: {{perLog: 700, perMail: 1500}}"),
        ),
        notifier(
            "whole",
            smtp,
            &format!("{quiet}{results}buildSetSummary: true\naddLogs: ['failed tests']"),
        ),
        notifier(
            "html",
            smtp,
            &format!("{quiet}mode: [failing]\nmessageFormatter: {{builtin: htmlWithLog}}"),
        ),
        notifier("users", smtp, results),
        notifier("file", smtp, &format!("{results}lookup: {{file: {{path: {}}}}}", people.display())),
        notifier("branch", smtp, &format!("{quiet}mode: [problem]\npreviousBuildGetter: sameBranch")),
    ]
    .concat()
}

/// What arrived.
struct Arrived {
    /// By notifier.
    mails: BTreeMap<String, Vec<Value>>,
}

impl Arrived {
    fn new(mails: &[Mail]) -> Self {
        let mut by_name: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for mail in mails {
            let list = mail.header("List-Id");
            let name = list.trim_start_matches('<').split('.').next().unwrap().to_owned();
            by_name.entry(name).or_default().push(mail.read());
        }
        Self { mails: by_name }
    }

    fn of(&self, notifier: &str) -> &[Value] {
        self.mails.get(notifier).map_or(&[], Vec::as_slice)
    }

    /// The mail of a notifier about a build.
    fn about(&self, notifier: &str, build: &FinishedBuild) -> Option<&Value> {
        let begin = format!("{}|{}|", build.builder, build.number);
        self.of(notifier).iter().find(|mail| subject(mail).starts_with(&begin))
    }
}

fn subject(mail: &Value) -> &str {
    mail["headers"]["Subject"].as_str().unwrap()
}

fn body(mail: &Value) -> &str {
    mail["parts"][0]["text"].as_str().unwrap()
}

/// Names and texts of what is attached.
fn attached(mail: &Value) -> Vec<(&str, &str)> {
    let parts = mail["parts"].as_array().unwrap().iter().skip(1);
    parts.map(|part| (part["name"].as_str().unwrap(), part["text"].as_str().unwrap())).collect()
}

async fn list(lab: &Lab, path: &str, what: &str) -> Vec<Value> {
    lab.get(path).await.unwrap()[what].as_array().unwrap().clone()
}

/// What the master says of a build's buildset.
async fn buildset(lab: &Lab, build: &FinishedBuild) -> Value {
    let build = &list(lab, &format!("builds/{}", build.id), "builds").await[0];
    let request = format!("buildrequests/{}", build["buildrequestid"]);
    let request = &list(lab, &request, "buildrequests").await[0];
    list(lab, &format!("buildsets/{}", request["buildsetid"]), "buildsets").await.remove(0)
}

/// What the master says of a build's logs: `step.log` and the text without header lines.
async fn logs(lab: &Lab, build: u64) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for step in list(lab, &format!("builds/{build}/steps?order=number"), "steps").await {
        if step["hidden"] == true {
            continue;
        }
        for log in list(lab, &format!("steps/{}/logs?order=logid", step["stepid"]), "logs").await {
            let contents = lab.get(&format!("logs/{}/contents", log["logid"])).await.unwrap();
            let text = contents["logchunks"][0]["content"].as_str().unwrap();
            let lines = text.split_terminator('\n').filter_map(|line| match log["type"].as_str() {
                Some("s") => (!line.starts_with('h')).then(|| &line[1..]),
                _ => Some(line),
            });
            let text: String = lines.map(|line| format!("{line}\n")).collect();
            let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
            found.push((format!("{}.{}", name(&step), name(&log)), text));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn m04_m05_m07_m08_m10_mails_have_what_a_real_masters_builds_had() {
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::start(folder.path(), 0.05, &[]).await;
    let mailbox = Mailbox::start(folder.path()).await;
    let manifests = format!(
        "{}{}",
        e2e::master(lab.port(), None, ""),
        notifiers(folder.path(), mailbox.port())
    );
    let mut standalone = Standalone::start(folder.path(), "data", &manifests);
    standalone.connected().await;
    let mut scenario = lab.scenario(1, "commits,branch,results,try,more_commits,release");
    let ended = wait_until("the scenario ends", PATIENCE, async || scenario.ended()).await;
    assert!(ended.success(), "{}", scenario.printed());

    let builds = lab.finished().await.unwrap();
    let with = |results: &[u64]| -> Vec<&FinishedBuild> {
        builds.iter().filter(|b| results.contains(&b.results)).collect()
    };
    let (told, failed) = (with(&[0, 1, 2, 4]), with(&[2]));
    assert!(failed.len() >= 4 && told.len() >= 20, "{builds:?}");
    // Mails of one notifier come in the order of events, so the last is there when all are.
    let counts = [
        ("logs", told.len()),
        ("named", failed.len()),
        ("small", failed.len()),
        ("html", failed.len()),
        ("users", told.len()),
        ("file", told.len()),
    ];
    wait_until("every mail arrives", PATIENCE, async || {
        let mails = mailbox.mails();
        let of = |name: &str| {
            let list = format!("<{name}.");
            mails.iter().filter(|mail| mail.header("List-Id").starts_with(&list)).count()
        };
        counts.iter().all(|(name, count)| of(name) >= *count).then_some(())
    })
    .await;
    let done = async || {
        let backlog = standalone.figure("buildbot_status_delivery_backlog").await?;
        (backlog == 0.0).then_some(())
    };
    wait_until("nothing is left to be sent", PATIENCE, done).await;
    let arrived = Arrived::new(&mailbox.mails());
    for (name, count) in counts {
        assert_eq!(arrived.of(name).len(), count, "{name}");
    }
    for mails in arrived.mails.values() {
        for mail in mails {
            assert_eq!(mail["defects"], Value::Array(vec![]), "{mail}");
        }
    }

    logs_are_attached(&lab, &arrived, &told, &failed).await;
    patches_are_attached(&lab, &arrived, &builds).await;
    buildsets_are_one_mail(&lab, &arrived, &builds).await;
    the_end_of_the_last_log_is_shown(&lab, &arrived, &failed).await;
    people_get_their_mail(&lab, &arrived, &told).await;
    problems_are_told_by_branch(&lab, &arrived, &failed, &builds).await;
    standalone.end().await;
    lab.end().await;
}

async fn logs_are_attached(
    lab: &Lab,
    arrived: &Arrived,
    told: &[&FinishedBuild],
    failed: &[&FinishedBuild],
) {
    for build in told {
        let truth = logs(lab, build.id).await;
        let mail = arrived.about("logs", build).unwrap();
        let seen: Vec<(&str, &str)> = attached(mail)
            .into_iter()
            .filter(|(name, _)| !name.starts_with("source patch"))
            .collect();
        // A line's end is added where a part has none.
        let plain = |text: &str| text.trim_end_matches('\n').to_owned();
        let seen: Vec<(String, String)> =
            seen.into_iter().map(|(name, text)| (name.to_owned(), plain(text))).collect();
        let truth: Vec<(String, String)> =
            truth.into_iter().map(|(name, text)| (name, plain(&text))).collect();
        assert_eq!(seen, truth, "{build:?}");
    }
    assert!(arrived.of("logs").iter().any(|mail| {
        attached(mail)
            .iter()
            .any(|(name, text)| name.ends_with("report.html") && text.contains("<script>"))
    }));
    for build in failed {
        let mail = arrived.about("named", build).unwrap();
        for (name, _) in attached(mail) {
            assert!(name == "unit tests.stdio" || name.ends_with(".errors"), "{name}");
        }
        let small = arrived.about("small", build).unwrap();
        let texts = attached(small);
        assert!(
            texts.iter().all(|(name, _)| name.ends_with(".stdio") || name.starts_with("source"))
        );
        let size: usize = texts.iter().map(|(_, text)| text.len()).sum();
        assert!(size < 1500 + 400 * texts.len(), "{size} bytes");
        assert!(
            texts
                .iter()
                .any(|(_, text)| text.starts_with("[Only the last ")
                    && text.contains("All of it: http")),
            "{texts:?}"
        );
    }
    let tests = failed.iter().filter_map(|build| arrived.about("named", build));
    assert!(tests.flat_map(|mail| attached(mail)).any(|(name, _)| name == "unit tests.stdio"));
}

async fn patches_are_attached(lab: &Lab, arrived: &Arrived, builds: &[FinishedBuild]) {
    let tried: Vec<_> = builds.iter().filter(|b| b.builder == "try").collect();
    assert!(!tried.is_empty());
    for build in tried {
        // The master does not tell the patch itself, but what its source step applied.
        let logs = logs(lab, build.id).await;
        let (_, patch) = logs.iter().find(|(name, _)| name == "git.patch").unwrap();
        assert!(patch.contains("leaf_links"), "{patch}");
        let mail = arrived.about("logs", build).unwrap();
        let (name, text) = attached(mail)[0];
        assert_eq!((name, text.trim_end()), ("source patch 0", patch.trim_end()));
        if let Some(mail) = arrived.about("named", build) {
            assert!(attached(mail).iter().all(|(name, _)| !name.starts_with("source patch")));
        }
    }
}

async fn buildsets_are_one_mail(lab: &Lab, arrived: &Arrived, builds: &[FinishedBuild]) {
    let requests =
        list(lab, "buildrequests?limit=1000&order=buildrequestid", "buildrequests").await;
    let all = list(lab, "builds?limit=1000&order=buildid", "builds").await;
    let mut expected = BTreeSet::new();
    for buildset in list(lab, "buildsets?limit=1000", "buildsets").await {
        if buildset["complete"] != true {
            continue;
        }
        let own: Vec<&Value> =
            requests.iter().filter(|r| r["buildsetid"] == buildset["bsid"]).collect();
        let last = own.iter().filter_map(|request| {
            all.iter().rfind(|b| b["buildrequestid"] == request["buildrequestid"])
        });
        let told: Vec<String> = last
            .filter_map(|build| builds.iter().find(|b| Some(b.id) == build["buildid"].as_u64()))
            .filter(|build| [0, 1, 2, 4].contains(&build.results))
            .map(|build| build.builder.clone())
            .collect();
        if !told.is_empty() {
            expected.insert((told, buildset["bsid"].as_u64().unwrap()));
        }
    }
    let seen: Vec<Vec<String>> = arrived
        .of("whole")
        .iter()
        .map(|mail| {
            assert!(subject(mail).starts_with("(whole buildset)|"), "{}", subject(mail));
            let named = body(mail).split(" on builder ").skip(1);
            named.map(|rest| rest.split(" while building ").next().unwrap().to_owned()).collect()
        })
        .collect();
    let mut seen_sorted = seen.clone();
    seen_sorted.sort();
    let expected: Vec<Vec<String>> = expected.into_iter().map(|(told, _)| told).collect();
    assert_eq!(seen_sorted, expected, "one mail each, builds in the order of requests");
    assert!(seen.iter().any(|told| told.len() == 3), "{seen:?}");
    let names = arrived.of("whole").iter().flat_map(|mail| attached(mail)).map(|(name, _)| name);
    let logs: Vec<&str> = names.filter(|name| !name.starts_with("source patch")).collect();
    assert!(logs.contains(&"linux-gcc.unit tests.failed tests"), "{logs:?}");
}

async fn the_end_of_the_last_log_is_shown(lab: &Lab, arrived: &Arrived, failed: &[&FinishedBuild]) {
    for build in failed {
        let mail = arrived.about("html", build).unwrap();
        assert_eq!(mail["parts"][0]["type"], "text/html");
        let logs = logs(lab, build.id).await;
        let (name, text) = logs.iter().rfind(|(name, _)| name.ends_with(".stdio")).unwrap();
        assert!(body(mail).contains(&format!("<h4>Last 80 lines of \"{name}\"</h4>")), "{name}");
        let lines: Vec<&str> = text.lines().collect();
        let shown = &lines[lines.len().saturating_sub(80)..];
        let escaped = |line: &str| {
            line.replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;")
                .replace('\'', "&#x27;")
        };
        let inside = body(mail).split("<pre>\n").nth(1).unwrap().split("</pre>").next().unwrap();
        let seen: Vec<String> = inside.lines().map(|line| line.replace("&#x2f;", "/")).collect();
        assert_eq!(seen, shown.iter().map(|line| escaped(line)).collect::<Vec<_>>(), "{name}");
    }
}

async fn people_get_their_mail(lab: &Lab, arrived: &Arrived, told: &[&FinishedBuild]) {
    let to = |mail: &Value, field: &str| -> BTreeSet<String> {
        let all = mail[field].as_array().unwrap().iter();
        all.map(|pair| pair[1].as_str().unwrap().to_owned()).collect()
    };
    let mut owned = 0;
    for build in told {
        let changes = list(lab, &format!("builds/{}/changes", build.id), "changes").await;
        let (users, file) =
            (arrived.about("users", build).unwrap(), arrived.about("file", build).unwrap());
        // A build's own property may be overwritten by its changes'.
        let set = buildset(lab, build).await["bsid"].clone();
        let owners = lab.get(&format!("buildsets/{set}/properties")).await.unwrap();
        let owners = owners["properties"][0]["owners"][0].to_string();
        if to(users, "to") == BTreeSet::from(["users@example.org".to_owned()]) {
            assert!(!owners.contains('@'), "nobody but the list: {build:?} {owners}");
            continue;
        }
        assert_eq!(to(users, "cc"), BTreeSet::from(["users@example.org".to_owned()]), "{build:?}");
        if owners.contains("build-cop") {
            owned += 1;
            // One of the scheduler's builds: its newest change is what it is about.
            let newest = changes.iter().max_by_key(|change| change["changeid"].as_u64()).unwrap();
            let author = newest["author"].as_str().unwrap();
            let address = author.split('<').nth(1).unwrap().trim_end_matches('>');
            assert!(to(users, "to").contains(address), "{build:?}: {author}");
            assert!(to(users, "to").contains("build-cop@kestrel.example.org"), "{build:?}");
            // The file knows `ines`, who owns the scheduler's builds, and not the cop.
            assert!(to(file, "to").contains("ines@csv.example.org"), "{build:?}");
            assert!(!to(file, "to").contains("build-cop@kestrel.example.org"));
        }
    }
    assert!(owned > 5, "the scheduler's owners are told");
}

async fn problems_are_told_by_branch(
    lab: &Lab,
    arrived: &Arrived,
    failed: &[&FinishedBuild],
    builds: &[FinishedBuild],
) {
    // Branches of each build, by codebase.
    let mut branches = BTreeMap::new();
    for build in builds {
        let set = buildset(lab, build).await;
        let stamps = set["sourcestamps"].as_array().unwrap().iter();
        let own: BTreeSet<String> =
            stamps.map(|stamp| format!("{}={}", stamp["codebase"], stamp["branch"])).collect();
        branches.insert(build.id, own);
    }
    for build in failed {
        let mut before: Vec<&FinishedBuild> = builds
            .iter()
            .filter(|b| b.builder == build.builder && b.number < build.number)
            .filter(|b| {
                b.complete_at <= build.complete_at && branches[&b.id] == branches[&build.id]
            })
            .collect();
        // Which of two that ended in one second was there first, nobody can say.
        if before.iter().any(|b| b.complete_at == build.complete_at) {
            continue;
        }
        before.sort_by_key(|b| b.number);
        let expected = before.last().is_some_and(|b| b.results != 2);
        assert_eq!(
            arrived.about("branch", build).is_some(),
            expected,
            "{build:?} after {before:?}"
        );
    }
}
