//! What an HTTP answer other than a success means for the next attempt. Pure.

use reqwest::{
    StatusCode,
    header::{DATE, HeaderMap, RETRY_AFTER},
};
use std::time::Duration;

/// The longest that a peer is believed when it asks for patience.
const PATIENCE: Duration = Duration::from_secs(3600);
/// A larger number is a time, not a wait: seconds since 1970 have ten digits since 2001.
const EPOCH: u64 = 1_000_000_000;

/// The class of a refusal; see [`delivery::SendError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Transient,
    /// With the time that the peer asks for.
    Throttled(Option<Duration>),
    Permanent,
    /// A redirect, which is not followed.
    Redirected,
    Misconfigured,
}

/// Reads an answer that is no success. `now` is this machine's time, for an answer without `Date`.
pub fn refusal(status: StatusCode, headers: &HeaderMap, now: jiff::Timestamp) -> Refusal {
    let asked = retry_after(headers, now).or_else(|| reset(headers, now));
    match status.as_u16() {
        429 => Refusal::Throttled(asked),
        // A service that counts may say so with other words; without a time they mean themselves.
        403 | 503 if asked.is_some() => Refusal::Throttled(asked),
        400 | 413 | 422 => Refusal::Permanent,
        408 | 425 => Refusal::Transient,
        300..=399 => Refusal::Redirected,
        401..=499 => Refusal::Misconfigured,
        _ => Refusal::Transient,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// The peer's own time, so that the difference of both clocks does not matter.
fn peers_now(headers: &HeaderMap, now: jiff::Timestamp) -> jiff::Timestamp {
    text(headers, DATE.as_str()).and_then(date).unwrap_or(now)
}

fn date(text: &str) -> Option<jiff::Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

fn until(time: jiff::Timestamp, now: jiff::Timestamp) -> Duration {
    Duration::try_from(time.duration_since(now)).unwrap_or_default()
}

/// `Retry-After`: seconds, or a date (RFC 9110 §10.2.3).
fn retry_after(headers: &HeaderMap, now: jiff::Timestamp) -> Option<Duration> {
    let text = text(headers, RETRY_AFTER.as_str())?;
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => until(date(text)?, peers_now(headers, now)),
    };
    Some(wait.min(PATIENCE))
}

/// How long until there is something left of a limit that the answer, good or not, says is used up.
pub fn used_up(headers: &HeaderMap, now: jiff::Timestamp) -> Option<Duration> {
    reset(headers, now)
}

/// `X-RateLimit-Reset` of a limit that is used up: GitHub's is a time, others' are seconds.
fn reset(headers: &HeaderMap, now: jiff::Timestamp) -> Option<Duration> {
    if text(headers, "x-ratelimit-remaining")? != "0" {
        return None;
    }
    let number: u64 = text(headers, "x-ratelimit-reset")?.parse().ok()?;
    let wait = if number < EPOCH {
        Duration::from_secs(number)
    } else {
        let time = jiff::Timestamp::from_second(i64::try_from(number).ok()?).ok()?;
        until(time, peers_now(headers, now))
    };
    Some(wait.min(PATIENCE))
}

#[cfg(test)]
mod tests {
    use super::{Refusal, refusal};
    use reqwest::{
        StatusCode,
        header::{HeaderMap, HeaderName, HeaderValue},
    };
    use std::time::Duration;

    /// Ten minutes ahead of the peer in the cases below.
    const NOW: i64 = 1_795_515_000;

    fn of(status: u16, headers: &[(&'static str, &'static str)]) -> Refusal {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let now = jiff::Timestamp::from_second(NOW).unwrap_or_default();
        refusal(StatusCode::from_u16(status).unwrap_or_default(), &headers, now)
    }

    fn throttled(seconds: u64) -> Refusal {
        Refusal::Throttled(Some(Duration::from_secs(seconds)))
    }

    #[test]
    fn each_status_has_its_class() {
        use Refusal::{Misconfigured, Permanent, Redirected, Throttled, Transient};
        for (status, class) in [
            (301, Redirected),
            (304, Redirected),
            (400, Permanent),
            (401, Misconfigured),
            (403, Misconfigured),
            (404, Misconfigured),
            (405, Misconfigured),
            (407, Misconfigured),
            (408, Transient),
            (413, Permanent),
            (422, Permanent),
            (425, Transient),
            (429, Throttled(None)),
            (500, Transient),
            (502, Transient),
            (503, Transient),
            (504, Transient),
            (999, Transient),
        ] {
            assert_eq!(of(status, &[]), class, "{status}");
        }
    }

    #[test]
    fn patience_is_seconds_or_a_date_by_the_peers_clock_and_at_most_an_hour() {
        let skewed = ("date", "Tue, 24 Nov 2026 10:00:00 GMT");
        for (status, headers, class) in [
            (429, vec![("retry-after", "17")], throttled(17)),
            (503, vec![("retry-after", " 17 ")], throttled(17)),
            (403, vec![("retry-after", "17")], throttled(17)),
            (500, vec![("retry-after", "17")], Refusal::Transient),
            (429, vec![("retry-after", "99999999999")], throttled(3600)),
            (429, vec![("retry-after", "-1")], Refusal::Throttled(None)),
            (429, vec![("retry-after", "soon")], Refusal::Throttled(None)),
            (429, vec![("retry-after", "Tue, 24 Nov 2026 10:00:20 GMT"), skewed], throttled(20)),
            (429, vec![("retry-after", "Tue, 24 Nov 2026 09:00:00 GMT"), skewed], throttled(0)),
            (429, vec![("retry-after", "Wed, 25 Nov 2026 10:00:20 GMT"), skewed], throttled(3600)),
            (403, vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "30")], throttled(30)),
            (
                403,
                vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795514425"), skewed],
                throttled(25),
            ),
            (
                403,
                vec![("x-ratelimit-remaining", "7"), ("x-ratelimit-reset", "30")],
                Refusal::Misconfigured,
            ),
        ] {
            assert_eq!(of(status, &headers), class, "{status} {headers:?}");
        }
    }
}
