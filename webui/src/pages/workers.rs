//! `/buildslaves` (also `/workers`) and one worker's page (P16, without its actions).

use super::{find::builder_path, parts::build_line};
use crate::{Ask, Html, PageError, view::BuilderView};
use minijinja::{Value, context};
use model::{Worker, name_segment, natural_cmp};

/// Builds that a worker's page shows.
const BUILDS: usize = 20;

/// The path of a worker's page below the root.
pub fn path(name: &str) -> String {
    format!("buildslaves/{}", name_segment(name))
}

/// A worker as a line of a list.
pub fn line(worker: &Worker) -> Value {
    let (class, text) = match worker {
        Worker { connected: false, .. } => ("o", "not connected"),
        Worker { paused: true, .. } => ("p", "paused"),
        Worker { graceful: true, .. } => ("p", "shuts down when idle"),
        _ => ("s", "connected"),
    };
    context! {
        name => worker.name.clone(),
        url => path(&worker.name),
        class,
        text,
        reason => worker.pause_reason.as_deref().filter(|_| worker.paused),
        version => worker.version.clone(),
        admin => worker.admin.trim(),
        host => worker.host.trim(),
    }
}

fn builders<'a>(ask: &Ask<'a>, worker: &'a Worker) -> impl Iterator<Item = &'a BuilderView> {
    let (view, site) = (ask.view, ask.site);
    view.builders()
        .filter(move |b| worker.builders.contains(&b.builder.id) && site.shows(&b.builder))
}

/// How many builds run on a worker.
fn running(ask: &Ask<'_>, worker: &Worker) -> usize {
    ask.view.running().filter(|b| b.worker.as_ref().is_some_and(|w| w.0 == worker.id)).count()
}

fn link(builder: &BuilderView) -> Value {
    context! { name => builder.name(), url => builder_path(builder.name()) }
}

/// The list. `no_builders=1` leaves the builders out.
///
/// # Errors
/// 400 for a bad argument, 500 when the template fails.
pub fn list(ask: &Ask<'_>) -> Result<Html, PageError> {
    let no_builders = ask.query.flag("no_builders")?.unwrap_or(false);
    let mut all: Vec<&Worker> = ask.view.workers().collect();
    all.sort_by(|a, b| natural_cmp(&a.name, &b.name));
    let away = all.iter().filter(|w| !w.connected).count();
    let workers: Vec<Value> = all
        .into_iter()
        .map(|w| {
            context! {
                running => running(ask, w),
                builders => builders(ask, w).map(link).collect::<Vec<_>>(),
                ..line(w)
            }
        })
        .collect();
    ask.render("buildslaves.html", context! { workers, away, no_builders })
}

/// One worker.
///
/// # Errors
/// 404 for an unknown one, 500 when the template fails.
pub fn page(ask: &Ask<'_>, name: &str) -> Result<Html, PageError> {
    let Some(worker) = ask.view.worker(name) else {
        let text = format!("There is no worker named “{}”.", crate::text::clip(name, 80));
        let near = vec![("Workers".to_owned(), "buildslaves".to_owned())];
        return Err(PageError::not_found("No such worker", text).near(near));
    };
    let mine = ask.view.builds().filter(|b| b.worker.as_ref().is_some_and(|w| w.0 == worker.id));
    let builds: Vec<Value> = mine
        .filter_map(|b| Some((ask.view.builder_by_id(b.builder)?, b)))
        .filter(|(builder, _)| ask.site.shows(&builder.builder))
        .take(BUILDS)
        .map(|(builder, b)| build_line(ask, builder, b))
        .collect();
    ask.render(
        "buildslave.html",
        context! {
            w => line(worker),
            running => running(ask, worker),
            builders => builders(ask, worker).map(link).collect::<Vec<_>>(),
            builds,
        },
    )
}
