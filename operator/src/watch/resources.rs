//! The resources themselves.

use super::{FirstLists, Watch, config, events, failed};
use crate::{
    context::Context,
    kinds::{Entry, Kind, Registry, id_of, key_of, master_of},
    known::ResourceId,
};
use crds::Master;
use futures_util::{FutureExt as _, StreamExt as _};
use kube::{
    Api, ResourceExt as _,
    core::error_boundary::DeserializeGuard,
    runtime::{
        reflector::{ObjectRef, Store, store::Writer},
        watcher::Event,
    },
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

/// Where `kubectl apply` keeps the whole manifest once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Watches a kind of resource. What changes of one is told to those that depend on it.
pub(crate) fn resources<K: Kind>(
    context: &Arc<Context>,
    entry: impl Fn(&Registry) -> &Entry<K> + Send + Sync + 'static,
    mut writer: Writer<DeserializeGuard<K>>,
) -> Watch {
    let (mut first, seen) = FirstLists::new(&context.settings);
    let client = context.client.clone();
    let mut events = events(&context.settings, &config(), |namespace| match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::<DeserializeGuard<K>>::all(client.clone()),
    });
    let context = Arc::clone(context);
    let mut lists = Lists::default();
    let run = async move {
        while let Some((namespace, event)) = events.next().await {
            let mut event = match event {
                Ok(event) => event,
                Err(error) => {
                    failed(K::KIND, &error, &context);
                    first.failed(K::KIND, namespace.as_ref(), &error, Instant::now());
                    continue;
                }
            };
            if let Event::Apply(object) | Event::InitApply(object) = &mut event {
                // Nobody looks at them, and they are most of the object.
                object.managed_fields_mut().clear();
                object.annotations_mut().remove(LAST_APPLIED);
            }
            let listed = matches!(event, Event::Init | Event::InitApply(_) | Event::InitDone);
            let done = matches!(event, Event::InitDone);
            let store = &entry(&context.registry).store;
            for event in lists.told(namespace.clone(), event, store) {
                let before = match &event {
                    Event::Apply(object) if !listed => store.get(&ObjectRef::from_obj(object)),
                    _ => None,
                };
                writer.apply_watcher_event(&event);
                entry(&context.registry).note(&event);
                match event {
                    Event::Apply(object)
                        if !listed
                            && before.as_ref().is_none_or(|before| differs(before, &object)) =>
                    {
                        changed(&object, before.as_deref(), &context);
                    }
                    Event::Delete(object) if !listed => {
                        tracing::info!(
                            kind = K::KIND,
                            namespace = object.namespace(),
                            "{} is gone",
                            object.name_any()
                        );
                        context.forget(&id_of::<K>(&object));
                        changed(&object, None, &context);
                    }
                    _ => {}
                }
            }
            if done && first.is_complete() {
                context.poke_all();
            } else if done {
                first.complete(namespace.as_ref());
            }
        }
    };
    Watch { seen, run: run.boxed() }
}

/// What a watch tells of a kind of resource.
type Told<K> = Event<DeserializeGuard<K>>;

/// The lists of namespaces that are being read. A store takes a complete list for all that there is, so the
/// list of one namespace among several is told to it object by object.
struct Lists<K: Kind> {
    reading: HashMap<Arc<str>, Vec<DeserializeGuard<K>>>,
    /// Whether the store was told of a complete list, the empty one: kube reconciles nothing before. The
    /// operator itself waits for the first lists of all namespaces.
    begun: bool,
}

impl<K: Kind> Default for Lists<K> {
    fn default() -> Self {
        Self { reading: HashMap::new(), begun: false }
    }
}

