//! What a mail says (M01, M02, M05, M08, M09): the same bytes whenever the same record is composed.

mod default_text;
mod formatter;
mod headers;
mod message;

pub use formatter::Tail;
pub use message::Message;

use super::{
    address::{Addressed, Recipients, given, one_line},
    logs::Wanted,
};
use crate::{BuildError, Preview};
use crds::{AddLogs, LogLimits, MailNotifierSpec, Modes};
use delivery::ComposeError;
use formatter::{Extra, Formatter, Text};
use lettre::message::{Mailbox, MessageBuilder};
use message::Draft;
use model::{Build, Buildset, Identity, LogKind, Outcome, Patch, Step};
use render::{BuildContext, Interpolation, Site};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

/// Longest subject and extra header, in characters.
const HEADER: usize = 500;

/// What a mail says beside its record.
#[derive(Debug, Default)]
pub struct Facts {
    /// The builds that it is about, each with the outcome of the one before as the settings
    /// choose it.
    pub builds: Vec<Build>,
    /// Ends of logs, of each build, where templates show any.
    pub tails: Vec<Tails>,
    /// Addresses of users whom only the master's changes and builds name.
    pub known: BTreeMap<String, String>,
}

/// Ends of a build's logs.
#[derive(Clone, Debug, Default)]
pub struct Tails {
    /// All of them.
    pub logs: Vec<Tail>,
    /// That of the last step that finished.
    pub last: Option<Tail>,
}

/// What a mail is about.
#[derive(Clone, Copy, Debug)]
pub enum Topic<'a> {
    /// A build.
    Build,
    /// All builds of a buildset.
    Buildset(&'a Buildset),
}

/// Makes mails from builds.
#[derive(Debug)]
pub struct Composer {
    name: String,
    from: Mailbox,
    pub(super) recipients: Recipients,
    modes: Modes,
    subject: Interpolation,
    formatter: Option<Formatter>,
    headers: Vec<(Interpolation, Interpolation)>,
    add_logs: AddLogs,
    add_patch: bool,
    limits: LogLimits,
}

impl Composer {
    pub fn new(
        name: &str,
        spec: &MailNotifierSpec,
        recipients: Recipients,
    ) -> Result<Self, BuildError> {
        let from = given(&spec.fromaddr).ok_or_else(|| {
            let text = format!("{:?} is no address such as buildbot@example.org", spec.fromaddr);
            BuildError::new("spec.fromaddr", text)
        })?;
        let interpolation = |field: String, text: &str| {
            Interpolation::parse(text).map_err(|error| BuildError::new(field, error))
        };
        let mut headers = Vec::new();
        for (key, value) in &spec.extra_headers {
            let field = format!("spec.extraHeaders[{key:?}]");
            let name = interpolation(field.clone(), key)?;
            headers::check(&name).map_err(|text| BuildError::new(&field, text))?;
            headers.push((name, interpolation(field, value)?));
        }
        Ok(Self {
            name: name.to_owned(),
            from,
            recipients,
            modes: spec.mode.clone(),
            subject: interpolation("spec.subject".to_owned(), &spec.subject)?,
            formatter: spec.message_formatter.as_ref().map(Formatter::new).transpose()?,
            headers,
            add_logs: spec.add_logs.clone(),
            add_patch: spec.add_patch,
            limits: spec.log_limits.clone(),
        })
    }

    pub fn modes(&self) -> &Modes {
        &self.modes
    }

    /// Lines of a log's end that templates see, of all logs and of the last step's.
    pub fn shows(&self) -> (usize, bool, bool) {
        self.formatter
            .as_ref()
            .map_or((0, false, false), |f| (f.lines, f.uses("logs"), f.uses("last_log")))
    }

    /// Whether a build's message depends on the build before.
    pub fn compares(&self) -> bool {
        let told = |f: &Formatter| f.uses("previous") || f.uses("previous_code");
        self.modes.contains(crds::Mode::Change)
            || self.modes.contains(crds::Mode::Problem)
            || self.formatter.as_ref().is_some_and(told)
    }

