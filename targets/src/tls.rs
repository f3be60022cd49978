//! What is wrong with TLS, in words that say how to mend it.

use jiff::Timestamp;
use rustls::{AlertDescription, CertificateError, pki_types::UnixTime};
use std::{error::Error, io};

/// The failure of TLS among an error's causes.
pub(crate) fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = error.downcast_ref() {
        return Some(tls);
    }
    // Its source would be the source of what it holds.
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(within) => cause(within),
        None => cause(error.source()?),
    }
}

/// What is wrong, to stand behind the peer's address.
pub(crate) fn words(error: &rustls::Error) -> String {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(error) => certificate(error),
        E::NoCertificatesPresented => "it shows no certificate; give the server one".to_owned(),
        E::InvalidMessage(_) => {
            "what answers there speaks no TLS; check the address, the port and \
                                 whether the settings ask for the kind of TLS that it has"
                .to_owned()
        }
        E::PeerIncompatible(why) => format!(
            "it has no version or cipher of TLS that is accepted here ({why:?}); have the server offer \
             TLS 1.2 or 1.3"
        ),
        E::AlertReceived(alert) => refusal(*alert),
        error => format!("TLS fails: {error}"),
    }
}

fn certificate(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        // The second: of one that has the name of one that is trusted.
        E::UnknownIssuer | E::BadSignature => "its certificate is of an authority that is not trusted here; put that \
                             authority's certificate into the Secret of caSecretRef"
            .to_owned(),
        E::Expired => expired(""),
        E::ExpiredContext { not_after, .. } => expired(&format!(" on {}", date(*not_after))),
        E::NotValidYet => too_early(""),
        E::NotValidYetContext { not_before, .. } => {
            too_early(&format!(" before {}", date(*not_before)))
        }
        E::NotValidForName => other_name("that name", "other names"),
        E::NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
            other_name(&expected.to_str(), &names)
        }
        E::Revoked => "its certificate is revoked; give the server another".to_owned(),
        E::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "its certificate is an authority's own, which may not stand for a server; give the server \
             one with basicConstraints CA:FALSE"
                .to_owned()
        }
        error => format!("its certificate can't be used: {error}"),
    }
}

fn expired(when: &str) -> String {
    format!("its certificate has expired{when}; renew it on the server")
}

fn too_early(when: &str) -> String {
    format!("its certificate is not valid{when} yet; set the clock right, there or here")
}

fn other_name(wanted: &str, given: &str) -> String {
    format!(
        "its certificate is for {given}, and not for {wanted}; name the server as its certificate \
         does, or give it a certificate for {wanted}"
    )
}

/// `example.org` of `DnsName("example.org")`, as names in certificates are shown.
fn bare(shown: &str) -> &str {
    shown.split('"').nth(1).unwrap_or(shown)
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// What the peer has against us.
fn refusal(alert: AlertDescription) -> String {
    use AlertDescription as A;
    let fix = match alert {
        A::CertificateRequired | A::NoCertificate => "; it wants a certificate of its clients",
        A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateExpired
        | A::CertificateUnknown
        | A::UnknownCA
        | A::AccessDenied => "; it does not accept our certificate",
        A::ProtocolVersion | A::HandshakeFailure | A::InsufficientSecurity => {
            "; it accepts no TLS that is used here (1.2 and 1.3), or wants a certificate of its clients"
        }
        A::UnrecognisedName => "; it does not know the name that it is called by",
        _ => "",
    };
    format!("it refuses TLS (alert {alert:?}){fix}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{cause, words};
    use rustls::{
        AlertDescription, CertificateError as Certificate, Error, InvalidMessage,
        pki_types::{ServerName, UnixTime},
    };
    use std::{io, time::Duration};

    #[test]
    fn what_is_wrong_is_said_with_what_to_do() {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(1_790_000_000));
        let expected = ServerName::try_from("mail.example.org").unwrap();
        let presented = vec!["DnsName(\"mx.example.org\")".to_owned()];
        for (error, part) in [
            (Certificate::UnknownIssuer.into(), "not trusted here; put"),
            (
                Certificate::ExpiredContext { time, not_after: time }.into(),
                "has expired on 2026-09-21T14:13:20Z; renew it",
            ),
            (
                Certificate::NotValidYetContext { time, not_before: time }.into(),
                "not valid before 2026-09-21T14:13:20Z yet; set the clock",
            ),
            (
                Certificate::NotValidForNameContext { expected, presented }.into(),
                "is for mx.example.org, and not for mail.example.org; name the server",
            ),
            (Error::InvalidMessage(InvalidMessage::InvalidContentType), "speaks no TLS; check"),
            (Error::AlertReceived(AlertDescription::CertificateRequired), "wants a certificate"),
            (Error::AlertReceived(AlertDescription::UnknownCA), "not accept our certificate"),
            (Error::DecryptError, "TLS fails: "),
        ] {
            let words = words(&error);
            assert!(words.contains(part), "{error:?}: {words}");
        }
    }

    #[test]
    fn the_failure_is_found_among_the_causes() {
        let error = || Error::InvalidCertificate(Certificate::Revoked);
        assert_eq!(cause(&io::Error::other(error())), Some(&error()));
        let outer = io::Error::other(io::Error::other(error()));
        assert_eq!(cause(&outer), Some(&error()));
        assert_eq!(cause(&io::Error::other("else")), None);
    }
}
