//! Says of a run what was due, lost, repeated. Pure.
//!
//! **Due** is a delivery (a mail of a build with a selected result, a push of any build's end) of a
//! build that ended on the master after the consumers existed. Three rules alone take something out,
//! all of them decided where the journal is described (`docs/architecture.md`):
//!
//! 1. *The past is not news.* A journal that begins (the first start, after its loss, or with
//!    another database of the master) takes what has ended by then for the past. Which builds those
//!    are is read off what the master was asked: the list of running builds that a new journal asks
//!    for. A journal may begin only if one of the three reasons is there, or if it was killed before
//!    it had written down where it began; anything else is a problem of its own.
//! 2. *A journal that is lost* takes with it what had ended before; and where its whole folder is gone,
//!    consumers are new to the next journal and begin where that stands when they come.
//! 3. *A record that a torn page damaged* can't be read. It is a dead letter of each consumer, which
//!    the feed's figures count; no more deliveries are taken out than they say, and where no page
//!    was torn, a dead letter is a problem.

#[cfg(test)]
mod tests;

use super::receivers::{Content, Taken};
use crate::recorded_master::{Asked, Ended, Question};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// All that is known of a run when it is over.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Builds that ended on the master.
    pub ended: Vec<Ended>,
    /// What the master was asked.
    pub asked: Vec<Asked>,
    /// When a journal was lost, in the master's order.
    pub losses: Vec<u64>,
    /// Mails that were taken.
    pub mails: Vec<Taken>,
    /// Pushes that were taken.
    pub pushes: Vec<Taken>,
    /// When the consumers of mail and push were there again after the journal's folder, which held
    /// their places, was deleted: a consumer that is new to a journal begins at its head.
    pub opened: [u64; 2],
    /// Whether a page of the journal was torn.
    pub torn: bool,
    /// Dead letters of the mail's consumer and of the push's, as the feed counts them.
    pub dead: [u64; 2],
    /// When a real master's database was replaced, in seconds: its builds are told from those of
    /// another database by their start.
    pub replaced: Vec<i64>,
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Deliveries that were due.
    pub due: u64,
    /// Deliveries that did not come and that the three rules take out.
    pub excused: u64,
    /// Those that never came.
    pub lost: Vec<String>,
    /// Deliveries made again after they were answered.
    pub repeated: u64,
    /// Deliveries made again after an answer that did not get through.
    pub unclear: u64,
    /// Everything else that is wrong.
    pub problems: Vec<String>,
}

/// A build, by what deliveries tell of it.
type Name = (u32, String, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    Due,
    Past,
    Either,
}

/// Where readers with an empty journal began, database by database: the order at which what had
/// ended is the past.
fn beginnings(evidence: &Evidence, problems: &mut Vec<String>) -> BTreeMap<u32, u64> {
    let mut begun: BTreeMap<u32, u64> = BTreeMap::new();
    let mut settled: BTreeMap<u32, u64> = BTreeMap::new();
    for asked in &evidence.asked {
        let database = asked.database;
        match asked.what {
            Question::Highest => {
                let lost_since =
                    |at: u64| evidence.losses.iter().any(|l| *l > at && *l < asked.order);
                if let Some(at) = settled.get(&database)
                    && !lost_since(*at)
                {
                    problems.push(format!(
                        "the past of database {database} was taken anew without a reason (at {})",
                        asked.order
                    ));
                    continue;
                }
                settled.remove(&database);
            }
            Question::Open if !settled.contains_key(&database) => {
                begun.insert(database, asked.order);
            }
            Question::Past => {
                settled.entry(database).or_insert(asked.order);
            }
            Question::Open => {}
        }
    }
    begun
}

fn claim(build: &Ended, begun: &BTreeMap<u32, u64>, losses: &[u64], opened: u64) -> Claim {
    if build.order == 0 {
        return Claim::Past;
    }
    let past = begun.get(&build.database).is_some_and(|at| build.order < *at);
    if past || build.order <= opened || losses.iter().any(|lost| build.order <= *lost) {
        Claim::Either
    } else {
        Claim::Due
    }
}

