//! WebStatus: the view in memory, its pages, templates and static files.
//!
//! [`view::View`] is all that is known of a master, fed by [`view::follow`]. A page is a pure
//! function from an [`Ask`] (view, settings, query) to [`Html`]; [`server`] does the rest.

// The world of the tests in `tests/`, which know this crate by its name.
#[cfg(test)]
extern crate self as webui;

mod caching;
#[cfg(test)]
mod fuzz;
pub mod listen;
pub mod logs;
mod marks;
mod page;
pub mod pages;
pub mod public_html;
mod query;
pub mod server;
mod site;
mod statics;
mod templates;
pub mod testing;
pub mod text;
pub mod view;
pub mod waterfall;

pub use page::{Ask, Html, PageError};
pub use query::Query;
pub use site::Site;
pub use templates::{TemplateFailure, Templates};
