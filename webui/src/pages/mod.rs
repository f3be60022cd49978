//! The pages about builders, builds, steps, logs, changes and workers.
//!
//! A page is a query on the [`crate::view::View`], a context and a template: one file each.
//! Here is where they meet HTTP. Finished builds that are no longer in memory are read from
//! the journal; the text of logs is streamed ([`logs`]).

mod about;
mod build;
mod builder;
mod builders;
mod buildstatus;
mod changes;
mod find;
mod home;
mod log;
mod logs;
mod parts;
mod recent;
mod step;
mod workers;

use crate::{
    Ask, Html, PageError,
    server::{App, Shelf},
    view::BuilderView,
};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, Uri},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use feed::{AnyFeed, BuildQuery};
use model::{Build, BuilderId};
use percent_encoding::percent_decode_str;
use std::sync::Arc;

/// The routes of these pages.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(home))
        .route("/about", get(about))
        .route("/builders", get(builders))
        .route("/one_box_per_builder", get(|| async { Redirect::temporary("builders") }))
        .route("/one_line_per_build", get(recent))
        .route("/buildstatus", get(buildstatus))
        .route("/builders/", get(without_slash))
        .route("/builders/{builder}", get(builder))
        .route("/builders/{builder}/builds", get(to_parent))
        .route("/builders/{builder}/", get(without_slash))
        .route("/builders/{builder}/builds/{number}", get(build))
        .route("/builders/{builder}/builds/{number}/", get(without_slash))
        .route("/builders/{builder}/builds/{number}/steps", get(to_parent))
        .route("/builders/{builder}/builds/{number}/steps/{step}", get(step))
        .route("/builders/{builder}/builds/{number}/steps/{step}/", get(without_slash))
        .route("/builders/{builder}/builds/{number}/steps/{step}/logs", get(to_parent))
        .route("/builders/{builder}/builds/{number}/steps/{step}/logs/{log}", get(logs::page))
        .route("/builders/{builder}/builds/{number}/steps/{step}/logs/{log}/text", get(logs::text))
        .route("/builders/{builder}/builds/{number}/steps/{step}/logs/{log}/live", get(logs::live))
        .route("/changes", get(change_list))
        .route("/changes/{number}", get(change))
        .route("/buildslaves", get(worker_list))
        .route("/buildslaves/{name}", get(worker))
        .route("/workers", get(worker_list))
        .route("/workers/{name}", get(worker))
}

/// The names in a path: of `/builders/a%2Fb` `["builders", "a/b"]`. Bytes that are no
/// text become replacement characters, so such a name is simply unknown.
fn parts(uri: &Uri) -> Vec<String> {
    let decode =
        |part: &str| model::name_of(&percent_decode_str(part).decode_utf8_lossy()).to_owned();
    uri.path().trim_start_matches('/').split('/').map(decode).collect()
}

/// One part of a path; empty where the path is shorter, which no route lets happen.
fn part(parts: &[String], at: usize) -> &str {
    parts.get(at).map_or("", String::as_str)
}

/// The same address without the slash at its end.
async fn without_slash(uri: Uri) -> Response {
    let path = uri.path().trim_end_matches('/');
    // Relative, so that it holds below the path of a reverse proxy, too.
    let last = path.rsplit('/').next().unwrap_or_default();
    let query = uri.query().map_or(String::new(), |q| format!("?{q}"));
    Redirect::temporary(&format!("../{last}{query}")).into_response()
}

/// From a list that is no page of its own to the page that shows it.
async fn to_parent(uri: Uri) -> Response {
    let above = uri.path().rsplit('/').nth(1).unwrap_or_default();
    Redirect::temporary(&format!("../{above}")).into_response()
}

async fn home(State(app): Shelf, uri: Uri, headers: HeaderMap) -> Response {
    app.page(&uri, &headers, home::page)
}

async fn about(State(app): Shelf, uri: Uri, headers: HeaderMap) -> Response {
    app.page(&uri, &headers, about::page)
}

async fn builders(State(app): Shelf, uri: Uri, headers: HeaderMap) -> Response {
    app.page(&uri, &headers, builders::page)
}

async fn recent(State(app): Shelf, uri: Uri, headers: HeaderMap) -> Response {
    app.page(&uri, &headers, recent::page)
}

async fn builder(State(app): Shelf, uri: Uri, headers: HeaderMap) -> Response {
    let parts = parts(&uri);
    let name = part(&parts, 1);
    let wanted = app.ask(&uri, &headers, |ask| builder::wanted(ask, name));
    // The page says what is wrong with the address.
    let older = match (wanted, &app.feed) {
        (Ok(Some(query)), Some(feed)) => read(feed, query).await,
        _ => Ok(Vec::new()),
    };
    app.page(&uri, &headers, |ask| builder::page(ask, name, &older?))
}

async fn worker_list(State(app): Shelf, uri: Uri, headers: HeaderMap) -> Response {
    app.page(&uri, &headers, workers::list)
}

async fn worker(State(app): Shelf, uri: Uri, headers: HeaderMap) -> Response {
    let parts = parts(&uri);
    app.page(&uri, &headers, |ask| workers::page(ask, part(&parts, 1)))
}

async fn change_list(State(app): Shelf, uri: Uri, headers: HeaderMap) -> Response {
    app.page(&uri, &headers, changes::list)
}

