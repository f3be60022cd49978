//! A real SMTP server and what it took.

use crate::{Process, python, wait_until};
use serde_json::Value;
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

/// The server; its messages are files in a folder.
#[derive(Debug)]
pub struct Mailbox {
    folder: PathBuf,
    port: u16,
    _process: Process,
}

/// A message as it arrived.
#[derive(Clone, Debug)]
pub struct Mail {
    text: String,
    at: Option<SystemTime>,
}

impl Mailbox {
    /// Starts the server; it keeps messages below `parent`.
    pub async fn start(parent: &Path) -> Self {
        let folder = parent.join("mail");
        fs::create_dir_all(&folder).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/smtpd.py");
        let process = Process::start(
            Command::new(python()).arg(script).arg(&folder),
            &parent.join("smtpd.out"),
        );
        let port =
            wait_until("the SMTP server says its port", Duration::from_secs(30), async || {
                process.printed().strip_suffix('\n')?.parse().ok()
            })
            .await;
        Self { folder, port, _process: process }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Every message, in the order of arrival.
    pub fn mails(&self) -> Vec<Mail> {
        let mut files: Vec<PathBuf> = fs::read_dir(&self.folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "eml"))
            .collect();
        files.sort();
        files
            .iter()
            .map(|file| Mail {
                text: String::from_utf8_lossy(&fs::read(file).unwrap()).replace("\r\n", "\n"),
                at: fs::metadata(file).and_then(|about| about.modified()).ok(),
            })
            .collect()
    }
}

impl Mail {
    /// A message with plain line ends.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), at: None }
    }

    /// A header, unfolded; empty if there is none.
    pub fn header(&self, name: &str) -> String {
        let head = self
            .text
            .split("\n\n")
            .next()
            .unwrap_or_default()
            .replace("\n ", " ")
            .replace("\n\t", " ");
        let wanted = format!("{}:", name.to_ascii_lowercase());
        let found = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&wanted));
        found.map(|line| line[wanted.len()..].trim().to_owned()).unwrap_or_default()
    }

    /// The message as Python's own parser reads it: see `peers/read_mail.py`.
    pub fn read(&self) -> Value {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/read_mail.py");
        let mut python = Command::new(python());
        python.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut python = python.spawn().unwrap();
        python.stdin.take().unwrap().write_all(self.text.as_bytes()).unwrap();
        let output = python.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", self.text);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// When the server had it whole; `None` of one that did not come by a server.
    pub fn at(&self) -> Option<SystemTime> {
        self.at
    }

    /// The whole message.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The body with quoted-printable's soft breaks and codes undone as far as the tests need.
    pub fn body(&self) -> String {
        let body = self.text.split_once("\n\n").map_or("", |(_, body)| body);
        if !self.text.to_ascii_lowercase().contains("quoted-printable") {
            return body.to_owned();
        }
        let joined = body.replace("=\n", "");
        let mut bytes = Vec::with_capacity(joined.len());
        let mut rest = joined.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            let code = after
                .get(..2)
                .and_then(|hex| std::str::from_utf8(hex).ok())
                .and_then(|hex| u8::from_str_radix(hex, 16).ok());
            match code {
                Some(code) if byte == b'=' => {
                    bytes.push(code);
                    rest = &after[2..];
                }
                _ => {
                    bytes.push(byte);
                    rest = after;
                }
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
