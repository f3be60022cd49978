//! Users' templates: what they can do, and what they can't.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use proptest::prelude::*;
use render::{Format, Limits, Template, TemplateError};
use serde_json::json;

fn compile(source: &str, format: Format) -> Result<Template, TemplateError> {
    Template::compile("body", source, format, Limits::default(), &["mode"])
}

fn render(source: &str, format: Format) -> Result<String, TemplateError> {
    compile(source, format)?.render(&common::context(), &json!({ "mode": ["failing"] }))
}

#[test]
fn a_template_sees_the_build_and_what_the_target_adds() {
    let text = "{{ builder.name }} #{{ number }}: {{ result | upper }}, {{ mode[0] }}\n\
        {% for c in changes %}{{ c.author_name }}: {{ c.subject }}\n{% endfor %}\
        {{ properties.version }} {{ properties.nosuch | default('-') }} {{ steps[0].logs[0].url }}\n";
    let expected = "unit win/32 #7: FAILURE, failing\nAnn: mend it\n1.0 - \
        http://ci.example.org/builders/unit%20win%2F32/builds/7/steps/test/logs/stdio\n";
    assert_eq!(render(text, Format::Text).unwrap(), expected);
}

#[test]
fn html_is_escaped_and_text_is_not() {
    assert_eq!(render("{{ text }}", Format::Text).unwrap(), "failed 'sh <test>'");
    assert_eq!(render("{{ text }}", Format::Html).unwrap(), "failed &#x27;sh &lt;test&gt;&#x27;");
}

#[test]
fn mistakes_are_found_when_a_template_is_read() {
    for (source, expected) in [
        ("a\n{% if %}", "template body, line 2: syntax error: unexpected end of block"),
        ("{{ x", "template body, line 1: syntax error"),
        (
            "{{ buidler.name }}",
            "template body: there is no variable `buidler`; did you mean `builder`?",
        ),
        (
            "{{ something_else }}",
            "template body: there is no variable `something_else`; the documentation",
        ),
        ("{{ text | nosuch }}", "unknown filter"),
    ] {
        let error = render(source, Format::Text).unwrap_err().to_string();
        assert!(error.contains(expected), "{source}: {error}");
    }
}

#[test]
fn mistakes_that_need_a_build_name_the_line_and_the_remedy() {
    for (source, expected) in [
        ("\n\n{{ properties.nosuch.more }}", "template body, line 3: undefined value"),
        ("{{ builder.nosuch }}", "default("),
        ("{% include 'other' %}", "stands alone"),
        ("{{ nosuch() }}", "nosuch"),
        ("{{ 1 // 0 }}", "template body, line 1"),
    ] {
        let error = render(source, Format::Text).unwrap_err().to_string();
        assert!(error.contains(expected), "{source}: {error}");
    }
}

#[test]
fn what_runs_for_ever_grows_without_end_or_digs_too_deep_is_stopped() {
    let fuel = |e: &TemplateError| matches!(e, TemplateError::OutOfFuel { .. });
    let long = |e: &TemplateError| matches!(e, TemplateError::OutputTooLong { .. });
    let failed = |e: &TemplateError| matches!(e, TemplateError::Render { .. });
    type Check<'a> = &'a dyn Fn(&TemplateError) -> bool;
    let cases: [(&str, Check<'_>); 6] = [
        ("{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}", &fuel),
        ("{% set x = 'ab' * 1000000000 %}{{ x | length }}", &|e| fuel(e) || failed(e)),
        ("{{ 'x' * 5000000 }}", &|e| long(e) || fuel(e)),
        ("{% for a in range(10000) %}{{ text * 50 }}{% endfor %}", &long),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", &failed),
        ("{% for a in range(99999999999) %}{% endfor %}", &|e| fuel(e) || failed(e)),
    ];
    for (source, expected) in cases {
        let error = render(source, Format::Text).unwrap_err();
        assert!(expected(&error), "{source}: {error}");
    }
    let large = compile(&"x".repeat(10 << 20), Format::Text).unwrap_err();
    assert_eq!(
        large.to_string(),
        "template body: 10485760 bytes long, 65536 are allowed; shorten it"
    );
    assert!(compile(&"{% if 1 %}".repeat(5000), Format::Text).is_err());
    assert!(compile(&format!("{{{{ {}1 }}}}", "(".repeat(5000)), Format::Text).is_err());
}

proptest! {
    #[test]
    fn no_template_panics(source in ".{0,60}|(\\{\\{|\\}\\}|\\{%|%\\}|for|in|if|end|x|steps|[()|.\\[\\]'0-9 ]){0,30}") {
        let _ = render(&source, Format::Html);
    }
}
