//! What the machine lends to a run where it may: a network of its own whose packets can be dropped,
//! and a small disk that can be full.

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Set in a process that runs in a network namespace of its own.
pub const NAMESPACE: &str = "FAULTS_NAMESPACE";

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A network namespace with nothing but loopback. Dropping it removes it.
#[derive(Debug)]
pub struct Namespace(String);

impl Namespace {
    /// Makes one; `None` where this is not allowed.
    pub fn make(name: &str) -> Option<Self> {
        if !succeeds("ip", &["netns", "add", name]) {
            return None;
        }
        let namespace = Self(name.to_owned());
        let up = succeeds("ip", &["-n", name, "link", "set", "lo", "up"]);
        // Packets are dropped by rules of nftables: not every kernel has netem.
        let rules =
            succeeds("ip", &["netns", "exec", name, "nft", "add", "table", "inet", "faults"]);
        (up && rules).then_some(namespace)
    }

    /// A command that runs in it.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).arg(program).env(NAMESPACE, &self.0);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        succeeds("ip", &["netns", "del", &self.0]);
    }
}

/// Drops every packet from and to a port of this process's own network namespace. False where there
/// is none.
pub fn drop_packets(port: u16) -> bool {
    if env::var_os(NAMESPACE).is_none() {
        return false;
    }
    let port = port.to_string();
    let chain = "{ type filter hook input priority 0; policy accept; }";
    succeeds("nft", &["add", "chain", "inet", "faults", "way", chain])
        && succeeds("nft", &["add", "rule", "inet", "faults", "way", "tcp", "dport", &port, "drop"])
        && succeeds("nft", &["add", "rule", "inet", "faults", "way", "tcp", "sport", &port, "drop"])
}

/// Lets all packets through again.
pub fn pass_packets() {
    succeeds("nft", &["flush", "chain", "inet", "faults", "way"]);
}

/// A small disk in memory. Dropping it unmounts it.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// Mounts one on `folder`, which is made; `None` where this is not allowed.
    pub fn mount(folder: &Path) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let mounted =
            succeeds("mount", &["-t", "tmpfs", "-o", "size=64m", "tmpfs", folder.to_str()?]);
        mounted.then(|| Self(folder.to_owned()))
    }

    /// Takes up all the room that is left.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Gives the room back.
    pub fn free(&self) {
        let _ = fs::remove_file(self.0.join("filler"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        succeeds("umount", &["-l", self.0.to_str().unwrap_or_default()]);
    }
}
