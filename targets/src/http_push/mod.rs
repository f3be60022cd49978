//! `HttpPush`: events as Buildbot 0.8's `HttpStatusPush` posted them (row G07).

mod send;

use crate::{
    About, BuildError, Preview,
    packets::{Maker, Packets, Settings, State},
};
use crds::HttpPushSpec;
use delivery::{
    BatchOptions, BatchTarget, ComposeError, SendError, Taken,
    budget::{Budgets, Limit},
};
use model::{Build, Record};
use send::Poster;
use std::fmt;
use tokio::sync::watch;

/// What a push has beside its settings.
#[derive(Clone, Default)]
pub struct Secrets {
    /// The value of `authorizationSecretRef`: the `Authorization` header.
    pub authorization: Option<String>,
    /// The value of `caSecretRef`: PEM certificates.
    pub ca: Option<Vec<u8>>,
}

/// Never shows the values.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("authorization", &self.authorization.is_some())
            .field("ca", &self.ca.is_some())
            .finish()
    }
}

/// The target of one `HttpPush`.
#[derive(Debug)]
pub struct HttpPush {
    maker: Maker,
    poster: Poster,
    options: BatchOptions,
    limits: Vec<Limit>,
}

impl HttpPush {
    /// Makes the target.
    ///
    /// # Errors
    /// [`BuildError`] names the setting that can't be used.
    pub fn new(
        spec: &HttpPushSpec,
        secrets: &Secrets,
        about: watch::Receiver<About>,
    ) -> Result<Self, BuildError> {
        let settings = Settings {
            selection: spec.selection(),
            black_list: spec.black_list.iter().cloned().collect(),
            filter: spec.filter,
            debug: spec.debug,
        };
        Ok(Self {
            maker: Maker::new(&settings, about),
            poster: Poster::new(spec, secrets)?,
            options: driven(spec),
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

    /// The packets that a finished build would become, numbered from 1.
    pub fn preview(&self, build: &Build) -> Vec<Preview> {
        self.maker.preview(build, &self.poster.place())
    }
}

fn driven(spec: &HttpPushSpec) -> BatchOptions {
    let items = usize::try_from(spec.chunk_size).unwrap_or(usize::MAX).max(1);
    BatchOptions {
        max_items: items,
        max_bytes: usize::try_from(spec.max_http_request_size.bytes()).unwrap_or(usize::MAX),
        delay: spec.buffer_delay.get(),
        retry: spec.retry_delay.get(),
        window: items.clamp(256, 1024),
        catch_up: spec.catch_up.as_ref().and_then(|c| c.max_age).map(Into::into),
        ..BatchOptions::new("")
    }
}

impl BatchTarget for HttpPush {
    type Item = Packets;
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

    fn compose(&self, state: &mut State, record: &Record) -> Result<Packets, ComposeError> {
        Ok(self.maker.packets(state, record))
    }

    fn size(&self, item: &Packets) -> usize {
        // Each with the comma behind it.
        item.texts().map(|text| send::encoded_len(text) + send::encoded_len(",")).sum()
    }

    fn count(&self, item: &Packets) -> usize {
        item.count()
    }

    fn secrets(&self) -> Vec<&str> {
        self.poster.secrets()
    }

    async fn send(&self, items: &[&Packets]) -> Result<Taken, SendError> {
        self.poster.post(items).await.map(|()| Taken::all(items.len()))
    }
}
