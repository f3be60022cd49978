//! The feed over HTTP: one process reads the master, others read the feed.

pub mod api;
mod problem;
mod words;
