//! The login: `GET /auth/login` with Basic answers 302 and the session's cookie, a JWT.
//!
//! The master takes Basic nowhere else, and answers a bad cookie as if there were none; so
//! the session is renewed before its end, and whenever access is denied.

use crate::{ClientError, Login};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use model::Timestamp;
use reqwest::{StatusCode, header};
use std::time::Duration;
use tokio::sync::Mutex;
use url::Url;

/// Renewed when less than this is left, or a tenth of its life where that is shorter.
const MARGIN: i64 = 3600;
/// Life of a session whose cookie does not tell it.
const UNTOLD: i64 = 24 * 3600;

/// A session of the master, if there is a login.
#[derive(Debug)]
pub(super) struct Session {
    login: Option<Login>,
    cookie: Mutex<Option<Cookie>>,
}

struct Cookie {
    /// `NAME=VALUE`; a credential, never shown.
    text: String,
    renew_at: Timestamp,
}

impl std::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookie").field("renew_at", &self.renew_at).finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(login: Option<Login>) -> Self {
        Self { login, cookie: Mutex::default() }
    }

    pub(super) fn has_login(&self) -> bool {
        self.login.is_some()
    }

    pub(super) async fn forget(&self) {
        *self.cookie.lock().await = None;
    }

    /// The cookie to send. The lock is held while logging in, so that it is done once.
    pub(super) async fn cookie(
        &self,
        http: &reqwest::Client,
        address: Url,
        timeout: Duration,
    ) -> Result<Option<String>, ClientError> {
        let Some(login) = &self.login else { return Ok(None) };
        let mut cookie = self.cookie.lock().await;
        let now = Timestamp::now();
        match &*cookie {
            Some(cookie) if now < cookie.renew_at => Ok(Some(cookie.text.clone())),
            _ => {
                let fresh = log_in(http, address, login, now, timeout).await?;
                Ok(Some(cookie.insert(fresh).text.clone()))
            }
        }
    }
}

async fn log_in(
    http: &reqwest::Client,
    address: Url,
    login: &Login,
    now: Timestamp,
    timeout: Duration,
) -> Result<Cookie, ClientError> {
    let path = "auth/login";
    let response = http
        .get(address)
        .basic_auth(&login.username, Some(&login.password))
        .send()
        .await
        .map_err(|e| super::failed(&e, path, timeout))?;
    let status = response.status();
    if status != StatusCode::FOUND {
        let response = super::checked(response, path)?;
        let status = response.status();
        return Err(ClientError::Denied(format!(
            "{path} answers {status}: the master has no login by name and password"
        )));
    }
    // There are two; the first is the session before the login.
    let set = response.headers().get_all(header::SET_COOKIE);
    let text = set.iter().filter_map(|v| session_cookie(v.to_str().ok()?)).next_back();
    let text = text.ok_or_else(|| {
        ClientError::Denied(format!("the login of {:?} gave no session", login.username))
    })?;
    Ok(Cookie { text: text.to_owned(), renew_at: renew_at(text, now) })
}

/// When a session that begins now is to be renewed.
pub(crate) fn renew_at(cookie: &str, now: Timestamp) -> Timestamp {
    // The master says when it ends: any number.
    let life = expiry(cookie).map_or(UNTOLD, |end| end.saturating_sub(now.0)).max(10);
    Timestamp(now.0.saturating_add(life - MARGIN.min(life / 10)))
}

/// `NAME=VALUE` of a session's `Set-Cookie`. The name is `TWISTED_SESSION` or, over TLS,
/// `TWISTED_SECURE_SESSION`, and ends in the path below which the master is.
pub(crate) fn session_cookie(set: &str) -> Option<&str> {
    let pair = set.split(';').next()?.trim();
    let (name, value) = pair.split_once('=')?;
    let session = name.starts_with("TWISTED_SESSION") || name.starts_with("TWISTED_SECURE_SESSION");
    (session && !value.is_empty()).then_some(pair)
}

/// When the JWT in a cookie ends: seconds since 1970.
fn expiry(cookie: &str) -> Option<i64> {
    let payload = cookie.split('.').nth(1)?;
    let json = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice::<serde_json::Value>(&json).ok()?.get("exp")?.as_i64()
}

#[cfg(test)]
mod tests {
    use super::{expiry, renew_at, session_cookie};
    use model::Timestamp;

    #[test]
    fn the_session_cookie_is_told_by_its_name_whatever_path_it_ends_in() {
        let cases = [
            ("TWISTED_SESSION=a.b.c; Path=/", Some("TWISTED_SESSION=a.b.c")),
            ("TWISTED_SECURE_SESSION_bb=x; Secure", Some("TWISTED_SECURE_SESSION_bb=x")),
            ("theme=dark; Path=/", None),
            ("TWISTED_SESSION=; Path=/", None),
        ];
        for (set, pair) in cases {
            assert_eq!(session_cookie(set), pair, "{set}");
        }
    }

    #[test]
    fn the_end_of_a_session_is_in_its_token() {
        assert_eq!(
            expiry("S=eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3OTU0MTIzNzd9.x"),
            Some(1_795_412_377)
        );
        assert_eq!(expiry("S=opaque"), None);
        assert_eq!(expiry("S=a.!!.c"), None);
    }

    #[test]
    fn a_session_is_renewed_later_than_now_whatever_end_it_tells() {
        let now = Timestamp(1_795_412_377);
        // {"exp": …}: an hour later, the lowest and the highest number there is.
        let hour = "S=x.eyJleHAiOjE3OTU0MTU5Nzd9.x";
        assert_eq!(renew_at(hour, now), Timestamp(now.0 + 3240));
        let lowest = "S=x.eyJleHAiOi05MjIzMzcyMDM2ODU0Nzc1ODA4fQ.x";
        assert_eq!(renew_at(lowest, now), Timestamp(now.0 + 9));
        let highest = "S=x.eyJleHAiOjkyMjMzNzIwMzY4NTQ3NzU4MDd9.x";
        assert_eq!(renew_at(highest, now), Timestamp(i64::MAX - 3600));
    }
}
