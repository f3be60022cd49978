//! The whole way: a patch set, a real Buildbot master that builds it, and the program that tells of the builds.

use crate::world::World;
use e2e::{Buildmaster, Standalone, wait_until};
use std::{ffi::OsString, fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

const PATIENCE: Duration = Duration::from_secs(120);

/// A master of `e2e/buildbot/gerrit.cfg`.
async fn master(folder: &Path, world: &World) -> Buildmaster {
    let gerrit = world.gerrit();
    let private = |name: &str, text: &str, mode: u32| {
        let file = folder.join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        file
    };
    let key = private("key", &world.robot.identity, 0o600);
    let known = private("known_hosts", &gerrit.known_hosts(), 0o600);
    // The master calls `ssh` as it finds it, with the settings of whoever runs this test.
    let bin = folder.join("bin");
    fs::create_dir(&bin).unwrap();
    let ssh = "#!/bin/sh\nexec /usr/bin/ssh -F none -o IdentitiesOnly=yes -o UserKnownHostsFile=";
    private("bin/ssh", &format!("{ssh}{} \"$@\"\n", known.display()), 0o755);
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("buildbot/gerrit.cfg");
    let path = std::env::var("PATH").unwrap();
    let environment: [(&str, OsString); 3] = [
        ("PATH", format!("{}:{path}", bin.display()).into()),
        ("GERRIT_SSH", gerrit.ssh().to_string().into()),
        ("GERRIT_KEY", key.into()),
    ];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_os_str()));
    Buildmaster::start(folder, &config, &environment).await
}

fn manifests(world: &World, www: u16) -> String {
    let gerrit = world.gerrit();
    let block = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        "apiVersion: statustargets.dev/v1alpha1
kind: Master
metadata: {{name: main}}
spec: {{url: \"http://127.0.0.1:{www}/\"}}
---
apiVersion: v1
kind: Secret
metadata: {{name: gerrit}}
stringData:
  identity: |
{}  known_hosts: |
{}---
apiVersion: statustargets.dev/v1alpha1
kind: GerritPush
metadata: {{name: gerrit}}
spec:
  masterRef: {{name: main}}
  server: 127.0.0.1
  port: {}
  username: ci-bot
  identitySecretRef: {{name: gerrit, key: identity}}
  knownHostsSecretRef: {{name: gerrit, key: known_hosts}}
  start: {{message: 'began on {{{{ builder.name }}}}'}}
",
        block(&world.robot.identity),
        block(&world.known_hosts),
        gerrit.ssh(),
    )
}

pub async fn g01_a_real_masters_builds_vote_on_the_change_that_they_built(world: &World) {
    let folder = tempfile::tempdir().unwrap();
    let gerrit = world.gerrit();
    gerrit.project("live").await;
    let master = master(folder.path(), world).await;
    let www = master.port();
    let mut standalone = Standalone::start(folder.path(), "data", &manifests(world, www));
    standalone.connected().await;
    let mut change = gerrit.change("live").await;
    for patch_set in 1..=2 {
        // Two that began, and what became of them.
        let mut said = wait_until("all reviews are on the change", PATIENCE, async || {
            let said = world.said(&change).await;
            (said.len() == 3 * patch_set).then_some(said)
        })
        .await;
        // A master numbers its builders as it likes.
        let summary = said.pop().map(|text| text.replace("/builders/2/", "/builders/1/"));
        let mut began = said.split_off(3 * (patch_set - 1));
        began.sort();
        let began_on = |builder| format!("Patch Set {patch_set}:\n\nbegan on {builder}");
        assert_eq!(began, [began_on("lint"), began_on("unit")]);
        let build = format!("/builds/{patch_set}");
        let expected = format!(
            "Patch Set {patch_set}: Verified-1\n\n\
             Builder lint failed (failed 'false' (failure)) - http://127.0.0.1:{www}/#/builders/1{build}\n\n\
             Builder unit succeeded (build successful) - http://127.0.0.1:{www}/#/builders/1{build}"
        );
        assert_eq!(summary, Some(expected), "{}", standalone.printed());
        assert_eq!(world.voted(&change).await, ["Verified-1"]);
        change = gerrit.amend(&change).await;
    }
    standalone.end().await;
    master.end().await;
}
