//! Assembles frames and REST answers into complete events.

use crate::{Dirty, Known};
use model::{Build, Change, Event, Live, World};

/// One thing seen of the master, in a frame or a REST answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Observation {}

/// A REST read that the assembler needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Need {}

/// What follows from observations.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Events to journal.
    pub events: Vec<Event>,
    /// Passing signs of life.
    pub live: Vec<Live>,
    /// Finished builds of the past.
    pub history: Vec<Build>,
    /// Changes of the past.
    pub history_changes: Vec<Change>,
    /// REST reads to make.
    pub needs: Vec<Need>,
    /// Rows of the world that changed.
    pub dirty: Dirty,
}

/// The state of a master, and what changes it.
#[derive(Clone, Debug)]
pub struct Assembler {
    world: World,
}

impl Assembler {
    /// Goes on from what a journal knows.
    pub fn new(known: Known) -> Self {
        Self { world: known.world }
    }

    /// The state after all observations.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Takes an observation.
    #[allow(clippy::needless_pass_by_value, reason = "observations are taken apart")]
    pub fn observe(&mut self, observation: Observation) -> Effects {
        match observation {}
    }
}
