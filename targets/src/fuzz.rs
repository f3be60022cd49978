//! What peers answer and what builds say, changed: classes of refusals, answers of Gerrit, addresses, mails,
//! packets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use crate::{
    About,
    answer::{Refusal, refusal, used_up},
    gerrit,
    github::refused::{minting, words},
    http::Refused,
    mail::{Mail, Secrets, address, lookup},
    packets::{Maker, Settings, State},
};
use fuzz::{bytes, check, json, text};
use lettre::{Address, message::Mailbox};
use model::{Build, Change, Event, Identity, Outcome, Position, Record};
use proptest::prelude::*;
use reqwest::{
    StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde_json::json as value;
use std::time::Duration;

const HEADERS: [&str; 5] =
    ["retry-after", "date", "x-ratelimit-remaining", "x-ratelimit-reset", "location"];
const VALUES: &[&str] = &[
    "17",
    "Tue, 24 Nov 2026 10:00:00 GMT",
    "Tue, 24 Nov 9999 23:59:59 +2359",
    "0",
    "1795514425",
    "https://a/b",
    "Mon, 01 Jan 0001 00:00:00 GMT",
];
const REFUSALS: &[&str] = &[
    r#"{"message": "Validation Failed", "errors": [{"field": "sha", "code": "custom", "message": "No commit found"}]}"#,
    r#"{"message": "You have exceeded a secondary rate limit", "documentation_url": "https://docs.github.com/"}"#,
    "label not permitted\nmore",
    "<html><body>502 Bad Gateway</body></html>",
];

#[test]
fn any_refusal_has_a_class_and_a_wait_of_at_most_an_hour() {
    let header = (0..HEADERS.len(), text(VALUES, &[" GMT", "Nov"]));
    let headers = prop::collection::vec(header, 0..5);
    let cases = (100..1000_u16, headers, bytes(REFUSALS, &["\"message\":"]));
    check(3000, cases, |(status, headers, body)| {
        let headers: HeaderMap = headers
            .iter()
            .filter_map(|(name, value)| {
                let name = HeaderName::from_static(HEADERS[*name]);
                Some((name, HeaderValue::from_str(value).ok()?))
            })
            .collect();
        let status = StatusCode::from_u16(status).unwrap();
        for now in [jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::MIN, jiff::Timestamp::MAX] {
            let hour = Duration::from_secs(3600);
            assert!(used_up(&headers, now).is_none_or(|wait| wait <= hour));
            let class = refusal(status, &headers, now);
            if let Refusal::Throttled(Some(wait)) = class {
                assert!(wait <= hour, "{wait:?}");
            }
            let (headers, body) = (headers.clone(), body.clone());
            let refused = Refused { status, class, headers, body };
            assert!(refused.line().lines().count() <= 1);
            let said = words(&refused);
            drop(refused.error("P", &said, "spec.url"));
            drop(minting(&refused, "P", &said, "Checks"));
        }
    });
}

const GERRIT: &[&str] = &[
    r#"{"project":"app","branch":"master","number":7,"status":"NEW","currentPatchSet":{"number":2,"revision":"d76e"},"patchSets":[{"number":1,"revision":"d76e","approvals":[{"type":"Verified","value":"1","by":{"username":"bot"}}]}],"comments":[{"reviewer":{"username":"bot"},"message":"ok"}]}
{"type":"stats","rowCount":1}"#,
    r#"{"type":"error","message":"invalid query"}"#,
    "gerrit version 3.10.2",
];

#[test]
fn any_answer_of_a_gerrit_is_read_or_refused() {
    let place =
        gerrit::decide::Place { project: "app".into(), revision: "d76e".into(), change: None };
    check(3000, text(GERRIT, &["\"number\":", "\"value\":"]), |answer| {
        for found in gerrit::command::found(&answer, &place, "bot").unwrap_or_default() {
            drop(gerrit::command::voted(&answer, &found, "bot"));
        }
        gerrit::command::Version::parse(&answer).has_labels();
    });
}

const ADDRESSES: &[&str] = &[
    "ann@example.org",
    "Ann B. <ann@example.org>",
    "\"Ann, B\" <ann@example.org>",
    "ann@laptop@example.org",
    "Cäcilie <c@example.org>",
    "ann@[127.0.0.1]",
    "ann",
];

/// The names of a mail's headers.
///
/// # Panics
/// Where a line is none of a header, or ends in something else than CR LF.
fn headers(mail: &str) -> Vec<String> {
    let (head, _) = mail.split_once("\r\n\r\n").unwrap();
    let lines = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
    let names = lines.map(|line| {
        assert!(!line.contains(['\r', '\n']), "{line:?}");
        let (name, _) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}"));
        assert!(name.bytes().all(|b| b.is_ascii_graphic()), "{line:?}");
        name.to_ascii_lowercase()
    });
    names.collect()
}

