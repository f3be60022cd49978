//! Names that become links: projects, repositories, revisions, and tickets in comments (W08).
//!
//! A value is a URL, or a template that makes one. In 0.8 a Python callable could stand
//! there; here `*` is the entry for every name without one of its own. All output is escaped,
//! and only URLs that [`safe_url`] allows become links.

use super::{escape, escape_into, safe_url};
use minijinja::{Environment, UndefinedBehavior, context};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use regex::{Captures, Regex, RegexBuilder};
use std::{collections::BTreeMap, fmt::Write as _};

/// Comments are searched for tickets up to here; the rest is shown as it is.
const SEARCHED: usize = 64 * 1024;
/// Links in one comment.
const LINKS: usize = 500;
/// Instructions that a template may take for one link.
const FUEL: u64 = 20_000;
/// What can't stand in a URL as it is. Slashes may: `feature/x` is a fine part of a path.
const URL: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'\\');
/// What a revision can't hold in a path: all that ends one.
const REVISION: &AsciiSet = &URL.add(b'?').add(b'#').add(b'%').add(b'&').add(b'+');

/// Why a rule can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DecorateError {
    /// A pattern is no regular expression, or too large a one.
    #[error("changecommentlink of {project:?}: the pattern can't be used: {source}")]
    Pattern {
        /// The project whose rule it is.
        project: String,
        /// What the parser says.
        source: Box<regex::Error>,
    },
    /// A value is no template.
    #[error("{option} of {name:?}: the template can't be used: {source}")]
    Template {
        /// The option.
        option: &'static str,
        /// The entry's name.
        name: String,
        /// What the parser says.
        source: Box<minijinja::Error>,
    },
}

impl DecorateError {
    /// The field of the settings that it is about.
    pub fn field(&self) -> String {
        match self {
            Self::Pattern { project, .. } => format!("spec.changecommentlink[{project:?}].pattern"),
            Self::Template { option, name, .. } => format!("spec.{option}[{name:?}]"),
        }
    }
}

/// A rule of `changecommentlink`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommentRule {
    /// A regular expression.
    pub pattern: String,
    /// The link: `\1` and `\g<name>` are groups, `\g<0>` is the whole match.
    pub url: String,
    /// The link's title, with the same groups.
    pub title: Option<String>,
}

/// The rules as they are configured; `*` stands for every name without an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// URLs by project; a template sees `name`.
    pub projects: BTreeMap<String, String>,
    /// URLs by repository; a template sees `name`.
    pub repositories: BTreeMap<String, String>,
    /// URLs by repository; `%s` is the revision, a template sees `revision` and `repository`.
    pub revlink: BTreeMap<String, String>,
    /// Tickets by project.
    pub changecommentlink: BTreeMap<String, CommentRule>,
}

/// The rules, ready for use.
#[derive(Debug, Default)]
pub struct Decorate {
    rules: Rules,
    templates: Environment<'static>,
    patterns: BTreeMap<String, Regex>,
}

fn of<'a, T>(map: &'a BTreeMap<String, T>, name: &str) -> Option<(&'a str, &'a T)> {
    map.get_key_value(name).or_else(|| map.get_key_value("*")).map(|(k, v)| (k.as_str(), v))
}

fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

impl Decorate {
    /// Compiles the rules.
    ///
    /// # Errors
    /// [`DecorateError`] names the entry with the broken pattern or template.
    pub fn new(rules: Rules) -> Result<Self, DecorateError> {
        let mut templates = Environment::new();
        templates.set_fuel(Some(FUEL));
        templates.set_undefined_behavior(UndefinedBehavior::Lenient);
        // A URL is escaped where it is put into the page.
        templates.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        let maps = [
            ("projects", &rules.projects),
            ("repositories", &rules.repositories),
            ("revlink", &rules.revlink),
        ];
        for (option, map) in maps {
            for (name, text) in map.iter().filter(|(_, text)| is_template(text)) {
                templates.add_template_owned(format!("{option}:{name}"), text.clone()).map_err(
                    |source| DecorateError::Template {
                        option,
                        name: name.clone(),
                        source: Box::new(source),
                    },
                )?;
            }
        }
        let mut patterns = BTreeMap::new();
        for (project, rule) in &rules.changecommentlink {
            let pattern = RegexBuilder::new(&rule.pattern)
                .size_limit(1 << 20)
                .dfa_size_limit(1 << 20)
                .build()
                .map_err(|source| DecorateError::Pattern {
                    project: project.clone(),
                    source: Box::new(source),
                })?;
            patterns.insert(project.clone(), pattern);
        }
        Ok(Self { rules, templates, patterns })
    }