    /// The mail about some builds; `None` if nobody would get it. `identity` is that of the event.
    pub fn compose(
        &self,
        topic: Topic<'_>,
        facts: &Facts,
        addressed: Addressed,
        identity: &Identity,
        site: &Site,
    ) -> Result<Option<Message>, ComposeError> {
        if addressed.to.is_empty() || facts.builds.is_empty() {
            return Ok(None);
        }
        let contexts: Vec<BuildContext> =
            facts.builds.iter().map(|build| BuildContext::new(build, site)).collect();
        let text = self.text(topic, facts, &contexts, site);
        let mut headers = self.headers(topic, facts, identity, &contexts);
        let (patches, mut logs) = self.patches(&facts.builds, site);
        logs.extend(self.logs(topic, &facts.builds, site));
        let mut recipients = Vec::new();
        for mailbox in addressed.to {
            recipients.push(mailbox.email.clone());
            headers = headers.to(mailbox);
        }
        for mailbox in addressed.cc {
            recipients.push(mailbox.email.clone());
            headers = headers.cc(mailbox);
        }
        let draft = Draft {
            id: headers::message_id(&self.name, &self.from, identity),
            from: self.from.email.clone(),
            recipients,
            headers: headers.subject(text.subject.unwrap_or_default()),
            plain: text.plain,
            html: text.html,
            patches,
            logs,
            limits: self.limits.clone(),
            tries: 0,
        };
        Message::new(draft)
            .map(Some)
            .map_err(|error| ComposeError(format!("the mail can't be put together: {error}")))
    }

