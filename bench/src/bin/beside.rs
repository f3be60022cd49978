//! The same pages from a real master and from the program beside it, in one run: time, bytes, and processor time
//! of the master. `cargo xtask bench` runs this; `BENCH_BUILDS` is the number of builds a builder (50).
//!
//! A master's page is the REST answers that its own web pages read before they can draw it, six at once as a browser
//! asks; what the browser then does with them is not counted. A page of the program is its HTML. Both are packed on the
//! way, as for a browser; bytes are counted unpacked.
#![allow(clippy::print_stdout, reason = "a terminal program")]

use bench::Measured;
use e2e::{Lab, Standalone, free_port, wait_until};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;
use std::{
    env,
    time::{Duration, Instant},
};

const BUILDERS: usize = 20;
const STEPS: usize = 8;
/// Builds of the smaller waterfall.
const FEW: usize = 200;
/// Requests that a browser has open to a server.
const AT_ONCE: usize = 6;
/// A page is asked for so often, unless it takes too long.
const MOST: usize = 200;
const BUDGET: Duration = Duration::from_secs(20);

/// Both servers.
struct Peers {
    http: reqwest::Client,
    lab: Lab,
    standalone: Standalone,
    pages: u16,
}

/// Times of one page from one of the two.
struct Figures {
    times: Vec<Duration>,
    bytes: usize,
    /// Processor seconds a page, of the master and of the program.
    master: f64,
    own: f64,
}

#[tokio::main]
async fn main() -> Measured {
    let each: usize = env::var("BENCH_BUILDS").map_or(Ok(50), |n| n.parse())?;
    let all = BUILDERS * each;
    if all < FEW {
        return Err(format!("{all} builds are too few to show {FEW}").into());
    }
    let folder = tempfile::tempdir()?;
    let (builders, steps) = (BUILDERS.to_string(), STEPS.to_string());
    let mut lab = Lab::start(folder.path(), 0.1, &["--extra-builders", &builders]).await;
    // Twenty builders, each a build every ten minutes.
    let past = ["--apart", "30", "--extra-builders", &builders, "--steps", &steps];
    lab.grow_old(all, &past).await;
    let pages = free_port();
    let begin = Instant::now();
    let standalone = Standalone::start(folder.path(), "data", &manifest(lab.port(), pages, all));
    let http = reqwest::Client::builder().gzip(true).build()?;
    let mut peers = Peers { http, lab, standalone, pages };
    peers.standalone.connected().await;
    let long = Duration::from_secs(1800);
    wait_until("the pages have every build", long, async || {
        let html = peers.own("waterfall?num_events=1000000&first_time=0").await.ok()?;
        (html.matches("<div class=\"b ").count() + html.matches("<div class=b>").count() == all)
            .then_some(())
    })
    .await;
    println!(
        "{all} builds of {BUILDERS} builders with {STEPS} steps each, read in {:?}\n",
        begin.elapsed()
    );
    println!("| page | from | p50 | p99 | times | bytes | master's processor | program's |");
    println!("|---|---|---|---|---|---|---|---|");
    for (name, count) in
        [(format!("waterfall, {FEW} builds"), FEW), (format!("waterfall, all {all} builds"), all)]
    {
        let since = peers.since(count).await?;
        row(&name, "master", &peers.measure(async |_| peers.master_waterfall(count).await).await?);
        let own = peers.measure(async |n| {
            // Another address each time, so that the page is made and not the one kept.
            let html = peers
                .own(&format!("waterfall?num_events={}&first_time={since}", 1_000_000 + n))
                .await?;
            let shown =
                html.matches("<div class=\"b ").count() + html.matches("<div class=b>").count();
            if shown < count {
                return Err(format!("{shown} builds instead of {count}").into());
            }
            Ok(html.len())
        });
        row(&name, "this program", &own.await?);
    }
    row(
        "one build",
        "master",
        &peers.measure(async |n| peers.master_build(1 + n % all).await).await?,
    );
    let own = peers.measure(async |n| {
        let path = format!("builders/quick-{:02}/builds/{}", n % BUILDERS, 1 + n / BUILDERS % each);
        Ok(peers.own(&path).await?.len())
    });
    row("one build", "this program", &own.await?);
    row("all builders", "master", &peers.measure(async |_| peers.master_builders().await).await?);
    row(
        "all builders",
        "this program",
        &peers.measure(async |_| Ok(peers.own("builders").await?.len())).await?,
    );
    peers.standalone.end().await;
    peers.lab.end().await;
    Ok(())
}

