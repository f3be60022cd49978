//! Every kind of target passes the test that every target passes, against a server that can be
//! told how to answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use axum::{
    Form, Router,
    http::StatusCode,
    routing::{get, post},
};
use delivery::{
    BatchOptions, Options,
    budget::Budgets,
    compliance::{Answer, Kit, Peer, Running, SECRET, Seen, Setup},
};
use e2e::github::{Asked, Deed, GitHub, Reply};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use support::{about, github_spec, mail_spec, program_spec, push_spec, quick, spec};
use targets::{Kind, gerrit, github, http_push, mail, status_push};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// A new kind fails to build here until it has its line.
async fn complies(kind: Kind) {
    match kind {
        Kind::Mail => mail().await.check().await,
        Kind::HttpPush => http_push().await.check().await,
        Kind::StatusPush => status_push().await.check().await,
        Kind::Gerrit => gerrit().await.check().await,
        Kind::GitHub => github().await.check().await,
    }
}

#[tokio::test]
async fn every_kind_of_target_keeps_the_rules() {
    for kind in Kind::ALL {
        complies(kind).await;
    }
}

/// Serves one connection. `None` when the client is gone.
async fn serve_smtp(stream: TcpStream, peer: Peer) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let refusal = format!("554 never with {SECRET}\r\n");
    stream.write_all(b"220 test\r\n").await.ok()?;
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let word = line.split_whitespace().next().unwrap_or_default().to_uppercase();
        let reply: &[u8] = match word.as_str() {
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await.ok()?;
                let mut mail = String::new();
                while !mail.ends_with("\r\n.\r\n") {
                    if stream.read_line(&mut mail).await.ok()? == 0 {
                        return None;
                    }
                }
                match peer.answer(&[mailed(&mail)]) {
                    Answer::Take => b"250 taken\r\n",
                    Answer::Later => b"451 later\r\n",
                    Answer::Never => refusal.as_bytes(),
                    Answer::Hang | Answer::TakeAndHang => return std::future::pending().await,
                }
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await.ok()?;
                return None;
            }
            "EHLO" => b"250-test\r\n250 AUTH PLAIN\r\n",
            "AUTH" => b"235 welcome\r\n",
            _ => b"250 ok\r\n",
        };
        stream.write_all(reply).await.ok()?;
    }
}

/// The subject holds builder and number.
fn mailed(mail: &str) -> Seen {
    let header = |name: &str| mail.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let (builder, number) = header("Subject: ").split_once(' ').unwrap();
    Seen {
        builder: builder.to_owned(),
        number: number.parse().unwrap(),
        identity: header("Message-ID: ").to_owned(),
    }
}

/// Mail to an SMTP server.
async fn mail() -> Kit {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = Peer::default();
    let served = peer.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_smtp(stream, served.clone()));
        }
    });
    let start = move |setup: Setup| {
        let Setup { reader, metrics, budget, catch_up, state, cancel } = setup;
        let spec = mail_spec(&json!({
            "relayhost": "127.0.0.1",
            "smtpPort": port,
            "smtpUser": "bot",
            "messageFormatter": { "body": "x", "subject": "{{ builder.name }} {{ number }}" },
        }));
        let secrets = mail::Secrets { password: Some(SECRET.to_owned()), ca: None };
        let target = mail::Mail::new("ci/mail", &spec, &secrets, about().fixed()).unwrap();
        let own = target.options("test", &Budgets::default());
        let options = Options { budget, catch_up, state, backoff: quick(), hold: quick(), ..own };
        Box::pin(delivery::run(reader, target, options, metrics, cancel)) as Running
    };
    Kit { peer, start: Box::new(start), one_line: false, repeats: 1, secret: true }
}

