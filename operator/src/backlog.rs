//! What is there when the operator starts, handed on a little at a time.
//!
//! The scheduler of reconciles takes whatever it is given, in no order. Given thousands at once, it
//! would have somebody's new resource wait until most of them are done.

use futures_util::{Stream, StreamExt as _, stream};
use kube::{Resource, runtime::reflector::ObjectRef};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Semaphore;

/// Namespace and name.
type Key = (String, String);

/// Those that were handed on and are not reconciled yet.
#[derive(Debug)]
pub(crate) struct Backlog {
    handed: Mutex<HashSet<Key>>,
    room: Semaphore,
}

impl Backlog {
    /// For so many reconciles at a time: as many again may be on their way.
    pub fn new(concurrency: u16) -> Self {
        let room = usize::from(concurrency).saturating_mul(2).max(2);
        Self { handed: Mutex::default(), room: Semaphore::new(room) }
    }

    fn handed(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands resources on, one for each that is done.
    pub fn hand_on<K>(
        self: Arc<Self>,
        there: Vec<ObjectRef<K>>,
    ) -> impl Stream<Item = ObjectRef<K>> + Send
    where
        K: Resource<DynamicType = ()> + Send + 'static,
    {
        stream::iter(there).then(move |object| {
            let backlog = Arc::clone(&self);
            async move {
                // It is never closed.
                if let Ok(room) = backlog.room.acquire().await {
                    room.forget();
                }
                backlog.handed().insert(key(object.namespace.as_deref(), &object.name));
                object
            }
        })
    }

    /// A resource is reconciled, or was gone when its turn came.
    pub fn done(&self, namespace: Option<&str>, name: &str) {
        if self.handed().remove(&key(namespace, name)) {
            self.room.add_permits(1);
        }
    }
}

fn key(namespace: Option<&str>, name: &str) -> Key {
    (namespace.unwrap_or_default().to_owned(), name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crds::Master;
    use futures_util::FutureExt as _;

    #[test]
    fn another_is_handed_on_when_one_is_done() {
        let there = (0..4).map(|n| ObjectRef::<Master>::new(&n.to_string()).within("ci")).collect();
        let backlog = Arc::new(Backlog::new(1));
        let mut stream = Box::pin(Arc::clone(&backlog).hand_on(there));
        let mut next = || stream.next().now_or_never().flatten().map(|object| object.name);
        assert_eq!((next(), next(), next()), (Some("0".into()), Some("1".into()), None));
        backlog.done(Some("ci"), "somebody's");
        assert_eq!(next(), None);
        backlog.done(Some("ci"), "1");
        backlog.done(Some("ci"), "1");
        assert_eq!((next(), next()), (Some("2".into()), None));
    }
}
