//! WebStatus: the view in memory, its pages, templates and static files.

pub mod logs;
pub mod text;
