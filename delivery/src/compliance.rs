//! The test that every target passes.
