//! The Gerrit that tests start: its jars from Maven Central, a launcher, and a site that is initialised.

use crate::{Failure, cache::Cache, root, succeed};
use std::{fs, path::Path, process::Command};

/// The file that says that an installation went to its end.
const WHOLE: &str = ".whole";

/// Whether it is there, whole.
pub fn is_there(cache: &Cache) -> bool {
    cache.gerrit().join(WHOLE).exists()
}

/// Gets it. About 90 MB, and half a minute.
pub fn get(cache: &Cache) -> Result<(), Failure> {
    let folder = cache.gerrit();
    let io = |error: std::io::Error| format!("{}: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(io)?;
    }
    fs::create_dir_all(folder).map_err(io)?;
    let repository = folder.join("repository");
    let mut maven = Command::new("mvn");
    maven
        .args(["--batch-mode", "--quiet", "dependency:copy-dependencies", "--file"])
        .arg(root().join("e2e/gerrit/pom.xml"))
        .arg(argument("-Dmaven.repo.local=", &repository))
        .arg(argument("-DoutputDirectory=", &folder.join("jars")));
    succeed(&mut maven, "mvn dependency:copy-dependencies")?;
    // Copied already.
    fs::remove_dir_all(&repository).map_err(io)?;
    let mut compiler = Command::new("javac");
    compiler.arg("-d").arg(folder.join("classes")).arg(root().join("e2e/gerrit/Launch.java"));
    succeed(&mut compiler, "javac")?;
    let site = folder.join("site");
    let mut init = Command::new("java");
    init.arg("-cp").arg(format!("{0}/classes:{0}/jars/*", folder.display()));
    init.args(["Launch", "Init", "--batch", "--dev", "--no-auto-start", "--skip-plugins"]);
    succeed(init.args(["--skip-all-downloads", "-d"]).arg(&site), "Gerrit's Init")?;
    // Programs for a machine of its own, of which tests need none.
    fs::remove_dir_all(site.join("bin")).map_err(io)?;
    fs::write(folder.join(WHOLE), "").map_err(io)
}

fn argument(name: &str, path: &Path) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from(name);
    text.push(path);
    text
}
