//! How a master is reached.

use crate::{Metrics, Watch};
use std::{fmt, time::Duration};
use url::Url;

/// Where a master is and how it is read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The master's address, ending in `/`: `www.port` or what a proxy makes of it.
    pub url: Url,
    /// An account of the master, where its API is not open to everybody.
    pub login: Option<Login>,
    /// Certificates (PEM) of authorities to trust beside the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// How many builds are loaded into an empty journal; default 1000.
    pub history_builds: usize,
    /// Time between two slow reconciliations; default 5 minutes.
    pub reconcile: Duration,
    /// Deadline of one REST answer; default 30 s.
    pub timeout: Duration,
    /// Time between two pings of the websocket; a missing answer for as long again
    /// ends the connection. Default 10 s.
    pub ping: Duration,
    /// Logs that somebody watches grow.
    pub watch: Watch,
    /// Where figures go; unregistered by default.
    pub metrics: Metrics,
}

impl Settings {
    /// The defaults for the master at `url`; a missing `/` at its end is added.
    pub fn new(mut url: Url) -> Self {
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        url.set_query(None);
        url.set_fragment(None);
        Self {
            url,
            login: None,
            ca_pem: None,
            history_builds: 1000,
            reconcile: Duration::from_secs(300),
            timeout: Duration::from_secs(30),
            ping: Duration::from_secs(10),
            watch: Watch::default(),
            metrics: Metrics::default(),
        }
    }
}

/// An account of the master; the password is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Name of the user.
    pub username: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}
