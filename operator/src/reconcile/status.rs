//! Says how a resource fares: its status, and Events for what a person should know. This is the
//! only writer.

use super::{Problem, conditions, dereference::Around};
use crate::{context::Context, error::Error, kinds::Kind, known::ResourceId, names};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{
    Api,
    api::{Patch, PatchParams},
    runtime::controller::Action,
};
use serde_json::{Value, json};
use std::time::Duration;

/// How often a resource of which nothing is heard is looked at again.
const AGAIN: Duration = Duration::from_secs(3600);
/// For how long what was read of a resource may be from before its status was written.
const SETTLES: Duration = Duration::from_secs(2);

/// Writes the status if it says something new, and returns when to look again.
pub(super) async fn report<K: Kind>(
    resource: &K,
    id: &ResourceId,
    around: &Around,
    problems: &[Problem],
    applied: Result<(), Error>,
    context: &Context,
) -> Result<Action, Error> {
    // What may pass by itself is tried again before anybody is told.
    if let Err(error) = &applied
        && error.may_pass()
        && (matches!(error, Error::NotLeader) || !context.failures.persist(id))
    {
        applied?;
        return Ok(Action::await_change());
    }
    let now = Time(k8s_openapi::jiff::Timestamp::now());
    let conditions = conditions::conditions(resource, around, problems, &applied, &now);
    let wanted = resource.status(&conditions, around, around.figures.as_ref());
    let before = resource.present_status();
    if wanted == before {
        return again(applied, id, context);
    }
    if !urgent(&before, &wanted)
        && let Some(written) = context.last_written(id)
        && let Some(wait) = context.settings.figures_written_every.checked_sub(written.elapsed())
    {
        let again = again(applied, id, context)?;
        return Ok(if settles(id, context) { again } else { Action::requeue(wait) });
    }
    context.may_write()?;
    let body = json!({
        "apiVersion": crds::API_VERSION,
        "kind": K::KIND,
        "metadata": { "name": id.name },
        "status": wanted,
    });
    let api: Api<K> = Api::namespaced(context.client.clone(), &id.namespace);
    let params = PatchParams::apply(names::MANAGER).force();
    match api.patch_status(&id.name, &params, &Patch::Apply(&body)).await {
        Ok(_) => {}
        // Deleted meanwhile.
        Err(kube::Error::Api(refusal)) if refusal.code == 404 => return Ok(Action::await_change()),
        Err(error) => return Err(Error::api("the status could not be written")(error)),
    }
    context.note_written(id);
    context.metrics.status_written(K::KIND);
    for condition in news(resource.conditions(), &conditions) {
        context.events.tell(&resource.object_ref(&()), condition).await;
    }
    again(applied, id, context)
}

/// When to look again.
fn again(applied: Result<(), Error>, id: &ResourceId, context: &Context) -> Result<Action, Error> {
    match applied {
        Err(error) if error.may_pass() => Err(error),
        _ if settles(id, context) => Ok(Action::requeue(SETTLES)),
        Ok(()) => Ok(Action::requeue(AGAIN)),
        // A refused object may be taken later: a quota that was full, a namespace's policy.
        Err(_) => Ok(Action::requeue(Duration::from_secs(30))),
    }
}

/// Whether what a status was compared with may be from before the last write. One that differs from
/// what was written then may have been taken for the same, and the arrival of what was written is no
/// reason to look again.
fn settles(id: &ResourceId, context: &Context) -> bool {
    context.last_written(id).is_some_and(|written| written.elapsed() < SETTLES)
}

/// Whether a change of the status is more than other figures and words.
fn urgent(before: &Value, wanted: &Value) -> bool {
    let figures = ["delivered", "failed", "deadLetters", "backlog", "lastDelivered", "targets"];
    let essence = |status: &Value| {
        let mut status = status.clone();
        let Some(members) = status.as_object_mut() else { return status };
        members.retain(|name, _| !figures.contains(&name.as_str()));
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            condition["message"].take();
        }
        status
    };
    essence(before) != essence(wanted)
}

/// The conditions that a person should hear of: those that came to be as they are. What `Ready` has from
/// another one, it says alone.
fn news<'a>(before: &[Condition], now: &'a [Condition]) -> Vec<&'a Condition> {
    let told = ["Ready", "PeerReachable", "Connected", "JournalLost", "EventsMissed"];
    let is_new = |condition: &&Condition| {
        let same = before.iter().any(|b| {
            b.type_ == condition.type_
                && b.status == condition.status
                && b.reason == condition.reason
        });
        !same && told.contains(&condition.type_.as_str()) && condition.status != "Unknown"
    };
    let mut news: Vec<_> = now.iter().filter(is_new).collect();
    let ready = news.iter().find(|condition| condition.type_ == "Ready");
    if let Some(message) = ready.map(|ready| &ready.message) {
        news.retain(|condition| condition.type_ == "Ready" || condition.message != *message);
    }
    news
}

#[cfg(test)]
mod tests {
    use super::{Condition, news, urgent};
    use serde_json::json;

    #[test]
    fn a_condition_that_came_to_be_is_told_once() {
        let condition = |type_: &str, reason: &str, message: &str| {
            serde_json::from_value::<Condition>(json!({
                "type": type_, "status": "False", "reason": reason, "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }))
        };
        let now: Result<Vec<_>, _> = [
            condition("Ready", "Down", "the master is down"),
            condition("Stalled", "Settled", "nothing waits"),
            condition("Connected", "Down", "the master is down"),
            condition("JournalLost", "Volume", "the journal is gone"),
        ]
        .into_iter()
        .collect();
        let told = |before: &[Condition], now: &[Condition]| -> Vec<String> {
            news(before, now).iter().map(|condition| condition.type_.clone()).collect()
        };
        let now = now.unwrap_or_default();
        assert_eq!(told(&[], &now), ["Ready", "JournalLost"]);
        assert_eq!(told(&now[..1], &now), ["Connected", "JournalLost"]);
        assert!(told(&now, &now).is_empty());
    }

    #[test]
    fn other_figures_and_words_wait_and_another_state_does_not() {
        let status = |delivered: u32, message: &str, ready: &str| {
            json!({
                "delivered": delivered,
                "conditions": [{"type": "Ready", "status": ready, "message": message}],
            })
        };
        assert!(!urgent(&status(1, "a", "True"), &status(2, "b", "True")));
        assert!(urgent(&status(1, "a", "True"), &status(1, "a", "False")));
        assert!(urgent(&json!(null), &status(1, "a", "True")));
    }
}
