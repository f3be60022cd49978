//! What is refused, and what is said of it.

use crate::world::{Way, World, build, review, summary, target};
use delivery::{SendError, Sent};
use e2e::{Change, free_port};
use model::Outcome;
use serde_json::json;
use targets::gerrit::Secrets;

async fn fails(world: &World, way: Way, secrets: &Secrets, more: &serde_json::Value) -> SendError {
    let change = world.gerrit().change("demo").await;
    let target = target(&world.spec(way, more), secrets);
    let error = summary(&target, vec![build(&change, "linux", Outcome::Success)]).await;
    assert_eq!(world.said(&change).await, Vec::<String>::new());
    error.unwrap_err()
}

/// The ed25519 line of the known hosts.
fn line(world: &World) -> &str {
    world.known_hosts.lines().find(|line| line.contains("ssh-ed25519")).unwrap()
}

pub async fn g01_a_host_key_that_is_not_known_is_refused_with_its_fingerprint(world: &World) {
    let gerrit = world.gerrit();
    let other = world.robot.identity.clone();
    let with = |known: String| Secrets { known_hosts: Some(known), ..world.secrets() };
    let port = gerrit.ssh();
    // Nobody knows it.
    let strange = line(world).replace("127.0.0.1", "gerrit.example.org");
    let SendError::Misconfigured(text) = fails(world, Way::Ssh, &with(strange), &json!({})).await
    else {
        panic!("an unknown host is no setting to mend");
    };
    let begin =
        format!("the host key of 127.0.0.1:{port} is not known: it shows ssh-ed25519 SHA256:");
    assert!(text.starts_with(&begin), "{text}");
    assert!(text.contains(&format!("`ssh-keyscan -p {port} 127.0.0.1`")), "{text}");
    // It is known by another key, of the same kind or another one.
    let robot = gerrit.robot("host-bot", "ed25519").await;
    let mut keygen = std::process::Command::new("ssh-keygen");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, &robot.identity).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, private).unwrap();
    let public = keygen.arg("-y").arg("-f").arg(&file).output().unwrap();
    let public = String::from_utf8(public.stdout).unwrap();
    let changed = format!("[127.0.0.1]:{port} {public}");
    let SendError::Misconfigured(text) = fails(world, Way::Ssh, &with(changed), &json!({})).await
    else {
        panic!("another host key is no setting to mend");
    };
    let begin = format!(
        "127.0.0.1:{port} shows another host key than knownHostsSecretRef has: ssh-ed25519 SHA256:"
    );
    assert!(text.starts_with(&begin) && text.contains(" instead of SHA256:"), "{text}");
    assert!(!text.contains(other.lines().nth(1).unwrap()), "{text}");
    // A revoked one, though there is a line that allows it.
    let revoked = format!("{0}\n@revoked {0}", line(world));
    let SendError::Misconfigured(text) = fails(world, Way::Ssh, &with(revoked), &json!({})).await
    else {
        panic!("a revoked host key is no setting to mend");
    };
    assert!(text.contains("marks as revoked"), "{text}");
}

pub async fn g01_another_key_than_the_accounts_is_a_setting_to_mend(world: &World) {
    let stranger = world.gerrit().robot("stranger", "ed25519").await;
    let secrets = Secrets { identity: Some(stranger.identity), ..world.secrets() };
    let SendError::Misconfigured(text) = fails(world, Way::Ssh, &secrets, &json!({})).await else {
        panic!("a wrong key is no setting to mend");
    };
    assert!(text.contains("refuses the user \"ci-bot\" with the key SHA256:"), "{text}");
    assert!(text.contains("add its public key to the account"), "{text}");
}

pub async fn g01_a_wrong_http_password_is_a_setting_to_mend(world: &World) {
    let secrets = Secrets { password: Some("wrong".to_owned()), ..world.secrets() };
    let SendError::Misconfigured(text) = fails(world, Way::Rest, &secrets, &json!({})).await else {
        panic!("a wrong password is no setting to mend");
    };
    assert!(text.contains("401") && !text.contains("wrong"), "{text}");
}

pub async fn g01_a_server_that_is_away_is_waited_for(world: &World) {
    let port = free_port();
    let away = json!({ "http": {
        "url": format!("http://127.0.0.1:{port}/"),
        "passwordSecretRef": { "name": "gerrit", "key": "password" },
    } });
    for (way, more) in [(Way::Ssh, json!({ "port": port })), (Way::Rest, away)] {
        let error = fails(world, way, &world.secrets(), &more).await;
        assert!(
            matches!(&error, SendError::Transient(text) if text.contains("refused")),
            "{error}"
        );
    }
}

pub async fn g01_a_change_that_is_not_there_is_given_up_with_the_reason(world: &World) {
    let real = world.gerrit().change("demo").await;
    for (project, revision) in [
        ("demo", "aaaabbbbccccddddeeeeffff0000111122223333"),
        ("no such project", real.revision.as_str()),
        ("platform/build", real.revision.as_str()),
    ] {
        let change = Change {
            project: project.to_owned(),
            number: real.number,
            revision: revision.to_owned(),
        };
        for way in [Way::Ssh, Way::Rest] {
            let target = world.target(way, &json!({}));
            let sent = summary(&target, vec![build(&change, "linux", Outcome::Success)]).await;
            let expected = format!(
                "no change of the project {project:?} has the patch set {revision}, \
                 or the account may not see it"
            );
            assert_eq!(sent.unwrap_err(), SendError::Permanent(expected), "{way:?}");
        }
    }
    assert_eq!(world.said(&real).await, Vec::<String>::new());
}

pub async fn g03_a_label_that_the_project_lacks_is_told(world: &World) {
    for (label, vote) in [("Formatted", "1"), ("Verified", "2")] {
        let settings = json!({
            "labels": { "verified": label }, "review": { "message": "done", "verified": vote },
        });
        for way in [Way::Ssh, Way::Rest] {
            let change = world.gerrit().change("demo").await;
            let target = world.target(way, &settings);
            let sent = review(&target, build(&change, "linux", Outcome::Success)).await.unwrap();
            let expected = format!(
                "Gerrit took the message but not {label}+{vote}: the project \"demo\" has no such \
                 label or value; add it to the project, or set spec.labels"
            );
            assert_eq!(sent, Sent::Partly(expected), "{way:?}");
            assert_eq!(world.said(&change).await, ["Patch Set 1:\n\ndone"], "{way:?}");
        }
    }
}

pub async fn g03_a_vote_that_the_account_may_not_give_is_told(world: &World) {
    let settings = json!({ "review": { "verified": "0", "reviewed": "2" } });
    for way in [Way::Ssh, Way::Rest] {
        let change = world.gerrit().change("demo").await;
        let target = world.target(way, &settings);
        let sent = review(&target, build(&change, "linux", Outcome::Success)).await;
        let SendError::Permanent(text) = sent.unwrap_err() else {
            panic!("{way:?}: tried again in vain");
        };
        assert!(text.contains("Applying label \"Code-Review\": 2 is restricted"), "{text}");
        assert_eq!(world.said(&change).await, Vec::<String>::new(), "{way:?}");
    }
}
