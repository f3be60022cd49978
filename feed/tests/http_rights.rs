//! Who may ask what.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;
mod served;

use common::*;
use feed::http::{
    api::Code,
    server::{Need, ROUTES},
    token::{Claims, Keys, Kind, Right},
};
use reqwest::{Method, StatusCode};
use served::*;

/// A request of a route with parts that fit, about consumer `name`.
fn path(route: &str, name: &str) -> String {
    let name = name.replace('/', "%2F");
    let path = route.trim_start_matches("/v1/").replace("{name}", &name).replace("{id}", "1");
    let path = path.replace("{position}", "1.1");
    match route {
        "/v1/consumers/{name}/events" => path + "?generation=1&wait=0",
        _ => path,
    }
}

async fn answer(served: &Served, method: &str, path: &str) -> (StatusCode, Option<Code>) {
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    let response = soon(served.request(method, path).body("{}").send()).await.unwrap();
    let status = response.status();
    (status, if status.is_success() { None } else { Some(problem(response).await.code) })
}

#[tokio::test]
async fn every_route_is_open_to_the_rights_that_it_needs_and_to_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = served(dir.path()).await;
    served.feed.set_log_source(log_source());
    let uid = served.feed.master_uid().to_owned();
    for (method, route, need) in ROUTES {
        for bits in 0..8 {
            let rights: Vec<Right> = Right::ALL
                .into_iter()
                .enumerate()
                .filter(|(i, _)| bits & (1 << i) != 0)
                .map(|(_, r)| r)
                .collect();
            let has = |right| rights.contains(&right);
            for own in [true, false] {
                served.token = token(&uid, NAME, &rights);
                let name = if own { NAME } else { "mail/other" };
                let expected = match need {
                    Need::Read => has(Right::Read),
                    Need::Own => has(Right::Consume) && own,
                    Need::OwnOrManage => has(Right::Consume) && own || has(Right::Manage),
                    Need::Manage => has(Right::Manage),
                    Need::Named => (has(Right::Consume) || has(Right::Read)) && own,
                };
                let (status, code) = answer(&served, method, &path(route, name)).await;
                let case = format!("{method} {route} {rights:?} own: {own}: {status} {code:?}");
                assert_eq!(code != Some(Code::Forbidden), expected, "{case}");
                assert_ne!(code, Some(Code::Unauthorized), "{case}");
                assert_ne!(code, Some(Code::Method), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn without_a_token_that_is_good_every_route_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = served(dir.path()).await;
    let uid = served.feed.master_uid().to_owned();
    let others = tempfile::tempdir().unwrap();
    std::fs::write(others.path().join("1"), "the same name, but another key.....").unwrap();
    let claims = Claims {
        master_uid: uid.clone(),
        consumer: NAME.into(),
        kind: Kind::new("MailNotifier"),
        rights: Right::ALL.into(),
        expires: None,
    };
    let forged = Keys::from_dir(others.path()).unwrap().sign(&claims);
    let expired = keys().sign(&Claims { expires: Some(1), ..claims });
    for bad in [forged, expired, token("another", NAME, &Right::ALL), String::new(), "a.b.c".into()]
    {
        served.token = bad;
        for (method, route, _) in ROUTES {
            let (status, code) = answer(&served, method, &path(route, NAME)).await;
            assert_eq!(
                (status.as_u16(), code),
                (401, Some(Code::Unauthorized)),
                "{method} {route}"
            );
        }
    }
    let url = served.url("info");
    for request in [
        served.raw().get(&url),
        served.raw().get(&url).header("authorization", "Basic YTpi"),
        served.raw().get(&url).header("authorization", "Bearer"),
        served.raw().get(&url).header("authorization", [0xff, 0xfe].as_slice()),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        assert_eq!(problem(response).await.code, Code::Unauthorized);
    }
}

#[tokio::test]
async fn keys_are_replaced_while_the_feed_runs() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = served(dir.path()).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("2"), "a second key that has enough bytes").unwrap();
    let new = Keys::from_dir(folder.path()).unwrap();
    served.state.set_keys(new.clone());
    assert_eq!(answer(&served, "get", "info").await.1, Some(Code::Unauthorized));
    served.token = new.sign(&Claims {
        master_uid: served.feed.master_uid().into(),
        consumer: "pages".into(),
        kind: Kind::new("WebStatus"),
        rights: [Right::Read].into(),
        expires: None,
    });
    assert_eq!(answer(&served, "get", "info").await, (StatusCode::OK, None));
}

#[tokio::test]
async fn dead_letters_are_listed_replayed_and_dropped_by_those_who_may() {
    use feed::{
        ConsumerOptions, DeadLetter,
        http::api::{Consumers, Letters, Replayed},
    };
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path()).await;
    let mut consumer = served.feed.consumer(NAME, ConsumerOptions::default()).await.unwrap();
    add(&served.feed, 1..=3).await;
    let mut positions = Vec::new();
    for _ in 1..=3 {
        let position = soon(consumer.next()).await.unwrap().position;
        let letter = DeadLetter { class: "permanent".into(), ..DeadLetter::default() };
        consumer.park(position, letter).await.unwrap();
        positions.push(position);
    }
    let letters = "consumers/mail%2Fmain/dead-letters";
    let first: Letters = good(served.get(&format!("{letters}?limit=1"))).await;
    assert_eq!(first.letters[0].position, positions[0]);
    let rest: Letters = good(served.get(&format!("{letters}?after={}", positions[0]))).await;
    assert_eq!(rest.letters.len(), 2);
    let one: feed::Parked = good(served.get(&format!("{letters}/{}", positions[1]))).await;
    assert_eq!(one.letter.class, "permanent");
    let path = format!("{letters}/{}/replay", positions[1]);
    assert_eq!(answer(&served, "post", &path).await.0, 204);
    assert_eq!(soon(consumer.next()).await.unwrap().position, positions[1]);
    let path = format!("{letters}/{}", positions[2]);
    assert_eq!(answer(&served, "delete", &path).await.1, Some(Code::Forbidden));
    let served = served.manager();
    assert_eq!(answer(&served, "delete", &path).await.0, 204);
    assert_eq!(answer(&served, "get", &path).await.1, Some(Code::NotFound));
    let all: Consumers = good(served.get("consumers")).await;
    assert_eq!((all.consumers.len(), all.consumers[0].name.as_str()), (1, NAME));
    let body = serde_json::json!({ "catch_up": { "max_builds": 5 } });
    let replayed: Replayed = good(served.post("consumers/mail%2Fmain/replay", &body)).await;
    assert_eq!(replayed.builds, 0, "there are no builds");
}
