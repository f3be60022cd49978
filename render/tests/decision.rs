//! Users' decisions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use proptest::prelude::*;
use render::{Decision, DecisionError};
use serde_json::json;

fn decide(source: &str) -> Result<bool, DecisionError> {
    Decision::compile(source, &["username"])?
        .decide(&common::context(), &json!({ "username": "ann" }))
}

#[test]
fn a_decision_sees_the_build_and_what_the_target_adds() {
    for (source, expected) in [
        ("true", true),
        ("result == 'failure' && previous == 'success'", true),
        ("builder.name == 'smoketest' || username == 'ann'", true),
        ("'unit' in builder.tags && number > 6", true),
        ("changes.exists(c, c.author.contains('example.org'))", true),
        ("steps.all(s, s.result == 'success')", false),
        ("has(properties.nosuch)", false),
        ("properties.version == '1.0'", true),
        ("worker == null", false),
    ] {
        assert_eq!(decide(source), Ok(expected), "{source}");
    }
}

#[test]
fn lists_are_cut_wherever_they_stand_so_that_the_estimate_holds() {
    let mut build = common::build();
    let long = json!({ "list": vec![0; 5000], "nested": [vec![0; 5000]] });
    build.properties.0.insert("long".into(), model::Property(long, "test".into()));
    let context = render::BuildContext::new(&build, &render::Site::default());
    let source = "size(properties.long.list) == 1000 && size(properties.long.nested[0]) == 1000";
    let decision = Decision::compile(source, &[]).unwrap();
    assert_eq!(decision.decide(&context, &json!({})), Ok(true));
}

#[test]
fn a_number_is_a_whole_one() {
    let number =
        |source: &str| Decision::compile(source, &[])?.number(&common::context(), &json!({}));
    assert_eq!(number("result == 'success' ? 1 : -1"), Ok(-1));
    assert_eq!(number("2u"), Ok(2));
    for (source, gives) in [
        ("result == 'success'", "true or false"),
        ("1.5", "a fraction"),
        ("'1'", "a text"),
        ("18446744073709551615u", "too large a number"),
    ] {
        assert_eq!(number(source), Err(DecisionError::NotNumber(gives)), "{source}");
    }
}

#[test]
fn mistakes_have_types() {
    use DecisionError as E;
    type Check = fn(&E) -> bool;
    let cases: [(&str, Check); 7] = [
        ("result ==", |e| matches!(e, E::Parse(_))),
        ("buidler.name == 'x'", |e| *e == E::UnknownVariable("buidler".into())),
        ("changes.exists(c, d.author == '')", |e| *e == E::UnknownVariable("d".into())),
        ("number", |e| *e == E::NotBool("a number")),
        ("builder.tags", |e| *e == E::NotBool("a list")),
        ("properties.nosuch == 'x'", |e| matches!(e, E::Evaluate(_))),
        ("result + 1 == 2", |e| matches!(e, E::Types(_))),
    ];
    for (source, expected) in cases {
        let error = decide(source).unwrap_err();
        assert!(expected(&error), "{source}: {error:?}");
    }
}

#[test]
fn what_fails_with_every_build_is_found_before_there_is_one() {
    let tried = |source: &str| {
        Decision::compile(source, &["username"])?.try_decide(&json!({ "username": "ann" }))
    };
    for source in [
        "1 + true",
        "result == 'failure' && number + 'x' == ''",
        "worker > 3",
        "changes.exists(c, c.author + 1 == '')",
        "steps.all(s, s.logs.all(l, l.lines.startsWith('x')))",
        "source_stamps[0].got_revision + 1 == 1",
        "size(number) == 1",
        "nosuch(number)",
        "number",
        "username ? true : false",
    ] {
        assert!(tried(source).is_err(), "{source}");
    }
    for source in [
        "properties.nosuch == 'x'",
        "properties.nosuch + 1 == 2",
        "steps[7].name == 'x'",
        "number / 0 == 1",
        "int(text) == 1",
        "worker == null || worker.startsWith('w')",
        "previous_code != null && previous_code > result_code",
        "seconds > 60 && last_step.logs[0].url.contains('http')",
        "source_stamps.exists(s, s.patch != null && s.patch.level == 0)",
    ] {
        assert!(tried(source).is_ok(), "{source}: {:?}", tried(source));
    }
    let vote = |source: &str| Decision::compile(source, &[])?.try_number(&json!({}));
    assert_eq!(vote("result").unwrap_err(), DecisionError::NotNumber("a text"));
    assert!(vote("result == 'success' ? 1 : -1").is_ok());
}

#[test]
fn what_could_take_too_long_is_refused_before_it_runs() {
    let inner = "changes.all(a, steps.all(b, changes.all(c, a.id + b.number + c.id > 0)))";
    assert!(matches!(decide(inner), Err(DecisionError::TooCostly { .. })));
    let digits: Vec<String> = (0..900).map(|n| n.to_string()).collect();
    let list = format!("[{}]", digits.join(","));
    let nested = format!("{list}.all(a, steps.all(b, a + b.number > 0))");
    assert!(decide(&nested).is_ok());
    let long = format!("'{}' == ''", "x".repeat(10 << 20));
    assert!(matches!(decide(&long), Err(DecisionError::Parse(_))));
    let deep = format!("{}true{}", "(".repeat(1500), ")".repeat(1500));
    assert!(decide(&deep).is_err());
}

proptest! {
    #[test]
    fn no_expression_panics(source in ".{0,40}|(steps|result|\\.all\\(|\\.map\\(|x, |[()\\[\\]{}'\"0-9+*/%<>=!&|?:. -]){0,20}") {
        let _ = decide(&source);
    }
}
