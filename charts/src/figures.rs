//! The page of figures, `docs/metrics.md`, as tests hold programs, dashboards and alerts against it.

use std::collections::BTreeMap;

/// A figure, as its row says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// The names of its labels, without `master`, which the page leaves out.
    pub labels: Vec<String>,
    /// What it means; values that a label can have are between back quotes.
    pub meaning: String,
}

/// A row that is not as all others are.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// It has other cells, or an empty one.
    #[error("a row has a name, type, labels, unit and meaning, unlike this one: {0}")]
    Cells(String),
    /// Another row is about the same figure.
    #[error("{0} has two rows")]
    Twice(String),
}

/// The figures of the page, by name.
///
/// ```
/// let page = "| `a_total` | counter | `kind`, `result` | things | Things. `result`: `ok`, `bad`. |";
/// let figures = charts::figures(page)?;
/// assert_eq!(figures["a_total"].labels, ["kind", "result"]);
/// assert!(figures["a_total"].has_value("bad"));
/// # Ok::<(), charts::PageError>(())
/// ```
///
/// # Errors
/// [`PageError`], for the first row that is odd.
pub fn figures(page: &str) -> Result<BTreeMap<String, Figure>, PageError> {
    let mut figures = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, name, kind, labels, unit, meaning, _] = cells[..] else {
            return Err(PageError::Cells(row.to_owned()));
        };
        if [kind, unit, meaning].contains(&"") {
            return Err(PageError::Cells(row.to_owned()));
        }
        let bare = |text: &str| text.trim().trim_matches('`').to_owned();
        let labels = labels.split(',').map(bare).filter(|label| !label.is_empty()).collect();
        let figure = Figure { kind: kind.to_owned(), labels, meaning: meaning.to_owned() };
        if figures.insert(bare(name), figure).is_some() {
            return Err(PageError::Twice(bare(name)));
        }
    }
    Ok(figures)
}

impl Figure {
    /// Whether the row names a label's value.
    pub fn has_value(&self, value: &str) -> bool {
        self.meaning.contains(&format!("`{value}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::{PageError, figures};

    #[test]
    fn a_row_that_is_odd_or_there_twice_is_named() {
        let cells = |row: &str| Err(PageError::Cells(row.to_owned()));
        for row in ["| `a` | gauge | | bytes |", "| `a` | gauge | | bytes | |"] {
            assert_eq!(figures(row), cells(row));
        }
        let row = "| `a` | gauge |  | bytes | Bytes. |\n";
        assert_eq!(figures(&row.repeat(2)), Err(PageError::Twice("a".to_owned())));
        assert_eq!(figures(row).map(|found| found["a"].labels.len()), Ok(0));
    }
}
