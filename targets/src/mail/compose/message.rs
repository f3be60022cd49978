//! A mail's bytes: parts, attachments and headers.

use crate::mail::logs::{self, Lines, Wanted};
use crds::LogLimits;
use delivery::SendError;
use feed::LogError;
use lettre::{
    Address,
    message::{Attachment, MessageBuilder, MultiPart, SinglePart, header::ContentType},
};
use sha2::{Digest, Sha256};
use std::fmt;

/// How often logs that can't be read are asked for until a mail goes without them.
/// With the waits between attempts these are some minutes.
const TRIES: u32 = 9;

/// A mail that is ready to go, and what is left to do of it.
#[derive(Debug)]
pub struct Message {
    /// Its Message-ID, with the angle brackets. The same whenever the same record is composed.
    pub id: String,
    pub(crate) from: Address,
    /// Recipients that have it not yet.
    pub(crate) remaining: Vec<Address>,
    /// Recipients that the server refuses for good, with its words.
    pub(crate) refused: Vec<String>,
    /// Whether anybody has it.
    pub(crate) sent: bool,
    bytes: Vec<u8>,
    /// What it is put together of once its turn comes: a mail that waits holds no logs.
    draft: Option<Box<Draft>>,
}

/// Two of the same record are the same.
impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        let wanted = |message: &Self| message.draft.as_ref().map(|draft| draft.logs.clone());
        self.id == other.id
            && self.remaining == other.remaining
            && self.bytes == other.bytes
            && wanted(self) == wanted(other)
    }
}

/// A mail without its logs.
pub struct Draft {
    pub id: String,
    pub from: Address,
    pub recipients: Vec<Address>,
    pub headers: MessageBuilder,
    /// The text, as plain text, HTML or both.
    pub plain: Option<String>,
    pub html: Option<String>,
    /// Names and contents of patches.
    pub patches: Vec<(String, String)>,
    pub logs: Vec<Wanted>,
    pub limits: LogLimits,
    /// How often its logs could not be read.
    pub tries: u32,
}

/// Without the text.
impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("id", &self.id).field("logs", &self.logs.len()).finish()
    }
}

impl Message {
    /// Puts a mail together, if it has no logs.
    pub fn new(draft: Draft) -> Result<Self, lettre::error::Error> {
        let (id, from) = (draft.id.clone(), draft.from.clone());
        let remaining = draft.recipients.clone();
        let (bytes, draft) = if draft.logs.is_empty() {
            (draft.bytes(&[])?, None)
        } else {
            (Vec::new(), Some(Box::new(draft)))
        };
        Ok(Self { id, from, remaining, refused: Vec::new(), sent: false, bytes, draft })
    }

    /// The whole mail as it goes over the wire, headers first; of one with logs, only while it
    /// is sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads the logs that belong to it. `None` stands for a feed that can't be asked.
    ///
    /// # Errors
    /// [`SendError::PutOff`] while logs can't be read, some times; then it goes without them.
    pub(crate) async fn fill(&mut self, from: Option<&impl Lines>) -> Result<(), SendError> {
        let Some(draft) = self.draft.as_mut().filter(|_| self.bytes.is_empty()) else {
            return Ok(());
        };
        let failed =
            |error| SendError::Permanent(format!("the mail can't be put together: {error}"));
        self.bytes = match from {
            Some(from) => match draft.read(from).await {
                Ok(texts) => draft.bytes(&texts).map_err(failed)?,
                Err(error) if draft.tries + 1 < TRIES => {
                    draft.tries += 1;
                    return Err(SendError::PutOff(format!("its logs can't be read: {error}")));
                }
                Err(error) => {
                    tracing::warn!(%error, "a mail goes without its logs");
                    draft.without(&format!("This log can't be read: {error}.")).map_err(failed)?
                }
            },
            None => draft.without("This log can't be read here.").map_err(failed)?,
        };
        Ok(())
    }

    /// Lets go of what can be read again.
    pub(crate) fn empty(&mut self) {
        if self.draft.is_some() {
            self.bytes = Vec::new();
        }
    }
}

impl Draft {
    /// Texts of the logs, in their order, within the bounds.
    async fn read(&self, from: &impl Lines) -> Result<Vec<String>, LogError> {
        let (per_log, keep) = (self.limits.of_log(), self.limits.keep);
        let patches: usize = self.patches.iter().map(|(_, patch)| patch.len()).sum();
        let mut room = self.limits.of_mail().saturating_sub(patches);
        let mut order: Vec<usize> = (0..self.logs.len()).collect();
        order.sort_by_key(|at| !self.logs[*at].bad);
        let mut texts = vec![String::new(); self.logs.len()];
        for at in order {
            let most = if self.logs[at].whole { room } else { per_log.min(room) };
            texts[at] = logs::attachment(from, &self.logs[at], most, keep).await?;
            room = room.saturating_sub(texts[at].len());
        }
        Ok(texts)
    }

    fn without(&self, why: &str) -> Result<Vec<u8>, lettre::error::Error> {
        let notes: Vec<String> = self.logs.iter().map(|log| logs::note(log, why)).collect();
        self.bytes(&notes)
    }

