//! A review from the question where it goes to the answer what Gerrit took of it, over SSH or
//! REST.

use super::{
    Secrets,
    compose::{Message, Review, Vote},
    decide::Place,
    rest::Rest,
    ssh::{Session, Ssh},
};
use crate::BuildError;
use crds::GerritPushSpec;
use delivery::{SendError, Sent, budget::Credential};

/// What of a review both ways need to know.
#[derive(Clone, Debug)]
pub struct Marks {
    /// Marks reviews of programs.
    pub tag: String,
    /// Whom Gerrit mails, in its own words.
    pub notify: Option<String>,
}

/// A patch set, as Gerrit knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The change's name in REST addresses.
    pub id: String,
    /// The change's number.
    pub change: u64,
    /// The patch set's number.
    pub patch_set: u64,
    /// The number of the change's newest patch set.
    pub newest: u64,
    /// `NEW`, `MERGED`, `ABANDONED`.
    pub status: String,
    /// The last message of our own on the change, if it was asked for.
    pub last: Option<String>,
}

/// Where reviews go and how.
#[derive(Debug)]
pub enum Sender {
    Ssh(Ssh),
    Rest(Rest),
    /// With what the server is called: there is nothing to log in with.
    Nowhere(String),
}

/// One attempt's connection.
enum Talk<'a> {
    Ssh(&'a Ssh, Box<Session>),
    Rest(&'a Rest),
}

impl Sender {
    pub fn new(spec: &GerritPushSpec, secrets: &Secrets) -> Result<Self, BuildError> {
        let notify = spec.notify.map(|notify| {
            // A variant without fields is a JSON text.
            let word = serde_json::to_value(notify).unwrap_or_default();
            word.as_str().unwrap_or_default().to_owned()
        });
        let marks = Marks { tag: spec.tag.clone(), notify };
        match &spec.http {
            Some(http) => Ok(Self::Rest(Rest::new(spec, http, secrets, marks)?)),
            None => Ok(Self::Ssh(Ssh::new(spec, secrets, marks)?)),
        }
    }

    pub fn nowhere(spec: &GerritPushSpec) -> Self {
        let ssh = || format!("{}:{}", spec.server.as_deref().unwrap_or_default(), spec.port);
        Self::Nowhere(spec.http.as_ref().map_or_else(ssh, |http| http.url.clone()))
    }

    /// Where reviews go, for people.
    pub fn place(&self) -> String {
        match self {
            Self::Ssh(ssh) => ssh.place(),
            Self::Rest(rest) => rest.place(),
            Self::Nowhere(place) => place.clone(),
        }
    }

    pub fn secrets(&self) -> Vec<&str> {
        match self {
            Self::Ssh(_) | Self::Nowhere(_) => Vec::new(),
            Self::Rest(rest) => rest.secrets(),
        }
    }

    /// What limits are counted by: the server, the account, and what it logs in with.
    pub fn credential(&self) -> Credential {
        match self {
            Self::Ssh(ssh) => ssh.credential(),
            Self::Rest(rest) => rest.credential(),
            Self::Nowhere(place) => Credential::of([place.as_bytes()]),
        }
    }

    async fn connect(&self) -> Result<Talk<'_>, SendError> {
        match self {
            Self::Ssh(ssh) => Ok(Talk::Ssh(ssh, Box::new(ssh.connect().await?))),
            Self::Rest(rest) => Ok(Talk::Rest(rest)),
            Self::Nowhere(place) => {
                Err(SendError::Misconfigured(format!("nothing to log in to {place} with")))
            }
        }
    }

    pub async fn send(&self, message: &mut Message) -> Result<Sent, SendError> {
        if !message.left.is_empty() {
            let kept = match self {
                Self::Ssh(ssh) => ssh.kept().map(|session| Talk::Ssh(ssh, Box::new(session))),
                Self::Rest(_) | Self::Nowhere(_) => None,
            };
            let mut old = kept.is_some();
            let mut talk = match kept {
                Some(talk) => talk,
                None => self.connect().await?,
            };
            while let Some(place) = message.left.first().cloned() {
                match talk.review(&place, message).await {
                    Ok(refused) => {
                        message.sent = true;
                        message.refused.extend(refused);
                    }
                    Err(SendError::Permanent(text)) => message.refused.push(text),
                    // The server may have ended it meanwhile; nothing but a question went over it.
                    Err(SendError::Transient(_)) if old && !message.unclear => {
                        old = false;
                        talk = self.connect().await?;
                        continue;
                    }
                    Err(other) => return Err(other),
                }
                message.left.remove(0);
            }
            talk.keep();
        }
        let refused = message.refused.join("; ");
        match (message.refused.is_empty(), message.sent) {
            (true, _) => Ok(Sent::Whole),
            (false, true) => Ok(Sent::Partly(refused)),
            (false, false) => Err(SendError::Permanent(refused)),
        }
    }
}

