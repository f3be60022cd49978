//! The kinds that are reconciled, each with the store of its resources and a way to have one
//! reconciled.

use super::{Kind, consumer_name, id_of, index::ByMaster, key_of};
use crate::{
    Metrics,
    known::ResourceId,
    waiting::{Turn, Waiting},
};
use crds::{GerritPush, GitHubStatus, HttpPush, MailNotifier, Master, StatusPush, WebStatus};
use kube::{
    core::error_boundary::DeserializeGuard,
    runtime::{
        reflector::{ObjectRef, Store, store::Writer},
        watcher::Event,
    },
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A kind's resources, and how to have one reconciled.
pub(crate) struct Entry<K: Kind> {
    /// The resources as they are in the cluster.
    pub store: Store<DeserializeGuard<K>>,
    by_master: Mutex<ByMaster>,
    /// Those that wait to be reconciled.
    pub waiting: Arc<Waiting>,
    /// What fills the store; taken once, by the watch.
    writer: Mutex<Option<Writer<DeserializeGuard<K>>>>,
}

impl<K: Kind> Entry<K> {
    fn new(concurrency: u16, metrics: &Metrics) -> Self {
        let writer = Writer::<DeserializeGuard<K>>::default();
        Self {
            store: writer.as_reader(),
            by_master: Mutex::default(),
            waiting: Arc::new(Waiting::new(concurrency, metrics.queue(K::KIND))),
            writer: Mutex::new(Some(writer)),
        }
    }

    /// What fills the store; `None` if it was taken.
    pub fn writer(&self) -> Option<Writer<DeserializeGuard<K>>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// A resource, if it is there and readable.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<DeserializeGuard<K>>> {
        let found = self.store.get(&ObjectRef::new(name).within(namespace));
        found.filter(|object| object.0.is_ok())
    }

    /// Keeps in step with the store, which was told of this.
    pub fn note(&self, event: &Event<DeserializeGuard<K>>) {
        match event {
            Event::Apply(object) => note(&mut self.by_master(), object),
            Event::Delete(object) => self.by_master().remove(&key_of(object)),
            Event::InitDone => {
                let mut index = ByMaster::default();
                for object in self.store.state() {
                    note(&mut index, &object);
                }
                *self.by_master() = index;
            }
            Event::Init | Event::InitApply(_) => {}
        }
    }

    fn by_master(&self) -> MutexGuard<'_, ByMaster> {
        self.by_master.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The readable resources that name a Master.
    pub fn of(&self, namespace: &str, name: &str) -> Vec<Arc<DeserializeGuard<K>>> {
        let master = (namespace.to_owned(), name.to_owned());
        let index = self.by_master();
        let of = index.of(&master);
        of.filter_map(|(namespace, name)| self.get(namespace, name)).collect()
    }

    fn unreadable(&self, found: &mut dyn FnMut(Unreadable)) {
        for object in self.store.state().iter().filter(|object| object.0.is_err()) {
            found(Unreadable { id: id_of::<K>(&**object), component: K::COMPONENT });
        }
    }

    fn visit(&self, of: Option<(&str, &str)>, found: &mut dyn FnMut(TargetSeen)) {
        let objects = match of {
            Some((namespace, name)) => self.of(namespace, name),
            None => self.store.state(),
        };
        for object in objects {
            let Ok(resource) = &object.0 else { continue };
            if let Some((namespace, _)) = master_of(resource) {
                found(TargetSeen::of(resource, namespace));
            }
        }
    }
}

fn note<K: Kind>(index: &mut ByMaster, object: &DeserializeGuard<K>) {
    match object.0.as_ref().ok().and_then(master_of) {
        Some((namespace, name)) => {
            index.set(key_of(object), (namespace.to_owned(), name.to_owned()));
        }
        None => index.remove(&key_of(object)),
    }
}

/// Namespace and name of the Master that a resource names.
pub(crate) fn master_of<K: Kind>(resource: &K) -> Option<(&str, &str)> {
    let about = resource.master_ref()?;
    let own = resource.meta().namespace.as_deref().unwrap_or_default();
    Some((about.namespace.as_deref().unwrap_or(own), &about.name))
}

impl TargetSeen {
    fn of<K: Kind>(resource: &K, master_namespace: &str) -> Self {
        Self {
            id: id_of::<K>(resource),
            consumer: resource.consumer(master_namespace),
            ready: crate::reconcile::is_ready(resource.conditions()),
        }
    }
}

