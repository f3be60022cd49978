//! What a reader finds on a waterfall: read from the HTML that the server sent.

use percent_encoding::percent_decode_str;
use std::collections::{BTreeMap, BTreeSet};

/// A build: builder and number.
pub type Key = (String, u64);

/// One page.
#[derive(Debug, Default)]
pub struct Page {
    /// All of its HTML.
    pub html: String,
    /// The columns' builders, in their order.
    pub columns: Vec<String>,
    /// Boxes of builds, with the word for the result.
    pub builds: BTreeMap<Key, String>,
    /// Steps in the boxes, and their logs.
    pub steps: BTreeMap<Key, BTreeMap<String, BTreeSet<String>>>,
    /// Changes by id.
    pub changes: BTreeSet<u64>,
    /// Events that are no builds.
    pub events: Vec<String>,
    /// How many rows there are.
    pub rows: usize,
    /// The address of the next page with older builds.
    pub older: Option<String>,
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split(after).next()
}

fn plain(html: &str) -> String {
    html.replace("&quot;", "\"").replace("&#x27;", "'").replace("&lt;", "<").replace("&amp;", "&")
}

impl Page {
    /// Reads a page.
    ///
    /// # Panics
    /// When a build stands on it twice.
    pub fn read(html: String) -> Self {
        let mut page = Self::default();
        let (head, body) = html.split_once("<tbody").expect("a page has rows");
        let head = head.split_once("<thead>").expect("a page has headings").1;
        // A column's heading begins with its builder.
        for heading in head.split("<th scope=col><b>").skip(1) {
            page.columns.push(parts(between(heading, "href=\"", "\"").unwrap())[1].clone());
        }
        for link in body.split("href=\"").skip(1) {
            let (address, rest) = link.split_once('"').unwrap();
            let parts = parts(address);
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let key = |builder: &str, n: &str| (builder.to_owned(), n.parse().expect("a number"));
            match parts[..] {
                ["builders", builder, "builds", n] => {
                    let word = between(rest, "<u>", "</u>").unwrap().to_owned();
                    let twice = page.builds.insert(key(builder, n), word);
                    assert_eq!(twice, None, "{builder} {n} stands twice");
                }
                ["builders", builder, "builds", n, "steps", step] => {
                    let steps = page.steps.entry(key(builder, n)).or_default();
                    steps.entry(step.to_owned()).or_default();
                }
                ["builders", builder, "builds", n, "steps", step, "logs", log] => {
                    let steps = page.steps.entry(key(builder, n)).or_default();
                    steps.entry(step.to_owned()).or_default().insert(log.to_owned());
                }
                ["changes", id] => {
                    page.changes.insert(id.parse().expect("a number"));
                }
                _ => {}
            }
        }
        let events = body.split("<div class=ev>").skip(1);
        page.events = events.map(|e| plain(e.split("</div>").next().unwrap())).collect();
        page.rows = body.matches("<tr class=t").count() + body.matches("<tr class=\"t").count();
        page.older = between(&html, "rel=next href=\"", "\"").map(plain);
        page.html = html;
        page
    }

    /// The builds, without their words.
    pub fn keys(&self) -> BTreeSet<Key> {
        self.builds.keys().cloned().collect()
    }
}

/// An address' segments, without the way up.
fn parts(address: &str) -> Vec<String> {
    address
        .trim_start_matches("./")
        .split('/')
        .map(|part| percent_decode_str(part).decode_utf8().unwrap().into_owned())
        .collect()
}
