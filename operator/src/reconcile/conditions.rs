//! How a resource fares, in Kubernetes' form. Pure.
//!
//! `Ready`, `Reconciling` and `Stalled` are what `kubectl wait`, Flux and Argo CD look at (kstatus).
//! `PeerReachable` is about whom a target sends to, `Connected` about a Master's Buildbot;
//! `JournalLost` and `EventsMissed` are there while they are true.

use super::{
    Problem,
    dereference::{Around, Figures},
};
use crate::{error::Error, kinds::Kind, known::ResourceId};
use feed::{LossKind, PeerState};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use master::StateKind;

/// The longest message.
const MESSAGE: usize = 1500;

/// Whether a resource is ready.
pub(crate) fn is_ready(conditions: &[Condition]) -> bool {
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// How one thing is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    status: &'static str,
    reason: String,
    message: String,
}

impl Said {
    fn new(status: &'static str, reason: &str, message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self { status, reason: reason.to_owned(), message: message.chars().take(MESSAGE).collect() }
    }
}

/// Where a resource is on its way.
enum Phase {
    /// On its way, and will get there by itself.
    Going(Said),
    /// Somebody has to do something.
    Stalled(Said),
    /// Arrived; what is said of it may still be that it is not ready.
    Settled(Said),
}

/// The conditions of a resource, with the times of those that it has already.
pub(super) fn conditions<K: Kind>(
    resource: &K,
    around: &Around,
    problems: &[Problem],
    applied: &Result<(), Error>,
    now: &Time,
) -> Vec<Condition> {
    let figures = around.figures.as_ref();
    let mut said = Vec::new();
    let (ready, reconciling, stalled) = match phase(resource, around, problems, applied) {
        Phase::Going(why) => (
            Said { status: "False", ..why.clone() },
            Said { status: "True", ..why },
            Said::new("False", "Progressing", "it goes on by itself"),
        ),
        Phase::Stalled(why) => (
            Said { status: "False", ..why.clone() },
            Said::new("False", "Stalled", "it waits for somebody"),
            Said { status: "True", ..why },
        ),
        Phase::Settled(ready) => (
            ready,
            Said::new("False", "Settled", "all objects are as they should be"),
            Said::new("False", "Settled", "nothing waits for anybody"),
        ),
    };
    said.push(("Ready", ready));
    said.push(("Reconciling", reconciling));
    said.push(("Stalled", stalled));
    if K::KIND == "Master" {
        said.push(("Connected", connected(figures)));
    } else if K::SENDS {
        said.push(("PeerReachable", peer(figures)));
    }
    said.extend(lost(figures));
    let generation = resource.meta().generation;
    said.into_iter()
        .map(|(type_, Said { status, reason, message })| {
            let before = resource.conditions().iter().find(|condition| condition.type_ == type_);
            let since = before.filter(|before| before.status == status);
            Condition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                reason,
                message,
                observed_generation: generation,
                last_transition_time: since
                    .map_or_else(|| now.clone(), |before| before.last_transition_time.clone()),
            }
        })
        .collect()
}

fn phase<K: Kind>(
    resource: &K,
    around: &Around,
    problems: &[Problem],
    applied: &Result<(), Error>,
) -> Phase {
    if resource.meta().deletion_timestamp.is_some() {
        let named = |id: &ResourceId| format!("{} {}/{}", id.kind, id.namespace, id.name);
        let mut names: Vec<String> = around.targets.iter().map(|t| named(&t.id)).collect();
        let unread = around.unreadable.iter();
        names.extend(unread.map(|id| named(id) + " (which this operator can't read)"));
        names.sort();
        return Phase::Going(Said::new(
            "False",
            "InUse",
            format!("it is deleted once nobody names it any more: {}", names.join(", ")),
        ));
    }
    if let Some(first) = problems.first() {
        let all: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        return Phase::Stalled(Said::new("False", first.reason, all.join("; ")));
    }
    if let Err(error) = applied {
        if error.may_pass() {
            return Phase::Going(Said::new(
                "False",
                "ApplyFails",
                format!("{error}; it is tried again"),
            ));
        }
        let reason = if matches!(error, Error::Taken { .. }) { "NameTaken" } else { "Refused" };
        return Phase::Stalled(Said::new("False", reason, error.to_string()));
    }
    let figures = around.figures.as_ref();
    let fault = if K::KIND == "Master" {
        figures.and_then(|f| f.info.as_ref()).and_then(|info| info.problem.as_ref())
    } else {
        figures.and_then(|f| f.report.as_ref()).and_then(|report| report.problem.as_ref())
    };
    if let Some(fault) = fault {
        return Phase::Stalled(Said::new("False", &fault.reason, fault.message.as_str()));
    }
    let Some(workload) = around.workload else {
        return Phase::Going(Said::new("False", "PodsNotReady", "its objects are being made"));
    };
    if !workload.observed || workload.ready < workload.wanted {
        return Phase::Going(match &around.pod_problem {
            Some((reason, message)) => Said::new("False", reason, message.as_str()),
            None => Said::new(
                "False",
                "PodsNotReady",
                format!("{} of {} pods are ready", workload.ready, workload.wanted),
            ),
        });
    }
    Phase::Settled(settled::<K>(around, figures))
}

