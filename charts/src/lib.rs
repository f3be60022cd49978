//! The Helm charts lie beside this crate; it holds what keeps their generated parts true: the tables of values in
//! their READMEs, made from the comments in `values.yaml`; and the page of figures that dashboards and alerts ask for.
//!
//! ```
//! let table = charts::values_table("
//! ## How many pods.
//! replicas: 1
//! log:
//!   ## A level.
//!   level: info
//! ")?;
//! assert!(table.contains("| `replicas` | `1` | How many pods. |"));
//! assert!(table.contains("| `log.level` | `\"info\"` | A level. |"));
//! # Ok::<(), charts::TableError>(())
//! ```

mod figures;

pub use figures::{Figure, PageError, figures};

use serde_json::Value;

/// Before the table in a README.
const BEGIN: &str = "<!-- values: written by UPDATE_GENERATED=1 cargo test -p charts -->\n";
/// After it.
const END: &str = "<!-- end of values -->\n";

/// Why a table can't be made.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The values are no YAML.
    #[error("values.yaml: {0}")]
    Yaml(#[from] serde_saphyr::Error),
    /// Nothing is said of a value.
    #[error("values.yaml: {0} has no comment above it that says what it is for")]
    Comment(String),
    /// The README has no place for the table.
    #[error(
        "README.md: a line {BEGIN:?} and a line {END:?} are needed, for the table between them"
    )]
    Place,
}

/// One key of `values.yaml`.
struct Key<'a> {
    indent: usize,
    name: &'a str,
    /// Whether the key itself, or one above it, has a comment.
    explained: bool,
}

/// The table of all values: name, default, and the comment right above it.
///
/// A comment on a map stands for all that is in it, and the map is one row.
///
/// # Errors
/// When the text is no YAML, and for the first value without a comment.
pub fn values_table(values: &str) -> Result<String, TableError> {
    let mut defaults: Value = serde_saphyr::from_str(values)?;
    // Whatever features of serde_json other crates switch on, the table stays the same.
    defaults.sort_all_objects();
    let mut table = "| value | default | what it does |\n|---|---|---|\n".to_owned();
    let mut above: Vec<Key<'_>> = Vec::new();
    let mut comment = Vec::new();
    for line in values.lines() {
        let text = line.trim_start();
        if let Some(words) = text.strip_prefix("# ") {
            comment.push(words);
            continue;
        }
        let name = text.split_once(':').map(|(name, _)| name);
        let name = name.filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric()));
        let (Some(name), words) = (name, std::mem::take(&mut comment).join(" ")) else { continue };
        let indent = line.len() - text.len();
        while above.pop_if(|key| key.indent >= indent).is_some() {}
        let inherited = above.last().is_some_and(|key| key.explained);
        let path: Vec<&str> = above.iter().map(|key| key.name).chain([name]).collect();
        let default = defaults.pointer(&format!("/{}", path.join("/"))).unwrap_or(&Value::Null);
        let filled = default.as_object().is_some_and(|map| !map.is_empty());
        if words.is_empty() && !inherited && !filled {
            return Err(TableError::Comment(path.join(".")));
        }
        if !words.is_empty() {
            let words = words.replace('|', "\\|");
            table += &format!("| `{}` | `{default}` | {words} |\n", path.join("."));
        }
        above.push(Key { indent, name, explained: inherited || !words.is_empty() });
    }
    Ok(table)
}

/// A README with the table of values in its place.
///
/// # Errors
/// As [`values_table`], and when the README has no place for it.
pub fn with_table(readme: &str, values: &str) -> Result<String, TableError> {
    let (before, rest) = readme.split_once(BEGIN).ok_or(TableError::Place)?;
    let (_, after) = rest.split_once(END).ok_or(TableError::Place)?;
    Ok(format!("{before}{BEGIN}{}{END}{after}", values_table(values)?))
}