/// Judges a run.
pub fn judge(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    let begun = beginnings(evidence, &mut verdict.problems);
    let builds: BTreeMap<Name, &Ended> = evidence.ended.iter().map(|e| (name(e), e)).collect();
    let mails = mails(evidence, &mut verdict);
    let pushes = pushes(evidence, &mut verdict);
    for (at, (kind, came)) in [("mail", &mails), ("push", &pushes)].into_iter().enumerate() {
        let dead = evidence.dead[at];
        let mut damaged = if evidence.torn { dead } else { 0 };
        if dead > damaged {
            verdict.problems.push(format!("{dead} dead letters of the {kind}'s consumer"));
        }
        for build in came.keys().filter(|name| !builds.contains_key(*name)) {
            verdict.problems.push(format!("a {kind} about a build that never ended: {build:?}"));
        }
        for (name, build) in &builds {
            let selected = kind == "push" || [0, 1, 2, 4].contains(&build.results);
            let answered =
                came.get(name).is_some_and(|times| times.iter().any(|answered| *answered));
            match claim(build, &begun, &evidence.losses, evidence.opened[at]) {
                Claim::Past if came.contains_key(name) => {
                    verdict.problems.push(format!("a {kind} about the past: {name:?}"));
                }
                _ if !selected && came.contains_key(name) => {
                    verdict.problems.push(format!("a {kind} that nobody asked for: {name:?}"));
                }
                Claim::Due if selected => {
                    verdict.due += 1;
                    if !answered && damaged > 0 {
                        damaged -= 1;
                        verdict.due -= 1;
                        verdict.excused += 1;
                    } else if !answered {
                        verdict.lost.push(format!("{kind} of {name:?}, ended at {}", build.order));
                    }
                }
                Claim::Either if selected && answered => verdict.due += 1,
                Claim::Either if selected => verdict.excused += 1,
                _ => {}
            }
        }
    }
    in_order(evidence, &builds, &mut verdict);
    verdict
}

fn name(ended: &Ended) -> Name {
    (ended.database, ended.builder.clone(), ended.number)
}

/// Which database a build is of: `… [database 3]`, or by its start.
fn database(evidence: &Evidence, reason: &str, started_at: i64) -> u32 {
    let said = || reason.trim_end().strip_suffix(']')?.rsplit_once("[database ")?.1.parse().ok();
    let counted = evidence.replaced.iter().filter(|at| **at <= started_at).count();
    said().unwrap_or_else(|| u32::try_from(counted).unwrap_or(u32::MAX))
}

/// Mails by build: whether each was answered, in order. Counts repeats.
fn mails(evidence: &Evidence, verdict: &mut Verdict) -> BTreeMap<Name, Vec<bool>> {
    let mut came: BTreeMap<Name, Vec<bool>> = BTreeMap::new();
    let mut ids: BTreeMap<Name, BTreeSet<&str>> = BTreeMap::new();
    for taken in &evidence.mails {
        let Content::Mail { id, text } = &taken.content else { continue };
        let mut fields = text.splitn(4, '|');
        let number = fields.next().and_then(|n| n.parse().ok());
        let started_at = fields.next().and_then(|n| n.parse().ok());
        let (builder, reason) = (fields.next(), fields.next());
        let (Some(number), Some(at), Some(builder), Some(reason)) =
            (number, started_at, builder, reason)
        else {
            verdict.problems.push(format!("a mail that says of no build: {text:?}"));
            continue;
        };
        let name = (database(evidence, reason, at), builder.to_owned(), number);
        ids.entry(name.clone()).or_default().insert(id);
        came.entry(name).or_default().push(taken.answered);
    }
    for (build, ids) in ids.iter().filter(|(_, ids)| ids.len() > 1) {
        verdict.problems.push(format!("mails of {build:?} have several Message-IDs: {ids:?}"));
    }
    for times in came.values() {
        repeats(times, verdict);
    }
    came
}

fn repeats(times: &[bool], verdict: &mut Verdict) {
    let after_answer =
        times.iter().skip_while(|answered| !**answered).count().saturating_sub(1) as u64;
    verdict.repeated += after_answer;
    verdict.unclear += (times.len() as u64 - 1) - after_answer;
}

