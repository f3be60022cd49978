//! The harness's cluster without a node: what the operator's tests rely on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::cluster::{Cluster, Space, Tier};
use k8s_openapi::{
    api::core::v1::{ConfigMap, Namespace, ServiceAccount},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::{ListParams, ObjectMeta, PostParams},
    runtime::wait::{await_condition, conditions},
};
use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn resources_are_kept_and_collected_with_their_owner() {
    let space = Space::new(Cluster::shared(Tier::Control), "owner").await;
    let maps: Api<ConfigMap> = space.api();
    let named = |name: &str, metadata: ObjectMeta| ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..metadata },
        ..ConfigMap::default()
    };
    let owner =
        maps.create(&PostParams::default(), &named("owner", ObjectMeta::default())).await.unwrap();
    let reference: k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference =
        kube::Resource::owner_ref(&owner, &()).unwrap();
    let owned = ObjectMeta { owner_references: Some(vec![reference]), ..ObjectMeta::default() };
    maps.create(&PostParams::default(), &named("owned", owned)).await.unwrap();
    maps.delete("owner", &kube::api::DeleteParams::default()).await.unwrap();
    space.wait_until_gone::<ConfigMap>("owned", PATIENCE).await;
}

#[tokio::test]
async fn a_service_account_may_do_what_it_was_given_and_no_more() {
    let space = Space::new(Cluster::shared(Tier::Control), "rights").await;
    space.wait_for::<ServiceAccount>("default", "controllers run", PATIENCE, |_| true).await;
    space.apply(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [''], resources: [configmaps], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: default}]
",
    );
    let client = space.cluster().client_as(space.name(), "default").await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), space.name());
    // The authorizer learns of a new role by a watch.
    e2e::wait_until("the role counts", PATIENCE, async || {
        maps.list(&ListParams::default()).await.ok()
    })
    .await;
    let refused = maps.delete("any", &kube::api::DeleteParams::default()).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");
    let all: Api<Namespace> = Api::all(client);
    let refused = all.list(&ListParams::default()).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");
}

#[tokio::test]
async fn our_kinds_go_in_by_plain_apply() {
    let cluster = Cluster::shared(Tier::Control);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/yaml");
    cluster.kubectl(&["apply", "--filename", folder.to_str().unwrap()]);
    let crds: Api<CustomResourceDefinition> = Api::all(cluster.client().await);
    let ours = crds.list(&ListParams::default()).await.unwrap();
    let ours: Vec<String> = ours
        .items
        .into_iter()
        .filter(|crd| crd.spec.group == "statustargets.dev")
        .filter_map(|crd| crd.metadata.name)
        .collect();
    assert!(ours.len() >= 4, "{ours:?}");
    for name in ours {
        let established = await_condition(crds.clone(), &name, conditions::is_crd_established());
        tokio::time::timeout(PATIENCE, established).await.expect(&name).unwrap();
    }
}

/// The kinds of this cluster go and come, so it is nobody else's.
#[test]
fn k08_the_charts_are_installed_updated_rolled_back_and_removed() {
    let cluster = Cluster::alone(Tier::Control, "charts");
    // Monitors and rules are held against them.
    cluster.apply_kinds("monitoring-crds.yaml");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/tests/lifecycle.sh");
    let output = cluster.script(&script).stdin(Stdio::null()).output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
}

/// Set in a copy of this program that holds a cluster until it is killed.
const HOLDS: &str = "E2E_HOLDS";

#[tokio::test]
async fn a_cluster_ends_with_its_program_however_that_ends() {
    if let Some(file) = env::var_os(HOLDS) {
        let cluster = Cluster::shared(Tier::Control);
        let state = cluster.state().unwrap();
        let init = fs::read_to_string(state.join("init.pid")).unwrap();
        let (init, _) = init.split_once(' ').unwrap();
        // Whole at once: the other program reads it when it is there.
        let part = Path::new(&file).with_extension("part");
        fs::write(&part, format!("{init} {}", state.display())).unwrap();
        fs::rename(&part, &file).unwrap();
        loop {
            thread::park();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state");
    let mut program = Command::new(env::current_exe().unwrap());
    program.args(["--exact", "a_cluster_ends_with_its_program_however_that_ends"]);
    program.env(HOLDS, &file).env_remove("E2E_KUBECONFIG").env_remove("E2E_KSTATE");
    let mut program = program.stdout(Stdio::null()).spawn().unwrap();
    let said = e2e::wait_until("the cluster is up", 4 * PATIENCE, async || {
        assert_eq!(program.try_wait().unwrap(), None, "it ended before its cluster was up");
        fs::read_to_string(&file).ok()
    })
    .await;
    let (init, state) = said.split_once(' ').unwrap();
    let process = Path::new("/proc").join(init);
    assert!(process.exists() && Path::new(state).exists());
    program.kill().unwrap(); // no destructor runs
    program.wait().unwrap();
    e2e::wait_until("processes and files are gone", PATIENCE, async || {
        (!process.exists() && !Path::new(state).exists()).then_some(())
    })
    .await;
}
