//! Server-sent events, of which none may be larger than is bearable.
//!
//! Crates that parse them keep whatever comes, and look at a large event again with each piece of
//! it. Here an event has a bound and each byte is looked at once.

use std::collections::VecDeque;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Its name.
    pub(super) name: String,
    /// Its id, if it has one.
    pub(super) id: Option<String>,
    /// Its data, lines joined.
    pub(super) data: String,
}

/// Why a stream can't be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("an event has more than {0} bytes")]
    TooLarge(usize),
    #[error("an event is no UTF-8 text")]
    NoText,
}

/// Makes events of bytes. Lines end with LF or CR LF.
#[derive(Debug)]
pub(super) struct Parser {
    limit: usize,
    /// A line whose end has not come.
    line: Vec<u8>,
    name: Vec<u8>,
    id: Option<Vec<u8>>,
    data: Vec<u8>,
    ready: VecDeque<Event>,
}

impl Parser {
    /// For events of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            name: Vec::new(),
            id: None,
            data: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// The next whole event.
    pub(super) fn pop(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    /// Takes what came.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<(), Unreadable> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            if self.line.is_empty() {
                self.take(line)?;
            } else {
                self.line.extend_from_slice(line);
                let line = std::mem::take(&mut self.line);
                self.take(&line)?;
            }
        }
        self.line.extend_from_slice(bytes);
        self.check()
    }

    fn check(&self) -> Result<(), Unreadable> {
        let id = self.id.as_ref().map_or(0, Vec::len);
        if self.line.len() + self.name.len() + id + self.data.len() > self.limit {
            return Err(Unreadable::TooLarge(self.limit));
        }
        Ok(())
    }

    fn take(&mut self, line: &[u8]) -> Result<(), Unreadable> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => self.name = value.to_vec(),
            b"id" => self.id = Some(value.to_vec()),
            b"data" => {
                if !self.data.is_empty() {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            // A comment, which keeps the connection alive, or a field of no use here.
            _ => {}
        }
        self.check()
    }

    fn dispatch(&mut self) -> Result<(), Unreadable> {
        let text = |bytes| String::from_utf8(bytes).map_err(|_| Unreadable::NoText);
        let name = text(std::mem::take(&mut self.name))?;
        let id = self.id.take().map(text).transpose()?;
        let data = text(std::mem::take(&mut self.data))?;
        if !name.is_empty() || !data.is_empty() {
            self.ready.push_back(Event { name, id, data });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = ": hello\n\nevent: record\nid: 1.2\ndata: {\"a\":\ndata: 1}\n\n:\n\n\
        event: resync\r\nid: 1.3~a.1\r\n\r\nretry: 5\nevent:state\ndata:x\n\nevent: unfinished\n";

    fn events() -> Vec<Event> {
        let event = |name: &str, id: Option<&str>, data: &str| Event {
            name: name.into(),
            id: id.map(Into::into),
            data: data.into(),
        };
        vec![
            event("record", Some("1.2"), "{\"a\":\n1}"),
            event("resync", Some("1.3~a.1"), ""),
            event("state", None, "x"),
        ]
    }

    proptest! {
        #[test]
        fn events_are_the_same_however_the_bytes_are_cut(cuts in prop::collection::vec(0..TEXT.len(), 0..20)) {
            let mut cuts = cuts;
            cuts.extend([0, TEXT.len()]);
            cuts.sort_unstable();
            let mut parser = Parser::new(1000);
            for pair in cuts.windows(2) {
                parser.push(&TEXT.as_bytes()[pair[0]..pair[1]]).unwrap();
            }
            let found: Vec<Event> = std::iter::from_fn(|| parser.pop()).collect();
            prop_assert_eq!(found, events());
        }

        #[test]
        fn no_bytes_break_it_and_none_are_kept_beyond_the_bound(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..40),
        ) {
            let mut parser = Parser::new(100);
            for piece in pieces {
                if parser.push(&piece).is_err() {
                    break;
                }
                prop_assert!(parser.line.len() + parser.data.len() <= 100);
            }
        }
    }

    #[test]
    fn an_event_beyond_the_bound_is_refused_as_one_line_and_as_many() {
        let long = format!("data: {}", "x".repeat(101));
        assert_eq!(Parser::new(100).push(long.as_bytes()), Err(Unreadable::TooLarge(100)));
        let lines = "data: xxxxxxxxx\n".repeat(11);
        assert_eq!(Parser::new(100).push(lines.as_bytes()), Err(Unreadable::TooLarge(100)));
        let many = "data: xxxxxxxxx\n\n".repeat(50);
        assert_eq!(Parser::new(100).push(many.as_bytes()), Ok(()));
    }
}
