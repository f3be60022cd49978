//! Users' Jinja templates, bounded in every direction.

use crate::{Bounded, BuildContext};
use minijinja::{
    AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value, syntax::SyntaxConfig,
    value::Serde,
};
use serde::Serialize;
use std::sync::OnceLock;

const NAME: &str = "template";

/// What a template makes, which decides about escaping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Plain text: values go out as they are.
    Text,
    /// HTML: values are escaped.
    Html,
}

/// What a template may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the template's source.
    pub source: usize,
    /// Bytes of its output.
    pub output: usize,
    /// Work: about one for an instruction or for 64 bytes of data, so memory is bounded too.
    pub fuel: u64,
    /// Nested blocks, loops and macro calls.
    pub depth: usize,
}

impl Default for Limits {
    /// Room for a page about a build with thousands of changes; a second's work at most.
    fn default() -> Self {
        Self { source: 64 * 1024, output: 4 << 20, fuel: 2_000_000, depth: 100 }
    }
}

/// Why a template was not accepted, or gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The source is too long.
    #[error("template {template}: {bytes} bytes long, {limit} are allowed; shorten it")]
    SourceTooLong {
        /// The template's name.
        template: String,
        /// Its size.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// The source is no template.
    #[error("template {template}, line {line}: {text}")]
    Syntax {
        /// The template's name.
        template: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and how to mend it.
        text: String,
    },
    /// It uses a variable that the context does not have.
    #[error("template {template}: there is no variable `{variable}`{hint}")]
    UnknownVariable {
        /// The template's name.
        template: String,
        /// The variable.
        variable: String,
        /// The nearest one that there is.
        hint: String,
    },
    /// It failed on this build.
    #[error("template {template}, line {line}: {text}")]
    Render {
        /// The template's name.
        template: String,
        /// The line, from 1; 0 if unknown.
        line: usize,
        /// What went wrong, and how to mend it.
        text: String,
    },
    /// It worked too long.
    #[error(
        "template {template}: stopped after {fuel} units of work; does a loop run over too much?"
    )]
    OutOfFuel {
        /// The template's name.
        template: String,
        /// The bound.
        fuel: u64,
    },
    /// It wrote too much.
    #[error("template {template}: its output passed {limit} bytes; write less")]
    OutputTooLong {
        /// The template's name.
        template: String,
        /// The bound.
        limit: usize,
    },
}

/// A compiled template. It reads no files and includes no others.
#[derive(Debug)]
pub struct Template {
    name: String,
    limits: Limits,
    environment: Environment<'static>,
}

/// What a template sees beside the build: values by name.
#[derive(Serialize)]
struct Scope<'a, E> {
    #[serde(flatten)]
    build: &'a BuildContext,
    #[serde(flatten)]
    extra: &'a E,
}