async fn change(State(app): Shelf, uri: Uri, headers: HeaderMap) -> Response {
    let parts = parts(&uri);
    let number = part(&parts, 1);
    let id = match changes::number(number) {
        Ok(id) => id,
        Err(error) => return app.page(&uri, &headers, |_| Err(error)),
    };
    let held = app.view.read().change(id).cloned();
    let found = match (held, &app.feed) {
        (Some(held), _) => Ok((*held).clone()),
        (None, None) => Err(changes::missing(number)),
        (None, Some(feed)) => match feed.change(id).await {
            Ok(found) => found.ok_or_else(|| changes::missing(number)),
            Err(error) => Err(unreadable(&error)),
        },
    };
    app.page(&uri, &headers, |ask| changes::page(ask, &found?))
}

/// Builds of the journal, however many, in answers of bounded size.
async fn read(feed: &AnyFeed, mut query: BuildQuery) -> Result<Vec<Build>, PageError> {
    let mut builds = Vec::new();
    let most = query.limit;
    while builds.len() < most {
        query.limit = (most - builds.len()).min(BuildQuery::MAX);
        let more = feed.builds(query).await.map_err(|error| unreadable(&error))?;
        let Some(last) = more.last() else { break };
        query.below = Some(if query.builder.is_some() { last.number } else { last.id.0 });
        builds.extend(more);
    }
    Ok(builds)
}

/// The 503 of a journal that does not answer.
pub(crate) fn unreadable(error: &feed::ReadError) -> PageError {
    tracing::warn!(%error, "a page cannot read the journal");
    PageError::new(503, "Not to be read now", format!("The journal does not answer: {error}."))
}

/// What was looked up under the view's lock.
enum Found {
    Here(Box<Build>),
    /// Perhaps in the journal.
    Older(BuilderId, u64),
}

/// The build that an address names, from memory or from the journal.
async fn find_build(
    app: &App,
    uri: &Uri,
    headers: &HeaderMap,
    names: impl FnOnce(&Ask<'_>) -> Result<(String, String), PageError>,
) -> Result<Build, PageError> {
    let found = app.ask(uri, headers, |ask| {
        let (name, number) = names(ask)?;
        let builder = find::builder(ask, &name)?;
        let number = find::build_number(builder, &number)?;
        let held = builder.build(number).and_then(|row| ask.view.full(row.id));
        Ok::<_, PageError>(match held {
            Some(build) => Found::Here(Box::new(build)),
            None => Found::Older(builder.builder.id, number),
        })
    })?;
    let (builder, number) = match found {
        Found::Here(build) => return Ok(*build),
        Found::Older(builder, number) => (builder, number),
    };
    if let Some(feed) = &app.feed {
        let below = number.checked_add(1);
        let query = BuildQuery { builder: Some(builder), below, limit: 1 };
        let builds = feed.builds(query).await.map_err(|error| unreadable(&error))?;
        if let Some(build) = builds.into_iter().find(|b| b.number == number) {
            return Ok(build);
        }
    }
    Err(app.ask(uri, headers, |ask| match ask.view.builder_by_id(builder) {
        Some(builder) => {
            let text = format!("{} has no build {number}, or it is kept no more.", builder.name());
            find::no_build(builder, text)
        }
        None => PageError::not_found("No such build", format!("There is no build {number}.")),
    }))
}

/// Answers with a page about a build.
async fn about_build(
    app: &App,
    uri: &Uri,
    headers: &HeaderMap,
    names: impl FnOnce(&Ask<'_>) -> Result<(String, String), PageError>,
    page: impl FnOnce(&Ask<'_>, &BuilderView, &Build) -> Result<Html, PageError>,
) -> Response {
    let build = find_build(app, uri, headers, names).await;
    app.page(uri, headers, |ask| {
        let build = build?;
        let builder = find::builder(ask, build.builder.name.as_str())?;
        page(ask, builder, &build)
    })
}

/// Builder and number of `/builders/NAME/builds/NUM`.
fn of_path(parts: &[String]) -> (String, String) {
    (part(parts, 1).to_owned(), part(parts, 3).to_owned())
}

async fn build(State(app): Shelf, uri: Uri, headers: HeaderMap) -> Response {
    let parts = parts(&uri);
    about_build(&app, &uri, &headers, |_| Ok(of_path(&parts)), build::page).await
}

async fn buildstatus(State(app): Shelf, uri: Uri, headers: HeaderMap) -> Response {
    let names = |ask: &Ask<'_>| {
        let (builder, number) = buildstatus::arguments(ask)?;
        Ok((builder.to_owned(), number.to_owned()))
    };
    about_build(&app, &uri, &headers, names, buildstatus::page).await
}

async fn step(State(app): Shelf, uri: Uri, headers: HeaderMap) -> Response {
    let parts = parts(&uri);
    about_build(
        &app,
        &uri,
        &headers,
        |_| Ok(of_path(&parts)),
        |ask, builder, build| step::page(ask, builder, build, find::step(build, part(&parts, 5))?),
    )
    .await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::{find, parts};

    #[test]
    fn names_that_are_steps_within_an_address_have_pages() {
        let path = format!("/{}", find::log_path("..", 7, ".", "~.."));
        assert_eq!(path, "/builders/~../builds/7/steps/~./logs/~~..");
        let names = ["builders", "..", "builds", "7", "steps", ".", "logs", "~.."];
        assert_eq!(parts(&path.parse().unwrap()), names);
    }
}
