//! A real Kubernetes for tests: started by the scripts of `e2e/cluster/`, or somebody's own.
//!
//! Tests of one program share one cluster of each tier, and each works in a namespace of its own ([`Space`]). The
//! cluster goes when the program ends, however that is: it lives as long as a pipe is open.
//!
//! | variable | |
//! |---|---|
//! | `KCACHE` | the scripts' folder with what was built; `cargo xtask` sets it |
//! | `E2E_PREVIOUS` | the program and the charts of the commit in `e2e/upgrade-from`; `cargo xtask` sets it |
//! | `E2E_KSTATE` | use the cluster whose state is in this folder, and leave it running |
//! | `E2E_KUBECONFIG` | use this cluster; it has the images that `E2E_IMAGE` and `E2E_LAB_IMAGE` name |
//! | `E2E_INGRESS` | where that cluster's Ingress controller listens, `http://ADDRESS`; without it, no test asks it |

mod exposed;
mod hold;
mod images;
mod peers;
mod report;
mod space;
mod version;

pub use exposed::Exposed;
pub use images::Images;
pub use peers::{Lab, Mailbox, Receiver};
pub use space::Space;
pub use version::Version;

use hold::Hold;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use std::{
    env, fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

/// How much of a cluster a test needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// etcd, kube-apiserver, kube-controller-manager: nothing runs pods.
    Control,
    /// Pods run, with DNS, an Ingress controller and the Gateway API.
    Node,
}

/// A cluster.
#[derive(Debug)]
pub struct Cluster {
    tier: Tier,
    kubeconfig: PathBuf,
    /// The folder of a cluster that the scripts started.
    state: Option<PathBuf>,
    /// Clients' files: what kubectl and helm remember of this cluster.
    files: tempfile::TempDir,
    images: OnceLock<Images>,
    _hold: Option<Hold>,
}

