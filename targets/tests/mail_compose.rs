//! What mails say about builds of a real master.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use delivery::{ComposeError, Target};
use model::{Build, Event, Outcome, Record};
use serde_json::{Value, json};
use support::{about, build, facts, finished, mail_spec, previews, record};
use targets::mail::{Mail, Message, Secrets};

fn mail(more: &Value) -> Mail {
    let secrets = Secrets::default();
    Mail::new("ci/mail", &mail_spec(more), &secrets, about().fixed()).unwrap()
}

fn compose(more: &Value, record: &Record) -> Result<Option<Message>, ComposeError> {
    let mail = mail(more);
    mail.compose(record, facts(&mail, record))
}

fn text(more: &Value, record: &Record) -> String {
    let message = compose(more, record).unwrap().unwrap();
    String::from_utf8(message.bytes().to_vec()).unwrap().replace("\r\n", "\n")
}

fn body(more: &Value, build: &Build) -> String {
    let preview = previews(&mail(more), build).remove(0);
    assert!(preview.why.starts_with("mode "), "{}", preview.why);
    preview.body
}

#[test]
fn m01_the_usual_message_is_the_one_of_0_8() {
    let all = json!({ "mode": "all" });
    for name in
        ["failure", "success_again", "restored", "warnings", "exception", "two_codebases", "patch"]
    {
        insta::assert_snapshot!(name, body(&all, &build(name)));
    }
    for name in ["retry", "cancelled"] {
        // 0.8 had no words for these, and crashed.
        let build = Build { previous: Some(Outcome::Success), ..build(name) };
        insta::assert_snapshot!(name, body(&json!({ "mode": ["change"] }), &build));
    }
}

#[test]
fn m01_a_whole_mail_has_these_headers() {
    let more = json!({ "mode": "all", "extraRecipients": ["List <list@example.org>"],
        "extraHeaders": { "X-Builder": "%(builder)s", "X-%(prop:scheduler)s": "%(prop:branch)s" } });
    insta::assert_snapshot!("whole", text(&more, &finished("failure")));
}

#[test]
fn m01_the_subject_is_filled_in_on_one_line_and_encoded() {
    let mut failed = build("failure");
    failed.builder.name = "Prüfung\r\nBcc: eve@example.org".into();
    let record = record(Event::BuildFinished { build: Box::new(failed) }, 1);
    let mail = text(&json!({ "subject": "%(builder)s %(result)s" }), &record);
    let headers = mail.split("\n\n").next().unwrap();
    assert!(!headers.lines().any(|line| line.starts_with("Bcc")), "{headers}");
    let subject = headers.lines().find(|line| line.starts_with("Subject: ")).unwrap();
    assert!(subject.contains("=?utf-8?b?"), "{subject}");
}

#[test]
fn m01_without_anybody_to_send_to_there_is_no_mail() {
    let more = json!({ "mode": "all", "lookup": { "map": {} } });
    assert_eq!(compose(&more, &finished("failure")), Ok(None));
}

#[test]
fn m02_m03_only_selected_builds_that_match_a_mode_are_mailed_about() {
    let cases = [
        (json!({}), "failure", true),
        (json!({ "mode": ["passing"] }), "failure", false),
        (json!({ "builders": ["unit win/32"] }), "failure", true),
        (json!({ "builders": ["other"] }), "failure", false),
        (json!({ "categories": ["win"] }), "failure", true),
        (json!({ "categories": ["release"] }), "failure", false),
        (json!({ "mode": "all" }), "retry", true),
        (json!({}), "cancelled", false),
    ];
    for (more, name, expected) in cases {
        let wanted = mail(&more).decide(&finished(name));
        assert_eq!(wanted, expected, "{more} {name}");
        // The preview says the same; owners such as `alice` have no address here.
        let preview = previews(&mail(&more), &build(name)).remove(0);
        assert_eq!(preview.why.starts_with("mode "), expected, "{more} {name}: {}", preview.why);
    }
    let started = Event::BuildStarted { build: Box::new(build("failure")) };
    assert!(!mail(&json!({ "mode": "all" })).decide(&record(started, 1)));
}

#[test]
fn m08_a_message_of_ones_own_replaces_subject_and_body_and_is_escaped() {
    let more = json!({ "messageFormatter": {
        "type": "html",
        "subject": "{{ result | upper }} {{ builder.name }}",
        "body": "<h4>{{ mode | join(', ') }}: {{ text }}</h4>\n",
    } });
    let mail = text(&more, &finished("failure"));
    assert!(mail.contains("Subject: FAILURE unit win/32\n"), "{mail}");
    assert!(mail.contains("Content-Type: text/html; charset=utf-8\n"), "{mail}");
    assert!(
        mail.contains(
            "<h4>failing, passing, warnings: failed &#x27;sh test.sh&#x27; (failure)</h4>"
        )
    );
}

#[test]
fn m08_a_message_that_fails_gives_way_to_the_usual_one_and_says_so() {
    let more = json!({ "messageFormatter": { "body": "{{ properties.nosuch.more }}" } });
    let mail = text(&more, &finished("failure"));
    assert!(mail.contains("own message could not be made"), "{mail}");
    assert!(mail.contains("template body, line 1"), "{mail}");
    assert!(mail.contains("The Buildbot has detected a failed build"), "{mail}");
}

