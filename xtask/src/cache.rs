//! The cache folder: tools and build output that outlive a checkout.

use crate::{Failure, tools::DENY};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Where tools and build output are.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    venv: PathBuf,
    browser: PathBuf,
    gerrit: PathBuf,
}

impl Cache {
    /// Finds the folder and makes it. Tools are named by a hash of what they are made from, so that a
    /// changed list of requirements makes a new folder and an old checkout still finds its own.
    pub fn open(root: &Path) -> Result<Self, Failure> {
        let folder = home()?.join("buildbot-status-operator");
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let venv = folder.join(format!("venv-{}", hash_of(&requirements(root))?));
        let browser =
            folder.join(format!("browser-{}", hash_of(&root.join("e2e/browser/package.json"))?));
        let made = format!(
            "gerrit-{}-{}",
            hash_of(&root.join("e2e/gerrit/pom.xml"))?,
            hash_of(&root.join("e2e/gerrit/Launch.java"))?
        );
        let gerrit = folder.join(made);
        Ok(Self { folder, venv, browser, gerrit })
    }

    /// Build output. `CARGO_TARGET_DIR` wins.
    pub fn target(&self) -> PathBuf {
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.folder.join("target"), PathBuf::from)
    }

    /// The Python environment with Buildbot. `BUILDBOT_VENV` wins.
    pub fn venv(&self) -> PathBuf {
        env::var_os("BUILDBOT_VENV").map_or_else(|| self.venv.clone(), PathBuf::from)
    }

    /// Its interpreter.
    pub fn python(&self) -> PathBuf {
        self.venv().join("bin/python")
    }

    /// The folder with the browser test's `node_modules`.
    pub fn browser(&self) -> &Path {
        &self.browser
    }

    /// The folder with Gerrit's jars and a fresh site.
    pub fn gerrit(&self) -> &Path {
        &self.gerrit
    }

    /// The folder of cargo-deny, named by its version.
    pub fn deny(&self) -> PathBuf {
        self.folder.join(DENY.replace('@', "-"))
    }

    /// The folder of the test cluster: its programs and images. `KCACHE` wins.
    pub fn cluster(&self) -> PathBuf {
        env::var_os("KCACHE").map_or_else(|| self.folder.join("cluster"), PathBuf::from)
    }

    /// The whole state of the developer's cluster. `KSTATE` wins, as for the scripts.
    pub fn cluster_state(&self) -> PathBuf {
        env::var_os("KSTATE").map_or_else(|| self.cluster().join("state"), PathBuf::from)
    }

    /// The folder of earlier versions, each named by its commit.
    pub fn previous(&self) -> PathBuf {
        self.folder.join("previous")
    }

    /// What tests read to find the tools.
    pub fn variables(&self) -> [(&'static str, PathBuf); 5] {
        [
            ("BUILDBOT_VENV", self.venv()),
            ("KCACHE", self.cluster()),
            ("BROWSER_TOOLS", self.browser.clone()),
            ("GERRIT", self.gerrit.clone()),
            ("SCREENSHOTS", self.folder.join("screenshots")),
        ]
    }
}

/// The list of Python packages.
pub fn requirements(root: &Path) -> PathBuf {
    root.join("e2e/buildbot/requirements.txt")
}

fn home() -> Result<PathBuf, Failure> {
    if let Some(cache) = env::var_os("XDG_CACHE_HOME").filter(|c| !c.is_empty()) {
        return Ok(cache.into());
    }
    let home = env::var_os("HOME")
        .ok_or("neither XDG_CACHE_HOME nor HOME is set: there is no place for tools")?;
    Ok(Path::new(&home).join(".cache"))
}

fn hash_of(file: &Path) -> Result<String, Failure> {
    let bytes = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(format!("{:016x}", fnv1a(&bytes)))
}

/// FNV-1a, 64 bits: names a folder, nothing more.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a_gives_the_published_values() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