/// What is said of a resource whose pods run.
fn settled<K: Kind>(around: &Around, figures: Option<&Figures>) -> Said {
    if let Some(away) = figures.and_then(|figures| figures.away.as_ref()) {
        return Said::new("False", "FeedAway", format!("the feed does not answer: {away}"));
    }
    if K::KIND == "Master" {
        let connected = connected(figures);
        return match connected.status {
            "True" => Said::new("True", "Ready", "the master is followed"),
            _ => connected,
        };
    }
    if around.suspended {
        return Said::new("True", "Suspended", "suspended: what is due waits in the journal");
    }
    let peer = peer(figures);
    if peer.status == "False" {
        return Said::new("False", "PeerUnreachable", peer.message);
    }
    Said::new("True", "Ready", "it runs")
}

fn connected(figures: Option<&Figures>) -> Said {
    let Some(figures) = figures else {
        return Said::new("Unknown", "FeedNotAsked", "the feed was not asked yet");
    };
    if let Some(away) = &figures.away {
        return Said::new("Unknown", "FeedAway", format!("the feed does not answer: {away}"));
    }
    let Some(info) = &figures.info else {
        return Said::new("Unknown", "FeedNotAsked", "the feed was not asked yet");
    };
    let (status, reason) = match info.state.kind {
        StateKind::Live => ("True", "Live"),
        StateKind::CatchingUp => ("True", "CatchingUp"),
        StateKind::Connecting => ("Unknown", "Connecting"),
        StateKind::Down => ("False", "Down"),
        StateKind::Restarting => ("False", "Restarting"),
        StateKind::Slow => ("False", "Slow"),
        StateKind::Denied => ("False", "Denied"),
        StateKind::OldApi => ("False", "OldApi"),
        StateKind::NotBuildbot => ("False", "NotBuildbot"),
        StateKind::Halted => ("False", "Halted"),
        StateKind::FeedAway => ("Unknown", "FeedAway"),
    };
    Said::new(status, reason, info.state.text.as_str())
}

fn peer(figures: Option<&Figures>) -> Said {
    let Some(report) = figures.and_then(|figures| figures.report.as_ref()) else {
        return Said::new("Unknown", "NotHeard", "the pod has not told yet");
    };
    match report.peer.state {
        PeerState::Reachable => Said::new("True", "Reachable", "the last attempt was answered"),
        PeerState::Unreachable => {
            Said::new("False", &report.peer.reason, report.peer.message.as_str())
        }
        PeerState::Unknown => Said::new("Unknown", "NotTried", "nothing was sent yet"),
    }
}

/// What is lost, while it matters.
fn lost(figures: Option<&Figures>) -> Vec<(&'static str, Said)> {
    let mut said = Vec::new();
    let Some(figures) = figures else { return said };
    let consumer = figures.consumer.as_ref();
    let info = figures.info.as_ref();
    if let Some(lost) = consumer.and_then(|consumer| consumer.journal_lost.as_ref()) {
        let message = format!(
            "the journal was lost with {} events that waited for this target; what the master still \
             has can be sent by a replay of the history",
            lost.backlog
        );
        said.push(("JournalLost", Said::new("True", &format!("{:?}", lost.reason), message)));
    } else if let Some(info) = info
        && let Some(text) = &info.journal_lost
        // With the volume went what was known of consumers.
        && (consumer.is_none() || info.journal_lost_reason == Some(LossKind::Volume))
    {
        let mut message = text.clone();
        if consumer.is_some() {
            message += ": events that waited for this target are not sent; what the master still \
                        has can be sent by a replay of the history";
        }
        said.push(("JournalLost", Said::new("True", "JournalLost", message)));
    }
    if let Some(consumer) = consumer
        && consumer.expired > consumer.refilled
        && consumer.gap.is_some()
    {
        let message = format!(
            "{} events waited for too long and were dropped; {} builds of them came from the \
             history (see catchUp)",
            consumer.expired, consumer.refilled
        );
        said.push(("EventsMissed", Said::new("True", "Expired", message)));
    }
    said
}
