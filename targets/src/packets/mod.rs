//! The packets of Buildbot 0.8's `StatusPush` and `HttpStatusPush`: which events become packets, and
//! what is in them (row G07). Shared by the targets that push them.

pub(crate) mod as_dict;
mod compose;
mod decide;

pub use compose::{Packets, State};

use crate::{About, Preview};
use compose::Composer;
use decide::Choice;
use model::{Build, Event, Record, Selection};
use std::collections::BTreeSet;
use tokio::sync::watch;

/// The settings of packets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// The builders whose events are pushed.
    pub selection: Selection,
    /// Names of events that are not.
    pub black_list: BTreeSet<String>,
    /// Whether events that 0.8 did not push are, too.
    pub all: bool,
    /// Whether empty values are left out.
    pub filter: bool,
    /// Whether the JSON is indented.
    pub debug: bool,
}

/// Makes packets of the records that are wanted.
#[derive(Debug)]
pub(crate) struct Maker {
    choice: Choice,
    composer: Composer,
    about: watch::Receiver<About>,
}

impl Maker {
    pub fn new(settings: &Settings, about: watch::Receiver<About>) -> Self {
        Self { choice: Choice::new(settings), composer: Composer::new(settings), about }
    }

    /// Whether a record is pushed.
    pub fn wants(&self, record: &Record) -> bool {
        self.choice.wants(&record.event, &self.about.borrow())
    }

    /// What is known of the master.
    pub fn about(&self) -> watch::Ref<'_, About> {
        self.about.borrow()
    }

    /// The packets of a record, numbered on from the state.
    pub fn packets(&self, state: &mut State, record: &Record) -> Packets {
        self.composer.packets(state, record, &self.about.borrow())
    }

    /// The packets that a finished build would become, numbered from 1, for whom `to` names.
    pub fn preview(&self, build: &Build, to: &str) -> Vec<Preview> {
        let event = Event::BuildFinished { build: Box::new(build.clone()) };
        let about = self.about.borrow();
        if !self.choice.wants(&event, &about) {
            return vec![Preview::nothing("not one of its builders, or on its black list")];
        }
        let packets = self.composer.readable(&event, build.complete_at, &about);
        packets
            .into_iter()
            .map(|(title, body)| Preview {
                why: "selected".to_owned(),
                to: vec![to.to_owned()],
                title,
                body,
            })
            .collect()
    }
}
