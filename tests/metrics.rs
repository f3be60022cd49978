//! `docs/metrics.md` lists the figures that the program exports, and no others; the alert rules use
//! only such figures, and say what their tests say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use prometheus::{core::Collector, proto::MetricType};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// By name: type and labels.
type Figures = BTreeMap<String, (String, Vec<String>)>;

fn exported() -> Figures {
    let figures = RefCell::new(Figures::new());
    let take = |collector: Box<dyn Collector>| {
        // A collector without values yet has a family without metrics, which has a type all the same.
        for (desc, family) in collector.desc().into_iter().zip(collector.collect()) {
            let kind = match family.get_field_type() {
                MetricType::COUNTER => "counter",
                MetricType::GAUGE => "gauge",
                MetricType::HISTOGRAM => "histogram",
                other => panic!("{}: {other:?}", desc.fq_name),
            };
            let row = (kind.to_owned(), desc.variable_labels.clone());
            assert!(figures.borrow_mut().insert(desc.fq_name.clone(), row).is_none());
        }
        Ok(())
    };
    master::Metrics::build("", take).unwrap();
    feed::Metrics::build("", take).unwrap();
    delivery::Metrics::build("", take).unwrap();
    operator::Metrics::build(take).unwrap();
    figures.into_inner()
}

fn docs(which: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(which)
}

fn documented() -> Figures {
    let page = std::fs::read_to_string(docs("metrics.md")).unwrap();
    let figures = charts::figures(&page).unwrap().into_iter();
    figures.map(|(name, figure)| (name, (figure.kind, figure.labels))).collect()
}

/// Whether a figure is of the process as such, made of what the system tells.
fn is_of_process(name: &str) -> bool {
    let own = ["buildbot_status_build_info", "buildbot_status_memory_limit_bytes"];
    name.starts_with("process_") || own.contains(&name)
}

/// Whether a figure is of the operator, which runs in `e2e/tests/operator/`.
fn is_of_operator(name: &str) -> bool {
    name.starts_with("buildbot_status_operator_")
}

#[test]
fn the_page_of_metrics_lists_exactly_what_is_exported() {
    let mut documented = documented();
    documented.retain(|name, _| !is_of_process(name));
    assert_eq!(documented, exported());
}

/// A program that runs. Killed when dropped.
struct Running {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(arguments: impl FnOnce(&Path) -> Vec<PathBuf>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_buildbot-status"))
            .args(arguments(folder.path()))
            .args(["--metrics", "127.0.0.1:0", "--data"])
            .arg(folder.path().join("data"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.map(Result::unwrap).find(|line| line.starts_with("metrics")).unwrap();
        let address = line.split("//").nth(1).unwrap().split('/').next().unwrap().to_owned();
        Self { child, address, _folder: folder }
    }

    fn figures(&self) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let close = "Host: test\r\nConnection: close\r\n\r\n";
        write!(stream, "GET /metrics HTTP/1.0\r\n{close}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }
}

const PATIENCE: Duration = Duration::from_secs(60);

/// Figures that neither a demo nor a process beside nobody has: of a target with a limit, and of
/// a feed that others ask.
const RARE: [&str; 2] =
    ["buildbot_status_delivery_budget_remaining", "buildbot_status_feed_requests_total"];

fn names(figures: &str) -> BTreeSet<String> {
    let types = figures.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|rest| rest.split(' ').next().unwrap().to_owned()).collect()
}

fn promtool(arguments: &[&str], file: Option<&Path>, input: &str) {
    let mut command = Command::new("promtool");
    command.args(arguments).args(file).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("promtool, of Prometheus");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
}

#[test]
fn processes_that_run_export_all_that_is_documented_by_names_that_prometheus_likes() {
    let demo = Running::start(|_| ["demo", "--port", "0", "--speed", "50"].map(Into::into).into());
    // Nobody listens on the discard port, so that there are requests that fail.
    let standalone = Running::start(|folder| {
        let file = folder.join("all.yaml");
        let manifest = include_str!("cli/all.yaml").replace("MASTER", "http://127.0.0.1:9/");
        std::fs::write(&file, manifest).unwrap();
        std::fs::create_dir_all(folder.join("secrets/smtp")).unwrap();
        std::fs::write(folder.join("secrets/smtp/password"), "secret").unwrap();
        let secrets = folder.join("secrets");
        vec!["standalone".into(), "-f".into(), file, "--secrets".into(), secrets]
    });
    let mut wanted: BTreeSet<String> = documented().into_keys().collect();
    wanted.retain(|name| !is_of_operator(name));
    RARE.iter().for_each(|name| assert!(wanted.remove(*name), "{name} is not documented"));
    let begin = Instant::now();
    loop {
        let both = [demo.figures(), standalone.figures()];
        let found: BTreeSet<String> = both.iter().flat_map(|text| names(text)).collect();
        if wanted.is_subset(&found) {
            let more: Vec<_> = found.difference(&wanted).collect();
            assert!(more.is_empty(), "not documented: {more:?}");
            both.iter().for_each(|text| promtool(&["check", "metrics"], None, text));
            return;
        }
        let missing: Vec<_> = wanted.difference(&found).collect();
        assert!(begin.elapsed() < PATIENCE, "documented and not exported: {missing:?}");
        std::thread::yield_now();
    }
}

/// The files of alert rules, and of their tests.
const ALERTS: [(&str, &str); 2] = [
    ("alerts/buildbot-status.rules.yaml", "alerts/buildbot-status.test.yaml"),
    ("alerts/operator.rules.yaml", "alerts/operator.test.yaml"),
];

#[test]
fn alert_rules_are_valid_and_fire_when_their_tests_say() {
    for (rules, tests) in ALERTS {
        promtool(&["check", "rules"], Some(&docs(rules)), "");
        promtool(&["test", "rules"], Some(&docs(tests)), "");
    }
}

#[test]
fn alert_rules_use_documented_figures_and_each_has_a_test_and_a_section_in_the_runbook() {
    let read = |name: &str| std::fs::read_to_string(docs(name)).unwrap();
    let runbook = read("alerts/README.md");
    let documented = documented();
    let used = |text: &str| -> BTreeSet<String> {
        text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .filter(|word| word.starts_with("buildbot_status_") || word.starts_with("process_"))
            .map(|word| word.strip_suffix("_bucket").unwrap_or(word).to_owned())
            .collect()
    };
    let mut alerts = BTreeSet::new();
    for (rules, tests) in ALERTS {
        let (rules, tests) = (read(rules), read(tests));
        let unknown: Vec<String> = [&rules, &tests, &runbook]
            .iter()
            .flat_map(|text| used(text))
            .filter(|name| !documented.contains_key(name))
            .collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        assert!(used(&rules).len() > 5, "{:?}", used(&rules));
        let before = alerts.len();
        for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
            assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert} has no test");
            assert!(runbook.contains(&format!("## {alert}\n")), "{alert} is not in the runbook");
            assert!(alerts.insert(alert.to_owned()), "{alert} is there twice");
        }
        for what in ["severity:", "summary:", "description:"] {
            assert_eq!(rules.matches(what).count(), alerts.len() - before, "{what} of each alert");
        }
    }
    assert_eq!(runbook.matches("\n## ").count(), alerts.len(), "the runbook has a section of none");
}
