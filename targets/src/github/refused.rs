//! What a refusal of GitHub's means for the next attempt, and what mends it. Pure.

use super::compose::Commit;
use crate::{answer::Refusal, http::Refused};
use delivery::SendError;
use reqwest::header::LOCATION;
use serde_json::Value;
use std::time::Duration;

/// GitHub wants at least a minute where it names no time.
const PATIENCE: Duration = Duration::from_secs(60);

/// GitHub's own words, on one line.
pub fn words(refused: &Refused) -> String {
    let Ok(Value::Object(answer)) = serde_json::from_slice::<Value>(&refused.body) else {
        return refused.line();
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let message = answer.get("message").and_then(text).unwrap_or_default();
    let details = answer.get("errors").and_then(Value::as_array).into_iter().flatten();
    let details = details.filter_map(|detail| {
        let field = |key: &str| detail.get(key).and_then(text);
        text(detail)
            .or_else(|| field("message"))
            .or_else(|| Some(format!("{} {}", field("field")?, field("code")?)))
    });
    let all: Vec<String> = std::iter::once(message).chain(details).collect();
    all.join(": ")
}

/// A refusal of something about a commit. `fixed`: all builds are of its repository, so that it
/// is the settings that are wrong; otherwise it is this one build's own matter, and no other build
/// waits for it.
pub fn error(
    refused: &Refused,
    place: &str,
    words: &str,
    commit: &Commit,
    fixed: bool,
) -> SendError {
    if let Some(error) = patience(refused, place, words) {
        return error;
    }
    let status = refused.status;
    let text = format!("{place} answered {status} {words}");
    let repository = commit.shown();
    let of_repository = |fix: String| {
        let text = format!("{text}; {fix}");
        if fixed { SendError::Misconfigured(text) } else { SendError::Permanent(text) }
    };
    match (status.as_u16(), refused.class) {
        (401, _) => SendError::Misconfigured(format!(
            "{text}; the token has expired or was revoked: put another into the Secret"
        )),
        (403, _) => of_repository(format!(
            "the token or App must be allowed to write \"Commit statuses\" (mode checks: \"Checks\") of {repository}"
        )),
        (404, _) => of_repository(format!(
            "there is no repository {repository} (spec.repoOwner, spec.repoName), or the token or App has no access to it"
        )),
        (_, Refusal::Redirected) => {
            let to = refused.headers.get(LOCATION).and_then(|to| to.to_str().ok());
            let to = to.map(|to| format!(" to {to}")).unwrap_or_default();
            of_repository(format!(
                "{repository} or the server has moved{to}, and redirects are not followed: set spec.repoOwner and spec.repoName, or spec.baseUrl"
            ))
        }
        (422, _) if words.contains("No commit found") => SendError::Permanent(format!(
            "{text}; {repository} has no commit {} (spec.sha): was it pushed there?",
            commit.sha
        )),
        (_, Refusal::Permanent) => SendError::Permanent(text),
        (_, Refusal::Misconfigured) => of_repository(format!(
            "GitHub takes nothing about {repository}: see its settings there"
        )),
        (_, Refusal::Transient | Refusal::Throttled(_)) => SendError::Transient(text),
    }
}

/// A refusal of a token for an App's installation.
pub fn minting(refused: &Refused, place: &str, words: &str, permission: &str) -> SendError {
    if let Some(error) = patience(refused, place, words) {
        return error;
    }
    let fix = match refused.status.as_u16() {
        401 => "check spec.app.appId, that the key is one of this App, and this machine's clock",
        403 => "the installation is suspended, or not of this App",
        404 => "check spec.app.installationId, and that the App is installed",
        422 => {
            return SendError::Misconfigured(format!(
                "{place} answered {} {words}; give the App the permission to write \"{permission}\", and accept it in the installation",
                refused.status
            ));
        }
        _ if refused.class == Refusal::Transient => "it is tried again",
        _ => "check spec.app and spec.baseUrl",
    };
    let text = format!("{place} answered {} {words}; {fix}", refused.status);
    // Without a token nothing can be sent, so no build's own message is at fault.
    match refused.class {
        Refusal::Transient => SendError::Transient(text),
        _ => SendError::Misconfigured(text),
    }
}

/// The limits of requests, which GitHub tells by 429 and by 403, the secondary ones with words only.
fn patience(refused: &Refused, place: &str, words: &str) -> Option<SendError> {
    let status = refused.status;
    let lower = words.to_ascii_lowercase();
    let limit = lower.contains("rate limit") || lower.contains("abuse detection");
    let after = match refused.class {
        Refusal::Throttled(after) => after,
        _ if status.as_u16() == 403 && limit => None,
        _ => return None,
    };
    let text = format!("{place} answered {status} {words}");
    Some(SendError::Throttled { after: Some(after.unwrap_or(PATIENCE)), text })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::answer::refusal;
    use reqwest::{
        StatusCode,
        header::{HeaderMap, HeaderName, HeaderValue},
    };

    fn refused(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Refused {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let status = StatusCode::from_u16(status).unwrap();
        let class = refusal(status, &headers, jiff::Timestamp::UNIX_EPOCH);
        Refused { status, class, headers, body: body.as_bytes().to_vec() }
    }

    fn said(refused: &Refused, fixed: bool) -> SendError {
        let commit =
            Commit { owner: "o".to_owned(), name: "n".to_owned(), sha: "d76e234".to_owned() };
        error(refused, "P", &words(refused), &commit, fixed)
    }

    #[test]
    fn g05_each_refusal_has_its_class_and_says_what_mends_it() {
        let body = |message: &str| format!("{{\n  \"message\": \"{message}\"\n}}");
        let table = [
            (401, "Bad credentials", "misconfigured", "misconfigured"),
            (403, "Resource not accessible by personal access token", "misconfigured", "permanent"),
            (404, "Not Found", "misconfigured", "permanent"),
            (301, "Moved Permanently", "misconfigured", "permanent"),
            (307, "Temporary Redirect", "misconfigured", "permanent"),
            (410, "Gone", "misconfigured", "permanent"),
            (422, "No commit found for SHA: d76e234", "permanent", "permanent"),
            (422, "Validation Failed", "permanent", "permanent"),
            (500, "Server Error", "transient", "transient"),
            (502, "", "transient", "transient"),
            (503, "", "transient", "transient"),
            (429, "", "throttled", "throttled"),
            (403, "You have exceeded a secondary rate limit", "throttled", "throttled"),
        ];
        let mut told = String::new();
        for (status, message, fixed, filled_in) in table {
            let refused = refused(status, &[("location", "https://x/y")], &body(message));
            let error = said(&refused, true);
            assert_eq!(error.class(), fixed, "{status} {message}");
            assert_eq!(said(&refused, false).class(), filled_in, "{status} {message}");
            told.push_str(&format!("{error}\n"));
        }
        insta::assert_snapshot!(told);
    }

    #[test]
    fn limits_are_waited_for_as_long_as_github_says_or_a_minute() {
        let after = |refused: &Refused| match said(refused, true) {
            SendError::Throttled { after, .. } => after.unwrap().as_secs(),
            other => panic!("{other}"),
        };
        let secondary = r#"{"message": "You have exceeded a secondary rate limit."}"#;
        assert_eq!(after(&refused(403, &[("retry-after", "17")], secondary)), 17);
        assert_eq!(after(&refused(429, &[("retry-after", "17")], "")), 17);
        assert_eq!(after(&refused(403, &[], secondary)), 60);
        assert_eq!(after(&refused(429, &[], "")), 60);
        let spent = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "40")];
        assert_eq!(after(&refused(403, &spent, r#"{"message": "API rate limit exceeded"}"#)), 40);
    }

    #[test]
    fn what_github_says_is_its_message_with_its_details() {
        let of = |body: &str| words(&refused(422, &[], body));
        assert_eq!(
            of(r#"{"message": "Validation Failed", "errors": [
                {"resource": "Status", "code": "custom", "message": "context is too long"},
                {"resource": "Status", "field": "state", "code": "invalid"}, "no", {}]}"#),
            "Validation Failed: context is too long: state invalid: no"
        );
        assert_eq!(of("<html>\nproxy"), "<html>");
        assert_eq!(of(""), "");
    }

    #[test]
    fn without_a_token_for_the_app_everything_waits() {
        for (status, class) in [
            (401, "misconfigured"),
            (403, "misconfigured"),
            (404, "misconfigured"),
            (422, "misconfigured"),
            (400, "misconfigured"),
            (502, "transient"),
        ] {
            let refused = refused(status, &[], "");
            assert_eq!(minting(&refused, "P", "", "checks").class(), class, "{status}");
        }
    }
}
