//! From `kubectl apply` to `helm uninstall`, with what goes wrong in between.

use crate::world::{KINDS, MANAGED, OPERATOR, PATIENCE, SYSTEM, World, install, secret};
use e2e::{cluster::Version, wait_until};
use serde_json::Value;
use std::collections::BTreeSet;

pub async fn k02_a_change_becomes_a_page_a_mail_and_a_push(world: &World) {
    world.a_change_is_told().await;
    let builds = world.lab.finished().await.unwrap();
    wait_until("the waterfall shows each build", PATIENCE, async || {
        let page = world.page("/waterfall").await?;
        let shown = |builder: &str, number: u64| {
            let builder = builder.replace(' ', "%20").replace('/', "%2F");
            page.contains(&format!("builders/{builder}/builds/{number}"))
        };
        builds.iter().all(|build| shown(&build.builder, build.number)).then_some(())
    })
    .await;
}

pub async fn k04_pages_are_reached_through_the_ingress_controller(world: &World) {
    let cluster = world.space.cluster();
    let Some(_) = cluster.through_ingress(&world.host(), "/") else { return };
    wait_until("the Ingress leads to the pages", PATIENCE, async || {
        let (status, page) = cluster.through_ingress(&world.host(), "/waterfall")?;
        (status == 200 && page.contains("Pages of the first day")).then_some(())
    })
    .await;
    let url = world.space.kubectl(&["get", "webstatus", "pages", "-o", "jsonpath={.status.url}"]);
    assert_eq!(url, format!("http://{}/", world.host()));
}

/// Only where the scripts started the cluster, which has this Gateway then.
pub async fn k04_pages_are_reached_through_a_route_of_the_gateway_api(world: &World) {
    let (space, cluster) = (world.space, world.space.cluster());
    let host = format!("routed.{}", world.host());
    let route = |value: &str| {
        let patch = format!("{{\"spec\":{{\"httpRoute\":{value}}}}}");
        space.kubectl(&["patch", "webstatus", "pages", "--type=merge", "--patch", &patch]);
    };
    let gateway = "{\"name\":\"contour\",\"namespace\":\"kube-system\"}";
    route(&format!("{{\"parentRefs\":[{gateway}],\"hostnames\":[\"{host}\"]}}"));
    wait_until("the route leads to the pages", PATIENCE, async || {
        let (status, page) = cluster.through_ingress(&host, "/waterfall")?;
        (status == 200 && page.contains("Pages of the first day")).then_some(())
    })
    .await;
    route("null");
    wait_until("the route is gone", PATIENCE, async || {
        let (status, _) = cluster.through_ingress(&host, "/waterfall")?;
        (status == 404).then_some(())
    })
    .await;
    world.all_ready();
}

pub async fn k05_status_tells_what_was_delivered(world: &World) {
    let builds = world.lab.finished().await.unwrap().len();
    wait_until("the status counts the mails", PATIENCE, async || {
        let text = world.space.kubectl(&["get", "mailnotifier", "mail", "-o", "json"]);
        let mail: Value = serde_json::from_str(&text).unwrap();
        let status = &mail["status"];
        let generation = mail["metadata"]["generation"].as_i64();
        for condition in status["conditions"].as_array()? {
            assert_eq!(condition["observedGeneration"].as_i64(), generation, "{condition}");
        }
        (status["delivered"].as_u64()? >= builds as u64 && !status["lastDelivered"].is_null())
            .then_some(())
    })
    .await;
}

pub async fn k03_a_changed_secret_rolls_the_pods_that_use_it(world: &World) {
    let (push, mail) = (world.pods("http-push"), world.pods("mail"));
    world.space.apply(&secret("Bearer second"));
    wait_until("the pod with the Secret is another one", PATIENCE, async || {
        let now = world.pods("http-push");
        (now.len() == 1 && now.keys().ne(push.keys())).then_some(())
    })
    .await;
    world.all_ready();
    let before = world.packets().await.unwrap().len();
    world.a_change_is_told().await;
    let packets = world.packets().await.unwrap();
    let said: BTreeSet<&str> =
        packets[before..].iter().filter_map(|packet| packet["authorization"].as_str()).collect();
    assert_eq!(said, BTreeSet::from(["Bearer second"]));
    assert_eq!(world.pods("mail"), mail, "who does not use the Secret goes on");
}

