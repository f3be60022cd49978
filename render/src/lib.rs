//! Templates, decisions and interpolation over one documented build context.
//!
//! Users say things in three ways: Jinja templates ([`Template`]), CEL decisions
//! ([`Decision`]) and Buildbot's `%(prop:NAME)s` ([`Interpolation`]). All three see the same
//! [`BuildContext`], which `docs/build-context.md` describes field by field. All three are parsed
//! when settings are read, so that mistakes are told then, with their place; and all three are
//! bounded, so that no text of a user's can hold up or blow up a process.
//!
//! ```
//! use render::{BuildContext, Interpolation, Site};
//! let build = model::Build { number: 7, ..model::Build::default() };
//! let context = BuildContext::new(&build, &Site::default());
//! let subject = Interpolation::parse("build %(prop:version:-unknown)s: %(result)s").unwrap();
//! assert_eq!(subject.render(&context), "build unknown: running");
//! ```

// The build of the tests in `tests/`, which know this crate by its name.
#[cfg(test)]
extern crate self as render;

mod bounded;
mod context;
mod decision;
#[cfg(test)]
mod fuzz;
mod interpolate;
mod sample;
mod template;

pub use bounded::Bounded;
pub use context::{
    BuildContext, BuilderContext, ChangeContext, LogContext, PatchContext, Site, SourceContext,
    StepContext, UrlContext,
};
pub use decision::{Decision, DecisionError};
pub use interpolate::{Interpolation, InterpolationError};
pub use sample::sample;
pub use template::{Format, Limits, Template, TemplateError};
