//! One resource brought to what it says: dereference, validate, build, apply, status.

mod apply;
mod conditions;
mod dereference;
mod in_use;
mod status;
mod validate;

pub(crate) use conditions::is_ready;
#[cfg(test)]
pub(crate) use dereference::MasterSeen;
pub(crate) use dereference::{Around, Figures};
pub(crate) use validate::Problem;

use crate::{
    context::Context,
    error::Error,
    kinds::{Kind, id_of},
};
use kube::{ResourceExt as _, core::error_boundary::DeserializeGuard, runtime::controller::Action};
use std::{sync::Arc, time::Instant};

/// Reconciles a resource. In traces, the requests to the API server are spans below this one's.
#[tracing::instrument(
    name = "reconcile",
    skip_all,
    fields(
        kind = K::KIND,
        namespace = object.namespace(),
        name = object.name_any(),
        outcome = tracing::field::Empty,
        otel.status_code = tracing::field::Empty,
    )
)]
pub(crate) async fn reconcile<K: Kind>(
    object: Arc<DeserializeGuard<K>>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let begin = Instant::now();
    let result = match &object.0 {
        Ok(resource) => steps(resource, &context).await,
        Err(error) => Err(Error::Unreadable(error.error.clone())),
    };
    let outcome = result.as_ref().err().map_or("ok", Error::class);
    let span = tracing::Span::current();
    span.record("outcome", outcome);
    if result.is_err() {
        span.record("otel.status_code", "ERROR");
    }
    context.metrics.reconciled(K::KIND, begin.elapsed(), outcome);
    result
}

async fn steps<K: Kind>(resource: &K, context: &Context) -> Result<Action, Error> {
    let id = id_of::<K>(resource);
    // Its objects go with it; only a Master waits for those who name it.
    if resource.meta().deletion_timestamp.is_some() && !in_use::keeps(resource) {
        return Ok(Action::await_change());
    }
    let mut around = dereference::dereference(resource, &id, context);
    if in_use::settle(resource, &around, context).await? {
        return Ok(Action::await_change());
    }
    let means = context.means();
    let problems = validate::validate(resource, &around, &means);
    let denied = around.master.as_ref().is_some_and(|master| master.denies);
    // What is wrong for good is not applied: what ran before goes on.
    let applied = if denied {
        apply::withdraw(resource, &id, context).await
    } else if problems.iter().any(|problem| problem.stops) {
        Ok(())
    } else {
        let children = resource.children(&around, &means)?;
        apply::apply(resource, &id, children, context).await
    };
    // Pods of the form before do not make the new one ready.
    around.see_pods(&id, context);
    status::report(resource, &id, &around, &problems, applied, context).await
}