    fn url(
        &self,
        option: &str,
        entry: (&str, &String),
        values: minijinja::Value,
    ) -> Option<String> {
        let (name, text) = entry;
        if !is_template(text) {
            return Some(text.clone());
        }
        // A template that fails makes no link; the name is shown as it is.
        self.templates.get_template(&format!("{option}:{name}")).ok()?.render(values).ok()
    }

    /// The page of a project.
    pub fn project(&self, name: &str) -> Option<String> {
        let entry = of(&self.rules.projects, name)?;
        self.url("projects", entry, context! { name }).filter(|u| safe_url(u).is_some())
    }

    /// The page of a repository.
    pub fn repository(&self, name: &str) -> Option<String> {
        let entry = of(&self.rules.repositories, name)?;
        self.url("repositories", entry, context! { name }).filter(|u| safe_url(u).is_some())
    }

    /// The page of a revision of a repository. `own` is the change's own link, which wins.
    pub fn revision(&self, revision: &str, repository: &str, own: Option<&str>) -> Option<String> {
        if let Some(own) = own.and_then(safe_url) {
            return Some(own.to_owned());
        }
        let entry = of(&self.rules.revlink, repository)?;
        let url = self.url("revlink", entry, context! { revision, repository })?;
        let url = url.replace("%s", &utf8_percent_encode(revision, REVISION).to_string());
        safe_url(&url).map(str::to_owned)
    }

    /// A change's comments as HTML: escaped, tickets as links.
    ///
    /// ```
    /// use webui::text::decorate::{CommentRule, Decorate, Rules};
    /// let rule = CommentRule { pattern: r"#(\d+)".into(), url: r"https://t/\1".into(), title: None };
    /// let rules = Rules { changecommentlink: [("*".to_owned(), rule)].into(), ..Rules::default() };
    /// let html = Decorate::new(rules).unwrap().comments("Fix <#7>", "app");
    /// assert_eq!(html, "Fix &lt;<a class=\"lk\" href=\"https://t/7\">#7</a>&gt;");
    /// ```
    pub fn comments(&self, text: &str, project: &str) -> String {
        let Some((name, rule)) = of(&self.rules.changecommentlink, project) else {
            return escape(text);
        };
        let Some(pattern) = self.patterns.get(name) else { return escape(text) };
        let searched = &text[..text.floor_char_boundary(SEARCHED)];
        let (mut out, mut done) = (String::with_capacity(text.len() + 64), 0);
        for found in pattern.captures_iter(searched).take(LINKS) {
            let Some(whole) = found.get(0).filter(|whole| !whole.is_empty()) else { continue };
            let url =
                expand(&rule.url, &found, |group| utf8_percent_encode(group, URL).to_string());
            escape_into(&mut out, &text[done..whole.start()]);
            done = whole.end();
            match safe_url(&url) {
                Some(url) => {
                    let _ = write!(out, "<a class=\"lk\" href=\"{}\"", escape(url));
                    if let Some(title) = &rule.title {
                        let title = expand(title, &found, str::to_owned);
                        let _ = write!(out, " title=\"{}\"", escape(&title));
                    }
                    out.push('>');
                    escape_into(&mut out, whole.as_str());
                    out.push_str("</a>");
                }
                None => escape_into(&mut out, whole.as_str()),
            }
        }
        escape_into(&mut out, &text[done..]);
        out
    }
}

