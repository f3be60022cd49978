//! The feed over HTTP: one process reads the master, others read the feed.

pub mod api;
pub mod client;
mod problem;
pub mod server;
pub mod token;
pub(crate) mod words;
