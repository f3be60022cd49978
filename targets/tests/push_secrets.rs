//! Signatures, certificates of the client and headers, checked by who receives them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use delivery::SendError;
use serde_json::{Value, json};
use std::process::Command;
use support::{
    about,
    events::{Peer, post, push},
    finished,
    peers::Certificate,
    push_spec,
};
use targets::http_push::{HttpPush, Secrets};

fn refs(count: usize) -> Value {
    let all = (0..count).map(|n| json!({ "name": "push", "key": format!("key-{n}") }));
    json!({ "signatureSecretRefs": all.collect::<Vec<_>>() })
}

#[tokio::test]
async fn g07_a_signature_is_verified_by_the_library_with_either_key_and_with_no_other() {
    let (old, new) =
        ("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "a key that is plain text, not base64");
    let raw = |text: &str| format!("raw_{}", STANDARD.encode(text));
    let secrets = [raw(new), old.to_owned(), raw("another key, which nobody has")];
    let mut peer = Peer::start(&json!({ "secrets": secrets })).await;
    let records = [finished("failure")];
    let post = async |keys: &[&str]| {
        let keys = keys.iter().map(|key| format!("{key}\n").into_bytes()).collect();
        let secrets = Secrets { signatures: keys, ..Secrets::default() };
        let push = push(&peer.url(), &refs(secrets.signatures.len()), &secrets);
        post(&push, &records).await.unwrap();
        peer.next().await
    };
    let mut post = post;
    let mut ids = Vec::new();
    for (keys, verified) in [
        (vec![old], [false, true, false]),
        (vec![new, old], [true, true, false]),
        (vec![new], [true, false, false]),
    ] {
        let told = post(&keys).await;
        assert_eq!(told["verified"], json!(verified), "{keys:?}: {told}");
        assert_eq!(told["changed"], json!([false, false, false]), "a changed body");
        let signatures = told["headers"]["webhook-signature"].as_str().unwrap();
        assert_eq!(signatures.split(' ').count(), keys.len());
        ids.push(told["headers"]["webhook-id"].clone());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "what is sent again has the same id: {ids:?}");
    let unsigned = post(&[]).await;
    assert_eq!(unsigned["headers"].get("webhook-id"), None);
}

/// A certificate for a client, and its key.
fn shown(of: &Certificate, key_of: &Certificate) -> Secrets {
    Secrets {
        ca: None,
        client_certificate: Some(of.pem()),
        client_key: Some(std::fs::read(key_of.file("k.pem")).unwrap()),
        ..Secrets::default()
    }
}

#[tokio::test]
async fn g07_a_server_that_wants_a_certificate_of_the_client_gets_it_and_refuses_another() {
    let (server, client, stranger) = (Certificate::new(), Certificate::new(), Certificate::new());
    let mut peer = Peer::start(&json!({ "tls": {
        "certificate": server.file("c.pem"),
        "key": server.file("k.pem"),
        "clients": client.file("c.pem"),
    } }))
    .await;
    let url = peer.url().replace("http://", "https://");
    let push =
        |secrets: Secrets| push(&url, &json!({}), &Secrets { ca: Some(server.pem()), ..secrets });
    let records = [finished("failure")];
    for refused in [Secrets::default(), shown(&stranger, &stranger)] {
        let Err(SendError::Misconfigured(text)) = post(&push(refused), &records).await else {
            panic!("it is let in")
        };
        assert!(text.contains("alert"), "{text}");
    }
    let untrusted = Secrets { ca: Some(client.pem()), ..shown(&client, &client) };
    let untrusted = support::events::push(&url, &json!({}), &untrusted);
    let text = match post(&untrusted, &records).await {
        Err(SendError::Misconfigured(text)) => text,
        other => panic!("{other:?}"),
    };
    let host = url.trim_end_matches('/');
    assert!(text.starts_with(host) && text.contains("is not trusted here; put"), "{text}");
    post(&push(shown(&client, &client)), &records).await.unwrap();
    assert_eq!(peer.next().await["client"], json!({ "commonName": "test" }));
}

#[tokio::test]
async fn g07_a_certificate_or_key_that_can_not_be_used_is_named() {
    let (one, other) = (Certificate::new(), Certificate::new());
    let fails = |secrets: &Secrets| {
        let spec = push_spec("https://127.0.0.1:1/", &json!({}));
        HttpPush::new("ci/push", &spec, secrets, about().fixed()).unwrap_err()
    };
    let error = fails(&shown(&one, &other));
    assert_eq!(
        error.to_string(),
        "spec.clientKeySecretRef: is not the key of the certificate of \
         spec.clientCertificateSecretRef"
    );
    let error = fails(&Secrets { client_key: Some(b"s3cret".to_vec()), ..shown(&one, &one) });
    assert_eq!(error.field, "spec.clientKeySecretRef");
    assert!(error.text.contains("no PEM private key") && !error.text.contains("s3cret"), "{error}");
    let error = fails(&Secrets { client_certificate: Some(b"x".to_vec()), ..shown(&one, &one) });
    assert_eq!(error.field, "spec.clientCertificateSecretRef");
    // A passphrase can't be asked for.
    let locked = Command::new("openssl")
        .args(["pkcs8", "-topk8", "-passout", "pass:x", "-in"])
        .arg(one.file("k.pem"))
        .output()
        .unwrap();
    assert!(locked.status.success());
    let error = fails(&Secrets { client_key: Some(locked.stdout), ..shown(&one, &one) });
    assert!(error.text.contains("without a passphrase"), "{error}");
}

#[tokio::test]
async fn g07_headers_arrive_and_what_is_secret_of_them_is_not_told() {
    let mut peer = Peer::start(&json!({})).await;
    let more = json!({ "headers": [
        { "name": "X-Site", "value": "example" },
        { "name": "X-Api-Key", "valueSecretRef": { "name": "push", "key": "api-key" } },
        { "name": "User-Agent", "value": "ci" },
        { "name": "Authorization", "value": "Basic dTpw" },
    ] });
    let secrets =
        Secrets { headers: [(1, "s3cret value\n".to_owned())].into(), ..Secrets::default() };
    let push = push(&peer.url(), &more, &secrets);
    post(&push, &[finished("failure")]).await.unwrap();
    let headers = &peer.next().await["headers"];
    for (name, value) in [
        ("x-site", "example"),
        ("x-api-key", "s3cret value"),
        ("user-agent", "ci"),
        ("authorization", "Basic dTpw"),
        ("content-type", "application/x-www-form-urlencoded"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert!(!format!("{push:?} {secrets:?}").contains("s3cret"));
    assert!(delivery::BatchTarget::secrets(&push).contains(&"s3cret value"));

    let broken = Secrets { headers: [(1, "s3cret\u{1}".to_owned())].into(), ..Secrets::default() };
    let spec = push_spec(&peer.url(), &more);
    let error = HttpPush::new("ci/push", &spec, &broken, about().fixed()).unwrap_err();
    assert_eq!(error.field, "spec.headers[1].valueSecretRef");
    assert!(!error.text.contains("s3cret"), "{error}");
}