    /// All but the subject and the recipients.
    fn headers(
        &self,
        topic: Topic<'_>,
        facts: &Facts,
        identity: &Identity,
        contexts: &[BuildContext],
    ) -> MessageBuilder {
        let build = |build: &Build| build.complete_at.unwrap_or(build.started_at);
        let done = match topic {
            Topic::Buildset(buildset) => buildset.complete_at,
            Topic::Build => None,
        };
        let done = done.or(facts.builds.last().map(build)).unwrap_or_default().0;
        let thread = match (topic, facts.builds.first()) {
            (Topic::Build, Some(build)) => format!("builder/{}", build.builder.id),
            _ => "buildsets".to_owned(),
        };
        let root = headers::thread_id(&self.name, &self.from, identity, &thread);
        let mut builder = lettre::Message::builder()
            .from(self.from.clone())
            .date(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(done).unwrap_or(0)))
            .message_id(Some(headers::message_id(&self.name, &self.from, identity)))
            .in_reply_to(root.clone())
            .references(root);
        for header in headers::own(&self.name, &self.from) {
            builder = builder.raw_header(header);
        }
        for (name, value) in &self.headers {
            let (name, value) = match contexts {
                [one] => (name.render(one), value.render(one)),
                [any, ..] if name.is_fixed() && value.is_fixed() => {
                    (name.render(any), value.render(any))
                }
                // Whose property would it be?
                _ => continue,
            };
            if let Some(header) = headers::extra(&name, &value) {
                builder = builder.raw_header(header);
            }
        }
        builder
    }

    /// Subject and body.
    fn text(
        &self,
        topic: Topic<'_>,
        facts: &Facts,
        contexts: &[BuildContext],
        site: &Site,
    ) -> Text {
        let nothing = Tails::default();
        let texts = facts.builds.iter().zip(contexts).enumerate().map(|(at, (build, context))| {
            self.one(build, context, facts.tails.get(at).unwrap_or(&nothing), site)
        });
        let mut text = match topic {
            Topic::Build => texts.last().unwrap_or_default(),
            Topic::Buildset(_) => formatter::join(texts.collect()),
        };
        let subject = text.subject.or_else(|| {
            let last = contexts.last()?;
            Some(match topic {
                Topic::Build => self.subject.render(last),
                Topic::Buildset(buildset) => {
                    let mut whole = last.clone();
                    whole.builder.name = "(whole buildset)".to_owned();
                    whole.result = buildset.outcome.map_or("running", Outcome::word);
                    self.subject.render(&whole)
                }
            })
        });
        text.subject = subject.map(|subject| one_line(&subject).chars().take(HEADER).collect());
        text
    }

    /// What is said of one build.
    fn one(&self, build: &Build, context: &BuildContext, tails: &Tails, site: &Site) -> Text {
        let usual = || default_text::body(build, &self.modes, site);
        let Some(formatter) = &self.formatter else {
            return Text { plain: Some(usual()), ..Text::default() };
        };
        let matched = super::matching(&self.modes, build);
        let extra = Extra {
            mode: self.modes.list(),
            matched: &matched,
            logs: &tails.logs,
            last_log: tails.last.as_ref(),
            log_lines: formatter.lines,
        };
        formatter.render(context, &extra).unwrap_or_else(|error| {
            // Late is better than never: the reader gets the news, and the reason.
            tracing::warn!(target_name = %self.name, %error, "the usual message goes out instead");
            let note = "This notifier's own message could not be made, so here is the usual one.";
            let text = format!("({note}\n{error})\n\n{}", usual());
            Text { plain: Some(text), ..Text::default() }
        })
    }

    /// Patches of try builds, each once. A 4.x master's API does not tell them: then the source
    /// step's log `patch` does.
    fn patches(&self, builds: &[Build], site: &Site) -> (Vec<(String, String)>, Vec<Wanted>) {
        let (mut told, mut logged) = (Vec::new(), Vec::new());
        let mut room = self.limits.of_mail();
        let mut seen = BTreeSet::new();
        let mut name = (0..).map(|n| format!("source patch {n}"));
        for build in builds.iter().filter(|_| self.add_patch) {
            let stamps = build.buildset.source_stamps.iter();
            let patches = stamps.filter_map(|stamp| stamp.patch.as_ref());
            let patches: Vec<&Patch> = patches.filter(|patch| seen.insert(patch.id)).collect();
            for patch in patches.iter().filter(|patch| !patch.body.is_empty()) {
                let text = message::patch(&patch.body, &mut room);
                told.push((name.next().unwrap_or_default(), text));
            }
            let logs = logs_of(build).filter(|(_, log)| log.name == "patch");
            let untold = patches.iter().filter(|patch| patch.body.is_empty()).count();
            for (step, log) in logs.take(untold) {
                let url = site.links.as_ref().map(|links| links.log(build, step, log));
                logged.push(Wanted::patch(name.next().unwrap_or_default(), url, log));
            }
        }
        (told, logged)
    }

    /// Logs that are attached, in the order of builds and steps.
    fn logs(&self, topic: Topic<'_>, builds: &[Build], site: &Site) -> Vec<Wanted> {
        if !self.add_logs.any() {
            return Vec::new();
        }
        let of = |build: &Build| -> Vec<Wanted> {
            let wanted =
                logs_of(build).filter(|(step, log)| self.add_logs.wants(&step.name, &log.name));
            wanted
                .map(|(step, log)| {
                    let name = match topic {
                        Topic::Build => format!("{}.{}", step.name, log.name),
                        Topic::Buildset(_) => {
                            format!("{}.{}.{}", build.builder.name, step.name, log.name)
                        }
                    };
                    let url = site.links.as_ref().map(|links| links.log(build, step, log));
                    Wanted::new(one_line(&name), is_bad(step), url, log)
                })
                .collect()
        };
        builds.iter().flat_map(of).collect()
    }

    /// What [`Self::compose`] would make, for people.
    pub fn preview(
        &self,
        topic: Topic<'_>,
        facts: &Facts,
        addressed: &Addressed,
        site: &Site,
    ) -> Preview {
        let contexts: Vec<BuildContext> =
            facts.builds.iter().map(|build| BuildContext::new(build, site)).collect();
        let text = self.text(topic, facts, &contexts, site);
        let matched = facts.builds.iter().flat_map(|build| super::matching(&self.modes, build));
        let modes: Vec<String> = matched.map(|mode| format!("{mode:?}").to_lowercase()).collect();
        let nobody = if addressed.to.is_empty() { "; nobody would get it" } else { "" };
        let (patches, mut logs) = self.patches(&facts.builds, site);
        logs.extend(self.logs(topic, &facts.builds, site));
        let patches = patches.into_iter().map(|(name, _)| name);
        let attached: Vec<String> = patches.chain(logs.into_iter().map(|log| log.name)).collect();
        let mut body = text.html.or(text.plain).unwrap_or_default();
        if !attached.is_empty() {
            body = format!("{}\n[attached: {}]\n", body.trim_end(), attached.join(", "));
        }
        Preview {
            why: format!("mode {}{nobody}", modes.join(", ")),
            to: addressed.to.iter().chain(&addressed.cc).map(ToString::to_string).collect(),
            title: text.subject.unwrap_or_default(),
            body,
        }
    }
}

/// Logs with their steps, those that were deleted left out.
pub fn logs_of(build: &Build) -> impl Iterator<Item = (&Step, &model::Log)> {
    let logs = build.shown_steps().flat_map(|step| step.logs.iter().map(move |log| (step, log)));
    logs.filter(|(_, log)| log.kind != LogKind::Deleted)
}

/// Whether a step's logs are those that one looks at first.
pub fn is_bad(step: &Step) -> bool {
    matches!(step.outcome, Some(Outcome::Failure | Outcome::Exception))
}
