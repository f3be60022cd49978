//! Logs in plain words: time, level if it is not INFO, what it is about, and the sentence.
//!
//! ```text
//! 22:10:05 mail build/340/finished: delivered (attempts 1)
//! 22:10:07 WARN  the master at http://ci:8010/ does not answer; tried again in 4 s
//! ```

use std::fmt::{self, Write as _};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
    registry::LookupSpan,
};

/// Formats events and the spans that they are in.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl<S> FormatEvent<S, Self> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, Self>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(out, "{} ", jiff::ZonedDateTime::now().strftime("%H:%M:%S"))?;
        let level = *event.metadata().level();
        if level != Level::INFO {
            write!(out, "{level:<5} ")?;
        }
        let mut about = String::new();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<FormattedFields<Self>>()
                && !fields.is_empty()
            {
                write!(about, "{} ", fields.fields)?;
            }
        }
        if !about.is_empty() {
            write!(out, "{}: ", about.trim_end())?;
        }
        let mut said = Sentence::default();
        event.record(&mut said);
        write!(out, "{}", said.message)?;
        if !said.more.is_empty() {
            write!(out, " ({})", said.more)?;
        }
        writeln!(out)
    }
}

/// Of a span only what it is about: the target's name and the event's identity.
impl<'writer> FormatFields<'writer> for Plain {
    fn format_fields<R: RecordFields>(&self, mut out: Writer<'writer>, fields: R) -> fmt::Result {
        let mut about = About::default();
        fields.record(&mut about);
        out.write_str(about.0.trim_end())
    }
}

#[derive(Default)]
struct About(String);

impl Visit for About {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = one_line(&format!("{value:?}"));
        match field.name() {
            "target_name" => self.0 += &format!("{text} "),
            // `MASTER/DATABASE/build/340/finished`: which master is clear in one process.
            "identity" => {
                let event = text.splitn(3, '/').last().unwrap_or_default();
                self.0 += &format!("{event} ");
            }
            _ => {}
        }
    }
}

#[derive(Default)]
struct Sentence {
    message: String,
    more: String,
}

impl Sentence {
    fn put(&mut self, field: &Field, text: &str) {
        let text = one_line(text);
        if field.name() == "message" {
            self.message = text;
        } else {
            let comma = if self.more.is_empty() { "" } else { ", " };
            // Writing to a String can't fail.
            let _ = write!(self.more, "{comma}{} {text}", field.name());
        }
    }
}

impl Visit for Sentence {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
}

/// Text from outside can't break a line or drive the terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::Plain;
    use std::{
        io,
        sync::{Arc, Mutex},
    };
    use tracing_subscriber::{fmt::MakeWriter, layer::SubscriberExt as _};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("one test").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Page {
        type Writer = Self;
        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_line_says_when_what_it_is_about_and_what_happened() {
        let page = Page::default();
        let layer = tracing_subscriber::fmt::layer()
            .fmt_fields(Plain)
            .event_format(Plain)
            .with_writer(page.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let identity = "uid/0/build/340/finished";
            let span = tracing::info_span!("deliver", target_name = "team", kind = "mail", identity = %identity);
            span.in_scope(|| tracing::info!(attempts = 1, "delivered"));
            tracing::warn!("line\nbreak \u{1b}[31m");
        });
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| &line[9..]).collect();
        assert_eq!(
            lines,
            [
                "team build/340/finished: delivered (attempts 1)",
                "WARN  line\u{fffd}break \u{fffd}[31m"
            ]
        );
    }
}
