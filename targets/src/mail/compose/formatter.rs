//! A message of one's own (M08): templates, and what they see beside the build.

use crate::BuildError;
use crds::{BodyType, BuiltinMessage, MessageFormatter, Mode};
use render::{BuildContext, Format, Limits, Template, TemplateError};
use serde::Serialize;

/// The manual's examples.
const SHORT: &str = include_str!("builtin/short.txt");
const HTML_WITH_LOG: &str = include_str!("builtin/html_with_log.html");

/// A message's compiled templates.
#[derive(Debug)]
pub struct Formatter {
    subject: Option<Template>,
    body: Template,
    /// The same as plain text, beside HTML.
    plain: Option<Template>,
    html: bool,
    /// Lines of a log's end that templates see.
    pub lines: usize,
}

/// What templates see beside the build.
#[derive(Debug, Serialize)]
pub struct Extra<'a> {
    /// The modes of the notifier.
    pub mode: &'a [Mode],
    /// Those that hold.
    pub matched: &'a [Mode],
    /// Logs with their ends, in the order of the steps.
    pub logs: &'a [Tail],
    /// The log of the last step that finished: its `stdio`, else its first.
    pub last_log: Option<&'a Tail>,
    /// The most lines of a log that are here.
    pub log_lines: usize,
}

/// Names of [`Extra`]'s fields.
const EXTRA: [&str; 5] = ["mode", "matched", "logs", "last_log", "log_lines"];

/// The end of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tail {
    /// `STEP.LOG`.
    pub name: String,
    /// The step's name.
    pub step: String,
    /// The log's own name.
    pub log: String,
    /// How the step ended: `success`, `failure` …
    pub result: &'static str,
    /// Its page.
    pub url: Option<String>,
    /// Its last lines.
    pub lines: Vec<String>,
    /// Whether there are more before them.
    pub cut: bool,
}

/// Subject and body of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    pub subject: Option<String>,
    pub plain: Option<String>,
    pub html: Option<String>,
}

impl Formatter {
    pub fn new(spec: &MessageFormatter) -> Result<Self, BuildError> {
        let compile = |field: &str, source: &str, format| {
            Template::compile(field, source, format, Limits::default(), &EXTRA)
                .map_err(|error| BuildError::new(format!("spec.messageFormatter.{field}"), error))
        };
        let (body, html) = match (spec.builtin, &spec.body) {
            (Some(BuiltinMessage::Short), _) => (SHORT, false),
            (Some(BuiltinMessage::HtmlWithLog), _) => (HTML_WITH_LOG, true),
            (None, Some(body)) => (body.as_str(), spec.body_type == BodyType::Html),
            (None, None) => {
                return Err(BuildError::new("spec.messageFormatter", "set either body or builtin"));
            }
        };
        let optional = |field, source: &Option<String>| {
            source.as_ref().map(|source| compile(field, source, Format::Text)).transpose()
        };
        Ok(Self {
            subject: optional("subject", &spec.subject)?,
            body: compile("body", body, if html { Format::Html } else { Format::Text })?,
            plain: optional("plainBody", &spec.plain_body)?,
            html,
            lines: usize::try_from(spec.log_lines).unwrap_or(usize::MAX),
        })
    }

    /// Whether a template names this variable.
    pub fn uses(&self, variable: &str) -> bool {
        let others = self.subject.iter().chain(&self.plain);
        self.body.uses(variable) || others.into_iter().any(|template| template.uses(variable))
    }

    /// The message about a build.
    pub fn render(&self, context: &BuildContext, extra: &Extra<'_>) -> Result<Text, TemplateError> {
        let body = self.body.render(context, extra)?;
        let of = |template: &Option<Template>| {
            template.as_ref().map(|template| template.render(context, extra)).transpose()
        };
        let (subject, plain) = (of(&self.subject)?, of(&self.plain)?);
        Ok(match self.html {
            true => Text { subject, plain, html: Some(body) },
            false => Text { subject, plain: Some(body), html: None },
        })
    }
}

/// Bodies one after the other, as a buildset's mail has them; the last one's subject counts.
pub fn join(texts: Vec<Text>) -> Text {
    let html = texts.iter().any(|text| text.html.is_some());
    let mut all = Text::default();
    let add = |to: &mut Option<String>, part: &str| {
        let to = to.get_or_insert_default();
        to.push_str(part);
        to.push_str("\n\n");
    };
    let plain = !html || texts.iter().all(|text| text.plain.is_some());
    for text in texts {
        if let (true, Some(part)) = (plain, &text.plain) {
            add(&mut all.plain, part);
        }
        if html {
            // The usual text stands in for one that failed.
            let part = text.html.unwrap_or_else(|| preformatted(&text.plain.unwrap_or_default()));
            add(&mut all.html, &part);
        }
        all.subject = text.subject.or(all.subject);
    }
    all
}

/// Plain text as HTML.
fn preformatted(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<pre>\n{text}</pre>")
}
