//! What every reconcile works with.

use crate::{
    Metrics, Seeds, Settings,
    children::{ChildKind, Means},
    discovery::Doubts,
    events::Events,
    failures::Failures,
    figures::FeedFigures,
    kinds::{Kind as _, Registry, TargetSeen},
    known::{self, Known, ResourceId},
    leader::Leadership,
    names,
};
use crds::{Master, WebStatus};
use kube::{Api, Client, ResourceExt as _};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Instant,
};

/// What every reconcile works with.
pub(crate) struct Context {
    /// The cluster.
    pub client: Client,
    /// How the operator was started.
    pub settings: Settings,
    /// The kinds' resources.
    pub registry: Registry,
    /// What the cluster holds of the operator's objects.
    pub known: Known,
    /// Whether this operator may write.
    pub leadership: Leadership,
    /// Figures about the operator.
    pub metrics: Metrics,
    /// Reconciles that failed in a row.
    pub failures: Failures,
    /// Tells people.
    pub events: Events,
    /// What speaks against what is known of the optional kinds.
    pub doubts: Doubts,
    seeds: RwLock<Seeds>,
    optional: RwLock<BTreeSet<ChildKind>>,
    figures: Mutex<HashMap<(String, String), Arc<FeedFigures>>>,
    users_of_secrets: Mutex<HashMap<(String, String), HashSet<ResourceId>>>,
    written: Mutex<HashMap<ResourceId, Instant>>,
}

impl Context {
    /// Nothing known yet.
    pub fn new(
        client: Client,
        settings: Settings,
        seeds: Seeds,
        leadership: Leadership,
        metrics: Metrics,
    ) -> Self {
        let events = Events::new(client.clone(), &settings.identity);
        Self {
            client,
            registry: Registry::new(settings.concurrency, &metrics),
            settings,
            known: Known::default(),
            leadership,
            failures: Failures::default(),
            metrics,
            events,
            doubts: Doubts::default(),
            seeds: RwLock::new(seeds),
            optional: RwLock::default(),
            figures: Mutex::default(),
            users_of_secrets: Mutex::default(),
            written: Mutex::default(),
        }
    }

