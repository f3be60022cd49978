//! Reads some builds of a master, and no more: for who asks about them without following it.

use crate::{
    Batch, Client, ClientError, Known, Sink, SinkError,
    assembler::{Assembler, Observation},
    history,
    raw::RawBuild,
    survey,
};
use model::{Build, BuildId};

/// Builds of the same builder that are read with the one that is asked for: what it is compared with.
const BEFORE: usize = 10;

/// Which finished builds are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// So many, of all builders: those that began last.
    Last(usize),
    /// One, and some that its builder did before it.
    Build {
        /// Its builder's name.
        builder: String,
        /// Its number.
        number: u64,
    },
}

/// Why builds were not read.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    /// The master does not answer as it should.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The sink did not take them.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The master has no builder of that name.
    #[error("the master has no builder {name:?}; it has {}", some(.known))]
    NoBuilder {
        /// The name.
        name: String,
        /// Those that it has.
        known: Vec<String>,
    },
    /// The builder has no finished build of that number.
    #[error("builder {builder:?} has no finished build {number}{}", below(*.newest))]
    NoBuild {
        /// The builder's name.
        builder: String,
        /// The number.
        number: u64,
        /// The highest below it.
        newest: Option<u64>,
    },
}

/// Reads the master's builders and workers, and those builds with all that belongs to them; they go to
/// the sink as its past, in one batch.
///
/// # Errors
/// [`OnceError`].
pub async fn once(client: &Client, wanted: &Wanted, sink: &mut impl Sink) -> Result<(), OnceError> {
    let mut batch = Batch::default();
    let mut assembler = Assembler::new(Known::default());
    let mut observe = |assembler: &mut Assembler, observation| {
        let effects = assembler.observe(observation);
        batch.history.extend(effects.history);
        batch.dirty.merge(effects.dirty);
    };
    observe(&mut assembler, client.meta().await?);
    observe(&mut assembler, client.builders().await?);
    observe(&mut assembler, client.workers().await?);
    let rows = match wanted {
        Wanted::Last(most) => {
            let mut marks = Assembler::new(Known::default());
            marks.observe(survey::baseline(client).await?);
            history::list(client, marks.world().highest.history, *most).await?
        }
        Wanted::Build { builder, number } => {
            let builders = &assembler.world().builders;
            let Some(id) = builders.values().find(|b| b.name.as_str() == builder).map(|b| b.id)
            else {
                let known = builders.values().map(|b| b.name.to_string()).collect();
                return Err(OnceError::NoBuilder { name: builder.clone(), known });
            };
            upto(client, id.0, *number).await.map_err(|error| error.named(builder, *number))?
        }
    };
    let builds = history::whole_of(client, rows).await?;
    observe(&mut assembler, Observation::History { builds, below: BuildId(0) });
    sink.commit(batch, assembler.world()).await?;
    Ok(())
}

/// Why a builder's builds up to a number can't be had.
enum Missing {
    Client(ClientError),
    Number(Option<u64>),
}

impl Missing {
    fn named(self, builder: &str, number: u64) -> OnceError {
        match self {
            Self::Client(error) => error.into(),
            Self::Number(newest) => {
                OnceError::NoBuild { builder: builder.to_owned(), number, newest }
            }
        }
    }
}

/// Rows of a builder's finished build and of some before it, newest first.
async fn upto(client: &Client, builder: u64, number: u64) -> Result<Vec<Build>, Missing> {
    let path = format!(
        "api/v2/builders/{builder}/builds?complete=true&number__le={number}&order=-number&limit={}",
        BEFORE + 1
    );
    let raw: Vec<RawBuild> = client.list(&path).await.map_err(Missing::Client)?;
    let rows: Vec<Build> =
        raw.into_iter().map(Build::from).filter(|build| build.outcome.is_some()).collect();
    match rows.first().map(|build| build.number) {
        Some(newest) if newest == number => Ok(rows),
        newest => Err(Missing::Number(newest)),
    }
}

/// Some names, for people.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 10;
    if names.is_empty() {
        return "none".to_owned();
    }
    let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

fn below(number: Option<u64>) -> String {
    number.map(|number| format!("; the last below it is {number}")).unwrap_or_default()
}
