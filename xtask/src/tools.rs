//! What the tests need and this machine may lack: says what is missing, then installs it.

use crate::{
    Failure, cache,
    cache::Cache,
    cluster::{self, Tier},
    gerrit, previous, root, succeed,
};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What a chore needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing but cargo.
    Nothing,
    /// A real Buildbot master.
    Master,
    /// That, and a real Gerrit.
    Reviews,
    /// The first, and what makes faults: a network whose packets are dropped, a clock that jumps.
    Faults,
    /// A Kubernetes of this machine's own, and a real Buildbot master for it.
    Cluster(Tier),
    /// That, and what the tests on it need: an earlier version of the program.
    ClusterTests,
    /// All of that, a browser, mail servers and tools.
    Tests,
}

/// One thing that is missing.
#[derive(Debug, PartialEq, Eq)]
enum Missing {
    /// Debian packages.
    Apt(Vec<&'static str>),
    /// The Python environment.
    Venv,
    /// The browser test's node modules.
    Browser,
    /// Gerrit's jars and a site.
    Gerrit,
    /// rustfmt or clippy.
    Component(&'static str),
    /// cargo-deny, compiled.
    Deny,
    /// Parts of the cluster, compiled or made.
    Cluster(Tier, Vec<String>),
    /// The program of an earlier commit.
    Previous(String),
}

impl Missing {
    fn says(&self, cache: &Cache) -> String {
        match self {
            Self::Apt(packages) => format!("by apt: {}", packages.join(" ")),
            Self::Venv => {
                format!("by pip: e2e/buildbot/requirements.txt into {}", cache.venv().display())
            }
            Self::Browser => {
                format!("by npm: e2e/browser/package.json into {}", cache.browser().display())
            }
            Self::Gerrit => {
                format!("by Maven: e2e/gerrit/pom.xml into {}", cache.gerrit().display())
            }
            Self::Component(name) => format!("by rustup: {name}"),
            Self::Deny => {
                format!("by cargo, in some minutes: {DENY} into {}", cache.deny().display())
            }
            Self::Cluster(_, parts) => format!(
                "by Go and pip, in up to 20 minutes: a Kubernetes ({}) into {}",
                parts.join(", "),
                cache.cluster().display()
            ),
            Self::Previous(commit) => format!(
                "by cargo, in some minutes: the program of the commit in e2e/upgrade-from into {}",
                previous::folder(cache, commit).display()
            ),
        }
    }
}

/// Installs what is missing; says so before.
pub fn install(cache: &Cache, wanted: Wanted) -> Result<(), Failure> {
    let missing = missing(cache, wanted)?;
    if missing.is_empty() {
        println!("Everything the tests need is installed.");
        return Ok(());
    }
    println!("To be installed first:");
    for one in &missing {
        println!("  {}", one.says(cache));
    }
    for one in &missing {
        match one {
            Missing::Apt(packages) => apt(packages)?,
            Missing::Venv => venv(cache)?,
            Missing::Browser => browser(cache)?,
            Missing::Gerrit => gerrit::get(cache)?,
            Missing::Component(name) => {
                succeed(
                    Command::new("rustup").args(["component", "add", name]),
                    "rustup component add",
                )?;
            }
            Missing::Deny => deny(cache)?,
            Missing::Cluster(tier, _) => cluster::build(cache, *tier)?,
            Missing::Previous(commit) => previous::build(cache, commit)?,
        }
    }
    Ok(())
}

fn missing(cache: &Cache, wanted: Wanted) -> Result<Vec<Missing>, Failure> {
    let mut missing = Vec::new();
    let mut packages = Vec::new();
    if on_path(&["git"]).is_none() {
        packages.push("git");
    }
    if !has_venv(cache) && !runs("python3", &["-c", "import venv, ensurepip"]) {
        packages.extend(["python3", "python3-venv"]);
    }
    if wanted == Wanted::Tests {
        if on_path(&["chromium", "chromium-browser", "google-chrome"]).is_none() {
            packages.push("chromium");
        }
        if on_path(&["node"]).is_none() || on_path(&["npm"]).is_none() {
            packages.extend(["nodejs", "npm"]);
        }
        packages.extend(absent(&SERVERS));
        packages.extend(absent(&GERRIT));
        missing.extend(
            [("rustfmt", "cargo-fmt"), ("clippy", "cargo-clippy")]
                .iter()
                .filter(|(_, program)| !runs(program, &["--version"]))
                .map(|(name, _)| Missing::Component(name)),
        );
    }
    if wanted == Wanted::Reviews {
        packages.extend(absent(&GERRIT));
    }
    if matches!(wanted, Wanted::Faults | Wanted::Tests) {
        packages.extend(absent(&FAULTS));
    }
    let tier = match wanted {
        Wanted::Cluster(tier) => Some(tier),
        Wanted::ClusterTests | Wanted::Tests => Some(Tier::Node),
        Wanted::Nothing | Wanted::Master | Wanted::Reviews | Wanted::Faults => None,
    };
    if let Some(tier) = tier {
        packages.extend(absent(&CONTROL));
        if tier == Tier::Node {
            packages.extend(absent(&NODE));
        }
        packages.sort_unstable();
        packages.dedup();
    }
    if !packages.is_empty() {
        missing.push(Missing::Apt(packages));
    }
    if !has_venv(cache) {
        missing.push(Missing::Venv);
    }
    if wanted == Wanted::Tests && !cache.browser().join(WHOLE).exists() {
        missing.push(Missing::Browser);
    }
    if matches!(wanted, Wanted::Reviews | Wanted::Tests) && !gerrit::is_there(cache) {
        missing.push(Missing::Gerrit);
    }
    if wanted == Wanted::Tests && !cache.deny().join("bin/cargo-deny").exists() {
        missing.push(Missing::Deny);
    }
    if let Some(tier) = tier {
        match cluster::to_build(cache, tier) {
            Some(parts) if parts.is_empty() => {}
            Some(parts) => missing.push(Missing::Cluster(tier, parts)),
            None => missing.push(Missing::Cluster(tier, vec!["all of it".to_owned()])),
        }
    }
    if matches!(wanted, Wanted::ClusterTests | Wanted::Tests) {
        missing.extend(previous::to_build(cache)?.map(Missing::Previous));
    }
    Ok(missing)
}

/// Packages of servers and tools that tests start for themselves, and a file of each.
const SERVERS: [(&str, &str); 4] = [
    ("postfix", "/usr/sbin/postfix"),
    ("dovecot-core", "/usr/sbin/dovecot"),
    ("prometheus", "/usr/bin/promtool"),
    ("openssl", "/usr/bin/openssl"),
];

/// The same of what a Gerrit is got, run and reached with.
const GERRIT: [(&str, &str); 3] = [
    ("openssh-client", "/usr/bin/ssh"),
    ("default-jdk-headless", "/usr/bin/javac"),
    ("maven", "/usr/bin/mvn"),
];

/// The same of what makes faults.
const FAULTS: [(&str, &str); 3] =
    [("faketime", "/usr/bin/faketime"), ("iproute2", "/usr/bin/ss"), ("nftables", "/usr/sbin/nft")];

/// The same of what a cluster without a node runs with.
const CONTROL: [(&str, &str); 5] = [
    ("curl", "/usr/bin/curl"),
    ("iproute2", "/usr/bin/ss"),
    ("openssl", "/usr/bin/openssl"),
    ("procps", "/usr/bin/pgrep"),
    ("socat", "/usr/bin/socat"),
];

/// The same of what a node adds.
const NODE: [(&str, &str); 9] = [
    ("binutils", "/usr/bin/objcopy"),
    ("busybox-static", "/bin/busybox"),
    ("conntrack", "/usr/sbin/conntrack"),
    ("containerd", "/usr/bin/containerd"),
    ("containernetworking-plugins", "/usr/lib/cni/bridge"),
    ("ethtool", "/usr/sbin/ethtool"),
    ("iptables", "/usr/sbin/iptables"),
    ("nftables", "/usr/sbin/nft"),
    ("runc", "/usr/sbin/runc"),
];

/// The packages whose file is not there.
fn absent(packages: &[(&'static str, &str)]) -> impl Iterator<Item = &'static str> {
    packages.iter().filter(|(_, place)| !Path::new(place).exists()).map(|(package, _)| *package)
}

/// Debian asks this file whether a package may start its service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

fn apt(packages: &[&str]) -> Result<(), Failure> {
    let root = runs("sh", &["-c", "test $(id -u) = 0"]);
    if !root && !runs("sudo", &["-n", "true"]) {
        return Err(format!(
            "this user may not install packages; please run: sudo apt-get install {}",
            packages.join(" ")
        ));
    }
    let apt = |arguments: &[&str]| {
        let mut command = if root { Command::new("env") } else { Command::new("sudo") };
        if !root {
            command.arg("env");
        }
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"]).args(arguments);
        command.stdin(Stdio::null());
        command
    };
    // A stale index is no reason to stop: the packages may be known already.
    let updated = succeed(&mut apt(&["update"]), "apt-get update");
    let mut arguments = vec!["install", "--no-install-recommends"];
    arguments.extend(packages);
    // Tests start servers of their own; the machine's are not to run because of them.
    let shell = |script: &str| {
        let mut command = if root { Command::new("sh") } else { Command::new("sudo") };
        if !root {
            command.arg("sh");
        }
        command.args(["-c", script]);
        command
    };
    let quiet = !Path::new(POLICY).exists();
    if quiet {
        let script = format!("printf '#!/bin/sh\nexit 101\n' > {POLICY} && chmod 755 {POLICY}");
        succeed(&mut shell(&script), "keeping services from starting")?;
    }
    let installed = succeed(&mut apt(&arguments), "apt-get install");
    if quiet {
        succeed(&mut shell(&format!("rm -f {POLICY}")), "letting services start again")?;
    }
    installed.map_err(|failed| match updated {
        Ok(()) => failed,
        Err(earlier) => format!("{earlier}; {failed}"),
    })
}

/// A Python environment can't be moved, so it is made in place and removed when that fails; a run that
/// was cut short is recognised by the mark that only a whole environment has.
fn venv(cache: &Cache) -> Result<(), Failure> {
    let folder = cache.venv();
    let io = |error: std::io::Error| format!("{}: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(io)?;
    }
    succeed(Command::new("python3").args(["-m", "venv"]).arg(&folder), "python3 -m venv")?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    succeed(pip.arg(cache::requirements(&root())), "pip install")?;
    fs::write(folder.join(WHOLE), "").map_err(io)
}

/// Whether there is a whole environment. One that the caller named is taken as it is.
fn has_venv(cache: &Cache) -> bool {
    cache.python().exists()
        && (env::var_os("BUILDBOT_VENV").is_some() || cache.venv().join(WHOLE).exists())
}

/// The file that says that an installation went to its end.
const WHOLE: &str = ".whole";

fn browser(cache: &Cache) -> Result<(), Failure> {
    let folder = cache.browser();
    let io = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(io)?;
    for name in ["package.json", "package-lock.json"] {
        let source = root().join("e2e/browser").join(name);
        fs::copy(&source, folder.join(name))
            .map_err(|error| format!("{}: {error}", source.display()))?;
    }
    let mut npm = Command::new("npm");
    npm.current_dir(folder).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    succeed(&mut npm, "npm ci")?;
    fs::write(folder.join(WHOLE), "").map_err(io)
}

/// The version that checks the dependencies.
pub const DENY: &str = "cargo-deny@0.20.2";

/// What is compiled on the way is of no use later.
fn deny(cache: &Cache) -> Result<(), Failure> {
    let output = cache.deny().join("build");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["install", "--locked", "--quiet", DENY, "--root"]).arg(cache.deny());
    succeed(cargo.env("CARGO_TARGET_DIR", &output), "cargo install cargo-deny")?;
    fs::remove_dir_all(&output).map_err(|error| format!("{}: {error}", output.display()))
}

/// The first of these programs that is on the PATH.
fn on_path(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    names
        .iter()
        .find_map(|name| folders.iter().map(|f| f.join(name)).find(|p: &PathBuf| Path::is_file(p)))
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
