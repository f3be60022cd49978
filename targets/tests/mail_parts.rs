//! What mails are made of: attachments, alternatives, headers, buildsets. Mails are read by Python's
//! own parser.
//!
//! `BUILDBOT_VENV` names a Python environment. `cargo xtask test` sees to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use delivery::Target;
use model::{Build, Buildset, Event, Outcome, Patch, Record, RequestId};
use serde_json::{Value, json};
use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};
use support::{about, build, facts, finished, mail_spec, previews, record};
use targets::mail::{Facts, Mail, Secrets, Tail, Tails};

fn mail(more: &Value) -> Mail {
    Mail::new("ci/mail", &mail_spec(more), &Secrets::default(), about().fixed()).unwrap()
}

/// A mail as Python reads it: `headers`, and `parts` with their type, name and text.
fn read(bytes: &[u8]) -> Value {
    let venv = std::env::var("BUILDBOT_VENV").expect("BUILDBOT_VENV names a Python environment");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e/peers/read_mail.py");
    let mut python = Command::new(Path::new(&venv).join("bin/python"))
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn read_of(more: &Value, record: &Record, facts: Facts) -> Value {
    read(mail(more).compose(record, facts).unwrap().unwrap().bytes())
}

fn of_build(more: &Value, build: Build) -> Value {
    let record = record(Event::BuildFinished { build: Box::new(build) }, 1);
    let facts = facts(&mail(more), &record);
    read_of(more, &record, facts)
}

fn patched(bodies: &[&str]) -> Build {
    let mut build = build("patch");
    let stamp = build.buildset.source_stamps[0].clone();
    build.buildset.source_stamps = bodies
        .iter()
        .enumerate()
        .map(|(n, body)| {
            let patch = Patch { id: n as u64, body: (*body).to_owned(), ..Patch::default() };
            model::SourceStamp { patch: Some(patch), ..stamp.clone() }
        })
        .collect();
    build
}

#[test]
fn m04_patches_of_a_try_build_are_attached_unless_that_is_not_wanted() {
    let diff = "--- a/ä\n+++ b/ä\n@@ -1 +1 @@\n-one \n+two\n";
    let all = json!({ "mode": "all" });
    let seen = of_build(&all, patched(&[diff, "second\n"]));
    let parts = seen["parts"].as_array().unwrap();
    assert_eq!(seen["type"], "multipart/mixed");
    assert_eq!(parts.len(), 3, "{seen}");
    assert_eq!((&parts[0]["type"], &parts[0]["name"]), (&json!("text/plain"), &Value::Null));
    assert!(parts[0]["text"].as_str().unwrap().contains("(plus patch)"));
    for (part, name, text) in
        [(&parts[1], "source patch 0", diff), (&parts[2], "source patch 1", "second\n")]
    {
        assert_eq!(part["name"], name);
        assert_eq!(part["text"], text);
        assert_eq!((&part["type"], &part["how"]), (&json!("text/plain"), &json!("attachment")));
    }
    let none = of_build(&json!({ "mode": "all", "addPatch": false }), patched(&[diff]));
    assert_eq!(
        (&none["type"], &none["parts"][0]["type"]),
        (&json!("text/plain"), &json!("text/plain"))
    );
    // Half a patch is none.
    let small = json!({ "mode": "all", "logLimits": { "perMail": "10" } });
    let seen = of_build(&small, patched(&[diff, "second\n"]));
    assert!(seen["parts"][1]["text"].as_str().unwrap().starts_with("[This patch is left out"));
    assert_eq!(seen["parts"][2]["text"], "second\n");
}

#[test]
fn m04_a_patch_that_the_master_does_not_tell_is_the_log_of_the_source_step() {
    let more = json!({ "mode": "all", "addLogs": ["patch"] });
    let preview = previews(&mail(&more), &build("patch")).remove(0);
    assert!(preview.body.ends_with("[attached: source patch 0, git.patch]\n"), "{}", preview.body);
    let without = previews(&mail(&json!({ "mode": "all", "addPatch": false })), &build("patch"));
    assert!(!without[0].body.contains("[attached"), "{}", without[0].body);
}

#[test]
fn m08_html_has_plain_text_beside_it_where_there_is_a_template_for_it() {
    let formatter =
        json!({ "type": "html", "body": "<b>{{ text }} é</b>", "plainBody": "*{{ text }}*" });
    let more = json!({ "mode": "all", "messageFormatter": formatter });
    let seen = of_build(&more, build("failure"));
    assert_eq!(seen["type"], "multipart/alternative");
    let types = [&seen["parts"][0]["type"], &seen["parts"][1]["type"]];
    assert_eq!(types, ["text/plain", "text/html"], "readers show the last one that they can");
    assert_eq!(seen["parts"][0]["text"], "*failed 'sh test.sh' (failure)*");
    assert_eq!(seen["parts"][1]["text"], "<b>failed &#x27;sh test.sh&#x27; (failure) é</b>");
    let seen = of_build(&more, patched(&["diff\n"]));
    assert_eq!(seen["type"], "multipart/mixed");
    let types: Vec<&str> =
        seen["parts"].as_array().unwrap().iter().map(|p| p["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["text/plain", "text/html", "text/plain"]);
    assert_eq!(seen["within"][0], "multipart/alternative");
}

#[test]
fn m01_names_and_subjects_beyond_ascii_arrive_as_they_are() {
    let mut odd = build("failure");
    odd.builder.name = "nightly 🌙 Prüfung".into();
    odd.changes[0].author = "Zoë Ångström <zoe@example.org>".into();
    let more = json!({ "mode": "all", "fromaddr": "Bürobot \"B\" <bot@example.org>",
        "subject": "%(builder)s: %(result)s" });
    let seen = of_build(&more, odd);
    assert_eq!(seen["headers"]["Subject"], "nightly 🌙 Prüfung: failure");
    assert!(seen["to"].as_array().unwrap().contains(&json!(["Zoë Ångström", "zoe@example.org"])));
    assert_eq!(seen["from"][0][1], "bot@example.org");
    assert!(seen["from"][0][0].as_str().unwrap().starts_with("Bürobot"), "{}", seen["from"]);
    assert_eq!(seen["defects"], json!([]));
    assert!(seen["ascii"].as_bool().unwrap(), "any server takes it");
}

#[test]
fn mails_of_a_builder_are_one_thread_and_name_their_notifier() {
    let all = json!({ "mode": "all" });
    let headers = |name: &str| of_build(&all, build(name))["headers"].clone();
    let (one, again, other) = (headers("failure"), headers("restored"), headers("two_codebases"));
    assert_eq!(one["References"], one["In-Reply-To"]);
    assert_eq!(one["References"], again["References"], "both are of unit win/32");
    assert_ne!(one["Message-ID"], again["Message-ID"]);
    assert_ne!(one["References"], other["References"], "another builder");
    assert_eq!(one["List-Id"], "<mail.ci.example.org>");
    assert_eq!(one["Auto-Submitted"], "auto-generated");
    let own = json!({ "mode": "all", "extraHeaders": { "List-Id": "builds <b.example.org>" } });
    assert_eq!(of_build(&own, build("failure"))["headers"]["List-Id"], "builds <b.example.org>");
}

/// The end of a buildset with these builds.
fn buildset(builds: Vec<Build>) -> (Record, Facts) {
    let mut buildset = Buildset { outcome: Some(Outcome::Failure), ..builds[0].buildset.clone() };
    buildset.builds = builds.iter().map(|build| build.id).collect();
    let record = record(Event::BuildsetCompleted { buildset: Box::new(buildset) }, 1);
    (record, Facts { builds, ..Facts::default() })
}

#[test]
fn m05_m09_a_buildset_is_one_mail_with_what_is_said_of_each_build() {
    let mut second = build("warnings");
    second.request = RequestId(9);
    let more = json!({ "mode": "all", "buildSetSummary": true, "extraRecipients": ["list@example.org"],
        "extraHeaders": { "X-Fixed": "yes", "X-Builder": "%(builder)s" } });
    let (record, facts) = buildset(vec![build("failure"), second.clone()]);
    let summary = mail(&more);
    assert!(summary.decide(&record) && !summary.decide(&finished("failure")));
    assert!(!mail(&json!({ "mode": "all" })).decide(&record));
    let seen = read_of(&more, &record, facts);
    let headers = &seen["headers"];
    assert_eq!(headers["Subject"], "buildbot failure in Project on (whole buildset)");
    assert_eq!((&headers["X-Fixed"], &headers["X-Builder"]), (&json!("yes"), &Value::Null));
    let text = seen["parts"][0]["text"].as_str().unwrap();
    let single = |build: Build| {
        let more = json!({ "mode": "all", "extraRecipients": ["list@example.org"] });
        let seen = of_build(&more, build);
        // A body of its own ends with a line's end.
        seen["parts"][0]["text"].as_str().unwrap().strip_suffix('\n').unwrap().to_owned()
    };
    let expected = format!("{}\n\n{}\n\n\n", single(build("failure")), single(second));
    assert_eq!(text, expected);
    // With one build it is about, headers may hold its properties.
    let (record, facts) = buildset(vec![build("failure")]);
    let seen = read_of(&more, &record, facts);
    assert_eq!(seen["headers"]["X-Builder"], "unit win/32");
    // And nothing at all if none is of interest.
    let (record, _) = buildset(vec![build("failure")]);
    assert_eq!(summary.compose(&record, Facts::default()), Ok(None));
}

/// The ends of a build's logs, a hundred lines each.
fn tails(build: &Build) -> Tails {
    let base = about().site.links.unwrap();
    let of = |step: &model::Step, log: &model::Log| Tail {
        name: format!("{}.{}", step.name, log.name),
        step: step.name.clone(),
        log: log.name.clone(),
        result: step.outcome.map_or("running", Outcome::word),
        url: Some(base.log(build, step, log)),
        lines: (21..=100).map(|n| format!("line {n} of <{}> & more", log.name)).collect(),
        cut: true,
    };
    let logs: Vec<Tail> = build
        .shown_steps()
        .flat_map(|step| step.logs.iter().map(move |log| of(step, log)))
        .collect();
    let last = build.shown_steps().next_back().unwrap();
    let last = logs.iter().find(|t| t.step == last.name && t.log == "stdio").cloned();
    Tails { logs, last }
}

/// The golden files were made by the manual's own function (Python), from the same builds.
#[test]
fn m08_the_manuals_html_message_with_the_end_of_a_log_is_built_in() {
    let builtin = json!({ "builtin": "htmlWithLog" });
    let more = json!({ "mode": "all", "addPatch": false, "messageFormatter": builtin });
    for name in ["failure", "patch", "restored"] {
        let record = finished(name);
        let facts = Facts {
            builds: vec![build(name)],
            tails: vec![tails(&build(name))],
            ..Facts::default()
        };
        let seen = read_of(&more, &record, facts);
        assert_eq!(seen["parts"][0]["type"], "text/html");
        let file = format!("tests/data/{name}.html.golden");
        let golden =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        // It escaped the log only; here all that comes from outside is.
        let plain = |text: &str| {
            text.replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&#x27;", "'")
                .replace("&#x2f;", "/")
                .replace("&quot;", "\"")
                .replace("&amp;", "&")
        };
        let text = seen["parts"][0]["text"].as_str().unwrap();
        assert_eq!(plain(text.trim_end()), plain(&golden), "{name}");
        assert!(text.contains("&lt;stdio&gt; &amp; more"), "{name}");
    }
}

#[test]
fn m08_the_manuals_short_message_is_built_in() {
    let more = json!({ "mode": ["problem"], "messageFormatter": { "builtin": "short" } });
    let problem = Build { previous: Some(Outcome::Success), ..build("failure") };
    assert_eq!(of_build(&more, problem)["parts"][0]["text"], "STATUS: Failure\n");
}

#[test]
fn m08_templates_see_the_ends_of_logs() {
    let body = "{% for log in logs %}{{ log.name }} {{ log.result }} {{ log.lines | last }} {{ log.url }}\n{% endfor %}";
    let more = json!({ "mode": "all", "messageFormatter": { "body": body } });
    let facts = Facts {
        builds: vec![build("failure")],
        tails: vec![tails(&build("failure"))],
        ..Facts::default()
    };
    let seen = read_of(&more, &finished("failure"), facts);
    let text = seen["parts"][0]["text"].as_str().unwrap();
    let base = "http://ci.example.org/bb/builders/unit%20win%2F32/builds/2/steps";
    let line = format!(
        "compile.build.log success line 100 of <build.log> & more {base}/compile/logs/build.log\n"
    );
    assert!(text.contains(&line), "{text}");
    assert_eq!(text.trim_end().lines().count(), 7);
}

#[test]
fn m04_a_preview_names_what_would_be_attached() {
    let more = json!({ "mode": "all", "addLogs": ["stdio", "outcome.notes"] });
    let preview = previews(&mail(&more), &build("failure")).remove(0);
    let last = preview.body.lines().last().unwrap();
    assert_eq!(
        last,
        "[attached: git.stdio, compile.stdio, test.stdio, outcome.stdio, outcome.notes]"
    );
    let patch = previews(&mail(&json!({ "mode": "all" })), &patched(&["diff"])).remove(0);
    assert!(patch.body.ends_with("[attached: source patch 0]\n"), "{}", patch.body);
}
