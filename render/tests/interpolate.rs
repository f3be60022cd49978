//! `%(…)s` as Buildbot's Interpolate has it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use proptest::prelude::*;
use render::Interpolation;

fn render(text: &str) -> String {
    Interpolation::parse(text).unwrap().render(&common::context())
}

#[test]
fn places_become_what_buildbot_makes_of_them() {
    for (text, expected) in [
        ("", ""),
        ("100 %% of %(prop:version)s", "100 % of 1.0"),
        ("%(builder)s %(result)s %(title)s %(projectName)s", "unit win/32 failure Project Project"),
        ("[%(prop:nosuch)s][%(prop:none)s]", "[][]"),
        ("%(prop:nosuch:-no)s %(prop:empty:-no)s %(prop:zero:-no)s", "no  0"),
        (
            "%(prop:nosuch:~no)s %(prop:empty:~no)s %(prop:zero:~no)s %(prop:version:~no)s",
            "no no no 1.0",
        ),
        ("%(prop:nosuch:+set)s|%(prop:empty:+set)s", "|set"),
        ("%(prop:nosuch:?|set|unset)s %(prop:zero:?:set:unset)s", "unset set"),
        ("%(prop:zero:#?|true|false)s %(prop:version:#?|true|false)s", "false true"),
        ("%(prop:nosuch:-%(prop:nosuch2:-%(prop:version)s)s)s", "1.0"),
        ("%(prop:nosuch:-(in brackets))s", "(in brackets)"),
        ("%(src::branch)s %(src:lib:revision)s %(src:lib:branch:-none)s", "master d "),
        ("%(src:nosuch:branch:-none)s %(src:lib:got_revision)s", "none def"),
        ("%(prop:yes)s é %(prop:got_revision)s", r#"True é {"":"abc","lib":"def"}"#),
    ] {
        assert_eq!(render(text), expected, "{text}");
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (text, at, part) in [
        ("a %d", 3, "write %%"),
        ("100%", 4, "write %%"),
        ("é %(prop:x", 3, "no closing"),
        ("%(prop:x)d", 1, "letter s"),
        ("%(nosuch)s", 3, "known are"),
        ("%(kw:x)s", 3, "no meaning"),
        ("%(prop:)s", 8, "name is missing"),
        ("%(prop:a b)s", 9, "letters, digits"),
        ("%(src:x)s", 3, "attribute is missing"),
        ("%(src:x:nosuch)s", 9, "an attribute is"),
        ("%(prop:x:=y)s", 9, ":-TEXT"),
        ("%(prop:x:?|only)s", 11, "two texts"),
        ("%(prop:x:-%(nosuch)s)s", 13, "known are"),
        ("%(prop:x:?|a|%(nosuch)s)s", 16, "known are"),
    ] {
        let error = Interpolation::parse(text).unwrap_err();
        assert_eq!((error.at, error.text.contains(part)), (at, true), "{text}: {error}");
    }
}

#[test]
fn deep_and_long_texts_are_refused_and_long_results_are_cut() {
    let deep = format!("{}x{}", "%(prop:a:-".repeat(50), ")s".repeat(50));
    assert!(Interpolation::parse(&deep).unwrap_err().text.contains("deep"));
    assert!(Interpolation::parse(&"x".repeat(10 << 20)).is_err());
    let many = Interpolation::parse(&"%(prop:got_revision)s".repeat(3000)).unwrap();
    assert!(many.render(&common::context()).len() <= 64 * 1024);
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,60}|([%(]|\\)s|prop:|src:|:[-~+?#|]|[a-zé:|]){0,40}") {
        if let Ok(parsed) = Interpolation::parse(&text) {
            parsed.render(&common::context());
        }
    }

    #[test]
    fn a_text_without_a_percent_sign_stays_as_it_is(text in "[^%]{0,80}") {
        prop_assert_eq!(render(&text), text);
    }
}
