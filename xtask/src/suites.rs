//! Runs every check and test, then prints a table of suites and one line that sums them up.

use crate::{Failure, cache::Cache, cargo, root};
use std::{
    io::{BufRead as _, BufReader, pipe},
    process::Command,
    time::{Duration, Instant},
};

/// A row of the table.
#[derive(Debug, PartialEq)]
struct Suite {
    name: String,
    passed: u32,
    failed: u32,
    skipped: u32,
    seconds: f64,
}

/// Formatting, lints, tests and doctests. All run even when one fails.
pub fn run(cache: &Cache, arguments: &[String]) -> Result<(), Failure> {
    let mut suites = Vec::new();
    let mut failures = Vec::new();
    let checks: [(&str, &[&str]); 2] = [
        ("cargo fmt", &["fmt", "--all", "--check"]),
        (
            "cargo clippy",
            &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"],
        ),
    ];
    for (name, command) in checks {
        let begin = Instant::now();
        println!("== {name}");
        let fine = cargo(cache).args(command).status().is_ok_and(|status| status.success());
        if !fine {
            failures.push(name.to_owned());
        }
        suites.push(check(name, fine, begin.elapsed()));
    }
    println!("== cargo deny");
    let (fine, took) = deny(cache);
    if !fine {
        failures.push("cargo deny".to_owned());
    }
    suites.push(check("cargo deny", fine, took));
    println!("== cargo test");
    let mut command = cargo(cache);
    command.args(["test", "--workspace", "--no-fail-fast"]).args(arguments);
    // Built with the tests: tests that start the program need not build it once more.
    command.env("BUILDBOT_STATUS", cache.target().join("debug/buildbot-status"));
    let begin = Instant::now();
    // Where a test waits, the message says; a trace through the runtime's functions says no more.
    command.env("RUST_BACKTRACE", "0");
    let (Parser { suites: tests, panics, .. }, fine) = test(command)?;
    let total = begin.elapsed();
    if !fine {
        failures.push("cargo test".to_owned());
    }
    let counts =
        tests.iter().fold((0, 0, 0), |(p, f, s), t| (p + t.passed, f + t.failed, s + t.skipped));
    suites.extend(tests);
    print!("{}", table(&suites, total));
    if !fine {
        print!("{}", panics.concat());
    }
    println!("{} passed, {} failed, {} skipped", counts.0, counts.1, counts.2);
    if failures.is_empty() { Ok(()) } else { Err(format!("failed: {}", failures.join(", "))) }
}

fn check(name: &str, fine: bool, took: Duration) -> Suite {
    Suite {
        name: name.to_owned(),
        passed: u32::from(fine),
        failed: u32::from(!fine),
        skipped: 0,
        seconds: took.as_secs_f64(),
    }
}

/// Licences, bans and sources; advisories come from a git repository that not every machine can reach.
fn deny(cache: &Cache) -> (bool, Duration) {
    let begin = Instant::now();
    let mut command = Command::new(cache.deny().join("bin/cargo-deny"));
    command.current_dir(root()).args(["--log-level", "error", "check"]);
    // An exception that is no longer needed is to go.
    command.args(["-D", "unmatched-skip", "-D", "license-not-encountered"]);
    let fine = command.args(["bans", "licenses", "sources"]).status();
    (fine.is_ok_and(|status| status.success()), begin.elapsed())
}

/// Runs the tests; what they print goes on to the terminal while it is read.
fn test(mut command: Command) -> Result<(Parser, bool), Failure> {
    let broken = |error: std::io::Error| format!("cargo test: {error}");
    let (reader, writer) = pipe().map_err(broken)?;
    command.stdout(writer.try_clone().map_err(broken)?).stderr(writer);
    let mut child = command.spawn().map_err(broken)?;
    drop(command); // holds the pipe's other end open
    let mut parser = Parser::default();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line.map_err(broken)?).into_owned();
        println!("{line}");
        parser.line(&line);
    }
    let status = child.wait().map_err(broken)?;
    Ok((parser, status.success()))
}

/// Reads what `cargo test` prints.
#[derive(Debug, Default)]
struct Parser {
    name: String,
    suites: Vec<Suite>,
    /// Where tests panicked and what they said, so that the end of a long output tells why it failed.
    panics: Vec<String>,
    /// Lines of the last panic that may still come.
    more: usize,
}