    /// What objects are made with now.
    pub fn means(&self) -> Means<'_> {
        let optional = self.optional.read().unwrap_or_else(PoisonError::into_inner).clone();
        Means { settings: &self.settings, seeds: self.seeds(), optional }
    }

    /// The operator's seeds.
    pub fn seeds(&self) -> Seeds {
        self.seeds.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes other seeds; whether they are others.
    pub fn set_seeds(&self, seeds: Seeds) -> bool {
        let mut kept = self.seeds.write().unwrap_or_else(PoisonError::into_inner);
        let changed = *kept != seeds;
        *kept = seeds;
        changed
    }

    /// Notes whether the cluster has an optional kind; whether that is new.
    pub fn set_optional(&self, kind: ChildKind, there: bool) -> bool {
        let mut optional = self.optional.write().unwrap_or_else(PoisonError::into_inner);
        if there { optional.insert(kind) } else { optional.remove(&kind) }
    }

    /// Objects of a kind in a namespace.
    pub fn api(&self, kind: ChildKind, namespace: &str) -> Api<known::Object> {
        Api::namespaced_with(self.client.clone(), namespace, &kind.resource())
    }

    /// What a master's feed said last.
    pub fn figures(&self, namespace: &str, name: &str) -> Option<Arc<FeedFigures>> {
        let figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        figures.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// Notes what a master's feed said; returns what it said before.
    pub fn set_figures(
        &self,
        namespace: &str,
        name: &str,
        said: Option<FeedFigures>,
    ) -> Option<Arc<FeedFigures>> {
        let key = (namespace.to_owned(), name.to_owned());
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        match said {
            Some(said) => figures.insert(key, Arc::new(said)),
            None => figures.remove(&key),
        }
    }

    /// Notes that a resource uses these Secrets.
    pub fn uses_secrets(&self, id: &ResourceId, names: impl Iterator<Item = String>) {
        let mut users = self.users_of_secrets.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            users.entry((id.namespace.to_string(), name)).or_default().insert(id.clone());
        }
    }

    /// The resources that use a Secret, or did.
    pub fn users_of_secret(&self, namespace: &str, name: &str) -> Vec<ResourceId> {
        let users = self.users_of_secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), name.to_owned());
        users.get(&key).into_iter().flatten().cloned().collect()
    }

    /// When a resource's status was last written by this process.
    pub fn last_written(&self, id: &ResourceId) -> Option<Instant> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied()
    }

    /// Notes that a resource's status is written now.
    pub fn note_written(&self, id: &ResourceId) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.insert(id.clone(), Instant::now());
    }

    /// Forgets what was noted of a resource that is gone.
    pub fn forget(&self, id: &ResourceId) {
        self.failures.forget(id);
        self.written.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        let mut users = self.users_of_secrets.lock().unwrap_or_else(PoisonError::into_inner);
        users.retain(|(namespace, _), users| {
            if **namespace == *id.namespace {
                users.remove(id);
            }
            !users.is_empty()
        });
    }

    /// The resources that name a Master.
    pub fn targets_of(&self, namespace: &str, name: &str) -> Vec<TargetSeen> {
        let mut targets = Vec::new();
        self.registry.visit(Some((namespace, name)), |target| targets.push(target));
        targets
    }

    /// The resources that name a Master and may.
    pub fn allowed_targets_of(&self, namespace: &str, name: &str) -> Vec<TargetSeen> {
        let mut targets = self.targets_of(namespace, name);
        let found = self.registry.masters.get(namespace, name);
        if let Some(master) = found.as_ref().and_then(|found| found.0.as_ref().ok()) {
            targets.retain(|target| self.allows(master, &target.id.namespace));
        }
        targets
    }

    /// Resources that can't be read, and may be of a Master for all that is known.
    pub fn unreadable_of(&self, namespace: &str, name: &str) -> Vec<ResourceId> {
        let found = self.registry.masters.get(namespace, name);
        let Some(master) = found.as_ref().and_then(|found| found.0.as_ref().ok()) else {
            return Vec::new();
        };
        let all = self.registry.unreadable().into_iter().map(|one| one.id);
        all.filter(|id| self.allows(master, &id.namespace)).collect()
    }

    /// Whether a Master allows resources of a namespace.
    pub fn allows(&self, master: &Master, namespace: &str) -> bool {
        let own = master.namespace().unwrap_or_default();
        let labels = self.known.labels_of(namespace);
        master.spec.allowed_namespaces.allow(&own, namespace, &labels)
    }

    /// Fails where another operator may write by now.
    pub fn may_write(&self) -> Result<(), crate::error::Error> {
        if self.leadership.holds() { Ok(()) } else { Err(crate::error::Error::NotLeader) }
    }

    /// Has everything reconciled.
    pub fn poke_all(&self) {
        self.poke_masters();
        self.poke_targets(|_| true);
    }

    /// Has every Master reconciled.
    pub fn poke_masters(&self) {
        for master in self.registry.masters.store.state() {
            let namespace = master.namespace().unwrap_or_default();
            let id = ResourceId::new(Master::KIND, &namespace, &master.name_any());
            self.registry.poke(&id);
        }
    }

    /// Has the targets of a namespace reconciled.
    pub fn poke_of(&self, namespace: &str) {
        self.poke_targets(|target| &*target.id.namespace == namespace);
    }

    /// Has every WebStatus reconciled.
    pub fn poke_pages(&self) {
        self.poke_targets(|target| &*target.id.kind == WebStatus::KIND);
    }

    /// Has those targets reconciled that `which` says.
    pub fn poke_targets(&self, which: impl Fn(&TargetSeen) -> bool) {
        let mut ids = Vec::new();
        self.registry.visit(None, |target| {
            if which(&target) {
                ids.push(target.id);
            }
        });
        for id in ids {
            self.registry.poke(&id);
        }
    }
}

impl Settings {
    /// The port that traces are sent to, if they are.
    pub(crate) fn trace_port(&self) -> Option<u16> {
        crate::kinds::port_of(self.pod_otlp_endpoint.as_deref()?)
    }
}

/// Whether a namespace's Secret is the operator's own, and so no credential of a user's.
pub(crate) fn is_own(labels: Option<&std::collections::BTreeMap<String, String>>) -> bool {
    labels.and_then(|labels| labels.get(names::MANAGED_BY)).is_some_and(|by| by == names::MANAGER)
}
