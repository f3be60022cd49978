//! Leader election by a Lease (coordination.k8s.io), so that of several operators one writes.
//!
//! A holder counts from before it asked to renew, by its own clock, and stops writing well before
//! the Lease's time is over. A candidate waits for the whole time since it first saw the Lease as
//! it is, by its own clock. So two clocks that differ do not make two holders, and a holder that
//! was paused finds that its time is over before it writes.

use crate::settings::LeaseSettings;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// Whether this operator may write; clones share it.
#[derive(Clone, Debug)]
pub struct Leadership(Arc<Mutex<Option<Instant>>>, bool);

impl Leadership {
    /// The only operator.
    pub fn alone() -> Self {
        Self(Arc::default(), true)
    }

    fn candidate() -> Self {
        Self(Arc::default(), false)
    }

    /// Whether this operator may write now.
    pub fn holds(&self) -> bool {
        self.1 || self.until().is_some_and(|until| Instant::now() < until)
    }

    fn until(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, until: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// A Lease that this process wants or has.
pub(crate) struct Election {
    api: Api<Lease>,
    settings: LeaseSettings,
    identity: String,
    /// The Lease as it was seen last, and since when it is so.
    seen: Option<(Lease, Instant)>,
    /// What is told to the rest of the operator.
    pub leadership: Leadership,
}

impl Election {
    /// A candidate.
    pub fn new(client: Client, settings: LeaseSettings, name: &str) -> Self {
        Self {
            api: Api::namespaced(client, &settings.namespace),
            // A process that is started again under the same name is another one.
            identity: format!("{name}_{:016x}", rand::random::<u64>()),
            settings,
            seen: None,
            leadership: Leadership::candidate(),
        }
    }

    /// Waits until this process holds the Lease.
    pub async fn win(&mut self) {
        let mut said: Option<String> = None;
        loop {
            match self.attempt().await {
                Ok(true) => return,
                Ok(false) => {
                    let holder = self.holder().unwrap_or_default().to_owned();
                    if said.as_ref() != Some(&holder) {
                        tracing::info!(
                            "waits for the Lease {}: {holder} holds it",
                            self.settings.name
                        );
                        said = Some(holder);
                    }
                }
                Err(error) => {
                    tracing::warn!("the Lease {} can't be had: {error}", self.settings.name);
                }
            }
            tokio::time::sleep(self.pause()).await;
        }
    }

    /// Renews the Lease until it is lost or `cancel`; gives it away then.
    pub async fn keep(mut self, cancel: CancellationToken) {
        while self.leadership.holds() {
            let wait = self.settings.duration / 3;
            if cancel.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                break;
            }
            loop {
                let left =
                    self.leadership.until().map(|u| u.saturating_duration_since(Instant::now()));
                let left = left.unwrap_or_default();
                match tokio::time::timeout(left, self.attempt()).await {
                    Ok(Ok(true)) => break,
                    Ok(Ok(false)) => {
                        self.leadership.set(None);
                        return;
                    }
                    Ok(Err(error)) => {
                        tracing::warn!("the Lease {} is not renewed: {error}", self.settings.name);
                        tokio::time::sleep(self.pause().min(left)).await;
                    }
                    Err(_) => {}
                }
                if !self.leadership.holds() {
                    return;
                }
            }
        }
        self.give_away().await;
    }

    /// A fifth of the Lease's time, and not the same for all.
    fn pause(&self) -> Duration {
        self.settings.duration.mul_f64(rand::random_range(0.15..0.25))
    }

    fn holder(&self) -> Option<&str> {
        self.seen.as_ref()?.0.spec.as_ref()?.holder_identity.as_deref()
    }

    /// Takes or renews the Lease where that is right; whether it is held then.
    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let begin = Instant::now();
        let found = self.api.get_opt(&self.settings.name).await?;
        self.look(found.as_ref());
        let mine = self.holder() == Some(&self.identity);
        let free = self.holder().is_none_or(str::is_empty);
        let over = self.seen.as_ref().is_some_and(|(lease, since)| {
            let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
            let lasts = seconds.and_then(|s| u64::try_from(s).ok()).map(Duration::from_secs);
            since.elapsed() >= lasts.unwrap_or(self.settings.duration)
        });
        if !(mine || free || over) {
            return Ok(false);
        }
        let wanted = self.lease(found.as_ref(), mine);
        let written = match &found {
            None => self.api.create(&PostParams::default(), &wanted).await,
            // With the version that was read: another who writes meanwhile wins.
            Some(_) => self.api.replace(&self.settings.name, &PostParams::default(), &wanted).await,
        };
        match written {
            Ok(lease) => {
                self.look(Some(&lease));
                // A fifth is left for what was begun just before the end.
                self.leadership.set(Some(begin + self.settings.duration.mul_f64(0.8)));
                Ok(true)
            }
            Err(kube::Error::Api(refusal)) if refusal.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn look(&mut self, found: Option<&Lease>) {
        let version = |lease: &Lease| lease.metadata.resource_version.clone();
        let same = match (&self.seen, found) {
            (Some((seen, _)), Some(found)) => version(seen) == version(found),
            _ => false,
        };
        if !same {
            self.seen = found.map(|lease| (lease.clone(), Instant::now()));
        }
    }

    fn lease(&self, found: Option<&Lease>, mine: bool) -> Lease {
        let now = MicroTime(k8s_openapi::jiff::Timestamp::now());
        let before = found.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let transitions = before.lease_transitions.unwrap_or_default();
        Lease {
            metadata: ObjectMeta {
                name: Some(self.settings.name.clone()),
                namespace: Some(self.settings.namespace.clone()),
                resource_version: found.and_then(|lease| lease.metadata.resource_version.clone()),
                ..found.map(|lease| lease.metadata.clone()).unwrap_or_default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(self.settings.duration.as_secs()).ok(),
                acquire_time: if mine { before.acquire_time } else { Some(now.clone()) },
                renew_time: Some(now),
                lease_transitions: Some(if mine { transitions } else { transitions + 1 }),
                ..LeaseSpec::default()
            }),
        }
    }

    /// Lets another one take it at once.
    async fn give_away(&mut self) {
        self.leadership.set(None);
        let Some((mut lease, _)) = self.seen.take() else { return };
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
        }
        let params = PostParams::default();
        let given = self.api.replace(&self.settings.name, &params, &lease);
        if !matches!(tokio::time::timeout(Duration::from_secs(2), given).await, Ok(Ok(_))) {
            tracing::warn!("the Lease {} ends by itself", self.settings.name);
        }
    }
}
