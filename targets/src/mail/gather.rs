//! What a mail needs beside its record: the builds before, the builds of a buildset, addresses of
//! users, ends of logs. All of it is asked of the feed, and all of it is bounded.

use super::{
    Mail,
    compose::{Facts, Tail, Tails, is_bad, logs_of},
    logs::{self, Lines, Wanted},
    lookup, matching,
};
use crate::past::{builds_of, unread};
use crds::LogPart;
use delivery::SendError;
use feed::{AnyFeed, ClientError, LogError};
use model::{Build, Event, Log, LogKind, Outcome, Record, Step, Timestamp};
use render::Site;

/// The most bytes of one log's end that templates see.
const END: usize = 64 << 10;
/// The most bytes of all ends of a build's logs.
const ENDS: usize = 512 << 10;
/// A record this much older (ms) waits no longer for logs that can't be read.
const PATIENCE_MS: i64 = 600_000;

impl Mail {
    /// Asks for all of it. Without a feed, the record is all there is.
    pub(super) async fn facts(&self, record: &Record) -> Result<Facts, SendError> {
        let builds = match (&record.event, &self.feed) {
            (Event::BuildFinished { build }, _) => vec![(**build).clone()],
            (Event::BuildsetCompleted { buildset }, Some(feed)) => {
                let mut builds = builds_of(feed, buildset).await?;
                builds.retain(|build| self.selection.build(build));
                builds
            }
            _ => Vec::new(),
        };
        let late = Timestamp::now().0.saturating_mul(1000) - record.journaled_ms > PATIENCE_MS;
        self.facts_of(builds, late).await
    }

    /// The same for these builds; `late` if logs that can't be read are waited for no longer.
    pub(super) async fn facts_of(
        &self,
        mut builds: Vec<Build>,
        late: bool,
    ) -> Result<Facts, SendError> {
        let site = self.about.borrow().site.clone();
        let Some(feed) = &self.feed else {
            let tails = builds.iter().map(|build| self.no_tails(build)).collect();
            return Ok(Facts { builds, tails, ..Facts::default() });
        };
        if !self.previous.is_told() && self.composer.compares() {
            for build in &mut builds {
                build.previous =
                    self.previous.of(build, feed, &site).await.map_err(|e| unread(&e))?;
            }
        }
        builds.retain(|build| !matching(self.composer.modes(), build).is_empty());
        let asked = self.composer.recipients.asked(&builds);
        let known = lookup::users(feed, &asked).await.map_err(|error| unread(&error))?;
        let mut tails = Vec::new();
        for build in &builds {
            tails.push(self.tails(feed, build, &site, late).await?);
        }
        Ok(Facts { builds, tails, known })
    }

    /// Ends of a build's logs, as far as templates show them.
    async fn tails(
        &self,
        feed: &AnyFeed,
        build: &Build,
        site: &Site,
        late: bool,
    ) -> Result<Tails, SendError> {
        let (lines, all, last) = self.composer.shows();
        let mut tails = Tails::default();
        let mut room = Room { lines, bytes: ENDS, late };
        if last && let Some((step, log)) = last_log(build) {
            tails.last = Some(tail(feed, (build, step, log), site, &mut room).await?);
        }
        if all {
            // When there is no room for all, those of failed steps are seen, and later ones.
            let mut order: Vec<(usize, (&Step, &Log))> = logs_of(build).enumerate().collect();
            order.sort_by_key(|(at, (step, _))| (!is_bad(step), std::cmp::Reverse(*at)));
            let mut read = Vec::new();
            for (at, (step, log)) in order {
                read.push((at, tail(feed, (build, step, log), site, &mut room).await?));
            }
            read.sort_by_key(|(at, _)| *at);
            tails.logs = read.into_iter().map(|(_, tail)| tail).collect();
        }
        Ok(tails)
    }

    /// What templates see of logs where there is no feed.
    pub(super) fn no_tails(&self, build: &Build) -> Tails {
        let site = self.about.borrow().site.clone();
        let text = |(step, log)| {
            let lines = vec!["(the end of the log)".to_owned()];
            Tail { lines, ..named((build, step, log), &site) }
        };
        let logs = logs_of(build).map(text).collect();
        Tails { logs, last: last_log(build).map(text) }
    }
}

/// The log that one looks at first: `stdio` of the last step that finished and has logs (a step that
/// was skipped has none), else the first one of that step.
fn last_log(build: &Build) -> Option<(&Step, &Log)> {
    let there = |log: &&Log| log.kind != LogKind::Deleted;
    build.shown_steps().rev().filter(|step| step.complete_at.is_some()).find_map(|step| {
        let stdio = step.logs.iter().filter(there).rfind(|log| log.name == "stdio");
        stdio.or(step.logs.iter().find(there)).map(|log| (step, log))
    })
}

fn named((build, step, log): (&Build, &Step, &Log), site: &Site) -> Tail {
    Tail {
        name: format!("{}.{}", step.name, log.name),
        step: step.name.clone(),
        log: log.name.clone(),
        result: step.outcome.map_or("running", Outcome::word),
        url: site.links.as_ref().map(|links| links.log(build, step, log)),
        ..Tail::default()
    }
}

/// How much of a build's logs may still be read.
struct Room {
    /// Of each log.
    lines: usize,
    /// Of all.
    bytes: usize,
    /// Whether a log that can't be read is waited for no longer.
    late: bool,
}

/// The last lines of a log. One that the master has no more has none.
async fn tail(
    from: &impl Lines,
    (build, step, log): (&Build, &Step, &Log),
    site: &Site,
    room: &mut Room,
) -> Result<Tail, SendError> {
    let named = named((build, step, log), site);
    let wanted = Wanted::new(named.name.clone(), is_bad(step), named.url.clone(), log);
    let part = match room.bytes {
        0 => logs::Part { cut: true, ..logs::Part::default() },
        bytes => match logs::read(from, &wanted, END.min(bytes), LogPart::Tail).await {
            Ok(part) => part,
            Err(LogError::Master(ClientError::NotFound(_))) => logs::Part::default(),
            Err(error) if room.late => {
                let text = format!("[This log can't be read: {error}.]\n");
                logs::Part { text, cut: true }
            }
            Err(error) => return Err(SendError::Transient(error.to_string())),
        },
    };
    room.bytes = room.bytes.saturating_sub(part.text.len());
    let all: Vec<&str> = part.text.lines().collect();
    let shown = &all[all.len().saturating_sub(room.lines)..];
    Ok(Tail {
        cut: part.cut || shown.len() < all.len(),
        lines: shown.iter().map(|line| (*line).to_owned()).collect(),
        ..named
    })
}