/// Pushes to an HTTP server. What a request carries is one message, here of three records.
async fn http_push() -> Kit {
    let peer = Peer::default();
    let asked = peer.clone();
    let take = move |Form(form): Form<BTreeMap<String, String>>| {
        let peer = asked.clone();
        async move {
            match peer.answer(&pushed(&form["packets"])) {
                Answer::Take => (StatusCode::OK, String::new()),
                Answer::Later => (StatusCode::BAD_GATEWAY, String::new()),
                Answer::Never => (StatusCode::BAD_REQUEST, format!("never with {SECRET}")),
                Answer::Hang | Answer::TakeAndHang => std::future::pending().await,
            }
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/submit", listener.local_addr().unwrap());
    let router = Router::new().route("/submit", post(take));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let start = move |setup: Setup| {
        let Setup { reader, metrics, budget, catch_up, state, cancel } = setup;
        let more = json!({ "bufferDelay": "1ms", "retryDelay": "2ms", "chunkSize": 3 });
        let secrets = http_push::Secrets {
            authorization: Some(format!("Bearer {SECRET}")),
            ..Default::default()
        };
        let target =
            http_push::HttpPush::new("ci/push", &push_spec(&url, &more), &secrets, about().fixed())
                .unwrap();
        let own = target.options("test", &Budgets::default());
        let options = BatchOptions { budget, catch_up, state, hold: quick(), ..own };
        Box::pin(delivery::run_batch(reader, target, options, metrics, cancel)) as Running
    };
    Kit { peer, start: Box::new(start), one_line: true, repeats: 3, secret: true }
}

/// Pushes to a program, which asks the test what to answer to each line.
async fn status_push() -> Kit {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let peer = Peer::default();
    let asked = peer.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_program(stream, asked.clone()));
        }
    });
    let start = move |setup: Setup| {
        let Setup { reader, metrics, budget, catch_up, state, cancel } = setup;
        // One at a time: a program that works ahead may have taken one more than was told.
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/program.py");
        let more = json!({ "bufferDelay": "1ms", "retryDelay": "2ms", "chunkSize": 1 });
        let spec = program_spec(&["python3", program, &address], &more);
        let target = status_push::StatusPush::new(&spec, about().fixed()).unwrap();
        let attempt_timeout = Options::new("").attempt_timeout;
        let own = target.options("test");
        let options =
            BatchOptions { budget, catch_up, state, hold: quick(), attempt_timeout, ..own };
        Box::pin(delivery::run_batch(reader, target, options, metrics, cancel)) as Running
    };
    Kit { peer, start: Box::new(start), one_line: true, repeats: 1, secret: false }
}

/// One connection of the program: a line, and the word for it.
async fn answer_program(stream: TcpStream, peer: Peer) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let seen = pushed(&format!("[{line}]"));
        let word = match if seen.is_empty() { Answer::Take } else { peer.answer(&seen) } {
            Answer::Take => "take\n",
            Answer::Later => "later\n",
            Answer::Never => "never\n",
            Answer::Hang | Answer::TakeAndHang => return std::future::pending().await,
        };
        stream.write_all(word.as_bytes()).await.ok()?;
    }
}

fn pushed(packets: &str) -> Vec<Seen> {
    let packets: Vec<Value> = serde_json::from_str(packets).unwrap();
    let builds = packets.iter().filter(|p| p["event"] == "buildFinished");
    builds
        .map(|p| Seen {
            builder: p["payload"]["build"]["builderName"].as_str().unwrap().to_owned(),
            number: p["payload"]["build"]["number"].as_u64().unwrap(),
            identity: p["id"].to_string(),
        })
        .collect()
}

