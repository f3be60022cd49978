//! Buildbot status targets.
fn main() {}
