//! The pages' templates: built in, and replaced by name (row W04).
//!
//! A name is looked up in `templates` of the settings, then in `templatesDir`, then in the
//! folders of `jinjaLoaders` in their order, then among the built-in ones.

use crate::text;
use crds::WebStatusSpec;
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, Value, syntax::SyntaxConfig,
};
use model::Timestamp;
use render::Bounded;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// A template that is no good.
#[derive(Debug, thiserror::Error)]
pub enum TemplateFailure {
    /// A folder of templates can't be read.
    #[error("the templates in {dir} cannot be read: {source}")]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A template does not compile.
    #[error("template {name}: {text}")]
    Syntax {
        /// Its name.
        name: String,
        /// What is wrong and where.
        text: String,
    },
    /// A rule for links is no good.
    #[error(transparent)]
    Links(#[from] text::decorate::DecorateError),
}

impl TemplateFailure {
    /// The field of the settings that it is about.
    pub fn field(&self, spec: &WebStatusSpec) -> String {
        match self {
            Self::Folder { dir, .. } => {
                let loader = spec.jinja_loaders.iter().position(|loader| dir == Path::new(loader));
                match loader.filter(|_| spec.templates_dir.as_deref().map(Path::new) != Some(dir)) {
                    Some(at) => format!("spec.jinjaLoaders[{at}]"),
                    None => "spec.templatesDir".to_owned(),
                }
            }
            Self::Syntax { name, .. } if spec.templates.contains_key(name) => {
                format!("spec.templates[{name:?}]")
            }
            // A file of a folder, which its text names.
            Self::Syntax { .. } => String::new(),
            Self::Links(error) => error.field(),
        }
    }
}

/// What a page may use up, replaced templates included: room for lists of thousands of builds,
/// and an end for a template that loops for ever. The waterfall's rows are not part of it.
const FUEL: u64 = 10_000_000;
/// Bytes of a page.
const OUTPUT: usize = 32 << 20;
/// Nested blocks, loops and macro calls.
const DEPTH: usize = 100;
/// Bytes of a template's source.
const SOURCE: usize = 256 << 10;

/// The built-in templates by name.
const BUILT_IN: &[(&str, &str)] = &[
    ("base.html", include_str!("../templates/base.html")),
    ("error.html", include_str!("../templates/error.html")),
    ("waterfall.html", include_str!("../templates/waterfall.html")),
    ("waterfall_head.html", include_str!("../templates/waterfall_head.html")),
    ("waterfall_help.html", include_str!("../templates/waterfall_help.html")),
    ("parts.html", include_str!("../templates/parts.html")),
    ("root.html", include_str!("../templates/root.html")),
    ("builders.html", include_str!("../templates/builders.html")),
    ("builder.html", include_str!("../templates/builder.html")),
    ("build.html", include_str!("../templates/build.html")),
    ("buildstatus.html", include_str!("../templates/buildstatus.html")),
    ("step.html", include_str!("../templates/step.html")),
    ("log.html", include_str!("../templates/log.html")),
    ("changes.html", include_str!("../templates/changes.html")),
    ("change.html", include_str!("../templates/change.html")),
    ("buildslaves.html", include_str!("../templates/buildslaves.html")),
    ("buildslave.html", include_str!("../templates/buildslave.html")),
    ("one_line_per_build.html", include_str!("../templates/one_line_per_build.html")),
    ("about.html", include_str!("../templates/about.html")),
];

/// All templates of a WebStatus.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
}

impl Templates {
    /// The built-in ones only.
    ///
    /// # Errors
    /// [`TemplateFailure::Syntax`]; never with the built-in ones, as tests prove.
    pub fn built_in() -> Result<Self, TemplateFailure> {
        Self::with(&BTreeMap::new(), &[])
    }

    /// Those of the settings over the built-in ones.
    ///
    /// # Errors
    /// [`TemplateFailure`] of the first that can't be read or compiled.
    pub fn of(spec: &WebStatusSpec) -> Result<Self, TemplateFailure> {
        let folders = spec.templates_dir.iter().chain(&spec.jinja_loaders);
        let folders: Vec<PathBuf> = folders.map(PathBuf::from).collect();
        Self::with(&spec.templates, &folders)
    }

    fn with(own: &BTreeMap<String, String>, folders: &[PathBuf]) -> Result<Self, TemplateFailure> {
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        // From the weakest to the strongest.
        for (name, source) in BUILT_IN {
            all.insert((*name).to_owned(), (*source).to_owned());
        }
        for dir in folders.iter().rev() {
            let fail = |source| TemplateFailure::Folder { dir: dir.clone(), source };
            for entry in std::fs::read_dir(dir).map_err(fail)? {
                let entry = entry.map_err(fail)?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                if name.ends_with(".html") && entry.path().is_file() {
                    all.insert(name, std::fs::read_to_string(entry.path()).map_err(fail)?);
                }
            }
        }
        all.extend(own.clone());
        for (name, source) in &all {
            if source.len() > SOURCE {
                let text = format!("{} bytes long, {SOURCE} are allowed; shorten it", source.len());
                return Err(TemplateFailure::Syntax { name: name.clone(), text });
            }
        }
        let mut environment = Environment::new();
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(DEPTH);
        environment.set_auto_escape_callback(|name| {
            let plain = name.ends_with(".txt");
            if plain { AutoEscape::None } else { AutoEscape::Html }
        });
        environment.set_formatter(write);
        environment.set_syntax(syntax()?);
        filters(&mut environment);
        for (name, source) in all {
            environment
                .add_template_owned(name.clone(), source)
                .map_err(|error| TemplateFailure::Syntax { name, text: error.to_string() })?;
        }
        Ok(Self { environment })
    }