impl Template {
    /// Compiles a template. `name` is for messages only, `extra` lists variables that
    /// [`Self::render`] gives beside the build's.
    ///
    /// # Errors
    /// [`TemplateError`] for what can be found without a build: size, syntax, unknown variables.
    pub fn compile(
        name: &str,
        source: &str,
        format: Format,
        limits: Limits,
        extra: &[&str],
    ) -> Result<Self, TemplateError> {
        if source.len() > limits.source {
            return Err(TemplateError::SourceTooLong {
                template: name.to_owned(),
                bytes: source.len(),
                limit: limits.source,
            });
        }
        let mut environment = Environment::new();
        environment.set_fuel(Some(limits.fuel));
        environment.set_recursion_limit(limits.depth);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
            environment.set_syntax(syntax);
        }
        environment.set_auto_escape_callback(move |_| match format {
            Format::Text => AutoEscape::None,
            Format::Html => AutoEscape::Html,
        });
        environment.add_filter("date", date);
        let template = Self { name: name.to_owned(), limits, environment: environment.clone() };
        environment.add_template_owned(NAME, source.to_owned()).map_err(|error| {
            TemplateError::Syntax {
                template: name.to_owned(),
                line: error.line().unwrap_or(1),
                text: explain(&error),
            }
        })?;
        let template = Self { environment, ..template };
        template.check_variables(extra)?;
        Ok(template)
    }

    fn check_variables(&self, extra: &[&str]) -> Result<(), TemplateError> {
        let compiled = self.environment.get_template(NAME).map_err(|e| self.failed(&e, false))?;
        let known = fields();
        let mut unknown: Vec<String> = compiled
            .undeclared_variables(false)
            .into_iter()
            .filter(|name| {
                let global = self.environment.globals().any(|(global, _)| global == name);
                !global && !known.contains(name) && !extra.contains(&name.as_str())
            })
            .collect();
        unknown.sort_unstable();
        let Some(variable) = unknown.into_iter().next() else { return Ok(()) };
        let nearest = known
            .iter()
            .map(String::as_str)
            .chain(extra.iter().copied())
            .map(|name| (strsim::damerau_levenshtein(name, &variable), name))
            .min()
            .filter(|(distance, _)| *distance <= 3);
        let hint = match nearest {
            Some((_, name)) => format!("; did you mean `{name}`?"),
            None => "; the documentation of the build context lists them".to_owned(),
        };
        Err(TemplateError::UnknownVariable { template: self.name.clone(), variable, hint })
    }

    /// Whether it names this variable, so that one that is dear to get need not be got for nothing.
    pub fn uses(&self, variable: &str) -> bool {
        self.environment
            .get_template(NAME)
            .is_ok_and(|compiled| compiled.undeclared_variables(false).contains(variable))
    }

    /// The text for a build. `extra` are the values of the names given to [`Self::compile`].
    ///
    /// # Errors
    /// [`TemplateError`] if the template fails on this build or passes a bound.
    pub fn render<E: Serialize>(
        &self,
        build: &BuildContext,
        extra: &E,
    ) -> Result<String, TemplateError> {
        let template = self.environment.get_template(NAME).map_err(|e| self.failed(&e, false))?;
        let scope = Value::from(Serde(Scope { build, extra }));
        let mut out = Bounded::new(self.limits.output);
        let rendered = template.render_captured_to(scope, &mut out).map(|_| ());
        rendered.map_err(|error| self.failed(&error, out.passed()))?;
        String::from_utf8(out.into_bytes()).map_err(|_| TemplateError::Render {
            template: self.name.clone(),
            line: 0,
            text: "its output is no UTF-8".to_owned(),
        })
    }

    fn failed(&self, error: &minijinja::Error, passed: bool) -> TemplateError {
        let template = self.name.clone();
        if passed {
            return TemplateError::OutputTooLong { template, limit: self.limits.output };
        }
        // A loop inside a macro or block reports the cause as its source.
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(inner) = cause {
            let kind = inner.downcast_ref::<minijinja::Error>().map(minijinja::Error::kind);
            if kind == Some(ErrorKind::OutOfFuel) {
                return TemplateError::OutOfFuel { template, fuel: self.limits.fuel };
            }
            cause = inner.source();
        }
        TemplateError::Render { template, line: error.line().unwrap_or(0), text: explain(error) }
    }
}

/// The filter `date`: seconds since 1970 as `strftime` writes them, in UTC.
fn date(seconds: i64, format: &str) -> Result<String, minijinja::Error> {
    let failed = |error: jiff::Error| {
        minijinja::Error::new(ErrorKind::InvalidOperation, format!("date: {error}"))
    };
    let time = jiff::Timestamp::from_second(seconds).map_err(failed)?;
    let zoned = time.to_zoned_datetime(jiff::tz::TimeZone::UTC);
    jiff::fmt::strtime::format(format, &zoned).map_err(failed)
}

/// The error's words, and what to do about it.
fn explain(error: &minijinja::Error) -> String {
    let what = error.kind();
    let detail: String = error.detail().unwrap_or_default().chars().take(300).collect();
    let fix = match what {
        ErrorKind::UndefinedError => "; give it a default: {{ value | default(\"\") }}",
        ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction => {
            "; only Jinja's own are there"
        }
        ErrorKind::TemplateNotFound | ErrorKind::BadInclude => {
            "; a message's template stands alone, without include or extends"
        }
        _ => "",
    };
    if detail.is_empty() { format!("{what}{fix}") } else { format!("{what}: {detail}{fix}") }
}

/// The names of the context's fields.
fn fields() -> &'static [String] {
    static FIELDS: OnceLock<Vec<String>> = OnceLock::new();
    FIELDS.get_or_init(|| {
        let empty = BuildContext::new(&model::Build::default(), &crate::Site::default());
        match serde_json::to_value(empty) {
            Ok(serde_json::Value::Object(fields)) => fields.into_iter().map(|(k, _)| k).collect(),
            _ => Vec::new(),
        }
    })
}
