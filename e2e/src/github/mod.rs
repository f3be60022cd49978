//! A stand-in for GitHub, which can't be had: it takes statuses and check runs and keeps them as
//! GitHub does, and it holds each request and each answer of its own against the description that
//! GitHub publishes. A test in which one is not as described fails.

mod asking;
mod description;
mod kept;

pub use kept::TOKEN;

use crate::free_port;
use asking::{headers, is_signed, token};
use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use description::Description;
use kept::{Kept, refusal};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt, fs,
    path::Path,
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// ID of the App that there is, and of its installation.
pub const APP: (u64, u64) = (12345, 678_901);

/// The server. Ends with the test, and fails it if anything was not as described.
#[derive(Debug)]
pub struct GitHub {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    description: Description,
    inner: Mutex<Inner>,
    came: Notify,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("kept", &self.inner().kept).finish_non_exhaustive()
    }
}

type Script = Box<dyn FnMut(&Asked) -> Deed + Send>;

struct Inner {
    kept: Kept,
    asked: Vec<Asked>,
    wrong: Vec<String>,
    script: Script,
    /// The public key of the App: PKCS#1.
    key: Option<Vec<u8>>,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `POST`.
    pub method: String,
    /// With what is before the API's own paths.
    pub path: String,
    /// What stands for the names in the path.
    pub named: BTreeMap<String, String>,
    /// What follows `?`.
    pub query: BTreeMap<String, String>,
    /// The body; null if there is none.
    pub body: Value,
    /// What `Authorization` says after `Bearer`.
    pub token: String,
}

