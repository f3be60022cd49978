//! Who asks, and how: headers, tokens and signed names.

use super::APP;
use axum::http::HeaderMap;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::Timestamp;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value;

/// GitHub refuses what does not say who asks, and wants the version.
pub(super) fn headers(headers: &HeaderMap, has_body: bool) -> Vec<String> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let mut wrong = Vec::new();
    let mut wants = |name: &str, begins: &str| {
        if !text(name).starts_with(begins) || text(name).is_empty() {
            wrong.push(format!("header {name}: {:?}", text(name)));
        }
    };
    wants("user-agent", "");
    wants("accept", "application/vnd.github+json");
    wants("x-github-api-version", "2022-11-28");
    wants("authorization", "Bearer ");
    if has_body {
        wants("content-type", "application/json");
    }
    wrong
}

pub(super) fn token(headers: &HeaderMap) -> String {
    let text = headers.get("authorization").and_then(|value| value.to_str().ok());
    text.and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default().to_owned()
}

/// Whether the App signed a token that holds now, and for at most ten minutes.
pub(super) fn is_signed(key: Option<&[u8]>, token: &str) -> bool {
    let unpack = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let json = |part: &str| serde_json::from_slice::<Value>(&unpack(part)?).ok();
    let holds = || {
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key?);
        key.verify(signed.as_bytes(), &unpack(signature)?).ok()?;
        let (head, claims) = (json(head)?, json(claims)?);
        let issuer = claims["iss"].as_str().and_then(|id| id.parse().ok());
        let now = Timestamp::now().0;
        let (from, until) = (claims["iat"].as_i64()?, claims["exp"].as_i64()?);
        let holds = from <= now && now < until && until - now <= 600;
        (holds && head["alg"] == "RS256" && issuer == Some(APP.0)).then_some(())
    };
    holds().is_some()
}
