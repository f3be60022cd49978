//! The operator, as a process, on a cluster whose resources are there already.

use crate::{
    CONVERGED, cluster,
    cluster::Writes,
    feeds::Feeds,
    fleet::{self, Fleet, MASTER, Member, Ready},
};
use bench::{Measured, figures};
use e2e::{Process, binary, figure, free_port};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use std::{
    env, fs,
    path::Path,
    process::Command,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// For how long deliveries are counted.
const DELIVERIES: Duration = Duration::from_secs(240);
/// Figures are written once a minute: after this, none is left that waits for its turn.
const SETTLE: Duration = Duration::from_secs(90);

/// Brings the cluster to the fleet, and looks on.
pub async fn run(fleet: &Fleet) -> Measured {
    let cluster = cluster::start(fleet.targets + fleet.namespaces)?;
    let client = cluster.client().await;
    let begin = Instant::now();
    let all = fleet.create(&client).await?.len();
    println!("{all} resources made in {:.1} s", begin.elapsed().as_secs_f64());
    let late =
        ["late-1", "late-2"].map(|name| Member::new("MailNotifier", &fleet.namespace(0), name));
    let consumers = late.clone().map(|member| member.consumer().unwrap_or_default());
    let namespace = fleet.namespace(0);
    let besides: Vec<_> = consumers.iter().map(|c| (namespace.as_str(), c.as_str())).collect();
    let feeds = Feeds::serve(fleet, &besides).await?;
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("keys"))?;
    fs::write(folder.path().join("keys/2026-01-01"), "a".repeat(64))?;
    let mut ready = Ready::follow(&client);

    let before = Writes::read(&client).await?;
    let begin = Instant::now();
    let mut operator = Operator::start(folder.path(), cluster.kubeconfig(), &feeds.at);
    ready.until(all * 2 / 5).await?;
    let there = appears(&client, &late[0]).await?;
    println!(
        "one more in the middle of it: its Deployment is there after {:.2} s",
        there.as_secs_f64()
    );
    ready.until(all + 1).await?;
    let took = begin.elapsed();
    let after = Writes::read(&client).await?;
    println!("{CONVERGED}{:.1} s", took.as_secs_f64());
    println!(
        "{} writes, {} of them of a status; {:.1} s of processor time; {} MiB resident, {} at most",
        after.since(&before),
        after.statuses_since(&before),
        figures::cpu_seconds(operator.process.id()).unwrap_or_default(),
        operator.memory("VmRSS:"),
        operator.memory("VmHWM:"),
    );

    sleep(SETTLE).await;
    let minutes: u64 = env::var("SCALE_IDLE_MINUTES").map_or(Ok(10), |n| n.parse())?;
    let (before, cpu) = (Writes::read(&client).await?, operator.cpu());
    sleep(Duration::from_secs(minutes * 60)).await;
    let after = Writes::read(&client).await?;
    println!(
        "{minutes} minutes without deliveries: {} writes, {:.2} s of processor time a minute",
        after.since(&before),
        (operator.cpu() - cpu) / minutes as f64,
    );

    let (before, cpu, begin) = (after, operator.cpu(), Instant::now());
    while begin.elapsed() < DELIVERIES {
        feeds.delivered.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_secs(1)).await;
    }
    let minutes = begin.elapsed().as_secs_f64() / 60.0;
    let after = Writes::read(&client).await?;
    println!(
        "{minutes:.1} minutes with a delivery a second by each target that sends: {:.2} writes a minute and resource, \
         {:.1} s of processor time a minute",
        after.since(&before) / minutes / all as f64,
        (operator.cpu() - cpu) / minutes,
    );
    let there = appears(&client, &late[1]).await?;
    println!("one more then: its Deployment is there after {:.2} s", there.as_secs_f64());
    println!("{} MiB resident, {} at most", operator.memory("VmRSS:"), operator.memory("VmHWM:"));
    sleep(SETTLE).await;

    operator.process.kill();
    let before = Writes::read(&client).await?;
    let begin = Instant::now();
    operator = Operator::start(folder.path(), cluster.kubeconfig(), &feeds.at);
    while operator.figure("reconciles_total{outcome=\"ok\"").await < (all + 2) as f64 {
        sleep(Duration::from_millis(50)).await;
    }
    let took = begin.elapsed();
    let after = Writes::read(&client).await?;
    println!(
        "killed and started again: all were looked at after {:.1} s; {} objects as they were, {} applied, {} writes; \
         {} MiB resident, {} at most",
        took.as_secs_f64(),
        operator.figure("applies_total{unchanged").await,
        operator.figure("applies_total{applied").await,
        after.since(&before),
        operator.memory("VmRSS:"),
        operator.memory("VmHWM:"),
    );
    let deployments: Api<Deployment> = Api::all(client);
    let made = deployments.list_metadata(&ListParams::default()).await?.items.len();
    println!("{made} Deployments in the end");
    Ok(())
}

/// Makes one more resource, and waits for its Deployment.
async fn appears(client: &Client, member: &Member) -> Measured<Duration> {
    let api = fleet::api(client, member.kind, &member.namespace)?;
    let begin = Instant::now();
    api.create(&PostParams::default(), &member.object(MASTER)?).await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &member.namespace);
    let name = format!("buildbot-mail-{}", member.name);
    while deployments.get_metadata_opt(&name).await?.is_none() {
        sleep(Duration::from_millis(10)).await;
    }
    Ok(begin.elapsed())
}

struct Operator {
    process: Process,
    metrics: u16,
}

impl Operator {
    fn start(folder: &Path, kubeconfig: &Path, feeds: &str) -> Self {
        let metrics = free_port();
        let mut command = Command::new(binary());
        command.args(["operator", "--image", "localhost/buildbot-status:bench"]);
        command.args(["--leader-elect", "false", "--feeds-at", feeds]);
        command.arg("--keys").arg(folder.join("keys"));
        command.args(["--metrics", &format!("127.0.0.1:{metrics}")]);
        command.env("KUBECONFIG", kubeconfig);
        Self { process: Process::start(&mut command, &folder.join("operator.log")), metrics }
    }

    async fn figure(&self, name: &str) -> f64 {
        let name = format!("buildbot_status_operator_{name}");
        figure(self.metrics, &name).await.unwrap_or_default()
    }

    fn cpu(&self) -> f64 {
        figures::cpu_seconds(self.process.id()).unwrap_or_default()
    }

    /// MiB, by a line of `/proc/PID/status`.
    fn memory(&self, line: &str) -> u64 {
        let file = format!("/proc/{}/status", self.process.id());
        let status = fs::read_to_string(file).unwrap_or_default();
        let value = status.lines().find_map(|text| text.strip_prefix(line)).unwrap_or_default();
        value.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() >> 10
    }
}
