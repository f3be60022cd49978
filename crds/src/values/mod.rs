//! Values that settings share: durations and sizes.

pub mod duration;
pub mod size;