impl Cluster {
    /// The cluster of this program's tests; started by whoever needs it first.
    pub fn shared(tier: Tier) -> &'static Self {
        static CONTROL: OnceLock<Result<Cluster, String>> = OnceLock::new();
        static NODE: OnceLock<Result<Cluster, String>> = OnceLock::new();
        let place = match tier {
            Tier::Control => &CONTROL,
            Tier::Node => &NODE,
        };
        // Each further test fails as the first did, instead of trying for minutes again.
        match place.get_or_init(|| Self::find(tier)) {
            Ok(cluster) => cluster,
            Err(why) => panic!("there is no cluster: {why}"),
        }
    }

    /// A cluster of one test's own, for what the others could not bear, such as kinds that go. The scripts start it,
    /// whatever the others run on, and it goes with the program. `name` tells it from the program's other clusters.
    pub fn alone(tier: Tier, name: &str) -> &'static Self {
        match Self::start(tier, name) {
            Ok(cluster) => Box::leak(Box::new(cluster)),
            Err(why) => panic!("there is no cluster: {why}"),
        }
    }

    fn find(tier: Tier) -> Result<Self, String> {
        if let Some(file) = env::var_os("E2E_KUBECONFIG") {
            Self::new(tier, file.into(), None, None)
        } else if let Some(state) = env::var_os("E2E_KSTATE").map(PathBuf::from) {
            Self::new(tier, state.join("kubeconfig/admin-host"), Some(state), None)
        } else {
            Self::start(tier, "shared")
        }
    }

    fn start(tier: Tier, name: &str) -> Result<Self, String> {
        let hold = Hold::start(tier, name)?;
        let state = hold.state().to_owned();
        Self::new(tier, state.join("kubeconfig/admin-host"), Some(state), Some(hold))
    }

    fn new(
        tier: Tier,
        kubeconfig: PathBuf,
        state: Option<PathBuf>,
        hold: Option<Hold>,
    ) -> Result<Self, String> {
        // kube and reqwest want to know who does TLS.
        let _ = rustls::crypto::ring::default_provider().install_default();
        if !kubeconfig.exists() {
            return Err(format!("{} is not there", kubeconfig.display()));
        }
        let files = tempfile::tempdir().map_err(|error| error.to_string())?;
        Ok(Self { tier, kubeconfig, state, files, images: OnceLock::new(), _hold: hold })
    }

    /// How much of it there is.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// The folder of its state, if the scripts started it.
    pub fn state(&self) -> Option<&Path> {
        self.state.as_deref()
    }

    /// The file that says where it is and who its administrator is.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client with the administrator's rights. It belongs to the runtime that made it.
    pub async fn client(&self) -> Client {
        Client::try_from(self.config().await).unwrap()
    }

    /// A client with the rights of a ServiceAccount.
    pub async fn client_as(&self, namespace: &str, account: &str) -> Client {
        let mut config = self.config().await;
        config.auth_info.impersonate = Some(format!("system:serviceaccount:{namespace}:{account}"));
        Client::try_from(config).unwrap()
    }

    /// A client's settings, for a test that changes them.
    pub async fn config(&self) -> Config {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap()
    }

    /// kubectl; what it prints. The test fails when it does.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments).unwrap_or_else(|said| panic!("kubectl {arguments:?}: {said}"))
    }

    /// kubectl; what it prints, or what it says when it fails.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        said(self.kubectl_command().args(arguments).stdin(Stdio::null()))
    }

    fn kubectl_command(&self) -> Command {
        let mut command = Command::new(cache().join("bin/kubebox"));
        command.arg("kubectl").env("KUBECONFIG", &self.kubeconfig);
        command.env("KUBECACHEDIR", self.files.path().join("discovery"));
        command
    }

    /// `kubectl apply` of these manifests, as a user would.
    pub fn apply(&self, manifests: &str) {
        self.try_apply(manifests).unwrap_or_else(|said| panic!("{said}\n{manifests}"));
    }

    /// `kubectl apply`; what it says when it refuses.
    pub fn try_apply(&self, manifests: &str) -> Result<String, String> {
        fed(self.kubectl_command().args(["apply", "--filename", "-"]), manifests)
    }

    /// Kinds of others that are not in every cluster, as `install.sh` keeps them: `contour-crds.yaml` has those of the
    /// Gateway API, `monitoring-crds.yaml` Prometheus' monitors and rules.
    pub fn apply_kinds(&self, file: &str) {
        let file = cache().join("bin").join(file);
        let file = file.to_str().unwrap();
        // Some are too large for the annotation of the usual way.
        self.kubectl(&["apply", "--server-side", "--filename", file]);
        self.kubectl(&["wait", "--for=condition=Established", "--filename", file, "--timeout=30s"]);
    }

    /// A script that finds this cluster by `KUBECONFIG`, and its clients by `KUBECTL` and `HELM`.
    pub fn script(&self, path: &Path) -> Command {
        let kubectl = self.files.path().join("kubectl");
        if !kubectl.exists() {
            // The name says what the program is.
            symlink(cache().join("bin/kubebox"), &kubectl).unwrap();
        }
        let mut command = Command::new(path);
        command.env("KUBECONFIG", &self.kubeconfig).env("KUBECTL", kubectl);
        command.env("KUBECACHEDIR", self.files.path().join("discovery"));
        command.env("HELM", cache().join("bin/helm"));
        self.helm_files(&mut command);
        command
    }

    /// helm; what it prints. The test fails when it does.
    pub fn helm(&self, arguments: &[&str]) -> String {
        self.try_helm(arguments).unwrap_or_else(|said| panic!("helm {arguments:?}: {said}"))
    }

    /// helm; what it prints, or what it says when it fails.
    pub fn try_helm(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(cache().join("bin/helm"));
        command.env("KUBECONFIG", &self.kubeconfig);
        self.helm_files(&mut command);
        said(command.args(arguments).stdin(Stdio::null()))
    }

    fn helm_files(&self, command: &mut Command) {
        for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(name, self.files.path().join(name));
        }
    }

    /// A command in the cluster's network, with the files of this machine; `None` on a cluster that the scripts did
    /// not start.
    pub fn in_network(&self) -> Option<Command> {
        let mut command = script("netexec");
        command.env("KSTATE", self.state.as_ref()?);
        Some(command)
    }

    /// The same in all namespaces of the node: its processes, its `/run`.
    pub fn on_node(&self) -> Option<Command> {
        let mut command = self.in_network()?;
        command.arg("-n");
        Some(command)
    }

    /// kill -9 of a component of the node (`kubelet`, `containerd`, `kube-apiserver`, …), which is started again
    /// half a second later. False where the scripts did not start the cluster.
    pub fn kill_component(&self, name: &str) -> bool {
        let (Some(mut command), Some(state)) = (self.on_node(), &self.state) else { return false };
        let pid = fs::read_to_string(state.join("pid").join(name)).unwrap();
        said(command.args(["kill", "-9", pid.trim()])).unwrap();
        true
    }

    /// Puts an image from a file into the cluster.
    pub fn import(&self, file: &Path) {
        let mut command = self.on_node().expect("somebody's own cluster has its images already");
        said(command.args(["ctr", "-n", "k8s.io", "images", "import"]).arg(file))
            .unwrap_or_else(|said| panic!("{}: {said}", file.display()));
    }

    /// The images of the program and of the tests' peers, made and imported when first asked for.
    pub fn images(&self) -> &Images {
        self.images.get_or_init(|| Images::of(self))
    }

    /// What the Ingress controller answers to a GET: status and body. `None` where it is not known.
    pub fn through_ingress(&self, host: &str, path: &str) -> Option<(u16, String)> {
        let (mut command, address) = match (self.in_network(), env::var("E2E_INGRESS")) {
            (Some(mut network), _) => {
                network.arg("curl");
                (network, "http://10.89.0.1".to_owned())
            }
            (None, Ok(address)) => (Command::new("curl"), address),
            (None, Err(_)) => return None,
        };
        command.args(["-sS", "--max-time", "10", "-w", "\n%{http_code}", "-H"]);
        let answer = said(command.arg(format!("Host: {host}")).arg(format!("{address}{path}")));
        let answer = answer.unwrap_or_else(|_| "\n000".to_owned());
        let (body, code) = answer.rsplit_once('\n').unwrap();
        Some((code.parse().unwrap(), body.to_owned()))
    }
}

/// Where the scripts keep what they built.
fn cache() -> PathBuf {
    env::var_os("KCACHE")
        .expect("KCACHE is not set: run the tests with `cargo xtask test` or `cargo xtask e2e`")
        .into()
}

/// A script of `e2e/cluster/`.
fn script(name: &str) -> Command {
    let mut command =
        Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster").join(name));
    command.env("KCACHE", cache());
    command
}

/// What a command prints, or all that it says when it fails.
fn said(command: &mut Command) -> Result<String, String> {
    words(&command.output().map_err(|error| format!("{command:?}: {error}"))?)
}

fn fed(command: &mut Command, input: &str) -> Result<String, String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // Whoever reads nothing says why when it ends.
        let _ = stdin.write_all(input.as_bytes());
    }
    words(&child.wait_with_output().map_err(|error| format!("{command:?}: {error}"))?)
}

fn words(output: &Output) -> Result<String, String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(text)
    } else {
        Err(format!("{}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr)))
    }
}
