//! What users write and what builds say, changed: templates, decisions, interpolation.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "../tests/common/mod.rs"]
mod common;

use crate::{BuildContext, Decision, Format, Interpolation, Limits, Template};
use fuzz::{check, json, text};
use model::Build;
use proptest::strategy::Strategy;
use serde_json::json;

/// Builds whose every field may hold something strange.
fn builds() -> impl Strategy<Value = Build> {
    let build = serde_json::to_value(common::build()).unwrap();
    json(vec![build])
        .prop_map(|value| serde_json::from_value(value).unwrap_or_else(|_| common::build()))
}

const TEMPLATES: &[&str] = &[
    "{{ builder.name }} #{{ number }}: {{ result | upper }}, {{ mode[0] }}",
    "{% for c in changes %}{{ c.author_name }}: {{ c.subject }}\n{% endfor %}",
    "{{ properties.version }} {{ properties.nosuch | default('-') }} {{ steps[0].logs[0].url }}",
    "{% if result == 'failure' and (previous or true) %}{{ reason | title }}{% else %}-{% endif %}",
    "{% set x = steps | map(attribute='name') | join(', ') %}{{ x | length }}{{ started_at | date }}",
    "{% macro m(a) %}{{ a * 2 }}{% endmacro %}{{ m(number) }}{{ [1, 2, 3] | sum }}{{ '%s' | format(1) }}",
    "{% for i in range(10) recursive %}{{ loop.index }}{% if loop.last %}{% break %}{% endif %}{% endfor %}",
    "{{ steps | tojson }}{{ text | replace('a', 'b') | trim | indent(4) }}{{ number // 2 ** 3 % 5 - -1 }}",
    "{% filter upper %}{% raw %}{{ x }}{% endraw %}{% endfilter %}{{ properties | dictsort | list | last }}",
];
const TEMPLATE_WORDS: &[&str] = &[
    "{% for x in steps %}",
    "{% endfor %}",
    "{% if x %}",
    "{% endif %}",
    "{{ ",
    " }}",
    " | ",
    "| batch(3)",
    "| slice(0)",
    "| round(9)",
    "| int",
    "| float",
    "| urlencode",
    "| tojson(true)",
    "| indent(99999999)",
    "* 99999999",
    "range(99999999)",
    "[::-1]",
    "[0:999999999999]",
    "~ text",
    "is divisibleby(0)",
    "// 0",
    "% 0",
    "** 999",
    "loop(steps)",
    "self",
    "super()",
    "{% include 'x' %}",
    "{% import 'x' as y %}",
    "{% set x = x ~ x %}",
    "{#",
    "#}",
    "{{- ",
    " -}}",
    "| groupby('name')",
    "| pprint",
    "namespace(a=1)",
];

#[test]
fn any_template_gives_a_text_within_bounds_or_an_error() {
    // As a target's, but less: a case that uses all up is to be a short one.
    let limits = Limits { fuel: 50_000, output: 100_000, ..Limits::default() };
    let cases = (text(TEMPLATES, TEMPLATE_WORDS), builds());
    check(500, cases, |(source, build)| {
        let context = BuildContext::new(&build, &common::site());
        for format in [Format::Text, Format::Html] {
            let Ok(template) = Template::compile("body", &source, format, limits, &["mode"]) else {
                continue;
            };
            match template.render(&context, &json!({"mode": ["failing"]})) {
                Ok(text) => assert!(text.len() <= limits.output, "{} bytes", text.len()),
                Err(error) => assert!(error.to_string().contains("template body")),
            }
        }
    });
}

#[test]
fn what_a_build_says_is_escaped_in_html() {
    let source = "{{ text }}{{ builder.name }}{{ reason }}{% for c in changes %}{{ c.author }}{{ c.comments }}\
        {{ c.files | join(' ') }}{% endfor %}{% for s in steps %}{{ s.name }}{{ s.text }}{% endfor %}\
        {% for n, v in properties | items %}{{ n }}{{ v }}{% endfor %}";
    let template = Template::compile("body", source, Format::Html, Limits::default(), &[]).unwrap();
    check(500, builds(), |build| {
        let context = BuildContext::new(&build, &common::site());
        let html = template.render(&context, &json!({})).unwrap();
        assert!(!html.contains(['<', '>', '"']), "{html}");
    });
}

const DECISIONS: &[&str] = &[
    "result == 'failure' && previous != 'failure'",
    "builder.name.startsWith('unit') || builder.tags.exists(t, t == 'release')",
    "size(changes) > 3 && changes.all(c, c.branch == 'master')",
    "has(properties.version) && properties.version.matches('^1[.]') ? true : number % 2 == 0",
    "steps.filter(s, s.result == 'failure').map(s, s.name) == ['test']",
    "int(string(number)) + 1 > 0 && 'a' in builder.tags && !(started_at < 0)",
];
const DECISION_WORDS: &[&str] = &[
    "&&",
    "||",
    "!",
    "==",
    "in",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "? :",
    ".all(x, x)",
    ".exists(x, true)",
    ".map(x, x + x)",
    ".filter(x, x > 0)",
    ".matches('(a+)+$')",
    "size(",
    "int(",
    "double(",
    "string(",
    "timestamp('2026-01-01T00:00:00Z')",
    "duration('1h')",
    "/ 0",
    "% 0",
    "* 9223372036854775807",
    "- -9223372036854775808",
    "'\\ud800'",
    "b'\\xff'",
    "1u",
    "null",
    "type(1)",
    "dyn(",
    "r'",
    "'''",
    ".*",
    "[1, 2, 3][",
    "{'a': 1}.a",
    "has(x.y)",
    "@in",
    "_",
    "steps[99999999999999999999]",
];

#[test]
fn any_decision_gives_an_answer_or_an_error() {
    check(250, (text(DECISIONS, DECISION_WORDS), builds()), |(source, build)| {
        let context = BuildContext::new(&build, &common::site());
        if let Ok(decision) = Decision::compile(&source, &[]) {
            let decided = decision.decide(&context, &json!({})).map_err(|error| error.to_string());
            if let Err(error) = decided {
                assert!(error.len() < 20_000, "{} bytes", error.len());
            }
            let _ = decision.number(&context, &json!({}));
        }
    });
}

const INTERPOLATIONS: &[&str] = &[
    "%(result)s on %(builder)s",
    "build %(prop:version:-unknown)s: %(prop:owner:+%(prop:owner)s)s",
    "%(src:lib:revision)s %(src::branch:~none)s %(kw:x)s 100%%",
    "%(prop:yes:?|a|b)s %(prop:zero:#?|yes|no)s",
];
const INTERPOLATION_WORDS: &[&str] = &[
    "%(",
    ")s",
    "%%",
    "%s",
    "%d",
    "%(prop:",
    "%(src:",
    ":-",
    ":+",
    ":~",
    ":?",
    ":#?",
    "|",
    "%(prop:x:-%(",
    ":revision)s",
    "%(prop:got_revision)s",
];

#[test]
fn any_interpolation_gives_a_text_within_bounds_or_an_error() {
    check(2000, (text(INTERPOLATIONS, INTERPOLATION_WORDS), builds()), |(source, build)| {
        let context = BuildContext::new(&build, &common::site());
        if let Ok(interpolation) = Interpolation::parse(&source) {
            let text = interpolation.render(&context);
            assert!(text.len() <= 64 * 1024, "{} bytes", text.len());
            if interpolation.is_fixed() {
                assert_eq!(text, source.replace("%%", "%"));
            }
        }
    });
}