#[test]
fn any_address_is_one_that_lettre_takes_or_none() {
    check(3000, text(ADDRESSES, &["<", ">", "@", "\r\nBcc: x@example.org"]), |text| {
        for mailbox in [address::given(&text), address::mailbox(&text)].into_iter().flatten() {
            let shown = mailbox.to_string();
            assert!(!shown.contains(['\r', '\n']), "{shown:?}");
            assert!(mailbox.email.to_string().parse::<Address>().is_ok(), "{shown:?}");
            // Where the domain is an address, lettre does not read what it writes.
            if mailbox.email.domain().starts_with('[') {
                continue;
            }
            let again: Result<Mailbox, _> = shown.parse();
            let again = again.unwrap_or_else(|error| panic!("{shown:?}: {error}"));
            assert_eq!(again.email, mailbox.email);
        }
    });
    let files = [
        "dn: x\nuid: ann\ncn:: QW5u\nmail: a@b.org\n c\n\nuid: bea\n",
        "ann,a@b.org\n\"b\"\"ea\",b@b.org\n",
    ];
    check(2000, text(&files, &["\nmail:", "::", "\n ", "\"", ","]), |text| {
        drop(lookup::ldif(&text));
        drop(lookup::csv(&text));
    });
}

fn build() -> Build {
    let change = Change {
        author: "Ann <ann@example.org>".into(),
        comments: "mend".into(),
        ..Change::default()
    };
    let mut build = Build {
        number: 7,
        outcome: Some(Outcome::Failure),
        text: "failed test".into(),
        changes: vec![change],
        steps: vec![model::Step { name: "test".into(), ..model::Step::default() }],
        ..Build::default()
    };
    build.builder.name = "unit".into();
    build.buildset.reason = "forced".into();
    build.buildset.source_stamps = vec![model::SourceStamp::default()];
    build
}

/// Records of builds whose every field may hold something strange.
fn records() -> impl Strategy<Value = Record> {
    let events = [
        Event::BuildFinished { build: Box::new(build()) },
        Event::BuildStarted { build: Box::new(build()) },
        Event::ChangeAdded { change: Box::new(build().changes.remove(0)) },
    ];
    let corpus = events.iter().map(|event| value!(event)).collect();
    json(corpus).prop_map(move |changed| {
        let event: Event = serde_json::from_value(changed).unwrap_or_else(|_| events[0].clone());
        let identity = Identity::of(&event, "uid", 1, 1);
        Record { position: Position { epoch: 1, seq: 1 }, identity, journaled_ms: 1, event }
    })
}

#[test]
fn no_build_puts_a_header_into_its_mail() {
    let spec = value!({"masterRef": {"name": "m"}, "fromaddr": "bot@example.org", "mode": "all",
        "extraRecipients": ["list@example.org"], "subject": "%(builder)s %(result)s %(prop:x)s",
        "extraHeaders": {"X-Builder": "%(builder)s", "X-%(builder)s": "%(prop:x:-%(builder)s)s"},
        "lookup": "example.org"});
    let spec = serde_json::from_value(spec).unwrap();
    let mail = Mail::new("ci/mail", &spec, &Secrets::default(), About::default().fixed()).unwrap();
    check(600, records(), |record| {
        let Event::BuildFinished { build } = &record.event else { return };
        let facts = crate::mail::Facts { builds: vec![(**build).clone()], ..Default::default() };
        if let Ok(Some(message)) = delivery::Target::compose(&mail, &record, facts) {
            let text = String::from_utf8_lossy(message.bytes()).into_owned();
            if text.is_empty() {
                return;
            }
            for name in headers(&text) {
                assert!(!["x-zq", "bcc"].contains(&name.as_str()), "{text}");
            }
        }
    });
}

#[test]
fn the_packets_of_any_record_are_json_and_their_state_is_kept() {
    let maker =
        Maker::new(&Settings { all: true, ..Settings::default() }, About::default().fixed());
    check(600, records(), |record| {
        let mut state = State::load(None).unwrap();
        let packets = maker.packets(&mut state, &record);
        for (number, text) in (1..).zip(packets.texts()) {
            let packet: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(packet["id"], number, "{text}");
            assert!(packet["event"].is_string(), "{text}");
        }
        let mut again = State::load(Some(&state.save())).unwrap();
        assert_eq!(maker.packets(&mut again, &record), maker.packets(&mut state, &record));
    });
    check(1000, bytes(&[State::load(None).unwrap().save()], &[]), |bytes| {
        drop(State::load(Some(&bytes)));
    });
}
