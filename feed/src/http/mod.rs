//! The feed over HTTP: one process reads the master, others read the feed.

pub mod api;
pub mod client;
mod problem;
mod words;