/// A resource that tells about a Master.
#[derive(Clone, Debug)]
pub(crate) struct TargetSeen {
    /// Which it is.
    pub id: ResourceId,
    /// What the feed knows it by.
    pub consumer: Option<String>,
    /// Whether it says of itself that it is ready.
    pub ready: bool,
}

/// A resource that is there and can't be read, as after a step back to an older operator. Which Master
/// it names is not known.
#[derive(Clone, Debug)]
pub(crate) struct Unreadable {
    /// Which it is.
    pub id: ResourceId,
    component: &'static str,
}

impl Unreadable {
    /// What the feed of a Master in this namespace would know it by.
    pub fn consumer(&self, master_namespace: &str) -> String {
        consumer_name(self.component, &self.id.namespace, &self.id.name, master_namespace)
    }
}

macro_rules! registry {
    ($($field:ident: $kind:ident,)*) => {
        /// All kinds.
        pub(crate) struct Registry {
            $(pub $field: Entry<$kind>,)*
        }

        impl Registry {
            /// Stores without resources yet, of which so many of a kind are reconciled at a time.
            pub fn new(concurrency: u16, metrics: &Metrics) -> Self {
                Self { $($field: Entry::new(concurrency, metrics),)* }
            }

            /// Has a resource reconciled, whatever its kind.
            pub fn poke(&self, id: &ResourceId) {
                self.ask(id, Turn::Later);
            }

            /// Has a resource reconciled that somebody waits for.
            pub fn poke_first(&self, id: &ResourceId) {
                self.ask(id, Turn::First);
            }

            fn ask(&self, id: &ResourceId, turn: Turn) {
                $(if &*id.kind == <$kind as Kind>::KIND {
                    let key = (id.namespace.to_string(), id.name.to_string());
                    return self.$field.waiting.ask(key, turn);
                })*
            }

            /// All resources that name a Master; of one Master, if that is given.
            pub fn visit(&self, of: Option<(&str, &str)>, mut found: impl FnMut(TargetSeen)) {
                $(self.$field.visit(of, &mut found);)*
            }

            /// All resources that tell about a Master and can't be read.
            pub fn unreadable(&self) -> Vec<Unreadable> {
                let mut all = Vec::new();
                $(self.$field.unreadable(&mut |one| all.push(one));)*
                all.retain(|one| &*one.id.kind != Master::KIND);
                all
            }

            /// Whether a kind of target has consumers whose names begin so.
            pub fn is_component(name: &str) -> bool {
                $((<$kind as Kind>::SENDS && <$kind as Kind>::COMPONENT.replace('-', "_") == name))||*
            }

            /// How many resources of each kind there are, and how many of them are ready.
            pub fn counts(&self) -> Vec<(&'static str, usize, usize)> {
                vec![$({
                    let all = self.$field.store.state();
                    let ready = all.iter().filter(|object| {
                        object.0.as_ref().is_ok_and(|r| crate::reconcile::is_ready(r.conditions()))
                    });
                    (<$kind as Kind>::KIND, all.len(), ready.count())
                },)*]
            }
        }

        /// Calls a macro with the field and the type of each kind.
        macro_rules! for_every_kind {
            ($each:ident) => { $($each!($field, $kind);)* };
        }
        pub(crate) use for_every_kind;
    };
}

registry! {
    masters: Master,
    web_statuses: WebStatus,
    mail_notifiers: MailNotifier,
    http_pushes: HttpPush,
    status_pushes: StatusPush,
    gerrit_pushes: GerritPush,
    github_statuses: GitHubStatus,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn k02_what_can_not_be_read_is_there_all_the_same() {
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let registry = Registry::new(1, &metrics);
        let mut pushes = registry.http_pushes.writer().unwrap();
        let push = |name: &str, spec: serde_json::Value| -> DeserializeGuard<HttpPush> {
            serde_json::from_value(json!({
                "apiVersion": crds::API_VERSION, "kind": "HttpPush",
                "metadata": {"namespace": "ci", "name": name}, "spec": spec,
            }))
            .unwrap()
        };
        let spec = json!({"masterRef": {"name": "main"}, "serverUrl": "https://example.org/"});
        // A field as a newer operator would have it.
        let mut newer = spec.clone();
        newer["masterRef"] = json!(["main"]);
        for object in [push("old", spec), push("newer", newer)] {
            pushes.apply_watcher_event(&Event::Apply(object));
        }
        let there = registry.unreadable();
        let names: Vec<&str> = there.iter().map(|one| &*one.id.name).collect();
        assert_eq!(names, ["newer"]);
        let consumers = ["ci", "main"].map(|master| there[0].consumer(master));
        assert_eq!(consumers, ["http_push/newer", "http_push/ci/newer"]);
    }
}