    /// Renders a template.
    ///
    /// # Errors
    /// What minijinja says: an unknown name, an undefined value used, a wrong type.
    pub fn render(&self, name: &str, context: Value) -> Result<String, minijinja::Error> {
        let mut out = Bounded::new(OUTPUT);
        let rendered = self.environment.get_template(name)?.render_captured_to(context, &mut out);
        if out.passed() {
            let text = format!("template {name}: its output passed {OUTPUT} bytes; write less");
            return Err(Error::new(ErrorKind::WriteFailure, text));
        }
        rendered?;
        String::from_utf8(out.into_bytes())
            .map_err(|error| Error::new(ErrorKind::WriteFailure, error.to_string()))
    }
}

/// Writes a value. Texts are escaped without touching the slashes, which paths are full of;
/// what is not there is written as nothing.
fn write(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        _ if value.is_none() => Ok(()),
        Some(text) if !value.is_safe() && *state.auto_escape() == AutoEscape::Html => {
            let mut escaped = String::with_capacity(text.len() + 16);
            text::escape_into(&mut escaped, text);
            out.write_str(&escaped).map_err(Error::from)
        }
        _ => minijinja::escape_formatter(out, state, value),
    }
}

/// Block tags leave no empty lines behind.
fn syntax() -> Result<SyntaxConfig, TemplateFailure> {
    SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(|error| {
        TemplateFailure::Syntax { name: "(syntax)".to_owned(), text: error.to_string() }
    })
}

fn now(state: &State<'_, '_>) -> Timestamp {
    let now = state.lookup("now").and_then(|now| i64::try_from(now).ok());
    now.map_or_else(Timestamp::now, Timestamp)
}

/// Filters that templates may use beside minijinja's own.
fn filters(environment: &mut Environment<'static>) {
    environment.add_filter("seg", |text: &str| model::name_segment(text).to_string());
    environment.add_filter("rev", |revision: &str| text::rev(revision).to_owned());
    environment.add_filter("dur", |seconds: u64| text::dur(seconds));
    environment.add_filter("brief", |seconds: u64| text::brief(seconds));
    environment.add_filter("words", |seconds: u64| text::words(seconds));
    environment.add_filter("clock", |at: i64| text::clock(Timestamp(at)));
    environment.add_filter("stamp", |at: i64| text::stamp(Timestamp(at)));
    // These two need the page's present time, which every template has as `now`.
    environment
        .add_filter("ago", |state: &State<'_, '_>, at: i64| text::ago(Timestamp(at), now(state)));
    environment.add_filter("short", |state: &State<'_, '_>, at: i64| {
        text::short(Timestamp(at), now(state))
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use minijinja::context;

    #[test]
    fn w04_a_template_is_replaced_by_name_and_the_nearest_wins() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(first.path().join("about.html"), "first {{ x }}").unwrap();
        std::fs::write(second.path().join("about.html"), "second").unwrap();
        std::fs::write(second.path().join("error.html"), "second {{ x }}").unwrap();
        let folders = [first.path().to_owned(), second.path().to_owned()];
        let none = BTreeMap::new();
        let t = Templates::with(&none, &folders).unwrap();
        assert_eq!(t.render("about.html", context! { x => "<b>" }).unwrap(), "first &lt;b&gt;");
        assert_eq!(t.render("error.html", context! { x => 1 }).unwrap(), "second 1");
        let own = BTreeMap::from([("about.html".to_owned(), "own".to_owned())]);
        let t = Templates::with(&own, &folders).unwrap();
        assert_eq!(t.render("about.html", context! {}).unwrap(), "own");
    }

    #[test]
    fn w04_a_broken_template_is_named() {
        let own = BTreeMap::from([("about.html".to_owned(), "{% if %}".to_owned())]);
        let error = Templates::with(&own, &[]).unwrap_err().to_string();
        assert_eq!(
            error,
            "template about.html: syntax error: unexpected end of block (in about.html:1)"
        );
        let error = Templates::with(&BTreeMap::new(), &["/nosuch".into()]).unwrap_err();
        assert!(error.to_string().contains("/nosuch"));
    }

    #[test]
    fn w04_templates_that_never_end_or_swell_are_stopped() {
        let of = |source: &str| {
            let own = BTreeMap::from([("about.html".to_owned(), source.to_owned())]);
            Templates::with(&own, &[])
        };
        let forever =
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
        let error = of(forever).unwrap().render("about.html", context! {}).unwrap_err();
        assert!(format!("{error:#}").contains("fuel"), "{error:#}");
        let swell = "{% for a in range(40) %}{{ text }}{% endfor %}";
        let text = "x".repeat(1 << 20);
        let error = of(swell).unwrap().render("about.html", context! { text }).unwrap_err();
        assert!(error.to_string().contains("its output passed"), "{error}");
        let error = of(&"x".repeat(10 << 20)).unwrap_err().to_string();
        assert_eq!(
            error,
            "template about.html: 10485760 bytes long, 262144 are allowed; shorten it"
        );
    }
}
