//! `…/steps/STEP`: one step (P12).

use super::{build::step_line, find::build_path, find::builder_path};
use crate::{Ask, Html, PageError, view::BuilderView};
use minijinja::context;
use model::{Build, Step};

/// The page.
///
/// # Errors
/// 500 when the template fails.
pub fn page(
    ask: &Ask<'_>,
    builder: &BuilderView,
    build: &Build,
    step: &Step,
) -> Result<Html, PageError> {
    let shown: Vec<&Step> = build.shown_steps().collect();
    let at = shown.iter().position(|s| s.id == step.id);
    let name = |step: &&Step| {
        context! { name => step.name.clone(), url => super::find::step_path(builder.name(), build.number, &step.name) }
    };
    ask.render(
        "step.html",
        context! {
            b => context! { name => builder.name(), url => builder_path(builder.name()) },
            number => build.number,
            build_url => build_path(builder.name(), build.number),
            step => step_line(ask, builder, build, step, 1),
            before => at.and_then(|at| shown.get(at.checked_sub(1)?)).map(name),
            after => at.and_then(|at| shown.get(at + 1)).map(name),
        },
    )
}
