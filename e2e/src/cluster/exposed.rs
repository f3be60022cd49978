//! A server of the test's own, reached from pods: the cluster's network has no way out, so its bytes go
//! through a socket file.

use super::Cluster;
use crate::{Process, wait_until};
use std::{process::Command, time::Duration};

/// The node's address in the cluster's network.
const NODE: &str = "10.89.0.1";

/// Pods reach a port of this machine's loopback, until this is dropped.
#[derive(Debug)]
pub struct Exposed {
    port: u16,
    _halves: [Process; 2],
    _folder: tempfile::TempDir,
}

impl Exposed {
    /// The host for pods.
    pub fn host(&self) -> &'static str {
        NODE
    }

    /// The port for pods: the same as on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `HOST:PORT` for pods.
    pub fn address(&self) -> String {
        format!("{NODE}:{}", self.port)
    }
}

impl Cluster {
    /// Lets pods reach a port of loopback; `None` on a cluster that the scripts did not start.
    pub async fn expose(&self, port: u16) -> Option<Exposed> {
        let mut inside = self.in_network()?;
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let mut outside = Command::new("socat");
        outside
            .arg(format!("UNIX-LISTEN:{},fork,backlog=64", socket.display()))
            .arg(format!("TCP:127.0.0.1:{port}"));
        inside
            .arg("socat")
            .arg(format!("TCP-LISTEN:{port},bind={NODE},fork,reuseaddr,backlog=64"))
            .arg(format!("UNIX-CONNECT:{}", socket.display()));
        let outside = Process::start(&mut outside, &folder.path().join("outside.log"));
        let inside = Process::start(&mut inside, &folder.path().join("inside.log"));
        wait_until("the socket file is there", Duration::from_secs(30), async || {
            socket.exists().then_some(())
        })
        .await;
        Some(Exposed { port, _halves: [outside, inside], _folder: folder })
    }
}