/// Puts groups in the place of `\1`, `\g<1>` and `\g<name>`; `\\` is a backslash.
fn expand(template: &str, found: &Captures<'_>, put: impl Fn(&str) -> String) -> String {
    let (mut out, mut rest) = (String::with_capacity(template.len()), template);
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let digits = after.bytes().take(2).take_while(u8::is_ascii_digit).count();
        let (name, length) = match after.strip_prefix("g<").and_then(|n| n.split_once('>')) {
            Some((name, _)) => (name, name.len() + 3),
            None => (&after[..digits], digits),
        };
        if length == 0 {
            out.push('\\');
            rest = after.strip_prefix('\\').unwrap_or(after);
            continue;
        }
        let group = match name.parse::<usize>() {
            Ok(number) => found.get(number),
            Err(_) => found.name(name),
        };
        out.push_str(&put(group.map_or("", |group| group.as_str())));
        rest = &after[length..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn comment(pattern: &str, url: &str, title: Option<&str>) -> Decorate {
        let rule =
            CommentRule { pattern: pattern.into(), url: url.into(), title: title.map(Into::into) };
        let changecommentlink = [("app".to_owned(), rule)].into();
        Decorate::new(Rules { changecommentlink, ..Rules::default() }).unwrap()
    }

    #[test]
    fn w08_a_project_and_a_repository_have_the_links_that_are_configured() {
        let decorate = Decorate::new(Rules {
            projects: map(&[("app", "https://app.example.org/")]),
            repositories: map(&[("*", "https://git/{{ name|urlencode }}")]),
            ..Rules::default()
        })
        .unwrap();
        assert_eq!(decorate.project("app").as_deref(), Some("https://app.example.org/"));
        assert_eq!(decorate.project("lib"), None);
        assert_eq!(decorate.repository("a b").as_deref(), Some("https://git/a%20b"));
    }

    #[test]
    fn w08_a_revision_has_its_repositorys_link_and_the_changes_own_wins() {
        let decorate = Decorate::new(Rules {
            revlink: map(&[
                ("git://a", "https://a/%s"),
                ("*", "https://b/{{ repository[6:] }}/{{ revision[:7] }}"),
            ]),
            ..Rules::default()
        })
        .unwrap();
        let link = |revision, repository, own| decorate.revision(revision, repository, own);
        assert_eq!(link("12 ?", "git://a", None).as_deref(), Some("https://a/12%20%3F"));
        assert_eq!(link("0123456789", "git://x", None).as_deref(), Some("https://b/x/0123456"));
        assert_eq!(link("1", "git://a", Some("https://own")).as_deref(), Some("https://own"));
        assert_eq!(
            link("1", "git://a", Some("javascript:alert(1)")).as_deref(),
            Some("https://a/1"),
            "a link that runs a script is none"
        );
    }

    #[test]
    fn w08_tickets_in_comments_are_links_with_their_groups() {
        let decorate = comment(
            r"(?i)(bug)\s*#(?P<n>\d+)",
            r"https://t/\g<n>?w=\1&all=\g<0>\\",
            Some(r"Ticket \2"),
        );
        insta::assert_snapshot!(decorate.comments("See Bug #12 & \"bug#3\"", "app"), @r#"See <a class="lk" href="https://t/12?w=Bug&amp;all=Bug%20#12\" title="Ticket 12">Bug #12</a> &amp; &quot;<a class="lk" href="https://t/3?w=bug&amp;all=bug#3\" title="Ticket 3">bug#3</a>&quot;"#);
        assert_eq!(decorate.comments("Bug #12 <", "lib"), "Bug #12 &lt;", "another project");
    }

    #[test]
    fn w08_a_group_can_make_no_script_of_a_link() {
        let decorate = comment(r"see (\S+)", r"\1", None);
        assert_eq!(decorate.comments("see javascript:alert(1)", "app"), "see javascript:alert(1)");
        assert_eq!(
            decorate.comments("see http://a/\"onclick=", "app"),
            "<a class=\"lk\" href=\"http://a/%22onclick=\">see http://a/&quot;onclick=</a>"
        );
    }

    #[test]
    fn w08_a_broken_rule_is_named() {
        let rule = CommentRule { pattern: "(".into(), ..CommentRule::default() };
        let rules =
            Rules { changecommentlink: [("app".to_owned(), rule)].into(), ..Rules::default() };
        assert!(
            Decorate::new(rules)
                .unwrap_err()
                .to_string()
                .starts_with("changecommentlink of \"app\": ")
        );
        let rules = Rules { projects: map(&[("x", "{{ name")]), ..Rules::default() };
        assert!(Decorate::new(rules).unwrap_err().to_string().starts_with("projects of \"x\": "));
    }

    #[test]
    fn w08_a_template_that_loops_makes_no_link() {
        let endless =
            "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}";
        let rules = Rules { projects: map(&[("x", endless)]), ..Rules::default() };
        assert_eq!(Decorate::new(rules).unwrap().project("x"), None);
    }

    proptest! {
        #[test]
        fn w08_comments_never_let_html_through(text in "(#[0-9]{1,3}|\\PC|[<>&\"'])*", title in "\\PC*") {
            let html = comment(r"#(\d*)|<(.)", r"https://t/\1\2", Some(&title)).comments(&text, "app");
            let pieces = Regex::new("<a class=\"lk\" href=\"[^\"<>]*\"( title=\"[^\"<>]*\")?>|</a>").unwrap();
            let rest = pieces.replace_all(&html, "");
            prop_assert!(!rest.contains(['<', '>', '"', '\'']), "{}", rest);
        }
    }
}
