//! Why the program ends early: one text for the terminal, and an exit code.

use crate::{plan::PlanError, running::StartError, telemetry::TelemetryError};
use crds::manifest::ManifestError;
use feed::http::{client::RemoteError, token::KeysError};
use std::{fmt, io, net::SocketAddr, path::PathBuf};

/// Why the program ends early.
#[derive(Debug)]
pub enum Failure {
    /// Mistakes in manifests, all of them.
    Manifests(Vec<ManifestError>),
    /// Documents that can't run together.
    Plan(PlanError),
    /// Something can't be started.
    Start(Box<StartError>),
    /// Targets that can't say anything, all of them.
    Asked(Vec<StartError>),
    /// Logging can't be set up.
    Telemetry(TelemetryError),
    /// Two figures of one name: a fault of this program.
    Figures(prometheus::Error),
    /// The address for metrics can't be bound.
    Metrics {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The address that a feed is to be served at can't be bound.
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A feed elsewhere can't be asked at all.
    Remote(RemoteError),
    /// The keys of tokens can't be used.
    Keys(KeysError),
    /// The system lets no signals be watched.
    Signals(io::Error),
    /// A folder can't be used.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Arguments that don't go together.
    Usage(String),
    /// Anything else, in words.
    Other(String),
}

impl Failure {
    /// 2 for what the user can mend in arguments and manifests, as `kubectl` and `clap` have it.
    pub fn code(&self) -> u8 {
        match self {
            Self::Start(error) if error.is_mistake() => 2,
            Self::Asked(mistakes) if mistakes.iter().all(StartError::is_mistake) => 2,
            Self::Manifests(_)
            | Self::Plan(_)
            | Self::Telemetry(_)
            | Self::Keys(_)
            | Self::Remote(_)
            | Self::Usage(_) => 2,
            _ => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifests(mistakes) => {
                for mistake in mistakes {
                    writeln!(f, "{mistake}")?;
                }
                let many = if mistakes.len() == 1 { "mistake" } else { "mistakes" };
                write!(f, "{} {many}: nothing was started", mistakes.len())
            }
            Self::Plan(error) => error.fmt(f),
            Self::Start(error) => error.fmt(f),
            Self::Asked(mistakes) => {
                let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
            Self::Telemetry(error) => error.fmt(f),
            Self::Figures(error) => write!(f, "metrics can't be registered: {error}"),
            Self::Metrics { address, source } => {
                write!(
                    f,
                    "--metrics: can't listen on {address}: {source}; give another address or port 0"
                )
            }
            Self::Listen { address, source } => {
                write!(
                    f,
                    "--listen: can't listen on {address}: {source}; give another address or port 0"
                )
            }
            Self::Remote(error) => error.fmt(f),
            Self::Keys(error) => write!(f, "--keys: {error}"),
            Self::Signals(source) => write!(f, "signals can't be watched: {source}"),
            Self::Folder { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Usage(text) | Self::Other(text) => f.write_str(text),
        }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

impl From<prometheus::Error> for Failure {
    fn from(error: prometheus::Error) -> Self {
        Self::Figures(error)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::Start(Box::new(error))
    }
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        Self::Remote(error)
    }
}

impl From<KeysError> for Failure {
    fn from(error: KeysError) -> Self {
        Self::Keys(error)
    }
}

impl From<TelemetryError> for Failure {
    fn from(error: TelemetryError) -> Self {
        Self::Telemetry(error)
    }
}
