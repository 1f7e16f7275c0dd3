//! TLS to a server on another machine: always, and with a certificate that the system or a file vouches for.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::Verifier;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::PostgresError;
use crate::system::small_file;

/// Sets TLS up. It reads the system's certificates: a few milliseconds.
pub(super) fn connector(root_certificate: Option<&Path>) -> Result<MakeRustlsConnect, PostgresError> {
    let setup = |source| PostgresError::Tls { source };
    // Named here: a process's default provider would be whatever some other library has set.
    let provider = Arc::new(default_provider());
    let extra = root_certificate.map(certificates).transpose()?.unwrap_or_default();
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider)).map_err(setup)?;
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(setup)?;
    // Nothing is waived by this: it is how another verifier than the built-in one is named.
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PostgresError> {
    let unusable = |why: String| PostgresError::RootCertificate { path: path.to_owned(), why };
    let bytes = small_file::read(path).map_err(|error| unusable(error.to_string()))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(unusable("it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)".to_owned())),
    }
}
