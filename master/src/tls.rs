//! TLS: the system's authorities, and those of the settings.

use crate::ClientError;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::sync::Arc;

/// A configuration that trusts the system's authorities and those of `ca_pem`. A system without any, as
/// a container's image may be, is no error: what needs no TLS works there.
///
/// # Errors
/// [`ClientError::Settings`] if `ca_pem` can't be used.
pub fn config(ca_pem: Option<&[u8]>) -> Result<Arc<ClientConfig>, ClientError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if let Some(pem) = ca_pem {
        let unusable = |e: String| {
            ClientError::Settings(format!("the certificates (spec.tls.caSecretRef): {e}"))
        };
        let mut found = false;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|e| unusable(e.to_string()))?;
            roots.add(certificate).map_err(|e| unusable(e.to_string()))?;
            found = true;
        }
        if !found {
            return Err(unusable("there is none in the text".to_owned()));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| ClientError::Settings(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