impl<K: Kind> Lists<K> {
    /// What a store is told for an event of the watch of this namespace; `None`: of all.
    fn told(
        &mut self,
        namespace: Option<Arc<str>>,
        event: Told<K>,
        store: &Store<DeserializeGuard<K>>,
    ) -> Vec<Told<K>> {
        let Some(namespace) = namespace else { return vec![event] };
        match event {
            Event::Init => {
                self.reading.insert(namespace, Vec::new());
                let begun = std::mem::replace(&mut self.begun, true);
                if begun { Vec::new() } else { vec![Event::InitDone] }
            }
            Event::InitApply(object) => {
                self.reading.entry(namespace).or_default().push(object);
                Vec::new()
            }
            Event::InitDone => {
                let listed = self.reading.remove(&namespace).unwrap_or_default();
                let there: HashSet<_> = listed.iter().map(key_of).collect();
                let gone = |object: &Arc<DeserializeGuard<K>>| {
                    let key = key_of(&**object);
                    *key.0 == *namespace && !there.contains(&key)
                };
                let gone = store.state().into_iter().filter(gone);
                gone.map(|object| Event::Delete((*object).clone()))
                    .chain(listed.into_iter().map(Event::Apply))
                    .collect()
            }
            Event::Apply(_) | Event::Delete(_) => vec![event],
        }
    }
}

/// Whether something changed that a reconcile looks at: not the status, which it writes itself.
fn differs<K: Kind>(before: &DeserializeGuard<K>, now: &DeserializeGuard<K>) -> bool {
    let (before, now) = (kube::Resource::meta(before), kube::Resource::meta(now));
    before.uid != now.uid
        || before.generation != now.generation
        || before.deletion_timestamp != now.deletion_timestamp
        || before.finalizers != now.finalizers
}

/// Has a resource reconciled, and those that depend on it.
fn changed<K: Kind>(
    object: &DeserializeGuard<K>,
    before: Option<&DeserializeGuard<K>>,
    context: &Context,
) {
    context.registry.poke_first(&id_of::<K>(object));
    let (namespace, name) = key_of(object);
    // Which Master waits for one that can't be read is not known.
    if object.0.is_err() || before.is_some_and(|before| before.0.is_err()) {
        context.poke_masters();
    }
    let Ok(resource) = &object.0 else { return };
    match master_of(resource) {
        None => {
            for target in context.targets_of(&namespace, &name) {
                context.registry.poke(&target.id);
            }
        }
        Some((of, master)) => {
            context.registry.poke(&ResourceId::new(Master::KIND, of, master));
            // Messages link to the pages.
            let url = |object: &DeserializeGuard<K>| object.0.as_ref().ok().and_then(Kind::url);
            if before.and_then(url) != url(object) {
                for target in context.targets_of(of, master) {
                    if *target.id.namespace == *namespace {
                        context.registry.poke(&target.id);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn master(namespace: &str, name: &str) -> DeserializeGuard<Master> {
        let master = json!({
            "apiVersion": crds::API_VERSION,
            "kind": "Master",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"url": "http://127.0.0.1:8010/"},
        });
        serde_json::from_value(master).unwrap()
    }

    #[test]
    fn k09_the_list_of_one_namespace_takes_nothing_from_another() {
        let mut writer = Writer::<DeserializeGuard<Master>>::default();
        let (store, mut lists) = (writer.as_reader(), Lists::default());
        let mut tell = |namespace: &str, event| {
            for event in lists.told(Some(namespace.into()), event, &store) {
                writer.apply_watcher_event(&event);
            }
        };
        let there = || {
            let all = store.state();
            let mut all: Vec<_> = all.iter().map(|object| key_of(&**object)).collect();
            all.sort();
            all.iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect::<Vec<_>>()
        };
        tell("a", Event::Init);
        assert!(store.wait_until_ready().now_or_never().is_some(), "or nothing is reconciled");
        tell("a", Event::InitApply(master("a", "one")));
        tell("b", Event::Init);
        tell("a", Event::InitApply(master("a", "two")));
        tell("b", Event::InitApply(master("b", "one")));
        tell("a", Event::InitDone);
        tell("b", Event::InitDone);
        assert_eq!(there(), ["a/one", "a/two", "b/one"]);
        // Anew, after a watch broke off.
        tell("a", Event::Init);
        tell("a", Event::InitApply(master("a", "two")));
        tell("b", Event::Apply(master("b", "two")));
        tell("a", Event::InitDone);
        assert_eq!(there(), ["a/two", "b/one", "b/two"]);
        tell("b", Event::Delete(master("b", "one")));
        assert_eq!(there(), ["a/two", "b/two"]);
    }
}