pub async fn k02_every_pod_comes_back_and_nothing_is_lost(world: &World) {
    for component in ["feed", "mail", "http-push", "web"] {
        let before = world.pods(component);
        let name = before.keys().next().unwrap();
        // As a lost node would, without a chance to end in order.
        world.space.kubectl(&["delete", "pod", name, "--grace-period=0", "--force"]);
        world.killed();
        wait_until("there is another pod", PATIENCE, async || {
            let now = world.pods(component);
            (now.len() == 1 && now.values().ne(before.values())).then_some(())
        })
        .await;
        world.a_change_is_told().await;
    }
    world.all_ready();
}

pub async fn k05_a_lost_volume_is_said_by_the_master_and_its_targets(world: &World) {
    let space = world.space;
    // As `docs/how-to/feed-volume-and-node-loss.md` has it for a disk that is gone with its node.
    space.kubectl(&["delete", "pvc", "buildbot-feed-main", "--wait=false"]);
    space.kubectl(&["delete", "pod", "buildbot-feed-main-0", "--force", "--grace-period=0"]);
    world.killed();
    for name in ["master/main", "webstatus/pages", "mailnotifier/mail", "httppush/push"] {
        let lost = "jsonpath={.status.conditions[?(@.type==\"JournalLost\")].message}";
        wait_until(&format!("{name} says it"), PATIENCE, async || {
            let said = space.kubectl(&["get", name, "--output", lost]);
            said.contains("the journal").then_some(())
        })
        .await;
    }
    world.all_ready();
    // A journal that begins knows nothing of what was built before the feed reached the master.
    let namespace = space.name();
    let figures =
        format!("/api/v1/namespaces/{namespace}/pods/buildbot-feed-main-0:9464/proxy/metrics");
    wait_until("the new feed follows the master", PATIENCE, async || {
        let text = space.try_kubectl(&["get", "--raw", &figures]).ok()?;
        let connected = |line: &str| {
            line.starts_with("buildbot_status_master_connected") && line.ends_with(" 1")
        };
        // A consumer that comes later than an event starts behind it.
        let consumers = ["mail/mail", "http_push/push"];
        let come = consumers.iter().all(|name| text.contains(&format!("consumer=\"{name}\"")));
        (come && text.lines().any(connected)).then_some(())
    })
    .await;
    world.a_change_is_told().await;
}

/// Only where the scripts started the cluster.
pub async fn k02_a_kubelet_that_starts_again_finds_its_pods(world: &World) {
    let all = || ["feed", "mail", "http-push", "web"].map(|component| world.pods(component));
    let restarts = || {
        let path = "jsonpath={.items[*].status.containerStatuses[*].restartCount}";
        world.space.kubectl(&["get", "pods", "--selector", MANAGED, "-o", path])
    };
    wait_until("no pod is ending that was replaced before", PATIENCE, async || {
        (restarts().split_whitespace().count() == 4).then_some(())
    })
    .await;
    let (pods, count) = (all(), restarts());
    assert!(world.space.cluster().kill_component("kubelet"));
    wait_until("the kubelet answers", PATIENCE, async || {
        world.space.try_kubectl(&["exec", "lab", "--", "/bin/ls"]).ok()
    })
    .await;
    world.a_change_is_told().await;
    let lease =
        ["get", "lease", "node1", "-n", "kube-node-lease", "-o", "jsonpath={.spec.renewTime}"];
    let before = world.space.cluster().kubectl(&lease);
    wait_until("the kubelet renews its lease", PATIENCE, async || {
        (world.space.cluster().kubectl(&lease) != before).then_some(())
    })
    .await;
    world.all_ready();
    assert_eq!((all(), restarts()), (pods, count), "no pod was touched");
}