/// The builds whose end a push tells, with the packet's number.
fn finished(evidence: &Evidence, taken: &Taken) -> Vec<(Name, u64)> {
    let Content::Packets(packets) = &taken.content else { return Vec::new() };
    let ends = packets.iter().filter(|packet| packet["event"] == "buildFinished");
    let name = |packet: &Value| {
        let build = &packet["payload"]["build"];
        let started_at = build["times"][0].as_i64()?;
        let database = database(evidence, build["reason"].as_str().unwrap_or_default(), started_at);
        let number = build["number"].as_u64()?;
        Some((
            (database, build["builderName"].as_str()?.to_owned(), number),
            packet["id"].as_u64()?,
        ))
    };
    ends.filter_map(name).collect()
}

/// Pushes of builds' ends: whether each was answered, in order. Counts repeats of requests, and
/// looks at the packets' numbers.
fn pushes(evidence: &Evidence, verdict: &mut Verdict) -> BTreeMap<Name, Vec<bool>> {
    let mut came: BTreeMap<Name, Vec<bool>> = BTreeMap::new();
    let mut packets: BTreeMap<(String, u64), Vec<(usize, &Value)>> = BTreeMap::new();
    for (at, taken) in evidence.pushes.iter().enumerate() {
        for (name, _) in finished(evidence, taken) {
            came.entry(name).or_default().push(taken.answered);
        }
        let Content::Packets(list) = &taken.content else { continue };
        for packet in list {
            let started = packet["started"].as_str().unwrap_or_default().to_owned();
            let id = packet["id"].as_u64().unwrap_or(0);
            packets.entry((started, id)).or_default().push((at, packet));
        }
    }
    // A request that was answered and came again counts once, however many packets it had.
    let mut again: BTreeMap<usize, u64> = BTreeMap::new();
    let mut unclear = BTreeSet::new();
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for ((started, id), times) in &packets {
        let expected = last.get(started.as_str()).map_or(1, |last| last + 1);
        if *id != expected {
            verdict
                .problems
                .push(format!("packets {expected} to {} of {started} never came", id - 1));
        }
        last.insert(started, *id);
        if times.iter().any(|(_, packet)| *packet != times[0].1) {
            verdict.problems.push(format!("packet {id} of {started} came with different contents"));
        }
        let answered = times.iter().position(|(at, _)| evidence.pushes[*at].answered);
        if let Some(first) = answered {
            let count = (times.len() - first - 1) as u64;
            let most = again.entry(times[first].0).or_default();
            *most = count.max(*most);
        }
        if answered != Some(0) && times.len() > 1 {
            unclear.insert(times[0].0);
        }
    }
    verdict.repeated += again.values().sum::<u64>();
    verdict.unclear += unclear.len() as u64;
    came
}

/// Whole seconds by which a build may be told before one of its builder that ended earlier: what a
/// frame lacks is read over REST, and here a second of the recording passes in 14 ms.
const LEEWAY: i64 = 5;

/// Without repeats, packets come in the order of their numbers, and each builder's builds in the
/// order in which they ended.
fn in_order(evidence: &Evidence, builds: &BTreeMap<Name, &Ended>, verdict: &mut Verdict) {
    let mut seen = BTreeSet::new();
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    let answered = || evidence.pushes.iter().filter(|taken| taken.answered);
    for taken in answered() {
        let Content::Packets(packets) = &taken.content else { continue };
        for packet in packets {
            let (started, id) = (
                packet["started"].as_str().unwrap_or_default(),
                packet["id"].as_u64().unwrap_or(0),
            );
            if !seen.insert((started, id)) {
                continue;
            }
            if let Some(before) = last.insert(started, id)
                && before > id
            {
                verdict
                    .problems
                    .push(format!("packet {id} of {started} came after packet {before}"));
            }
        }
    }
    let mut seen = BTreeSet::new();
    let mut newest: BTreeMap<(u32, String), (i64, u64)> = BTreeMap::new();
    let names = answered().flat_map(|taken| finished(evidence, taken)).map(|(name, _)| name);
    for name in names.filter(|name| seen.insert(name.clone())) {
        let Some(build) = builds.get(&name) else { continue };
        let (database, builder, number) = name;
        let newest = newest.entry((database, builder.clone())).or_default();
        if newest.0 > build.complete_at + LEEWAY {
            verdict.problems.push(format!(
                "pushes of {builder:?}: build {} before {number}, which ended {} s earlier",
                newest.1,
                newest.0 - build.complete_at
            ));
        }
        *newest = (*newest).max((build.complete_at, number));
    }
}
