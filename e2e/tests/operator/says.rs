//! What the operator says of resources.

use crate::world::{
    OBJECTS, Operator, PATIENCE, RESOURCES, condition, settings, space, until_objects,
};
use e2e::{cluster::Space, wait_until};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::Value;

/// A resource as it is now.
fn resource(space: &Space, name: &str) -> Value {
    serde_json::from_str(&space.kubectl(&["get", name, "--output", "json"])).unwrap()
}

/// Waits until `Ready` has this reason; gives its message.
pub async fn until_ready_says(space: &Space, name: &str, reason: &str) -> String {
    wait_until(&format!("{name} says {reason}"), PATIENCE, async || {
        let (_, said, message) = condition(&resource(space, name), "Ready")?;
        (said == reason).then_some(message)
    })
    .await
}

const ODD: &str = "
apiVersion: statustargets.dev/v1alpha1
kind: Master
metadata: {name: main}
spec:
  url: http://buildbot.example.org:8010/
  auth: {username: status, passwordSecretRef: {name: buildbot, key: password}}
---
apiVersion: statustargets.dev/v1alpha1
kind: HttpPush
metadata: {name: push}
spec:
  masterRef: {name: mian}
  serverUrl: https://dashboard.example.org/
---
apiVersion: statustargets.dev/v1alpha1
kind: HttpPush
metadata: {name: elsewhere}
spec:
  masterRef: {name: main, namespace: kube-system}
  serverUrl: https://dashboard.example.org/
---
apiVersion: statustargets.dev/v1alpha1
kind: WebStatus
metadata: {name: pages}
spec:
  masterRef: {name: main}
  httpPort: 'tcp:8010:interface=127.0.0.1'
---
apiVersion: statustargets.dev/v1alpha1
kind: WebStatus
metadata: {name: refused}
spec:
  masterRef: {name: main}
  pod: {tolerations: [{efect: NoSchedule}]}
---
apiVersion: statustargets.dev/v1alpha1
kind: MailNotifier
metadata: {name: mail}
spec:
  masterRef: {name: main}
  fromaddr: buildbot@example.org
  smtpUser: buildbot
  smtpPasswordSecretRef: {name: smtp, key: password}
";

#[tokio::test]
async fn k05_what_is_wrong_is_named_and_mended_within_seconds() {
    let space = space("says").await;
    let operator = Operator::start(space.client(), settings(&space));
    space.apply(ODD);
    let says = async |name: &str, reason: &str| until_ready_says(&space, name, reason).await;
    assert_eq!(
        says("httppush/push", "MasterNotFound").await,
        format!(
            "spec.masterRef: there is no Master \"mian\" in the namespace {:?}; there is main",
            space.name()
        )
    );
    assert_eq!(
        says("httppush/elsewhere", "NamespaceNotWatched").await,
        "spec.masterRef.namespace: the operator does not watch the namespace \"kube-system\": add it to its watchNamespaces"
    );
    assert_eq!(
        says("webstatus/pages", "InvalidPort").await,
        "spec.httpPort: \"tcp:8010:interface=127.0.0.1\" can't be reached from outside the pod: in a cluster, write a port, such as 8010"
    );
    let refused = says("webstatus/refused", "Refused").await;
    assert!(refused.contains("tolerations[0].efect"), "{refused}");
    assert_eq!(
        says("mailnotifier/mail", "SecretNotFound").await,
        "spec.smtpPasswordSecretRef: there is no Secret \"smtp\" in this namespace"
    );
    let master = says("master/main", "SecretNotFound").await;
    assert!(
        master.starts_with("spec.auth.passwordSecretRef: there is no Secret \"buildbot\""),
        "{master}"
    );
    assert!(
        master.contains("the cluster has no default StorageClass: set spec.storage.className"),
        "{master}"
    );

    // kstatus: somebody has to do something.
    let stalled = condition(&resource(&space, "mailnotifier/mail"), "Stalled").unwrap();
    assert_eq!((stalled.0.as_str(), stalled.1.as_str()), ("True", "SecretNotFound"));
    // Events follow the status.
    wait_until("there are Events of both", PATIENCE, async || {
        let reason = "--field-selector=reason=SecretNotFound";
        let events = space.kubectl(&["get", "events", reason, "--output", "name"]);
        (events.lines().count() >= 2).then_some(())
    })
    .await;

    space.kubectl(&["create", "secret", "generic", "smtp", "--from-literal=password=hunter2"]);
    says("mailnotifier/mail", "PodsNotReady").await;
    space.kubectl(&[
        "patch",
        "webstatus/pages",
        "--type=merge",
        "--patch",
        r#"{"spec":{"httpPort":8010}}"#,
    ]);
    says("webstatus/pages", "PodsNotReady").await;
    let ingress = r#"{"spec":{"ingress":{"host":"pages.example","className":"nginks"}}}"#;
    space.kubectl(&["patch", "webstatus/pages", "--type=merge", "--patch", ingress]);
    let missing = says("webstatus/pages", "IngressClassNotFound").await;
    assert!(missing.starts_with("spec.ingress.className: there is no IngressClass \"nginks\""));
    space.apply(
        "{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: nginks}, \
         spec: {controller: example.org/nginks}}",
    );
    says("webstatus/pages", "PodsNotReady").await;
    space.kubectl(&["delete", "ingressclass/nginks"]);
    says("webstatus/pages", "IngressClassNotFound").await;
    let without = r#"{"spec":{"ingress":null}}"#;
    space.kubectl(&["patch", "webstatus/pages", "--type=merge", "--patch", without]);
    says("webstatus/pages", "PodsNotReady").await;
    let generation = resource(&space, "webstatus/pages");
    assert_eq!(generation["status"]["observedGeneration"], generation["metadata"]["generation"]);
    for condition in generation["status"]["conditions"].as_array().unwrap() {
        assert_eq!(condition["observedGeneration"], generation["metadata"]["generation"]);
    }
    operator.stop().await;
}