/// How much of a panic's message is told again at the end.
const LINES: usize = 4;

impl Parser {
    fn line(&mut self, line: &str) {
        let line = line.trim();
        if line.starts_with("thread '") && line.contains("panicked at ") {
            self.panics.push(format!("{}: {line}\n", self.name));
            self.more = LINES;
        } else if self.more > 0 && !line.is_empty() && !line.starts_with("note: ") {
            self.more -= 1;
            self.panics.extend([format!("    {line}\n")]);
        } else {
            self.more = 0;
        }
        if let Some(rest) = line.strip_prefix("Running ") {
            self.name = binary(rest);
        } else if let Some(name) = line.strip_prefix("Doc-tests ") {
            self.name = format!("{name} (doctests)");
        } else if let Some(rest) = line.strip_prefix("test result: ") {
            let suite = result(&self.name, rest);
            // Crates without tests would only lengthen the table.
            if suite.passed + suite.failed + suite.skipped > 0 {
                self.suites.push(suite);
            }
        }
    }
}

/// `unittests src/lib.rs (/cache/debug/deps/model-0123abcd)` is `model`; `tests/a.rs (…/a-…)` is `tests/a.rs`.
fn binary(rest: &str) -> String {
    let (what, path) = rest.split_once(" (").unwrap_or((rest, ""));
    let file = path.trim_end_matches(')').rsplit('/').next().unwrap_or(path);
    let krate = file.rsplit_once('-').map_or(file, |(name, _)| name);
    if what.starts_with("unittests ") { krate.to_owned() } else { what.to_owned() }
}

/// `ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s`
fn result(name: &str, rest: &str) -> Suite {
    let count = |word: &str| {
        rest.split([';', '.'])
            .filter_map(|part| part.trim().strip_suffix(word))
            .find_map(|number| number.trim().parse().ok())
            .unwrap_or(0)
    };
    let seconds = rest
        .rsplit("finished in ")
        .next()
        .and_then(|s| s.trim_end_matches('s').parse().ok())
        .unwrap_or(0.0);
    Suite {
        name: name.to_owned(),
        passed: count("passed"),
        failed: count("failed"),
        skipped: count("ignored"),
        seconds,
    }
}

fn table(suites: &[Suite], total: Duration) -> String {
    let width = suites.iter().map(|s| s.name.chars().count()).max().unwrap_or(0).max("suite".len());
    let mut text = format!("\n{:width$}  passed  failed  skipped  seconds\n", "suite");
    for s in suites {
        text += &format!(
            "{:width$}  {:6}  {:6}  {:7}  {:7.1}\n",
            s.name, s.passed, s.failed, s.skipped, s.seconds
        );
    }
    text + &format!("\ncargo test took {} s, compilation included.\n", total.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_are_kept_with_the_suite_and_the_first_lines_of_what_they_say() {
        let mut parser = Parser::default();
        for line in [
            "     Running tests/real_master.rs (/c/debug/deps/real_master-aa)",
            "thread 'it_waits' (7) panicked at e2e/src/process.rs:97:9:",
            "waited 180 s in vain: a mail",
            "note: run with `RUST_BACKTRACE=1`",
            "test it_waits ... FAILED",
        ] {
            parser.line(line);
        }
        let said = "tests/real_master.rs: thread 'it_waits' (7) panicked at e2e/src/process.rs:97:9:\n    \
                    waited 180 s in vain: a mail\n";
        assert_eq!(parser.panics.concat(), said);
    }

    #[test]
    fn what_cargo_prints_becomes_rows_with_counts_and_seconds() {
        let mut parser = Parser::default();
        for line in [
            "     Running unittests src/lib.rs (/c/debug/deps/model-3f7d1c)",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s",
            "     Running tests/real_master.rs (/c/debug/deps/real_master-aa)",
            "test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 61.50s",
            "   Doc-tests model",
            "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ] {
            parser.line(line);
        }
        let suite = |name: &str, passed, failed, skipped, seconds| Suite {
            name: name.into(),
            passed,
            failed,
            skipped,
            seconds,
        };
        assert_eq!(
            parser.suites,
            [suite("model", 12, 0, 1, 0.02), suite("tests/real_master.rs", 3, 1, 0, 61.5)]
        );
    }
}
