//! What the tests of the operator rely on: our image runs, peers run and are found.

use e2e::{
    cluster::{Cluster, Lab, Mailbox, Receiver, Space},
    wait_until,
};
use k8s_openapi::api::core::v1::Pod;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);

pub async fn the_image_runs_under_the_restricted_standard_and_prints_its_version(
    cluster: &'static Cluster,
) {
    let space = Space::new(cluster, "version").await;
    let image = &space.cluster().images().program;
    space.apply(&format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: version}}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  securityContext: {{runAsNonRoot: true, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
  - name: program
    image: {image}
    imagePullPolicy: IfNotPresent
    args: [--version]
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {{drop: [ALL]}}
"
    ));
    let ended = |pod: &Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    };
    let pod = space.wait_for("version", "the pod ends", PATIENCE, ended).await;
    let said = space.kubectl(&["logs", "version"]);
    assert_eq!(pod.status.unwrap().phase.as_deref(), Some("Succeeded"), "{said}");
    assert!(said.starts_with("buildbot-status "), "{said}");
}

pub async fn peers_are_found_by_name_and_through_the_ingress_controller(cluster: &'static Cluster) {
    let space = Space::new(cluster, "peers").await;
    let lab = Lab::start(&space).await;
    let mailbox = Mailbox::start(&space).await;
    let receiver = Receiver::start(&space).await;
    lab.commit(1).await;
    let finished = lab.finished().await.unwrap();
    assert_eq!(finished.iter().filter(|build| build.results == 0).count(), 3, "{finished:?}");

    let send = "import smtplib, urllib.request, urllib.parse, sys
smtplib.SMTP(sys.argv[1], 2525, timeout=10).sendmail('a@example.org', ['b@example.org'], 'Subject: hello\\n\\nworld')
body = urllib.parse.urlencode({'packets': '[{\"event\": \"hello\"}]'}).encode()
urllib.request.urlopen(sys.argv[2], body, timeout=10).read()";
    let python = ["exec", "lab", "--", "/opt/python/bin/python", "-c", send];
    space.kubectl(&[&python[..], &[&mailbox.host(), &receiver.url()]].concat());
    let mails = mailbox.mails().await.unwrap();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].header("Subject"), "hello");
    assert_eq!(receiver.packets().await.unwrap()[0]["event"], "hello");

    let host = format!("lab.{}.example", space.name());
    space.apply(&format!(
        "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: lab}}
spec:
  rules:
  - host: {host}
    http:
      paths:
      - {{path: /, pathType: Prefix, backend: {{service: {{name: lab, port: {{number: 8010}}}}}}}}
"
    ));
    if space.cluster().through_ingress(&host, "/").is_some() {
        wait_until("the Ingress leads to the master", PATIENCE, async || {
            let (status, body) = space.cluster().through_ingress(&host, "/api/v2/masters")?;
            (status == 200 && body.contains("\"masters\"")).then_some(())
        })
        .await;
    }
}