#[tokio::test]
async fn k03_a_changed_secret_makes_other_pods_and_its_value_is_nowhere() {
    let space = space("secret").await;
    let operator = Operator::start(space.client(), settings(&space));
    space.kubectl(&["create", "secret", "generic", "smtp", "--from-literal=password=hunter2"]);
    space.apply(RESOURCES);
    let patch = r#"{"spec":{"smtpUser":"buildbot","smtpPasswordSecretRef":{"name":"smtp","key":"password"}}}"#;
    until_objects(&space, &OBJECTS).await;
    space.kubectl(&["patch", "mailnotifier/mail", "--type=merge", "--patch", patch]);
    let version = |deployment: &Deployment| {
        let metadata = deployment.spec.template.metadata.as_ref()?;
        metadata.annotations.as_ref()?.get("statustargets.dev/secrets").cloned()
    };
    let name = "buildbot-mail-mail";
    let before = space
        .wait_for::<Deployment>(name, "it knows the Secret", PATIENCE, |d| version(d).is_some())
        .await;
    let before = version(&before);
    space.kubectl(&["patch", "secret/smtp", "--patch", r#"{"stringData":{"password":"hunter3"}}"#]);
    space.wait_for::<Deployment>(name, "other pods", PATIENCE, |d| version(d) != before).await;
    let all = space.kubectl(&["get", "deployment,configmap,mailnotifier", "--output", "yaml"]);
    assert!(!all.contains("hunter") && !all.contains("aHVudGVy"));
    operator.stop().await;
}

#[tokio::test]
async fn k05_an_api_server_that_goes_on_failing_is_said_and_tried_again() {
    let space = space("failing").await;
    let operator = Operator::start(space.client(), settings(&space));
    // A webhook that nobody serves: the API server can't say whether it takes a ConfigMap.
    let webhook = serde_json::json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": space.name() },
        "webhooks": [{
            "name": "nobody.example.org",
            "clientConfig": { "url": "https://127.0.0.1:1/" },
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
                "operations": ["CREATE", "UPDATE"],
            }],
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": space.name() } },
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }],
    });
    space.cluster().apply(&webhook.to_string());
    wait_until("the webhook counts", PATIENCE, async || {
        space
            .try_kubectl(&["create", "configmap", "any", "--dry-run=server"])
            .is_err()
            .then_some(())
    })
    .await;
    space.apply(RESOURCES);
    let said = until_ready_says(&space, "mailnotifier/mail", "ApplyFails").await;
    assert!(said.contains("ConfigMap \"buildbot-mail-mail\" could not be applied"), "{said}");
    assert!(said.contains("nobody.example.org") && said.ends_with("it is tried again"), "{said}");
    let stalled = condition(&resource(&space, "mailnotifier/mail"), "Stalled").unwrap();
    assert_eq!(stalled.0, "False");
    space.cluster().kubectl(&["delete", "validatingwebhookconfiguration", space.name()]);
    until_objects(&space, &OBJECTS).await;
    until_ready_says(&space, "mailnotifier/mail", "PodsNotReady").await;
    operator.stop().await;
}
