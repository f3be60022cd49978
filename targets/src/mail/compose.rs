//! What a mail says (M01, M02, M08's template, M09): the same bytes whenever the same record
//! is composed.

mod default_text;

use super::address::{Addressed, Recipients, given, one_line};
use crate::{BuildError, Preview};
use crds::{BodyType, MailNotifierSpec, Mode, Modes};
use delivery::ComposeError;
use lettre::{
    Address,
    message::{
        Mailbox, SinglePart,
        header::{Header, HeaderName, HeaderValue},
    },
};
use model::{Build, Identity};
use render::{BuildContext, Format, Interpolation, Limits, Site, Template};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime};

/// Longest subject and extra header, in characters.
const HEADER: usize = 500;

/// A mail that is ready to go, and what is left to do of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its Message-ID, with the angle brackets. The same whenever the same record is composed.
    pub id: String,
    pub(super) from: Address,
    /// Recipients that have it not yet.
    pub(super) remaining: Vec<Address>,
    /// Recipients that the server refuses for good, with its words.
    pub(super) refused: Vec<String>,
    /// Whether anybody has it.
    pub(super) sent: bool,
    pub(super) bytes: Vec<u8>,
}

impl Message {
    /// The whole mail as it goes over the wire, headers first.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Makes mails from builds.
#[derive(Debug)]
pub struct Composer {
    name: String,
    from: Mailbox,
    recipients: Recipients,
    modes: Modes,
    subject: Interpolation,
    formatter: Option<Formatter>,
    headers: Vec<(Interpolation, Interpolation)>,
}

#[derive(Debug)]
struct Formatter {
    subject: Option<Template>,
    body: Template,
    html: bool,
}

/// What a message's template sees beside the build.
#[derive(Serialize)]
struct Extra {
    mode: Vec<Mode>,
    matched: Vec<Mode>,
}

/// Names of [`Extra`]'s fields.
const EXTRA: [&str; 2] = ["mode", "matched"];

struct Text {
    subject: String,
    body: String,
    html: bool,
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
            headers.push((interpolation(field.clone(), key)?, interpolation(field, value)?));
        }
        let formatter = spec.message_formatter.as_ref().map(|formatter| {
            let html = formatter.body_type == BodyType::Html;
            let format = if html { Format::Html } else { Format::Text };
            let compile = |field: &str, source: &str, format| {
                Template::compile(field, source, format, Limits::default(), &EXTRA).map_err(
                    |error| BuildError::new(format!("spec.messageFormatter.{field}"), error),
                )
            };
            Ok(Formatter {
                subject: formatter
                    .subject
                    .as_ref()
                    .map(|source| compile("subject", source, Format::Text))
                    .transpose()?,
                body: compile("body", &formatter.body, format)?,
                html,
            })
        });
        Ok(Self {
            name: name.to_owned(),
            from,
            recipients,
            modes: spec.mode.clone(),
            subject: interpolation("spec.subject".to_owned(), &spec.subject)?,
            formatter: formatter.transpose()?,
            headers,
        })
    }

    pub fn modes(&self) -> &Modes {
        &self.modes
    }

    /// The mail about a build; `None` if nobody would get it.
    pub fn compose(
        &self,
        build: &Build,
        identity: &Identity,
        site: &Site,
    ) -> Result<Option<Message>, ComposeError> {
        let addressed = self.recipients.of(build);
        if addressed.to.is_empty() {
            return Ok(None);
        }
        let context = BuildContext::new(build, site);
        let text = self.text(build, &context, &super::matching(&self.modes, build), site);
        self.message(build, identity, &context, addressed, text)
            .map(Some)
            .map_err(|error| ComposeError(format!("the mail can't be put together: {error}")))
    }

    fn message(
        &self,
        build: &Build,
        identity: &Identity,
        context: &BuildContext,
        addressed: Addressed,
        text: Text,
    ) -> Result<Message, lettre::error::Error> {
        let id = self.message_id(identity);
        let done = build.complete_at.unwrap_or(build.started_at).0;
        let mut builder = lettre::Message::builder()
            .from(self.from.clone())
            .subject(text.subject)
            .date(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(done).unwrap_or(0)))
            .message_id(Some(id.clone()))
            .header(AutoSubmitted);
        let mut remaining = Vec::new();
        for mailbox in addressed.to {
            remaining.push(mailbox.email.clone());
            builder = builder.to(mailbox);
        }
        for mailbox in addressed.cc {
            remaining.push(mailbox.email.clone());
            builder = builder.cc(mailbox);
        }
        for (name, value) in &self.headers {
            if let Some(header) = extra_header(&name.render(context), &value.render(context)) {
                builder = builder.raw_header(header);
            }
        }
        let part =
            if text.html { SinglePart::html(text.body) } else { SinglePart::plain(text.body) };
        let bytes = builder.singlepart(part)?.formatted();
        let from = self.from.email.clone();
        Ok(Message { id, from, remaining, refused: Vec::new(), sent: false, bytes })
    }

    /// Stable for the same record and notifier (RFC 5322 §3.6.4), and different for two
    /// notifiers, since servers drop a second mail with the same one.
    fn message_id(&self, identity: &Identity) -> String {
        let hash = Sha256::digest(format!("{}\n{identity}", self.name));
        let hash: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let domain = self.from.email.domain();
        format!("<{}-{}.{hash}@{domain}>", identity.kind, identity.id)
    }

    fn text(&self, build: &Build, context: &BuildContext, matched: &[Mode], site: &Site) -> Text {
        let usual = || Text {
            subject: self.subject.render(context),
            body: default_text::body(build, &self.modes, site),
            html: false,
        };
        let mut text = match &self.formatter {
            None => usual(),
            Some(formatter) => {
                let extra = Extra { mode: self.modes.list().to_vec(), matched: matched.to_vec() };
                let made = formatter.body.render(context, &extra).and_then(|body| {
                    let subject = formatter.subject.as_ref();
                    let subject = subject.map(|template| template.render(context, &extra));
                    let subject = subject.transpose()?;
                    let subject = subject.unwrap_or_else(|| self.subject.render(context));
                    Ok(Text { subject, body, html: formatter.html })
                });
                made.unwrap_or_else(|error| {
                    // Late is better than never: the reader gets the news, and the reason.
                    tracing::warn!(target_name = %self.name, %error, "the usual message goes out instead");
                    let usual = usual();
                    let note = "This notifier's own message could not be made, so here is the usual one.";
                    Text { body: format!("({note}\n{error})\n\n{}", usual.body), ..usual }
                })
            }
        };
        text.subject = one_line(&text.subject).chars().take(HEADER).collect();
        text
    }

    /// What [`Self::compose`] would make, for people.
    pub fn preview(&self, build: &Build, matched: &[Mode], site: &Site) -> Preview {
        let addressed = self.recipients.of(build);
        let text = self.text(build, &BuildContext::new(build, site), matched, site);
        let modes: Vec<String> =
            matched.iter().map(|mode| format!("{mode:?}").to_lowercase()).collect();
        let nobody = if addressed.to.is_empty() { "; nobody would get it" } else { "" };
        Preview {
            why: format!("mode {}{nobody}", modes.join(", ")),
            to: addressed.to.iter().chain(&addressed.cc).map(ToString::to_string).collect(),
            title: text.subject,
            body: text.body,
        }
    }
}

/// Tells other machines not to answer (RFC 3834 §5).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// Headers that are the mail's own business.
const OWN: [&str; 12] = [
    "from",
    "to",
    "cc",
    "bcc",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "auto-submitted",
    "subject",
];

fn extra_header(name: &str, value: &str) -> Option<HeaderValue> {
    let refused = |why| {
        tracing::warn!(header = name, why, "extra header left out");
        None
    };
    if OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return refused("the mail has its own");
    }
    // RFC 5322 §3.6.8: printable ASCII without the colon.
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
        return refused("no header's name");
    }
    match HeaderName::new_from_ascii(name.to_owned()) {
        Ok(name) => Some(HeaderValue::new(name, one_line(value).chars().take(HEADER).collect())),
        Err(_) => refused("no header's name"),
    }
}
