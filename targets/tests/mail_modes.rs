//! Which builds are mailed about: every transition of two results, every mode, every way to choose
//! builders, against a table that is written down here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use delivery::Target;
use model::{Build, Event, Outcome};
use serde_json::{Value, json};
use support::{about, build, mail_spec, record};
use targets::mail::{Mail, Secrets};

/// Rows: the result of the build before. Columns: the build's own. Cells: the modes that hold, by
/// their first letters (`b` is `problem`), as the manual says and 0.8 was seen to do. It had no
/// cancelled builds; they are as those that are tried again or were skipped, which 0.8 mailed about
/// for `change` alone.
const TABLE: &str = "
               success  warnings  failure  skipped  exception  retry  cancelled
    none       p        w         f        -        e          -      -
    success    p        cw        cfb      c        ce         c      c
    warnings   cp       w         cfb      c        ce         c      c
    failure    cp       cw        f        c        ce         c      c
    skipped    cp       cw        cfb      -        ce         c      c
    exception  cp       cw        cfb      c        e          c      c
    retry      cp       cw        cfb      c        ce         -      c
    cancelled  cp       cw        cfb      c        ce         c      -
";

const MODES: [(char, &str); 6] = [
    ('c', "change"),
    ('f', "failing"),
    ('p', "passing"),
    ('b', "problem"),
    ('w', "warnings"),
    ('e', "exception"),
];

fn outcome(word: &str) -> Option<Outcome> {
    Outcome::ALL.into_iter().find(|outcome| outcome.word() == word)
}

/// Every cell: the result before, the result, and the letters of the modes that hold.
fn cells() -> Vec<(Option<Outcome>, Outcome, &'static str)> {
    let mut lines = TABLE.lines().filter(|line| !line.trim().is_empty());
    let results: Vec<Outcome> =
        lines.next().unwrap().split_whitespace().map(|word| outcome(word).unwrap()).collect();
    let mut cells = Vec::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let before = outcome(words.next().unwrap());
        let row: Vec<&str> = words.collect();
        assert_eq!(row.len(), results.len());
        cells.extend(results.iter().zip(row).map(|(result, modes)| (before, *result, modes)));
    }
    cells
}

#[test]
fn m02_m03_every_transition_with_every_mode_and_selection_is_as_the_table_says() {
    let selections = [
        (json!({}), true),
        (json!({ "builders": ["unit win/32", "other"] }), true),
        (json!({ "builders": ["other"] }), false),
        (json!({ "categories": ["win"] }), true),
        (json!({ "categories": ["release", "docs"] }), false),
    ];
    let letters = |mode: &Value| -> String {
        let of = |word: &str| MODES.iter().find(|(_, name)| *name == word).unwrap().0;
        match mode {
            Value::String(word) if word == "all" => "cfpbwe".to_owned(),
            Value::String(_) => "wf".to_owned(),
            list => list.as_array().unwrap().iter().map(|m| of(m.as_str().unwrap())).collect(),
        }
    };
    let mut modes: Vec<Value> = MODES.iter().map(|(_, name)| json!([name])).collect();
    modes.extend([json!("all"), json!("warnings"), json!(["failing", "passing", "warnings"])]);
    modes.extend([json!(["change", "exception"]), json!(["problem", "passing"])]);
    let mut checked = 0;
    for (selection, selected) in selections {
        for mode in &modes {
            let mut spec = selection.clone();
            spec["mode"] = mode.clone();
            let secrets = Secrets::default();
            let mail = Mail::new("ci/mail", &mail_spec(&spec), &secrets, about().fixed()).unwrap();
            for (previous, result, holding) in cells() {
                let build = Build { previous, outcome: Some(result), ..build("failure") };
                let record = record(Event::BuildFinished { build: Box::new(build) }, 1);
                let expected = selected && letters(mode).chars().any(|m| holding.contains(m));
                assert_eq!(mail.decide(&record), expected, "{spec} {previous:?} {result}");
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 5 * 11 * 8 * 7);
}

#[test]
fn m02_the_default_modes_are_those_of_the_manual() {
    let mail =
        Mail::new("m", &mail_spec(&json!({})), &Secrets::default(), about().fixed()).unwrap();
    for (previous, result, holding) in cells() {
        let build = Build { previous, outcome: Some(result), ..build("failure") };
        let record = record(Event::BuildFinished { build: Box::new(build) }, 1);
        let expected = holding.contains(['f', 'p', 'w']);
        assert_eq!(mail.decide(&record), expected, "{previous:?} {result}");
    }
}
