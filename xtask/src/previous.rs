//! The program and the charts of an earlier commit, from which a test upgrades to the present ones.

use crate::{Failure, cache::Cache, cargo, root, succeed};
use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

/// Names the commit.
const FILE: &str = "e2e/upgrade-from";

/// Where it is built, named by the commit.
pub fn folder(cache: &Cache, commit: &str) -> PathBuf {
    cache.previous().join(commit)
}

/// What was built, for `E2E_PREVIOUS`.
pub fn built(cache: &Cache) -> Option<PathBuf> {
    Some(folder(cache, &commit().ok()?)).filter(|folder| folder.exists())
}

/// The commit, if it is still to be built and this clone has it. Where it has not, says so.
pub fn to_build(cache: &Cache) -> Result<Option<String>, Failure> {
    let commit = commit()?;
    if folder(cache, &commit).exists() {
        return Ok(None);
    }
    let mut git = Command::new("git");
    git.current_dir(root()).args(["cat-file", "-e", &format!("{commit}^{{commit}}")]);
    if git.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return Ok(Some(commit));
    }
    println!(
        "This clone does not have the commit {commit} of {FILE}, so the test of upgrades is left \
         out. To have it: git fetch --unshallow"
    );
    Ok(None)
}

/// Builds the commit's program from its own sources, with its own lock file. Dependencies that are the same are shared
/// with the present build; the workspace's own crates must not be.
pub fn build(cache: &Cache, commit: &str) -> Result<(), Failure> {
    let (whole, part) = (folder(cache, commit), cache.previous().join("part"));
    let io = |error: std::io::Error| format!("{}: {error}", part.display());
    if part.exists() {
        fs::remove_dir_all(&part).map_err(io)?;
    }
    let source = part.join("source");
    fs::create_dir_all(&source).map_err(io)?;
    let archive = part.join("source.tar");
    let mut git = Command::new("git");
    git.current_dir(root()).args(["archive", "--format=tar", "--output"]).arg(&archive).arg(commit);
    succeed(&mut git, "git archive")?;
    let mut tar = Command::new("tar");
    succeed(tar.arg("-xf").arg(&archive).arg("-C").arg(&source), "tar")?;
    let mut build = cargo(cache);
    build.current_dir(&source).env("CARGO_INCREMENTAL", "0");
    // To cargo, a crate at the same place of another checkout is the same crate, and files older than what is compiled
    // are unchanged. Other settings of the profile, which the workspace gives its own crates alone, keep them apart.
    build.env("CARGO_PROFILE_DEV_DEBUG", "none");
    // With a test, features are those of the whole workspace, as in the present build.
    build.args(["build", "--quiet", "--locked", "--workspace"]);
    build.args(["--bin", "buildbot-status", "--test", "control"]);
    succeed(&mut build, "building the program of an earlier commit")?;
    let mut strip = Command::new("objcopy");
    strip.arg("--strip-all").arg(cache.target().join("debug/buildbot-status"));
    succeed(strip.arg(part.join("buildbot-status")), "objcopy")?;
    fs::rename(source.join("charts"), part.join("charts")).map_err(io)?;
    fs::remove_dir_all(&source).map_err(io)?;
    fs::remove_file(&archive).map_err(io)?;
    fs::rename(&part, &whole).map_err(io)
}

fn commit() -> Result<String, Failure> {
    let file = root().join(FILE);
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    named(&text).map(str::to_owned).ok_or_else(|| {
        format!("{FILE}: {:?} is no commit: write all 40 digits of its hash", text.trim())
    })
}

fn named(text: &str) -> Option<&str> {
    let text = text.trim();
    (text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_named_by_its_whole_hash() {
        let hash = "1da3f41400000000000000000000000000000000";
        assert_eq!(named(&format!("{hash}\n")), Some(hash));
        assert_eq!(named("1da3f414"), None);
        assert_eq!(named("main"), None);
    }
}
