//! The other kinds in pods: reviews on a real Gerrit, statuses at the stand-in for GitHub, and a program of
//! somebody's own image.

use crate::world::{PATIENCE, World};
use e2e::{
    Gerrit,
    cluster::Exposed,
    github::{GitHub, TOKEN},
    wait_until,
};
use serde_json::Value;

const BUILDER: &str = "quick-00";
/// Deployments of the three.
const PODS: [&str; 3] =
    ["buildbot-gerrit-review", "buildbot-github-statuses", "buildbot-status-push-lines"];

pub async fn k02_g01_g04_g06_a_review_a_status_and_a_programs_lines_come_from_pods(world: &World) {
    let (space, cluster) = (world.space, world.space.cluster());
    let folder = tempfile::tempdir().unwrap();
    let gerrit = Gerrit::start(folder.path()).await;
    gerrit.verified().await;
    gerrit.grant("Service Users", "Verified").await;
    gerrit.project("kestrel").await;
    let robot = gerrit.robot("ci-bot", "ed25519").await;
    let change = gerrit.change("kestrel").await;
    let github = GitHub::start().await;
    let port = github.url().rsplit(':').next().unwrap().parse().unwrap();
    let ssh = cluster.expose(gerrit.ssh()).await.expect("the scripts started the cluster");
    let http = cluster.expose(port).await.expect("the scripts started the cluster");
    let known_hosts = gerrit.known_hosts_at(ssh.host());
    space.apply(&resources(&ssh, &http, &robot.identity, &known_hosts, &cluster.images().lab));
    world.all_ready();

    let properties = [
        ("event.change.id", "Iabc"),
        ("event.change.project", change.project.as_str()),
        ("event.patchSet.revision", change.revision.as_str()),
    ];
    let number = world.lab.force(BUILDER, &properties).await;

    wait_until("the review with its vote", PATIENCE, async || {
        let said = gerrit.messages(&change, "ci-bot").await;
        let votes = gerrit.votes(&change).await;
        (said.len() == 1 && votes.contains(&("Verified".into(), "ci-bot".into(), 1))).then_some(())
    })
    .await;
    github.wait_until("pending and success", |github| states(github, BUILDER).len() == 2).await;
    assert_eq!(states(&github, BUILDER), ["pending", "success"]);
    let lines = ["exec", "deploy/buildbot-status-push-lines", "--", "cat", "/out/packets"];
    wait_until("the program has the build's end", PATIENCE, async || {
        let text = space.try_kubectl(&lines).ok()?;
        let packets = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut ends = packets.filter(|packet| packet["event"] == "buildFinished");
        ends.any(|end| end["payload"]["build"]["number"] == number).then_some(())
    })
    .await;

    // In its own pod a target can be asked, and says it once more when told to.
    let program = "/usr/bin/buildbot-status";
    let build = format!("{BUILDER}/{number}");
    let ask = |deployment: &str, program: &str, command: &str| {
        let pod = format!("deploy/{deployment}");
        space.kubectl(&["exec", &pod, "--", program, command, "--build", &build])
    };
    let copied = "/opt/buildbot-status/buildbot-status";
    for (pod, program) in PODS.into_iter().zip([program, program, copied]) {
        let said = ask(pod, program, "check");
        assert!(said.contains(&format!("the feed's build {build}")), "{pod}: {said}");
    }
    let said = ask(PODS[1], program, "test");
    assert!(said.contains(&format!("sent what it says of the feed's {build}")), "{said}");
    assert_eq!(states(&github, BUILDER), ["pending", "success", "success"]);

    space.kubectl(&["delete", "gerritpush/review", "githubstatus/statuses", "statuspush/lines"]);
    wait_until("their objects are gone", PATIENCE, async || {
        let left = space.kubectl(&["get", "deployments", "--output", "name"]);
        PODS.iter().all(|name| !left.contains(name)).then_some(())
    })
    .await;
    gerrit.end().await;
}

/// The states that were told of a builder, in order.
fn states(github: &GitHub, builder: &str) -> Vec<String> {
    let all = github.statuses().into_iter();
    all.filter(|(_, context, _)| context.ends_with(builder)).map(|(_, _, state)| state).collect()
}

fn resources(
    ssh: &Exposed,
    http: &Exposed,
    identity: &str,
    known_hosts: &str,
    image: &str,
) -> String {
    let block = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let (host, port, github) = (ssh.host(), ssh.port(), http.address());
    let (identity, known_hosts) = (block(identity), block(known_hosts));
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: forges}}
stringData:
  token: {TOKEN}
  identity: |
{identity}  known_hosts: |
{known_hosts}---
apiVersion: statustargets.dev/v1alpha1
kind: GerritPush
metadata: {{name: review}}
spec:
  masterRef: {{name: main}}
  server: {host}
  port: {port}
  username: ci-bot
  identitySecretRef: {{name: forges, key: identity}}
  knownHostsSecretRef: {{name: forges, key: known_hosts}}
---
apiVersion: statustargets.dev/v1alpha1
kind: GitHubStatus
metadata: {{name: statuses}}
spec:
  masterRef: {{name: main}}
  repoOwner: example
  repoName: project
  sha: '%(prop:event.patchSet.revision)s'
  context: 'ci/%(builder)s'
  baseUrl: http://{github}
  tokenSecretRef: {{name: forges, key: token}}
---
apiVersion: statustargets.dev/v1alpha1
kind: StatusPush
metadata: {{name: lines}}
spec:
  masterRef: {{name: main}}
  image: {image}
  command:
  - /opt/python/bin/python
  - -c
  - |
    import sys
    for line in sys.stdin:
        with open('/out/packets', 'a') as file:
            file.write(line)
        print(1, flush=True)
  pod:
    volumes: [{{name: out, emptyDir: {{}}}}]
    volumeMounts: [{{name: out, mountPath: /out}}]
"
    )
}
