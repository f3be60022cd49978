//! Which lines of a log a page shows.

/// Lines on one page: as many as a browser shows without effort.
pub const PAGE: u64 = 10_000;

/// Lines of a log, numbered from 1 as pages number them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first line.
    pub first: u64,
    /// The last line; before `first` where the log is empty or shorter.
    pub last: u64,
    /// Lines of the log.
    pub total: u64,
}

/// An argument that is no number of a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("first={0} is no line: the argument takes a number from 1 on")]
pub struct BadWindow(pub String);

impl Window {
    /// The page that begins with line `first` (an argument, hence text), of `size` lines.
    /// Beyond the end the last page is shown.
    ///
    /// # Errors
    /// [`BadWindow`] for an argument that is no number or 0.
    pub fn new(first: Option<&str>, size: u64, total: u64) -> Result<Self, BadWindow> {
        let first = match first {
            None | Some("") => 1,
            Some(text) => match text.parse() {
                Ok(first) if first > 0 => first,
                _ => return Err(BadWindow(text.chars().take(40).collect())),
            },
        };
        let first = if first > total { Self::start_of_last(size, total) } else { first };
        Ok(Self { first, last: total.min(first.saturating_add(size - 1)), total })
    }

    /// The page that begins with line `first` of a log whose end is not known yet: as long as a
    /// page may be.
    ///
    /// # Errors
    /// As [`Window::new`].
    pub fn open(first: Option<&str>, size: u64) -> Result<Self, BadWindow> {
        Self::new(first, size, u64::MAX)
    }

    fn start_of_last(size: u64, total: u64) -> u64 {
        total.saturating_sub(1) / size * size + 1
    }

    /// How many lines the page shows.
    pub fn count(&self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }

    /// Whether the page ends where the log ends, so that new lines belong to it.
    pub fn reaches_end(&self) -> bool {
        self.last >= self.total
    }

    /// Where the page before begins.
    pub fn earlier(&self, size: u64) -> Option<u64> {
        (self.first > 1).then(|| self.first.saturating_sub(size).max(1))
    }

    /// Where the page after begins.
    pub fn later(&self) -> Option<u64> {
        (self.last < self.total).then_some(self.last + 1)
    }

    /// Where the last page begins, unless this is it.
    pub fn end(&self, size: u64) -> Option<u64> {
        (self.last < self.total).then(|| Self::start_of_last(size, self.total))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn window(first: Option<&str>, total: u64) -> (u64, u64) {
        let w = Window::new(first, 100, total).unwrap();
        (w.first, w.last)
    }

    #[test]
    fn p13_a_long_log_is_shown_page_by_page() {
        assert_eq!(window(None, 250), (1, 100));
        assert_eq!(window(Some("101"), 250), (101, 200));
        assert_eq!(window(Some("201"), 250), (201, 250));
        assert_eq!(window(Some("37"), 250), (37, 136));
        assert_eq!(window(Some("99999999999"), 250), (201, 250), "beyond the end");
        assert_eq!(window(Some("18446744073709551615"), 200), (101, 200));
        let w = Window::new(Some("101"), 100, 250).unwrap();
        assert_eq!((w.earlier(100), w.later(), w.end(100)), (Some(1), Some(201), Some(201)));
        assert!(!w.reaches_end());
    }

    #[test]
    fn p13_an_empty_log_is_an_empty_page() {
        let w = Window::new(None, 100, 0).unwrap();
        assert_eq!((w.count(), w.reaches_end(), w.earlier(100), w.later()), (0, true, None, None));
    }

    #[test]
    fn p13_an_argument_that_is_no_line_is_named() {
        for bad in ["0", "-1", "x", "1e3", "99999999999999999999999"] {
            let error = Window::new(Some(bad), 100, 5).unwrap_err().to_string();
            assert!(error.starts_with(&format!("first={bad} ")), "{error}");
        }
    }
}
