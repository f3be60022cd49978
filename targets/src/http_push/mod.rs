//! `HttpPush`: events as Buildbot 0.8's `HttpStatusPush` posted them, or as CloudEvents (row G07).

mod send;
mod sign;

use crate::{
    About, BuildError, Preview,
    cloud_events::{self, CloudEvent},
    packets::{Maker, Packets, Settings, State},
};
use crds::{ContentMode, HttpPushSpec, PushFormat};
use delivery::{
    BatchOptions, BatchTarget, ComposeError, SendError, Taken,
    budget::{Budgets, Limit},
};
use model::{Build, Record};
use send::Poster;
use std::{collections::BTreeMap, fmt, time::Duration};
use tokio::sync::watch;

/// What a push has beside its settings.
#[derive(Clone, Default)]
pub struct Secrets {
    /// The value of `authorizationSecretRef`: the `Authorization` header.
    pub authorization: Option<String>,
    /// The value of `caSecretRef`: PEM certificates.
    pub ca: Option<Vec<u8>>,
    /// The value of `clientCertificateSecretRef`: PEM certificates.
    pub client_certificate: Option<Vec<u8>>,
    /// The value of `clientKeySecretRef`: a private key.
    pub client_key: Option<Vec<u8>>,
    /// The values of `signatureSecretRefs`.
    pub signatures: Vec<Vec<u8>>,
    /// The values of the headers that are in Secrets, by their place in `headers`.
    pub headers: BTreeMap<usize, String>,
}

/// Never shows the values.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("authorization", &self.authorization.is_some())
            .field("ca", &self.ca.is_some())
            .field("client_certificate", &self.client_certificate.is_some())
            .field("client_key", &self.client_key.is_some())
            .field("signatures", &self.signatures.len())
            .field("headers", &self.headers.len())
            .finish()
    }
}

/// The target of one `HttpPush`.
#[derive(Debug)]
pub struct HttpPush {
    maker: Maker,
    /// How CloudEvents are posted, in place of packets.
    events: Option<ContentMode>,
    poster: Poster,
    options: BatchOptions,
    limits: Vec<Limit>,
}

impl HttpPush {
    /// Makes the target. `name` tells its posts from those of other targets.
    ///
    /// # Errors
    /// [`BuildError`] names the setting that can't be used.
    pub fn new(
        name: &str,
        spec: &HttpPushSpec,
        secrets: &Secrets,
        about: watch::Receiver<About>,
    ) -> Result<Self, BuildError> {
        let events =
            (spec.format == PushFormat::CloudEvents).then(|| spec.content_mode.unwrap_or_default());
        let settings = Settings {
            selection: spec.selection(),
            all: events.is_some(),
            black_list: spec.black_list.iter().cloned().collect(),
            filter: spec.filter,
            debug: spec.debug,
        };
        Ok(Self {
            maker: Maker::new(&settings, about),
            events,
            poster: Poster::new(name, spec, secrets)?,
            options: driven(spec, events),
            limits: crate::about::limits(spec.rate_limit.as_ref()),
        })
    }

    /// How its settings want it driven, with the budget of its server and authorization.
    pub fn options(&self, name: &str, budgets: &Budgets) -> BatchOptions {
        BatchOptions {
            budget: budgets.of(self.poster.credential(), &self.limits),
            state: BatchOptions::new(name).state,
            name: name.to_owned(),
            ..self.options.clone()
        }
    }

    /// The packets that a finished build would become, numbered from 1; or its event.
    pub fn preview(&self, build: &Build) -> Vec<Preview> {
        let place = self.poster.place();
        let mut previews = self.maker.preview(build, &place);
        if self.events.is_some() {
            for preview in previews.iter_mut().filter(|preview| !preview.to.is_empty()) {
                *preview = cloud_events::preview(build, &self.maker.about(), &place);
            }
        }
        previews
    }
}

/// What is said of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What the record is the same by.
    identity: String,
    said: Said,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Packets(Packets),
    Event(CloudEvent),
}

impl Item {
    /// The JSON texts.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let (packets, event) = match &self.said {
            Said::Packets(packets) => (Some(packets), None),
            Said::Event(event) => (None, Some(event)),
        };
        packets.into_iter().flat_map(Packets::texts).chain(event.map(CloudEvent::body))
    }

    /// The headers of a post of this alone.
    fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let event = match &self.said {
            Said::Packets(_) => None,
            Said::Event(event) => Some(event),
        };
        event.into_iter().flat_map(CloudEvent::headers)
    }
}

fn driven(spec: &HttpPushSpec, events: Option<ContentMode>) -> BatchOptions {
    let alone = matches!(events, Some(ContentMode::Structured | ContentMode::Binary));
    let items = usize::try_from(spec.chunk_size).unwrap_or(usize::MAX).max(1);
    let items = if alone { 1 } else { items };
    BatchOptions {
        max_items: items,
        max_bytes: usize::try_from(spec.max_http_request_size.bytes()).unwrap_or(usize::MAX),
        // There is nothing to collect for a post of one.
        delay: if alone { Duration::ZERO } else { spec.buffer_delay.get() },
        retry: spec.retry_delay.get(),
        window: items.clamp(256, 1024),
        catch_up: spec.catch_up.as_ref().and_then(|c| c.max_age).map(Into::into),
        ..BatchOptions::new("")
    }
}

impl BatchTarget for HttpPush {
    type Item = Item;
    type State = State;

    fn kind(&self) -> &'static str {
        crate::Kind::HttpPush.word()
    }

    fn decide(&self, record: &Record) -> bool {
        self.maker.wants(record)
    }

    fn load(&self, bytes: Option<&[u8]>) -> Result<State, String> {
        State::load(bytes)
    }

    fn save(&self, state: &State) -> Vec<u8> {
        state.save()
    }

    fn compose(&self, state: &mut State, record: &Record) -> Result<Item, ComposeError> {
        let said = match self.events {
            Some(mode) => Said::Event(CloudEvent::new(record, &self.maker.about(), mode)),
            None => Said::Packets(self.maker.packets(state, record)),
        };
        Ok(Item { identity: record.identity.to_string(), said })
    }

    fn size(&self, item: &Item) -> usize {
        // Each with the comma behind it.
        item.texts().map(|text| self.poster.len(text) + self.poster.len(",")).sum()
    }

    fn count(&self, item: &Item) -> usize {
        match &item.said {
            Said::Packets(packets) => packets.count(),
            Said::Event(_) => 1,
        }
    }

    fn secrets(&self) -> Vec<&str> {
        self.poster.secrets()
    }

    async fn send(&self, items: &[&Item]) -> Result<Taken, SendError> {
        self.poster.post(items).await.map(|()| Taken::all(items.len()))
    }
}
