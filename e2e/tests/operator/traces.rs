//! A reconcile's trace (K07).

use crate::{
    process::{Refusal, Running},
    world::{OBJECTS, PATIENCE, RESOURCES, space, until_objects},
};
use e2e::{Collector, Exported, wait_until};

/// The first reconcile of the MailNotifier `mail` that ended so, and a request below it.
async fn reconcile(
    collector: &Collector,
    outcome: &str,
    method: &str,
    path: &str,
) -> (Exported, Exported) {
    wait_until(&format!("a reconcile that ended {outcome}, with {path}"), PATIENCE, async || {
        let spans = collector.spans();
        let of_mail = spans.iter().filter(|span| {
            let about = ["kind", "name", "outcome"].map(|name| span.attribute(name));
            span.name == "reconcile" && about == ["MailNotifier", "mail", outcome]
        });
        let mut with_request = of_mail.filter_map(|reconcile| {
            let request = spans.iter().find(|span| {
                let url = span.attribute("http.url").split('?').next().unwrap_or_default();
                let asked = span.attribute("http.method") == method && url.ends_with(path);
                asked && span.parent.as_ref() == Some(&reconcile.place)
            })?;
            Some((reconcile.clone(), request.clone()))
        });
        with_request.next()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn k07_a_reconcile_is_a_trace_with_its_requests_to_the_api_server() {
    let space = space("trace").await;
    let collector = Collector::start().await;
    let operator = Running::start(&space, collector.environment()).await;
    space.apply(RESOURCES);
    until_objects(&space, &OBJECTS).await;
    let (root, apply) =
        reconcile(&collector, "ok", "PATCH", "/deployments/buildbot-mail-mail").await;
    assert_eq!((root.service.as_str(), &root.parent), ("buildbot-status-operator", &None));
    assert_eq!(root.attribute("namespace"), space.name());
    assert!(root.began <= apply.began && apply.ended <= root.ended);
    assert_eq!((root.failed, apply.failed), (false, false));
    reconcile(&collector, "ok", "PATCH", "/mailnotifiers/mail/status").await;

    let refusal = Refusal::of_statuses(&space).await;
    let patch = r#"{"spec":{"suspend":true}}"#;
    space.kubectl(&["patch", "mailnotifier/mail", "--type=merge", "--patch", patch]);
    let (root, refused) = reconcile(&collector, "api", "PATCH", "/mailnotifiers/mail/status").await;
    assert!(root.failed && refused.failed, "{root:?}\n{refused:?}");
    assert_eq!(refused.attribute("http.status_code"), "422");
    drop(refusal);
    // Watches and the Lease are no traces of their own.
    let requests =
        collector.spans().into_iter().filter(|span| !span.attribute("http.url").is_empty());
    let roots: Vec<Exported> = requests.filter(|span| span.parent.is_none()).collect();
    assert!(roots.is_empty(), "{roots:#?}");
    drop(operator);
}
