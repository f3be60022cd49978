//! `operator`: reconciles a cluster's resources.

use crate::{
    cli,
    fail::Failure,
    health::Health,
    running::Running,
    standalone::{self, Signals},
};
use operator::{LeaseSettings, Metrics, RunError, Seeds, Settings};
use std::time::Duration;

/// How long a request to the API server may take to be answered at all.
const ANSWER: Duration = Duration::from_secs(30);
/// How long one connection is waited for.
const CONNECT: Duration = Duration::from_secs(10);

/// Runs until SIGTERM or SIGINT, or until another operator may hold the Lease.
///
/// # Errors
/// [`Failure`] when the keys or the cluster can't be used, or the Lease was lost.
pub async fn operator(arguments: cli::Operator) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let seeds =
        Seeds::from_dir(&arguments.keys).map_err(|e| Failure::Usage(format!("--keys: {e}")))?;
    let health = Health::new()?;
    let metrics = Metrics::register(health.registry())?;
    let running = Running::new(&health);
    let starting = health.wait("the API server knows the operator's kinds");
    let served = health.serve(arguments.serving.metrics, running.cancel()).await?;
    let cancel = running.cancel();
    let dir = arguments.keys.clone();
    let settings = settings(arguments);
    let work = async {
        let client = client().await?;
        let ready = move || drop(starting);
        operator::run(client, settings, (seeds, Some(dir)), metrics, ready, cancel.clone()).await
    };
    let mut work = Box::pin(work);
    let ended = tokio::select! {
        ended = &mut work => Some(ended),
        () = signals.received() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            tracing::info!("ending: what is in progress is finished first");
            cancel.cancel();
            tokio::time::timeout(Duration::from_secs(10), work).await.unwrap_or(Ok(()))
        }
    };
    standalone::end(running, served).await?;
    ended.map_err(|error| Failure::Other(error.to_string()))
}

/// The cluster: the one that the pod is in, or that of the kubeconfig.
async fn client() -> Result<kube::Client, RunError> {
    let failed = |error: String| RunError::Cluster(error);
    let mut config = kube::Config::infer().await.map_err(|e| failed(e.to_string()))?;
    config.connect_timeout = Some(CONNECT);
    // Watches are long; kube has a limit of its own for them.
    config.write_timeout = Some(ANSWER);
    kube::Client::try_from(config).map_err(|e| failed(e.to_string()))
}

fn settings(arguments: cli::Operator) -> Settings {
    let lease = arguments.leader_elect.then(|| LeaseSettings {
        name: arguments.lease,
        namespace: arguments.lease_namespace,
        duration: Duration::from_secs(arguments.lease_seconds),
    });
    Settings {
        image_pull_policy: arguments.image_pull_policy,
        image_pull_secrets: arguments.image_pull_secret,
        namespaces: arguments.watch_namespaces.into_iter().filter(|n| !n.is_empty()).collect(),
        watch_secrets: arguments.watch_secrets,
        storage_classes: arguments.storage_classes,
        ingress_classes: arguments.ingress_classes,
        network_policies: arguments.network_policies,
        pod_monitor_labels: arguments.pod_monitor_label.into_iter().collect(),
        pod_otlp_endpoint: arguments.otlp_endpoint_for_pods.filter(|url| !url.is_empty()),
        feeds_at: arguments.feeds_at,
        concurrency: arguments.concurrency,
        lease,
        identity: arguments.identity,
        ..Settings::new(arguments.image)
    }
}