#[test]
fn m09_extra_headers_are_filled_in_and_none_replaces_the_mails_own() {
    let more = json!({ "mode": "all", "extraHeaders": {
        "X-Builder": "%(builder)s",
        "X-%(prop:scheduler)s": "%(prop:nosuch:-none)s",
        "sUBJECT": "mine",
        "References": "<mine@example.org>",
        "In-Reply-To": "<mine@example.org>",
        "X-%(builder)s": "no header, as the builder's name has spaces",
    } });
    let mail = text(&more, &finished("failure"));
    let headers = mail.split("\n\n").next().unwrap();
    assert!(headers.contains("\nX-Builder: unit win/32"), "{headers}");
    let scheduler = build("failure").properties.0["scheduler"].0.as_str().unwrap().to_owned();
    assert!(headers.contains(&format!("\nX-{scheduler}: none")), "{headers}");
    assert_eq!(headers.to_lowercase().matches("\nsubject:").count(), 1, "{headers}");
    assert!(!headers.contains("mine") && !headers.contains("no header"), "{headers}");
}

#[test]
fn c02_two_notifiers_of_one_build_each_have_their_own_settings() {
    let record = finished("failure");
    let failing = json!({ "mode": ["failing"], "subject": "broken: %(builder)s" });
    let passing = json!({ "mode": ["passing"] });
    let everything = json!({ "mode": "all", "extraRecipients": ["log@example.org"] });
    assert!(mail(&failing).decide(&record) && !mail(&passing).decide(&record));
    let (one, other) = (text(&failing, &record), text(&everything, &record));
    assert!(one.contains("Subject: broken: unit win/32") && !one.contains("log@example.org"));
    assert!(other.contains("log@example.org") && !other.contains("broken: "));
}

#[test]
fn the_same_record_makes_the_same_bytes_and_notifiers_differ() {
    let more = json!({ "mode": "all" });
    let one = compose(&more, &finished("failure")).unwrap().unwrap();
    let again = compose(&more, &finished("failure")).unwrap().unwrap();
    assert_eq!(one, again);
    let other = Mail::new("ci/other", &mail_spec(&more), &Secrets::default(), about().fixed());
    let other = other.unwrap();
    let facts = facts(&other, &finished("failure"));
    let other = other.compose(&finished("failure"), facts).unwrap().unwrap();
    assert_ne!(one.id, other.id);
    let second = compose(&more, &finished("restored")).unwrap().unwrap();
    assert_ne!(one.id, second.id);
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    for (more, field) in [
        (json!({ "subject": "%(nosuch)s" }), "spec.subject"),
        (json!({ "fromaddr": "nobody" }), "spec.fromaddr"),
        (json!({ "extraRecipients": ["x"] }), "spec.extraRecipients[0]"),
        (json!({ "extraHeaders": { "X": "%(" } }), "spec.extraHeaders[\"X\"]"),
        (json!({ "extraHeaders": { "X Kind": "" } }), "spec.extraHeaders[\"X Kind\"]"),
        (json!({ "extraHeaders": { "X-Kind:": "" } }), "spec.extraHeaders[\"X-Kind:\"]"),
        (json!({ "extraHeaders": { "X-Größe": "" } }), "spec.extraHeaders[\"X-Größe\"]"),
        (
            json!({ "extraHeaders": { "X %(builder)s": "" } }),
            "spec.extraHeaders[\"X %(builder)s\"]",
        ),
        (json!({ "messageFormatter": { "body": "{% if %}" } }), "spec.messageFormatter.body"),
        (
            json!({ "messageFormatter": { "body": "", "subject": "{{ x }}" } }),
            "spec.messageFormatter.subject",
        ),
        (json!({ "smtpUser": "bot" }), "spec.smtpPasswordSecretRef"),
        (json!({ "previousBuildGetter": "candidat.number" }), "spec.previousBuildGetter"),
        (json!({ "lookup": { "file": { "path": "/x.ldif" } } }), "spec.lookup.file.path"),
        (
            json!({ "messageFormatter": { "type": "html", "body": "", "plainBody": "{{ x }}" } }),
            "spec.messageFormatter.plainBody",
        ),
    ] {
        let made = Mail::new("m", &mail_spec(&more), &Secrets::default(), about().fixed());
        assert_eq!(made.unwrap_err().field, field, "{more}");
    }
    let secrets = Secrets { ca: Some(b"no PEM".to_vec()), ..Secrets::default() };
    let made = Mail::new("m", &mail_spec(&json!({ "tls": "starttls" })), &secrets, about().fixed());
    assert_eq!(made.unwrap_err().field, "spec.caSecretRef");
}

#[test]
fn secrets_are_not_shown() {
    let secrets = Secrets { password: Some("hunter2".into()), ca: None };
    let spec = mail_spec(&json!({ "smtpUser": "bot" }));
    let mail = Mail::new("m", &spec, &secrets, about().fixed()).unwrap();
    assert!(!format!("{secrets:?} {mail:?}").contains("hunter2"));
}

#[test]
fn every_outcome_can_be_composed() {
    for outcome in Outcome::ALL {
        let mut build = build("failure");
        build.outcome = Some(outcome);
        build.previous = Some(Outcome::Exception);
        let record = record(Event::BuildFinished { build: Box::new(build) }, 1);
        assert!(compose(&json!({ "mode": "all" }), &record).unwrap().is_some(), "{outcome}");
    }
}
