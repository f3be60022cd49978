//! Why the operator, or one reconcile of it, can't go on.

use std::{io, path::PathBuf};

/// Why the operator ends.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The Lease was lost or could not be renewed in time: another operator may hold it now.
    #[error("the Lease {0} is no longer held: ended, so that no two operators write")]
    LostLease(String),
    /// The cluster can't be reached at all.
    #[error("the cluster can't be used: {0}")]
    Cluster(String),
    /// A task of the operator ended early: a fault of this program.
    #[error("the operator's task {0:?} ended: {1}")]
    Task(String, String),
    /// The client of the feeds can't be made.
    #[error("HTTP can't be used: {0}")]
    Http(String),
}

/// Why seeds can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The folder or a file in it can't be read.
    #[error("{}: {source}", .path.display())]
    Read {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is none.
    #[error(
        "there is no key: make one with `head -c 32 /dev/urandom | base64`, in a file named by its \
         date, such as 2026-11-26"
    )]
    None,
    /// It can be guessed.
    #[error("the key {name:?} has {bytes} bytes; at least 32 are needed")]
    Short {
        /// The key's name.
        name: String,
        /// How many it has.
        bytes: usize,
    },
    /// It can't name keys.
    #[error("{0:?}: a key's name has 1 to 64 small letters, digits, `.`, `_` and `-`")]
    Name(String),
    /// The feed would not take the keys made of it.
    #[error("keys can't be made of the seeds: {0}")]
    Unusable(String),
}

/// Why a reconcile is tried again. Its discriminant is the label `outcome` of figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server refused an object, for a reason that a change of the resource may mend.
    #[error("{kind} {name:?} was refused: {message}")]
    Refused {
        /// The object's kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What the API server says.
        message: String,
    },
    /// Somebody else's object is in the way.
    #[error("{kind} {name:?} is there already and belongs to somebody else: delete or rename it")]
    Taken {
        /// The object's kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The object was there in another form, with a pod that is not ready. It was deleted, since
    /// Kubernetes would not replace the pod.
    #[error("{kind} {name:?} is made anew, since its pod is not ready and would not be replaced")]
    MadeAnew {
        /// The object's kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The API server did not do it now.
    #[error("{what}: {}", words(.source))]
    Api {
        /// What was asked.
        what: String,
        /// Why it failed.
        source: Box<kube::Error>,
    },
    /// Keys can't be made.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The Lease may be another's by now.
    #[error("not the leader any more")]
    NotLeader,
    /// The object can't be read as its kind.
    #[error("the object can't be read: {0}")]
    Unreadable(String),
}

/// What the API server says, without the object that it says it in.
pub(crate) fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(refusal) => format!("{} ({})", refusal.message, refusal.code),
        other => other.to_string(),
    }
}

impl Error {
    pub(crate) fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Api { what, source: Box::new(source) }
    }

    /// Whether it may pass by itself, without a change of the resource or of another object.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Api { .. } | Self::MadeAnew { .. } | Self::NotLeader | Self::Keys(_))
    }

    /// One word for figures and logs.
    pub(crate) fn class(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Taken { .. } => "taken",
            Self::Api { .. } => "api",
            Self::MadeAnew { .. } => "made-anew",
            Self::Keys(_) => "keys",
            Self::NotLeader => "not-leader",
            Self::Unreadable(_) => "unreadable",
        }
    }
}
