//! All routes, and what right each needs.

use super::{State, acks, answer, auth, consumers, ephemeral, letters, read, stream};
use axum::{
    Router,
    extract::{DefaultBodyLimit, State as Shared},
    middleware::{from_fn_with_state, map_response_with_state},
    response::Response,
    routing::{MethodRouter, delete, get, post, put},
};
use tower_http::{CompressionLevel, compression::CompressionLayer};

/// Most bytes of a body.
const BODY_BYTES: usize = 4 << 20;

/// What a token must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// [`crate::http::token::Right::Read`].
    Read,
    /// [`crate::http::token::Right::Consume`], and the consumer is the token's own.
    Own,
    /// [`crate::http::token::Right::Manage`], or as [`Need::Own`].
    OwnOrManage,
    /// [`crate::http::token::Right::Manage`].
    Manage,
    /// [`crate::http::token::Right::Consume`] or [`crate::http::token::Right::Read`], and the name
    /// is the token's own.
    Named,
}

macro_rules! routes {
    ($($method:ident $path:literal $need:ident $handler:path;)*) => {
        /// Method, path and need of all that is served.
        pub const ROUTES: &[(&str, &str, Need)] =
            &[$((stringify!($method), $path, Need::$need)),*];

        fn handlers() -> Vec<(&'static str, &'static str, Need, MethodRouter<State>)> {
            vec![$((
                $path,
                concat!(stringify!($method), " ", $path),
                Need::$need,
                $method($handler),
            )),*]
        }
    };
}

routes! {
    get "/v1/info" Read read::info;
    get "/v1/snapshot" Read read::snapshot;
    get "/v1/events" Read ephemeral::events;
    get "/v1/builds" Read read::builds;
    get "/v1/builds/{id}" Read read::build;
    get "/v1/changes" Read read::changes;
    get "/v1/changes/{id}" Read read::change;
    get "/v1/users" Read read::users;
    get "/v1/logs/{id}" Read read::log;
    get "/v1/logs/{id}/watch" Read ephemeral::watch;
    get "/v1/consumers" Manage consumers::list;
    get "/v1/consumers/{name}" OwnOrManage consumers::status;
    delete "/v1/consumers/{name}" Manage consumers::forget;
    put "/v1/consumers/{name}/report" Named consumers::report;
    post "/v1/consumers/{name}/open" Own consumers::open;
    get "/v1/consumers/{name}/events" Own stream::events;
    post "/v1/consumers/{name}/acks" Own acks::acks;
    get "/v1/consumers/{name}/dead-letters" OwnOrManage letters::list;
    get "/v1/consumers/{name}/dead-letters/{position}" OwnOrManage letters::letter;
    post "/v1/consumers/{name}/dead-letters/{position}/replay" OwnOrManage letters::replay;
    delete "/v1/consumers/{name}/dead-letters/{position}" Manage letters::drop_letter;
    post "/v1/consumers/{name}/replay" OwnOrManage letters::replay_history;
}

/// The routes over `state`.
pub fn router(state: State) -> Router {
    let mut router = Router::new();
    for (path, route, need, handler) in handlers() {
        let guard = from_fn_with_state((state.clone(), need), auth::guard);
        let count = map_response_with_state((state.clone(), route), count);
        router = router.route(path, handler.route_layer(guard).route_layer(count));
    }
    router
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        // Streams are left as they are: a compressor holds back what it is given.
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .with_state(state)
}

/// Counts what is answered on a route, refusals included.
async fn count(
    Shared((state, route)): Shared<(State, &'static str)>,
    response: Response,
) -> Response {
    state.feed().metrics().answered(route, response.status().as_u16());
    response
}