/// What is done about a request.
#[derive(Clone, Debug)]
pub enum Deed {
    /// What GitHub does.
    Usual,
    /// It is refused.
    Refuse(Reply),
    /// It is done, and the answer has these headers too.
    With(Vec<(&'static str, String)>),
    /// Nothing is done or answered.
    Hang,
    /// It is done, and not answered.
    DoAndHang,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Value,
}

impl Reply {
    fn json(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body }
    }

    /// As GitHub says no.
    pub fn refusal(status: u16, message: &str) -> Self {
        refusal(status, message, &[])
    }

    /// With another header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GitHub {
    /// Listens on a free port. It knows `example/project`, and every commit of it.
    pub async fn start() -> Self {
        let port = free_port();
        let shared = Arc::new(Shared {
            description: Description::read(),
            inner: Mutex::new(Inner {
                kept: Kept::new(&format!("http://127.0.0.1:{port}")),
                asked: Vec::new(),
                wrong: Vec::new(),
                script: Box::new(|_| Deed::Usual),
                key: None,
            }),
            came: Notify::new(),
        });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let router = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { port, shared }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on, does this about each request.
    pub fn script(&self, script: impl FnMut(&Asked) -> Deed + Send + 'static) {
        self.shared.inner().script = Box::new(script);
    }

    /// Takes this token too.
    pub fn add_token(&self, token: &str) {
        let mut inner = self.shared.inner();
        let rights = inner.kept.tokens[TOKEN].clone();
        inner.kept.tokens.insert(token.to_owned(), rights);
    }

    /// Knows this repository too.
    pub fn add(&self, repository: &str) {
        self.shared.inner().kept.repositories.insert(repository.to_owned());
    }

    /// Makes a key of the App [`APP`] in a folder; its path.
    pub fn make_key(&self, folder: &Path) -> std::path::PathBuf {
        let (private, public) = (folder.join("private-key.pem"), folder.join("public-key.der"));
        let openssl = |arguments: &[&str]| {
            let done = Command::new("openssl").args(arguments).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        let (private_at, public_at) = (private.to_str().unwrap(), public.to_str().unwrap());
        openssl(&["genrsa", "-traditional", "-out", private_at, "2048"]);
        openssl(&[
            "rsa",
            "-in",
            private_at,
            "-RSAPublicKey_out",
            "-outform",
            "DER",
            "-out",
            public_at,
        ]);
        self.shared.inner().key = Some(fs::read(public).unwrap());
        private
    }

    /// How long an App's tokens hold that are made from now on, in seconds.
    pub fn tokens_hold_for(&self, seconds: i64) {
        self.shared.inner().kept.lifetime = seconds;
    }

    /// No token holds any more.
    pub fn revoke_tokens(&self) {
        self.shared.inner().kept.tokens.clear();
    }

    /// How many tokens were made for the App.
    pub fn minted(&self) -> usize {
        self.shared.inner().kept.minted
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.inner().asked.clone()
    }

    /// The requests about a check run.
    pub fn asked_about(&self, run: &Value) -> Vec<Asked> {
        let mut all = self.asked();
        all.retain(|asked| {
            let path = format!("/check-runs/{}", run["id"]);
            asked.body["external_id"] == run["external_id"]
                || asked.path.ends_with(&path)
                || asked.query.get("check_name").is_some_and(|name| run["name"] == **name)
        });
        all
    }

    /// Waits until what was asked and kept is so.
    pub async fn wait_until(&self, what: &str, mut until: impl FnMut(&Self) -> bool) {
        let wait = async {
            loop {
                let came = self.shared.came.notified();
                tokio::pin!(came);
                came.as_mut().enable();
                if until(self) {
                    return;
                }
                came.await;
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(60), wait).await;
        assert!(waited.is_ok(), "{what}: not so: {:#?}", self.asked());
    }

    /// Every status that was taken, in order: commit, context and state.
    pub fn statuses(&self) -> Vec<(String, String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let inner = self.shared.inner();
        let all = inner.kept.statuses.iter();
        all.map(|s| (text(&s["sha"]), text(&s["context"]), text(&s["state"]))).collect()
    }

    /// Every status that was taken, in order, as it is kept.
    pub fn posted(&self) -> Vec<Value> {
        self.shared.inner().kept.statuses.clone()
    }

    /// The status that GitHub shows of each commit and context: the latest.
    pub fn shown(&self) -> BTreeMap<(String, String), String> {
        let all = self.statuses().into_iter();
        all.map(|(sha, context, state)| ((sha, context.to_lowercase()), state)).collect()
    }

    /// Has so many more check runs like the last one, of nobody's builds and newer.
    pub fn copy_runs(&self, count: usize) {
        let mut inner = self.shared.inner();
        for _ in 0..count {
            let mut run = inner.kept.runs.last().unwrap().clone();
            run["id"] = (inner.kept.runs.len() + 1).into();
            run["external_id"] = Value::Null;
            inner.kept.runs.push(run);
        }
    }

    /// Every check run.
    pub fn runs(&self) -> Vec<Value> {
        self.shared.inner().kept.runs.clone()
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        let wrong = self.shared.inner().wrong.clone();
        if !std::thread::panicking() {
            assert!(wrong.is_empty(), "not as GitHub describes it: {wrong:#?}");
        }
    }
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    // An Enterprise server has the same below a path of its own.
    let own = path.strip_prefix("/api/v3").unwrap_or(&path).to_owned();
    let body = to_bytes(body, 1 << 20).await.unwrap_or_else(|_| Bytes::new());
    let query = head.uri.query().unwrap_or_default().as_bytes();
    let query: BTreeMap<String, String> = url::form_urlencoded::parse(query).into_owned().collect();
    let Some(operation) = shared.description.find(head.method.as_str(), &own) else {
        let text = format!("{} {own} is not described", head.method);
        shared.inner().wrong.push(text);
        return reply(Reply::refusal(404, "Not Found"));
    };
    let sent = (!body.is_empty()).then(|| serde_json::from_slice::<Value>(&body));
    let mut wrong = headers(&head.headers, sent.is_some());
    let sent = match sent.transpose() {
        Ok(sent) => sent,
        Err(error) => {
            wrong.push(format!("the body is no JSON: {error}"));
            None
        }
    };
    wrong.extend(shared.description.request(&operation, &query, sent.as_ref()));
    let asked = Asked {
        method: head.method.to_string(),
        path,
        named: operation.named.clone(),
        query,
        body: sent.unwrap_or_default(),
        token: token(&head.headers),
    };
    let (answer, hang) = {
        let mut inner = shared.inner();
        let about = format!("{} {}", asked.method, asked.path);
        inner.wrong.extend(wrong.into_iter().map(|text| format!("{about}: {text}")));
        let deed = (inner.script)(&asked);
        inner.asked.push(asked.clone());
        let mut headers = Vec::new();
        let (answer, hang) = match deed {
            Deed::Refuse(reply) => (Some(reply), false),
            Deed::Hang => (None, true),
            Deed::Usual => (None, false),
            Deed::With(more) => {
                headers = more;
                (None, false)
            }
            Deed::DoAndHang => {
                do_it(&shared, &mut inner, &operation, &asked);
                (None, true)
            }
        };
        let answer = match answer {
            Some(answer) => answer,
            None if hang => Reply::json(500, Value::Null),
            None => {
                let mut done = do_it(&shared, &mut inner, &operation, &asked);
                done.headers.extend(headers);
                done
            }
        };
        (answer, hang)
    };
    shared.came.notify_waiters();
    if hang {
        return std::future::pending().await;
    }
    reply(answer)
}

/// What GitHub does, with an answer that is as it describes.
fn do_it(
    shared: &Shared,
    inner: &mut Inner,
    operation: &description::Operation,
    asked: &Asked,
) -> Reply {
    let reply = if operation.path.starts_with("/app/") {
        let key = inner.key.as_deref();
        let installation = operation.named.get("installation_id").map(String::as_str);
        if !is_signed(key, &asked.token) {
            refusal(401, "A JSON web token could not be decoded", &[])
        } else if installation != Some(&APP.1.to_string()) {
            refusal(404, "Not Found", &[])
        } else {
            inner.kept.mint(&asked.body)
        }
    } else {
        inner.kept.done(operation, &asked.token, &asked.query, &asked.body)
    };
    if reply.status < 300 {
        let wrong = shared.description.answer(operation, reply.status, &reply.body);
        inner.wrong.extend(wrong.into_iter().map(|text| format!("answer: {text}")));
    }
    reply
}

fn reply(reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap();
    // GitHub's JSON has lines.
    let body = format!("{:#}", reply.body);
    let mut response = (status, [(CONTENT_TYPE, "application/json")], body).into_response();
    for (name, value) in reply.headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}
