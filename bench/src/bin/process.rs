//! The whole process with a journal of 4000 builds (20 builders × 200 builds × 8 steps): time from the start to
//! the first page, and resident memory. `cargo xtask bench` builds the program and runs this.
#![allow(clippy::print_stdout, reason = "a terminal program")]

use bench::{Measured, figures};
use feed::{Feed, Options};
use master::{Batch, Dirty, Sink as _};
use model::{
    Build, BuildId, Builder, BuilderId, BuilderName, BuilderRef, Change, Outcome, Step, StepId,
    Timestamp, World,
};
use std::{
    env, fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const BUILDERS: u64 = 20;
const BUILDS: u64 = 200;
const STEPS: u64 = 8;
const RUNS: usize = 7;

fn main() -> Measured {
    let program = env::var_os("BUILDBOT_STATUS")
        .ok_or("BUILDBOT_STATUS names the program: run cargo xtask bench")?;
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(fill(&folder.path().join("data/default/main")))?;
    let mut starts = Vec::new();
    let mut pages = Vec::new();
    let mut cold = Vec::new();
    let (mut loaded, mut firsts, mut alls) = (Vec::new(), Vec::new(), Vec::new());
    let (mut memory, mut size) = (0, 0);
    for _ in 0..RUNS {
        let (port, metrics) = (free_port()?, free_port()?);
        let file = folder.path().join("bench.yaml");
        fs::write(&file, manifest(port))?;
        let begin = Instant::now();
        let mut command = Command::new(&program);
        command
            .arg("standalone")
            .arg("-f")
            .arg(&file)
            .arg("--data")
            .arg(folder.path().join("data"));
        command
            .args(["--metrics", &format!("127.0.0.1:{metrics}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = Ended(command.spawn()?);
        while get(port, "/waterfall").is_none() {
            if child.0.try_wait()?.is_some() || begin.elapsed() > Duration::from_secs(30) {
                return Err("the program ended, or had no page within 30 s".into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        starts.push(begin.elapsed());
        let page = Instant::now();
        get(port, "/waterfall").ok_or("no waterfall")?;
        pages.push(page.elapsed());
        let page = Instant::now();
        get(port, "/waterfall?num_events=199").ok_or("no waterfall")?;
        cold.push(page.elapsed());
        // All builds are in memory once the oldest is on a page.
        let oldest = "bench-20/builds/1\"";
        let all = "/waterfall?num_events=100000&show_time=10000000";
        while get(port, all).is_none_or(|page| !page.contains(oldest)) {
            if begin.elapsed() > Duration::from_secs(60) {
                return Err("not all builds within 60 s".into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        loaded.push(begin.elapsed());
        // Another range of time, so that the page is made and not the one kept.
        let (first, whole, bytes) = timed(port, &format!("{all}1"))?;
        firsts.push(first);
        alls.push(whole);
        size = bytes;
        memory = memory.max(figures::resident(child.0.id()).ok_or("the program ended")?);
    }
    for times in [&mut starts, &mut cold, &mut pages, &mut loaded, &mut firsts, &mut alls] {
        times.sort();
    }
    let ms = figures::ms;
    println!("builds            {}", BUILDERS * BUILDS);
    println!("first page        {:7.1} ms (median of {RUNS})", ms(starts[RUNS / 2]));
    println!("waterfall, made   {:7.1} ms (median of {RUNS})", ms(cold[RUNS / 2]));
    println!("the same, kept    {:7.1} ms (median of {RUNS})", ms(pages[RUNS / 2]));
    println!("all builds loaded {:7.1} ms (median of {RUNS})", ms(loaded[RUNS / 2]));
    println!("all boxes, 1 byte {:7.1} ms (median of {RUNS})", ms(firsts[RUNS / 2]));
    println!("all boxes, whole  {:7.1} ms (median of {RUNS}), {size} bytes", ms(alls[RUNS / 2]));
    println!("resident memory   {:7.1} MiB (most)", memory as f64 / 1024.0);
    Ok(())
}

/// Time to the first byte and to the last of a page, and its size, uncompressed.
fn timed(port: u16, path: &str) -> Measured<(Duration, Duration, usize)> {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut bytes = vec![0; 64 * 1024];
    let mut size = stream.read(&mut bytes)?;
    let first = begin.elapsed();
    loop {
        match stream.read(&mut bytes)? {
            0 => return Ok((first, begin.elapsed(), size)),
            more => size += more,
        }
    }
}

/// Kills the program when dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn fill(journal: &Path) -> Measured {
    let feed = Feed::open(journal, Options::default())?;
    let mut ingest = feed.ingest();
    let mut world = World::default();
    let mut dirty = Dirty { meta: true, ..Dirty::default() };
    for b in 1..=BUILDERS {
        let builder =
            Builder { id: BuilderId(b), name: name(b), configured: true, ..Builder::default() };
        dirty.builders.insert(builder.id);
        world.builders.insert(builder.id, builder);
    }
    let now = Timestamp::now().0;
    let mut history = Vec::new();
    for n in 1..=BUILDS {
        for b in 1..=BUILDERS {
            history.push(build(b, n, now - i64::try_from((BUILDS - n) * 600)?));
        }
    }
    let mut batch = Batch { history, dirty, ..Batch::default() };
    for chunk in std::mem::take(&mut batch.history).chunks(200) {
        batch.history = chunk.to_vec();
        ingest.commit(std::mem::take(&mut batch), &world).await?;
    }
    feed.close().await;
    Ok(())
}

fn name(builder: u64) -> BuilderName {
    BuilderName::from(format!("bench-{builder:02}"))
}

fn build(builder: u64, number: u64, at: i64) -> Build {
    let id = (number - 1) * BUILDERS + builder;
    let outcome = if id.is_multiple_of(7) { Outcome::Failure } else { Outcome::Success };
    let step = |n: u64| Step {
        id: StepId(id * STEPS + n),
        number: n,
        name: format!("step {n}"),
        started_at: Some(Timestamp(at + i64::try_from(n * 30).unwrap_or(0))),
        complete_at: Some(Timestamp(at + i64::try_from(n * 30 + 25).unwrap_or(0))),
        outcome: Some(if n == 5 { outcome } else { Outcome::Success }),
        text: format!("step {n} done"),
        ..Step::default()
    };
    Build {
        id: BuildId(id),
        number,
        builder: BuilderRef { id: BuilderId(builder), name: name(builder), tags: Vec::new() },
        started_at: Timestamp(at),
        complete_at: Some(Timestamp(at + 240)),
        outcome: Some(outcome),
        steps: (0..STEPS).map(step).collect(),
        changes: vec![Change {
            author: "Ines <ines@example.org>".into(),
            comments: format!("change {number}"),
            ..Change::default()
        }],
        ..Build::default()
    }
}

fn manifest(port: u16) -> String {
    format!(
        "apiVersion: statustargets.dev/v1alpha1
kind: Master
metadata: {{name: main}}
spec: {{url: \"http://127.0.0.1:9/\"}}
---
apiVersion: statustargets.dev/v1alpha1
kind: WebStatus
metadata: {{name: pages}}
spec: {{masterRef: {{name: main}}, httpPort: \"tcp:{port}:interface=127.0.0.1\"}}
"
    )
}

fn free_port() -> Measured<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The answer's length if it is 200.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    answer.starts_with(b"HTTP/1.1 200").then(|| String::from_utf8_lossy(&answer).into_owned())
}
