//! From an earlier version to this one, and back, while builds end.

use crate::world::{KINDS, MANAGED, OPERATOR, PATIENCE, SYSTEM, World, install};
use e2e::{cluster::Version, wait_until};

pub async fn k08_an_upgrade_and_the_way_back_lose_nothing(world: &World, previous: &Version) {
    let (space, cluster) = (world.space, world.space.cluster());
    let present = Version::present(cluster);
    assert_ne!(previous.image(), present.image());
    // Nothing of this version is left when the other one comes.
    space.kubectl(&["delete", "statustargets", "--all", "--timeout=180s"]);
    cluster.helm(&["uninstall", SYSTEM, "--namespace", SYSTEM, "--wait"]);
    cluster.helm(&["uninstall", KINDS, "--wait"]);
    install(cluster, previous);
    let manifests = world.manifests("Pages of two versions");
    // The earlier version pushes to a Service without being told that it may, and knows no such field.
    space.apply(&manifests.replace("  allowPrivateAddresses: true\n", ""));
    until_all_run(world, previous).await;
    world.a_change_is_told().await;

    let before = world.repeats().await;
    install(cluster, &present);
    space.apply(&manifests);
    goes_on(world, &present, before + 1).await;

    let before = world.repeats().await;
    let back = ["--wait", "--timeout", "3m"];
    cluster.helm(&[&["rollback", SYSTEM, "--namespace", SYSTEM], &back[..]].concat());
    cluster.helm(&[&["rollback", KINDS], &back[..]].concat());
    goes_on(world, previous, before + 1).await;
    space.kubectl(&["delete", "statustargets", "--all", "--timeout=180s"]);
}

/// A change is told while pods are replaced, and another one when all are of this version. The pod that sends mails
/// ended once, so one mail may have come again.
async fn goes_on(world: &World, version: &Version, repeats: usize) {
    world.killed();
    world.a_change_is_told().await;
    until_all_run(world, version).await;
    world.a_change_is_told().await;
    assert!(world.repeats().await <= repeats);
    let page = world.page("/waterfall").await.unwrap();
    assert!(page.contains("Pages of two versions"));
}

/// Waits until the operator, the feed and the targets are of this version, and ready.
async fn until_all_run(world: &World, version: &Version) {
    let image = "jsonpath={.spec.template.spec.containers[0].image}";
    let operator = ["get", "deployment", OPERATOR, "--namespace", SYSTEM, "--output", image];
    assert_eq!(world.space.cluster().kubectl(&operator), version.image());
    let images = "jsonpath={range .items[*]}{.spec.containers[0].image}{\"\\n\"}{end}";
    let pods = ["get", "pods", "--selector", MANAGED, "--output", images];
    wait_until("feed and targets are of this version", PATIENCE, async || {
        let images = world.space.kubectl(&pods);
        // Pods that are ending are among them.
        (images.lines().collect::<Vec<_>>() == [version.image(); 4]).then_some(())
    })
    .await;
    world.all_ready();
}
