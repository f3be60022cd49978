//! A client some of whose requests are never answered: what a process that was killed does not hear, and what is lost
//! on a connection that is dead. No API server can be made to do it request by request.

use axum::http::{Request, Response};
use e2e::cluster::Cluster;
use futures_util::future::{BoxFuture, pending};
use kube::{
    Client,
    client::{Body, ClientBuilder},
};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower::{Layer, Service};

/// Says of a request whether it is never answered.
type Never = dyn Fn(&Request<Body>) -> bool + Send + Sync;

/// Never answers some requests.
#[derive(Clone)]
pub struct Silence(Arc<Never>);

impl Silence {
    /// About those requests of which `never` says so. They do not reach the API server.
    pub fn about(never: impl Fn(&Request<Body>) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(never))
    }

    /// A client with the administrator's rights.
    pub async fn client(&self, cluster: &Cluster) -> Client {
        ClientBuilder::try_from(cluster.config().await).unwrap().with_layer(self).build()
    }
}

impl<S> Layer<S> for Silence {
    type Service = Silenced<S>;

    fn layer(&self, inner: S) -> Silenced<S> {
        Silenced { inner, silence: self.clone() }
    }
}

#[derive(Clone)]
pub struct Silenced<S> {
    inner: S,
    silence: Silence,
}

impl<S, B> Service<Request<Body>> for Silenced<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if (self.silence.0)(&request) {
            return Box::pin(pending());
        }
        Box::pin(self.inner.call(request))
    }
}
