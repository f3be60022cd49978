//! The delivery targets: mail, http_push.
