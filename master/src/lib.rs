//! Client of a Buildbot 4.x master: REST, websocket, login, assembly, catch-up.
//!
//! A master offers frames on a websocket with no replay, and REST answers. This crate makes
//! complete events of both, each once, whatever was cut, killed or repeated in between, and
//! hands them to a [`Sink`] (the feed's journal). [`run`] follows a real master for ever,
//! [`play`] a recorded one; [`once`] reads some builds and leaves.
//!
//! ```
//! use master::{LogChunk, Settings};
//! let settings = Settings::new("http://127.0.0.1:8010/bb".parse().unwrap());
//! assert_eq!(settings.url.as_str(), "http://127.0.0.1:8010/bb/");
//! let chunk = LogChunk { first: 3, text: "oone\notwo\n".into() };
//! assert_eq!(chunk.count(), 2);
//! ```

mod assembler;
mod capture;
mod client;
mod connection;
mod error;
mod figures;
mod frames;
#[cfg(test)]
mod fuzz;
mod history;
mod logs;
mod metrics;
mod once;
mod raw;
mod recorded;
mod settings;
mod sink;
mod socket;
mod state;
mod survey;
mod tls;

pub use assembler::{Assembler, Effects, Need, Observation};
pub use client::Client;
pub use connection::{run, run_with};
pub use error::ClientError;
pub use figures::Figures;
pub use logs::{LogChunk, LogSource, Watch, WatchGuard};
pub use metrics::Metrics;
pub use once::{OnceError, Wanted, once};
pub use recorded::{PlayOptions, Recording, RecordingError, play};
pub use settings::{Login, Settings};
pub use sink::{Batch, Dirty, Fingerprint, Known, Sink, SinkError};
pub use state::{MasterState, StateKind};
pub use tls::config as tls;
