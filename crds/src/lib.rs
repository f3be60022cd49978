//! The resource kinds, their settings and rules, and the reader of manifests.
