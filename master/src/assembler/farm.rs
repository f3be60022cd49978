//! Builders and workers.

use super::{Assembler, Need};
use model::{Builder, BuilderId, Event, Worker, WorkerId};

impl Assembler {
    /// Whether a builder's name is known, or is not to be had; asks for the list if not.
    pub(super) fn knows_builder(&mut self, id: BuilderId) -> bool {
        let known = self.world.builders.contains_key(&id) || self.unlisted_builders.contains(&id);
        if !known {
            self.ask(Need::Builders);
        }
        known
    }

    /// Whether a worker's name is known, or is not to be had; asks for the list if not.
    pub(super) fn knows_worker(&mut self, id: WorkerId) -> bool {
        let known = self.world.workers.contains_key(&id) || self.unlisted_workers.contains(&id);
        if !known {
            self.ask(Need::Workers);
        }
        known
    }

    /// All builders that the master has.
    pub(super) fn list_builders(&mut self, all: Vec<Builder>) {
        self.asked.remove(&Need::Builders);
        // A master that stops takes all builders out of its configuration, one by one.
        // That says nothing of the configuration itself.
        if all.iter().any(|b| b.configured) || self.world.builders.is_empty() {
            all.into_iter().for_each(|builder| self.builder(builder));
        }
        self.unlist_builders();
    }

    fn builder(&mut self, builder: Builder) {
        let known = self.world.builders.get(&builder.id);
        if known == Some(&builder) {
            return;
        }
        let was = known.is_some_and(|b| b.configured);
        self.effects.dirty.builders.insert(builder.id);
        self.world.builders.insert(builder.id, builder.clone());
        self.emit(match (was, builder.configured) {
            (false, true) => Event::BuilderAdded { builder },
            (true, false) => Event::BuilderRemoved { builder },
            _ => Event::BuilderChanged { builder },
        });
    }

    /// Builders that builds name and the master's list has not.
    pub(super) fn unlist_builders(&mut self) {
        let named = self.pending.values().map(|b| b.builder.id);
        let missing = named.filter(|id| !self.world.builders.contains_key(id));
        self.unlisted_builders = missing.collect();
        self.advance_builds();
    }

    /// All workers that the master has.
    pub(super) fn list_workers(&mut self, all: Vec<Worker>) {
        self.asked.remove(&Need::Workers);
        all.into_iter().for_each(|worker| self.worker(worker));
        self.unlist_workers();
    }

    /// One worker.
    pub(super) fn worker(&mut self, worker: Worker) {
        let known = self.world.workers.get(&worker.id);
        if known == Some(&worker) {
            return;
        }
        let was = known.is_some_and(|w| w.connected);
        self.effects.dirty.workers.insert(worker.id);
        self.world.workers.insert(worker.id, worker.clone());
        self.emit(match (was, worker.connected) {
            (false, true) => Event::WorkerConnected { worker },
            (true, false) => Event::WorkerDisconnected { worker },
            _ => Event::WorkerChanged { worker },
        });
    }

    /// Workers that builds name and the master's list has not.
    pub(super) fn unlist_workers(&mut self) {
        let named = self.pending.values().filter_map(|b| b.worker.as_ref().map(|w| w.id));
        let missing = named.filter(|id| !self.world.workers.contains_key(id));
        self.unlisted_workers = missing.collect();
        self.advance_builds();
    }
}