fn manifest(master: u16, pages: u16, builds: usize) -> String {
    format!(
        "apiVersion: statustargets.dev/v1alpha1
kind: Master
metadata: {{name: main}}
spec: {{url: \"http://127.0.0.1:{master}/\", history: {{maxBuilds: {builds}}}}}
---
apiVersion: statustargets.dev/v1alpha1
kind: WebStatus
metadata: {{name: pages}}
spec: {{masterRef: {{name: main}}, httpPort: \"tcp:{pages}:interface=127.0.0.1\"}}
"
    )
}

impl Peers {
    async fn text(&self, url: String) -> Measured<String> {
        let answer = self.http.get(&url).header("Accept", "application/json").send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// A page of the program.
    async fn own(&self, path: &str) -> Measured<String> {
        self.text(format!("http://127.0.0.1:{}/{path}", self.pages)).await
    }

    /// A REST answer's size and rows.
    async fn rest(&self, path: &str, kind: &str) -> Measured<(usize, Vec<Value>)> {
        let text = self.text(format!("http://127.0.0.1:{}/api/v2/{path}", self.lab.port())).await?;
        let mut answer: Value = serde_json::from_str(&text)?;
        let rows = answer[kind].take();
        let Value::Array(rows) = rows else { return Err(format!("{path}: {answer}").into()) };
        Ok((text.len(), rows))
    }

    /// The size of all answers together.
    async fn together(&self, paths: Vec<(String, &str)>) -> Measured<usize> {
        let answers = stream::iter(paths)
            .map(|(path, kind)| async move { Ok(self.rest(&path, kind).await?.0) })
            .buffer_unordered(AT_ONCE);
        answers.try_fold(0, |sum, size| async move { Ok(sum + size) }).await
    }

    /// What `waterfall_view` reads: builders, masters, builds, and the steps of each build.
    async fn master_waterfall(&self, builds: usize) -> Measured<usize> {
        let (size, rows) =
            self.rest(&format!("builds?limit={builds}&order=-started_at"), "builds").await?;
        if rows.len() != builds {
            return Err(format!("{} builds instead of {builds}", rows.len()).into());
        }
        let mut paths =
            vec![("builders?order=name".to_owned(), "builders"), ("masters".to_owned(), "masters")];
        paths.extend(rows.iter().map(|b| (format!("builds/{}/steps", b["buildid"]), "steps")));
        Ok(size + self.together(paths).await?)
    }

    /// What a build's page reads: the build with its properties, its request and changes, steps, logs.
    async fn master_build(&self, id: usize) -> Measured<usize> {
        let (size, builds) = self.rest(&format!("builds/{id}?property=*"), "builds").await?;
        let (more, steps) = self.rest(&format!("builds/{id}/steps"), "steps").await?;
        let mut paths = vec![
            (format!("builds/{id}/changes"), "changes"),
            (format!("buildrequests/{}", builds[0]["buildrequestid"]), "buildrequests"),
        ];
        paths.extend(steps.iter().map(|s| (format!("steps/{}/logs", s["stepid"]), "logs")));
        Ok(size + more + self.together(paths).await?)
    }

    /// What the page of all builders reads: builders, workers, and the last build of each.
    async fn master_builders(&self) -> Measured<usize> {
        let (size, builders) = self.rest("builders", "builders").await?;
        let mut paths = vec![("workers".to_owned(), "workers")];
        let last = |b: &Value| format!("builders/{}/builds?order=-number&limit=1", b["builderid"]);
        paths.extend(builders.iter().map(|b| (last(b), "builds")));
        Ok(size + self.together(paths).await?)
    }

    /// A first time at which the waterfall shows the newest `count` builds.
    async fn since(&self, count: usize) -> Measured<i64> {
        let path = format!("builds?limit={count}&order=-started_at");
        let (_, rows) = self.rest(&path, "builds").await?;
        Ok(rows.iter().filter_map(|b| b["started_at"].as_i64()).min().ok_or("no builds")?)
    }

    /// Asks for a page again and again; `page` gives its size.
    async fn measure(&self, page: impl AsyncFn(usize) -> Measured<usize>) -> Measured<Figures> {
        let used = || (self.lab.processor_seconds(), self.standalone.processor_seconds());
        let (mut times, mut bytes) = (Vec::new(), 0);
        let (before, begin) = (used(), Instant::now());
        for n in 0..MOST {
            let asked = Instant::now();
            bytes = page(n).await?;
            times.push(asked.elapsed());
            if begin.elapsed() > BUDGET {
                break;
            }
        }
        let after = used();
        let pages = times.len() as f64;
        times.sort();
        let master = (after.0 - before.0) / pages;
        Ok(Figures { times, bytes, master, own: (after.1 - before.1) / pages })
    }
}

fn row(name: &str, from: &str, figures: &Figures) {
    let Figures { times, bytes, master, own } = figures;
    let at = |share: f64| {
        let last = times.len() - 1;
        times[((last as f64) * share).round() as usize].as_secs_f64() * 1e3
    };
    println!(
        "| {name} | {from} | {:.1} ms | {:.1} ms | {} | {bytes} | {:.1} ms | {:.1} ms |",
        at(0.5),
        at(0.99),
        times.len(),
        master * 1e3,
        own * 1e3
    );
}