pub async fn k02_a_killed_operator_goes_on_where_it_was(world: &World) {
    let cluster = world.space.cluster();
    for (round, title) in ["Pages of the second day", "Pages of the third day"].iter().enumerate() {
        let kill = ["delete", "pod", "-n", SYSTEM, "-l", "app.kubernetes.io/component=operator"];
        let kill = [&kill[..], &["--grace-period=0", "--force"]].concat();
        if round == 0 {
            // It is away when the change comes, and when an object of its own is deleted.
            cluster.kubectl(&kill);
            world.space.kubectl(&["delete", "deployment", "buildbot-mail-mail"]);
            world.killed();
        }
        let patch = format!("{{\"spec\":{{\"title\":\"{title}\"}}}}");
        world.space.kubectl(&["patch", "webstatus", "pages", "--type=merge", "-p", &patch]);
        if round == 1 {
            cluster.kubectl(&kill);
        }
        wait_until("the change is served", PATIENCE, async || {
            world.page("/waterfall").await?.contains(title).then_some(())
        })
        .await;
        world.all_ready();
    }
    world.a_change_is_told().await;
}

pub async fn k02_deleting_leaves_nothing(world: &World) {
    let space = world.space;
    // The Master first: it stays until nobody names it.
    space.kubectl(&["delete", "master", "main", "--wait=false"]);
    wait_until("the Master says who still names it", PATIENCE, async || {
        let path = "jsonpath={.status.conditions[?(@.type==\"Ready\")].message}";
        space.kubectl(&["get", "master", "main", "-o", path]).contains("pages").then_some(())
    })
    .await;
    space.kubectl(&[
        "delete",
        "webstatuses,mailnotifiers,httppushes,gerritpushes",
        "--all",
        "--timeout=180s",
    ]);
    space.kubectl(&["wait", "--for=delete", "master/main", "--timeout=180s"]);
    wait_until("nothing of the operator's is left", PATIENCE, async || {
        let left = managed(world);
        left.is_empty().then_some(())
    })
    .await;
}

/// Names of the operator's objects in the namespace, whatever their kind.
fn managed(world: &World) -> Vec<String> {
    let space = world.space;
    let kinds = space.kubectl(&["api-resources", "--namespaced", "--verbs=list", "-o", "name"]);
    let kinds: Vec<&str> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
    let text = space.kubectl(&[
        "get",
        &kinds.join(","),
        "-l",
        MANAGED,
        "-o",
        "name",
        "--ignore-not-found",
    ]);
    text.lines().map(str::to_owned).collect()
}

pub async fn k08_uninstalling_keeps_kinds_resources_and_pods(world: &World) {
    let (space, cluster) = (world.space, world.space.cluster());
    space.apply(&world.manifests("Pages that stay"));
    world.all_ready();
    let names = || space.kubectl(&["get", "statustargets", "-o", "name"]);
    let (resources, pods) = (names(), world.pods("web"));
    assert_eq!(resources.lines().count(), 4, "{resources}");
    cluster.helm(&["uninstall", SYSTEM, "--namespace", SYSTEM, "--wait"]);
    cluster.helm(&["uninstall", KINDS, "--wait"]);
    assert_eq!(names(), resources);
    assert_eq!(world.pods("web"), pods);
    let page = world.page("/waterfall").await.unwrap();
    assert!(page.contains("Pages that stay"));
    let gone = cluster.try_kubectl(&["get", "deployment", OPERATOR, "--namespace", SYSTEM]);
    assert!(gone.is_err_and(|said| said.contains("NotFound")));

    // And a new operator takes them over.
    install(cluster, &Version::present(cluster));
    world.all_ready();
    assert_eq!(world.pods("web"), pods, "nothing was changed, so nothing rolls");
    space.kubectl(&["delete", "statustargets", "--all", "--timeout=180s"]);
}