impl Talk<'_> {
    /// Reviews one patch set, and says what of it Gerrit did not take.
    async fn review(
        &self,
        place: &Place,
        message: &mut Message,
    ) -> Result<Option<String>, SendError> {
        let found = match self {
            Self::Ssh(_, session) => session.find(place, message.unclear).await?,
            Self::Rest(rest) => rest.find(place, message.unclear).await?,
        };
        let found = choose(found, place)?;
        if message.unclear && found.has(&message.review.text) {
            tracing::info!(change = found.change, "Gerrit has it already");
            message.unclear = false;
            return Ok(None);
        }
        let mut review = message.review.clone();
        if let Some(why) = found.outdated().filter(|_| !review.votes.is_empty()) {
            tracing::info!(change = found.change, patch_set = found.patch_set, why, "no vote");
            review.votes.clear();
        }
        message.unclear = true;
        let taken = match self {
            Self::Ssh(_, session) => session.review(place, &found, &review).await,
            Self::Rest(rest) => rest.review(&found, &review).await,
        };
        if !matches!(taken, Err(SendError::Transient(_))) {
            message.unclear = false;
        }
        Ok(missing(place, &review, &taken?))
    }

    /// The next review goes the same way, if it comes soon.
    fn keep(self) {
        if let Self::Ssh(ssh, session) = self {
            ssh.keep(*session);
        }
    }
}

/// The change that a place means.
fn choose(mut found: Vec<Found>, place: &Place) -> Result<Found, SendError> {
    let Place { project, revision, change } = place;
    if found.len() > 1 && change.is_some() {
        found.retain(|found| Some(found.change) == *change);
    }
    match <[Found; 1]>::try_from(found) {
        Ok([found]) => Ok(found),
        Err(none) if none.is_empty() => Err(SendError::Permanent(format!(
            "no change of the project {project:?} has the patch set {revision}, \
             or the account may not see it"
        ))),
        Err(several) => {
            let numbers: Vec<String> = several.iter().map(|f| f.change.to_string()).collect();
            Err(SendError::Permanent(format!(
                "the patch set {revision} of {project:?} is in the changes {}, and the build's \
                 property event.change.number names none of them",
                numbers.join(" and ")
            )))
        }
    }
}

/// The votes that Gerrit did not count. It says nothing of them by itself.
fn missing(place: &Place, review: &Review, taken: &[Vote]) -> Option<String> {
    let lost: Vec<String> =
        review.votes.iter().filter(|vote| !taken.contains(vote)).map(ToString::to_string).collect();
    (!lost.is_empty()).then(|| {
        format!(
            "Gerrit took the message but not {}: the project {:?} has no such label or value; \
             add it to the project, or set spec.labels",
            lost.join(" and "),
            place.project
        )
    })
}

impl Found {
    /// Why a vote would mislead; `None` if it would not.
    fn outdated(&self) -> Option<&'static str> {
        if self.newest > self.patch_set {
            Some("there is a newer patch set")
        } else if self.status != "NEW" {
            Some("the change is closed")
        } else {
            None
        }
    }

    /// Whether our last message says this of the patch set. Gerrit puts `Patch Set 2: Verified+1`
    /// and an empty line before it.
    fn has(&self, text: &str) -> bool {
        let head = format!("Patch Set {}:", self.patch_set);
        self.last.as_ref().is_some_and(|last| {
            last.starts_with(&head)
                && last.split_once("\n\n").is_some_and(|(_, said)| said.trim() == text)
        })
    }
}
