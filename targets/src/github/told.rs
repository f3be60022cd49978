//! What this process told of builds: what it takes to end a status where it began. A new process
//! knows nothing, and asks GitHub where it must.

use super::compose::{Commit, Message};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Builds that are kept in mind; the oldest is forgotten first.
const MOST: usize = 4096;

/// Builds by their keys.
#[derive(Debug, Default)]
pub struct Told(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    builds: HashMap<String, Note>,
    order: VecDeque<String>,
}

#[derive(Debug)]
struct Note {
    commit: Commit,
    context: String,
    ended: bool,
    run: Option<u64>,
}

impl Told {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the end of the build was told.
    pub fn ended(&self, message: &Message) -> bool {
        self.known().builds.get(&message.build).is_some_and(|note| note.ended)
    }

    /// Where the build's start was told, if that is not where the message belongs.
    pub fn elsewhere(&self, message: &Message) -> Option<(Commit, String)> {
        let known = self.known();
        let note = known.builds.get(&message.build).filter(|note| !note.ended)?;
        let moved = note.commit != message.commit || note.context != message.context;
        moved.then(|| (note.commit.clone(), note.context.clone()))
    }

    /// The build's check run, if it is of the message's commit and name.
    pub fn run(&self, message: &Message) -> Option<u64> {
        let known = self.known();
        let note = known.builds.get(&message.build)?;
        let same = note.commit == message.commit && note.context == message.context;
        note.run.filter(|_| same)
    }

    /// Keeps in mind that the message was told, in this check run if it was one.
    pub fn note(&self, message: &Message, run: Option<u64>) {
        let mut known = self.known();
        let note = Note {
            commit: message.commit.clone(),
            context: message.context.clone(),
            ended: message.ends,
            run,
        };
        if known.builds.insert(message.build.clone(), note).is_none() {
            known.order.push_back(message.build.clone());
        }
        if known.order.len() > MOST
            && let Some(oldest) = known.order.pop_front()
        {
            known.builds.remove(&oldest);
        }
    }
}