    /// The mail with these texts of its logs.
    fn bytes(&self, texts: &[String]) -> Result<Vec<u8>, lettre::error::Error> {
        let attached: Vec<(&str, &str)> = self
            .patches
            .iter()
            .map(|(name, patch)| (name.as_str(), patch.as_str()))
            .chain(
                self.logs.iter().zip(texts).map(|(log, text)| (log.name.as_str(), text.as_str())),
            )
            .collect();
        let boundary = self.boundary(&attached);
        let single = |text: &Option<String>, html: bool| {
            let text = text.clone().unwrap_or_default();
            if html { SinglePart::html(text) } else { SinglePart::plain(text) }
        };
        let both = self.plain.is_some() && self.html.is_some();
        let alternative = || {
            MultiPart::alternative()
                .boundary(format!("{boundary}-a"))
                .singlepart(single(&self.plain, false))
                .singlepart(single(&self.html, true))
        };
        let headers = self.headers.clone();
        let message = if attached.is_empty() {
            match both {
                true => headers.multipart(alternative())?,
                false => headers.singlepart(single(
                    if self.html.is_some() { &self.html } else { &self.plain },
                    self.html.is_some(),
                ))?,
            }
        } else {
            let mixed = MultiPart::mixed().boundary(boundary.clone());
            let mut mixed = match both {
                true => mixed.multipart(alternative()),
                false if self.html.is_some() => mixed.singlepart(single(&self.html, true)),
                false => mixed.singlepart(single(&self.plain, false)),
            };
            for (name, content) in attached {
                let part = Attachment::new(name.to_owned());
                mixed = mixed.singlepart(part.body(content.to_owned(), ContentType::TEXT_PLAIN));
            }
            headers.multipart(mixed)?
        };
        Ok(message.formatted())
    }

    /// A line that no part holds, and the same for the same mail: a digest of all that is in it.
    fn boundary(&self, attached: &[(&str, &str)]) -> String {
        let mut digest = Sha256::new();
        let texts = [&self.plain, &self.html].into_iter().flatten().map(String::as_str);
        for text in texts.chain(attached.iter().flat_map(|(name, content)| [*name, *content])) {
            digest.update(text);
            digest.update([0]);
        }
        let digest = digest.finalize();
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A patch's attachment: left out where the mail would be too large, since half a patch is none.
pub fn patch(body: &str, room: &mut usize) -> String {
    match room.checked_sub(body.len()) {
        Some(left) => {
            *room = left;
            body.to_owned()
        }
        None => "[This patch is left out, since the mail would be too large.]\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Draft, Message, TRIES};
    use crate::mail::logs::{Lines, Wanted};
    use crds::{LogLimits, Size};
    use delivery::SendError;
    use feed::{ClientError, LogChunk, LogError};
    use model::{Log, LogId};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A master that is away for the first questions; each log is a line of its key.
    struct Away(AtomicUsize);

    impl Lines for Away {
        async fn lines(&self, log: LogId, _: u64, _: u64) -> Result<LogChunk, LogError> {
            match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)) {
                Ok(_) => Err(ClientError::Unreachable("refused".to_owned()).into()),
                Err(_) => {
                    Ok(LogChunk { first: 0, text: format!("{}\n", "x".repeat(log.0 as usize)) })
                }
            }
        }
    }

    fn message(logs: &[(u64, bool)], limits: LogLimits) -> Message {
        let address: lettre::Address = "a@example.org".parse().unwrap();
        let log = |(size, bad): &(u64, bool)| {
            let log =
                Log { id: LogId(*size), kind: model::LogKind::Text, lines: 1, ..Log::default() };
            Wanted::new(format!("s.{size}"), *bad, None, &log)
        };
        Message::new(Draft {
            id: "<1@example.org>".to_owned(),
            from: address.clone(),
            recipients: vec![address.clone()],
            headers: lettre::Message::builder()
                .from(address.clone().into())
                .to(address.into())
                .date(std::time::SystemTime::UNIX_EPOCH),
            plain: Some("text".to_owned()),
            html: None,
            patches: Vec::new(),
            logs: logs.iter().map(log).collect(),
            limits,
            tries: 0,
        })
        .unwrap()
    }

    fn text(message: &Message) -> String {
        String::from_utf8(message.bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn m04_a_mail_waits_for_its_logs_and_then_goes_without_them() {
        let mut waits = message(&[(3, false)], LogLimits::default());
        assert!(waits.bytes().is_empty(), "one that waits holds nothing");
        let away = Away(2.into());
        for _ in 0..2 {
            let put_off = waits.fill(Some(&away)).await;
            assert!(matches!(put_off, Err(SendError::PutOff(text)) if text.contains("refused")));
        }
        assert_eq!(waits.fill(Some(&away)).await, Ok(()));
        assert!(text(&waits).contains("\r\n\r\nxxx\r\n"), "{}", text(&waits));
        let first = text(&waits);
        waits.empty();
        assert!(waits.bytes().is_empty());
        assert_eq!(waits.fill(Some(&away)).await, Ok(()));
        assert_eq!(text(&waits), first, "the same whenever it is put together");

        let mut without = message(&[(3, false)], LogLimits::default());
        let away = Away(usize::MAX.into());
        for _ in 1..TRIES {
            assert!(without.fill(Some(&away)).await.is_err());
        }
        assert_eq!(without.fill(Some(&away)).await, Ok(()));
        assert!(text(&without).contains("[This log can't be read: "), "{}", text(&without));
    }

    #[tokio::test]
    async fn m04_logs_of_failed_steps_come_first_where_there_is_no_room_for_all() {
        let limits = LogLimits { per_mail: Size::from_bytes(1200), ..LogLimits::default() };
        let mut mail = message(&[(600, false), (900, true), (200, false)], limits);
        assert_eq!(mail.fill(Some(&Away(0.into()))).await, Ok(()));
        let text = text(&mail).replace("=\r\n", "");
        let at = |part: &str| text.find(part).unwrap_or(usize::MAX);
        assert!(at(&"x".repeat(900)) < usize::MAX, "{text}");
        assert!(at("s.600") < at("s.900") && at("s.900") < at("s.200"), "in the order of steps");
        assert!(text.contains("Only the last 1 lines of this log are here"), "{text}");
        assert!(
            text.contains("[This log is left out, since the mail would be too large.]"),
            "{text}"
        );
    }
}
