//! What every page is made of: a question about the view, and HTML or an error for an answer.
//!
//! A page is `fn(&Ask<'_>, …) -> Result<Html, PageError>`: pure, so that tests need no server.

use crate::{
    Query, Site,
    view::{BuilderView, View},
};
use minijinja::{Value, context};
use model::Timestamp;

/// All that a page may look at.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// What is known of the master.
    pub view: &'a View,
    /// Settings of this WebStatus.
    pub site: &'a Site,
    /// The query arguments.
    pub query: &'a Query,
    /// The way from this page up to the first one: `./`, `../../`. All links begin with it, so
    /// the pages work below any path of a reverse proxy.
    pub root: &'a str,
    /// Path of the page below the root, as it came (percent-encoded): `builders/a%2Fb`.
    pub path: &'a str,
    /// The theme that the reader chose: `light` or `dark`.
    pub theme: Option<&'static str>,
    /// When.
    pub now: Timestamp,
}

/// A page, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Html(pub String);

/// Why there is no page; shown as one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status} {title}: {text}")]
pub struct PageError {
    /// HTTP status.
    pub status: u16,
    /// A short headline: `No such builder`.
    pub title: String,
    /// What is wrong and what helps, in plain words.
    pub text: String,
    /// Links that may be what was meant: name and path below the root.
    pub near: Vec<(String, String)>,
}

/// Most characters of a reader's words that an error repeats.
const QUOTED: usize = 100;

impl PageError {
    /// An error with a status, a headline and plain words.
    pub fn new(status: u16, title: &str, text: impl Into<String>) -> Self {
        Self { status, title: title.to_owned(), text: text.into(), near: Vec::new() }
    }

    /// 404: there is no such thing.
    pub fn not_found(title: &str, text: impl Into<String>) -> Self {
        Self::new(404, title, text)
    }

    /// 400: a query argument has a value that it can't have.
    pub fn argument(name: &str, value: &str, takes: &str) -> Self {
        let mut shown: String = value.chars().take(QUOTED).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        Self::new(
            400,
            "Bad argument",
            format!("{name}={shown} cannot be used: {name} takes {takes}."),
        )
    }

    /// Adds links that may be what was meant.
    #[must_use]
    pub fn near(mut self, near: Vec<(String, String)>) -> Self {
        self.near = near;
        self
    }
}

impl From<minijinja::Error> for PageError {
    fn from(error: minijinja::Error) -> Self {
        tracing::error!(error = format!("{error:#}"), "a template failed");
        Self::new(500, "A template failed", format!("{error:#}"))
    }
}

impl<'a> Ask<'a> {
    /// Renders a template with `more` beside what every template sees: `root`, `path`, `project`,
    /// `project_url`, `now` (seconds), `theme`, `page` (first part of the path, for the
    /// navigation), `master` (`connected`, `text`), `version`.
    ///
    /// # Errors
    /// 500 with the template's own words.
    pub fn render(&self, template: &str, more: Value) -> Result<Html, PageError> {
        let page = self.path.split('/').next().unwrap_or_default();
        let master = self.view.master();
        let base = context! {
            root => self.root,
            path => self.path,
            page,
            theme => self.theme,
            now => self.now.0,
            project => self.site.title(self.view),
            project_url => self.site.title_url(self.view),
            version => &self.view.meta().version,
            master => context! { connected => master.kind.is_connected(), text => &master.text },
        };
        Ok(Html(self.site.templates.render(template, context! { ..more, ..base })?))
    }

    /// Builders that this WebStatus shows, in natural order of their names.
    pub fn builders(&self) -> impl Iterator<Item = &'a BuilderView> + use<'a> {
        let site = self.site;
        self.view.builders().filter(move |b| site.shows(&b.builder))
    }

    /// Categories to choose from: the tags of these builders, sorted.
    pub fn categories(&self) -> Vec<String> {
        let mut tags: Vec<&str> =
            self.builders().flat_map(|b| b.builder.tags.iter().map(String::as_str)).collect();
        tags.sort_unstable();
        tags.dedup();
        tags.into_iter().map(str::to_owned).collect()
    }

    /// The page of an error.
    pub fn error(&self, error: &PageError) -> Html {
        let near: Vec<Value> =
            error.near.iter().map(|(name, url)| context! { name, url }).collect();
        let more =
            context! { code => error.status, title => &error.title, text => &error.text, near };
        self.render("error.html", more).unwrap_or_else(|_| {
            // Somebody's own error.html or base.html is broken: say it without one.
            let mut page =
                String::from("<!doctype html><meta charset=utf-8><title>Error</title><p>");
            crate::text::escape_into(&mut page, &error.text);
            Html(page)
        })
    }
}