/// Reviews over REST to a Gerrit that knows one change. Over SSH a review goes the same way, and nothing
/// is secret to the peer there.
async fn gerrit() -> Kit {
    let peer = Peer::default();
    let asked = peer.clone();
    let revision = "3819d5e801fcf438b5d6e86483ea574d032705a9";
    let change = json!([{
        "id": "demo~1", "_number": 1, "status": "NEW", "current_revision": revision,
        "revisions": { revision: { "_number": 1 } },
    }]);
    let find = move || {
        let answer = format!(")]}}'\n{change}");
        async move { answer }
    };
    let review = move |body: String| {
        let peer = asked.clone();
        async move {
            match peer.answer(&[reviewed(&body)]) {
                Answer::Take => (StatusCode::OK, ")]}'\n{\"labels\":{\"Verified\":-1}}".to_owned()),
                Answer::Later => (StatusCode::BAD_GATEWAY, String::new()),
                Answer::Never => (StatusCode::CONFLICT, format!("never with {SECRET}")),
                Answer::Hang | Answer::TakeAndHang => std::future::pending().await,
            }
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/a/changes/", get(find))
        .route("/a/changes/demo~1/revisions/1/review", post(review));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let start = move |setup: Setup| {
        let Setup { reader, metrics, budget, catch_up, state, cancel } = setup;
        let http =
            json!({ "url": url, "passwordSecretRef": { "name": "gerrit", "key": "password" } });
        let review = json!({ "review": { "message": "{{ builder.name }} {{ number }}" } });
        let spec = spec(json!({ "username": "bot", "http": http }), &review);
        let secrets =
            gerrit::Secrets { password: Some(SECRET.to_owned()), ..gerrit::Secrets::default() };
        let target = gerrit::GerritPush::new(&spec, &secrets, about().fixed()).unwrap();
        let own = target.options("test", &Budgets::default());
        let options = Options { budget, catch_up, state, backoff: quick(), hold: quick(), ..own };
        Box::pin(delivery::run(reader, target, options, metrics, cancel)) as Running
    };
    Kit { peer, start: Box::new(start), one_line: false, repeats: 1, secret: true }
}

/// The message holds builder and number.
fn reviewed(body: &str) -> Seen {
    let input: Value = serde_json::from_str(body).unwrap();
    let message = input["message"].as_str().unwrap();
    let (builder, number) = message.split_once(' ').unwrap();
    Seen {
        builder: builder.to_owned(),
        number: number.parse().unwrap(),
        identity: message.to_owned(),
    }
}

/// Statuses to a stand-in for GitHub.
async fn github() -> Kit {
    let peer = Peer::default();
    let asked = peer.clone();
    let github = GitHub::start().await;
    github.add_token(SECRET);
    github.script(move |request| match asked.answer(&[posted(request)]) {
        Answer::Take => Deed::Usual,
        Answer::Later => Deed::Refuse(Reply::refusal(502, "Server Error")),
        Answer::Never => Deed::Refuse(Reply::refusal(422, &format!("never with {SECRET}"))),
        Answer::Hang => Deed::Hang,
        Answer::TakeAndHang => Deed::DoAndHang,
    });
    let start = move |setup: Setup| {
        let Setup { reader, metrics, budget, catch_up, state, cancel } = setup;
        let more = json!({
            "sha": "d76e2349b1d0a7b1f2a0d3c4e5f60718293a4b5c",
            "tokenSecretRef": { "name": "github", "key": "token" },
        });
        let spec = github_spec(&github.url(), &more);
        let secrets =
            github::Secrets { token: Some(SECRET.to_owned()), ..github::Secrets::default() };
        let target = github::GitHubStatus::new("test", &spec, &secrets, about().fixed()).unwrap();
        let own = target.options("test", &Budgets::default());
        let options = Options { budget, catch_up, state, backoff: quick(), hold: quick(), ..own };
        Box::pin(delivery::run(reader, target, options, metrics, cancel)) as Running
    };
    Kit { peer, start: Box::new(start), one_line: false, repeats: 1, secret: true }
}

/// The address of the build's page tells builds apart, and is the same whenever one is told of.
fn posted(request: &Asked) -> Seen {
    let url = request.body["target_url"].as_str().unwrap();
    let (builder, number) = url.rsplit_once("/builds/").unwrap();
    Seen {
        builder: builder.rsplit('/').next().unwrap().to_owned(),
        number: number.parse().unwrap(),
        identity: url.to_owned(),
    }
}
