//! Settings of one WebStatus, ready for use.

use crate::{
    TemplateFailure, Templates,
    text::decorate::{CommentRule, Decorate, Rules},
    view::View,
};
use crds::WebStatusSpec;

/// Settings of one WebStatus.
#[derive(Debug)]
pub struct Site {
    /// As the manifest has them.
    pub spec: WebStatusSpec,
    /// The templates, overridden where the settings say so.
    pub templates: Templates,
    /// Names that are links (W08).
    pub decorate: Decorate,
}

impl Site {
    /// Prepares the settings.
    ///
    /// # Errors
    /// [`TemplateFailure`] for the first override or link that can't be read or compiled.
    pub fn new(spec: WebStatusSpec) -> Result<Self, TemplateFailure> {
        let templates = Templates::of(&spec)?;
        let comment = |rule: &crds::CommentLink| CommentRule {
            pattern: rule.pattern.clone(),
            url: rule.url.clone(),
            title: rule.title.clone(),
        };
        let comments = &spec.changecommentlink;
        let decorate = Decorate::new(Rules {
            projects: spec.projects.clone(),
            repositories: spec.repositories.clone(),
            revlink: spec.revlink.clone(),
            changecommentlink: comments.iter().map(|(k, v)| (k.clone(), comment(v))).collect(),
        })?;
        Ok(Self { spec, templates, decorate })
    }

    /// The project's name on every page.
    pub fn title<'a>(&'a self, view: &'a View) -> &'a str {
        let own = self.spec.title.as_deref().unwrap_or(&view.meta().title);
        if own.is_empty() { "Buildbot" } else { own }
    }

    /// Where the project's name links to; `None` for nowhere.
    pub fn title_url<'a>(&'a self, view: &'a View) -> Option<&'a str> {
        let url = self.spec.title_url.as_deref().unwrap_or(&view.meta().title_url);
        (url.starts_with("http://") || url.starts_with("https://")).then_some(url)
    }

    /// Whether a builder is shown at all (`categories` of the settings).
    pub fn shows(&self, builder: &model::Builder) -> bool {
        let Some(categories) = &self.spec.categories else { return true };
        builder.tags.iter().any(|tag| categories.contains(tag))
    }
}
