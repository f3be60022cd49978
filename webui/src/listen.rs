//! Serving on TCP, one interface of it, or a UNIX socket (row W01), and stopping in good order.

use crate::server::App;
use axum::{
    Router, body::Body, http::header, middleware, response::Response, serve::ListenerExt as _,
};
use crds::Listen;
use futures_util::StreamExt as _;
use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

/// How long requests that run are waited for when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// Why a server does not listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {listen}: {source}")]
pub struct ListenError {
    listen: Listen,
    source: io::Error,
}

/// A socket that listens.
#[derive(Debug)]
pub enum Listening {
    /// On TCP.
    Tcp(TcpListener),
    /// On a UNIX socket, and its path, which is removed at the end.
    Unix(UnixListener, PathBuf),
}

/// Begins to listen.
///
/// # Errors
/// [`ListenError`] with what the system says: in use, no permission, no such folder.
pub async fn bind(listen: &Listen) -> Result<Listening, ListenError> {
    let fail = |source| ListenError { listen: listen.clone(), source };
    match listen {
        Listen::Tcp { port, interface: Some(address) } => {
            TcpListener::bind((*address, *port)).await.map(Listening::Tcp).map_err(fail)
        }
        Listen::Tcp { port, interface: None } => {
            // `::` takes IPv4 too where the system has IPv6 at all.
            let any = SocketAddr::from((IpAddr::V6(Ipv6Addr::UNSPECIFIED), *port));
            match TcpListener::bind(any).await {
                Ok(listener) => Ok(Listening::Tcp(listener)),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(fail(error)),
                Err(_) => {
                    TcpListener::bind(("0.0.0.0", *port)).await.map(Listening::Tcp).map_err(fail)
                }
            }
        }
        Listen::Unix { path, mode } => {
            let socket = unix(path, *mode).await.map_err(fail)?;
            Ok(Listening::Unix(socket, path.clone()))
        }
    }
}

/// Whether a path is a socket that nobody listens on. A file that is no socket refuses
/// connections too, so its kind counts first.
async fn is_left_behind(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    let kind = std::fs::symlink_metadata(path);
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    kind.is_ok_and(|kind| kind.file_type().is_socket())
        && tokio::net::UnixStream::connect(path).await.is_err_and(refused)
}

/// Makes a UNIX socket; one that a dead process left behind is replaced.
async fn unix(path: &Path, mode: u32) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt as _;
    let socket = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left_behind(path).await => {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        other => other?,
    };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(socket)
}

impl Listening {
    /// Where: `http://127.0.0.1:8010/` or `unix:/path`.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|error| error.to_string(), |address| format!("http://{address}/")),
            Self::Unix(_, path) => format!("unix:{}", path.display()),
        }
    }

    /// Serves until `cancel`, then ends streams of events and finishes what else runs, for a few
    /// seconds at most.
    ///
    /// # Errors
    /// What the system says when the socket fails.
    pub async fn serve(self, router: Router, cancel: CancellationToken) -> io::Result<()> {
        let stopping = cancel.clone();
        let router = router.layer(middleware::map_response(move |answer: Response| {
            std::future::ready(ending(answer, &stopping))
        }));
        let stop = cancel.clone();
        let stopped = async move { stop.cancelled().await };
        let serve = async {
            match self {
                Self::Tcp(listener) => {
                    // A page comes in pieces: none waits until the one before is acknowledged.
                    let listener = listener.tap_io(|socket| {
                        if let Err(error) = socket.set_nodelay(true) {
                            tracing::debug!("a connection's small pieces may wait: {error}");
                        }
                    });
                    axum::serve(listener, router).with_graceful_shutdown(stopped).await
                }
                Self::Unix(listener, path) => {
                    let done = axum::serve(listener, router).with_graceful_shutdown(stopped).await;
                    // A socket that is gone already is as good.
                    let _ = std::fs::remove_file(path);
                    done
                }
            }
        };
        // A reader may be slow, or keep a request back.
        let late = async {
            cancel.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            done = serve => done,
            () = late => Ok(()),
        }
    }
}

/// Ends an answer that is a stream of events when the server stops: it never would by itself.
fn ending(answer: Response, cancel: &CancellationToken) -> Response {
    let kind = answer.headers().get(header::CONTENT_TYPE);
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
        return answer;
    }
    let stop = cancel.clone().cancelled_owned();
    answer.map(|body| Body::from_stream(body.into_data_stream().take_until(stop)))
}

/// Listens and serves a WebStatus until `cancel`.
///
/// # Errors
/// [`ListenError`], for a socket that fails later too.
pub async fn serve(
    app: Arc<App>,
    listen: &Listen,
    cancel: CancellationToken,
) -> Result<(), ListenError> {
    let listening = bind(listen).await?;
    tracing::info!(address = listening.address(), "serving pages");
    let router = crate::server::router(app);
    let fail = |source| ListenError { listen: listen.clone(), source };
    listening.serve(router, cancel).await.map_err(fail)
}
