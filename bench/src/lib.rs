//! Measurements: `benches/` of single parts, `src/bin/process.rs` of the whole process.
