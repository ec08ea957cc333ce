//! The certificate of a BMC: self-signed, made when the BMC is born, changed on command.
//! Must never write a private key anywhere.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::error::Error;

/// A BMC's end of TLS.
#[derive(Debug, Clone)]
pub struct Identity {
    /// What the listener uses.
    pub server: Arc<rustls::ServerConfig>,
    /// The certificate for clients that pin it.
    pub pem: String,
}

/// A new key and a new self-signed certificate for the BMC at this address.
pub fn identity(name: &str, address: SocketAddr) -> Result<Identity, Error> {
    let fail = |reason: String| Error::Certificate { name: name.into(), reason };
    // The address goes in as an IP name (the library tells them apart by parsing), the machine's name only if it is a DNS name.
    let mut names = vec![address.ip().to_string()];
    if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        names.push(format!("{name}-bmc"));
    }
    if address.ip().is_loopback() {
        names.push("localhost".into());
    }
    let key = rcgen::KeyPair::generate().map_err(|e| fail(e.to_string()))?;
    let mut parameters = rcgen::CertificateParams::new(names).map_err(|e| fail(e.to_string()))?;
    parameters.distinguished_name.push(rcgen::DnType::CommonName, format!("{name}-bmc"));
    parameters.distinguished_name.push(rcgen::DnType::OrganizationName, "Understudy Laboratory");
    let certificate = parameters.self_signed(&key).map_err(|e| fail(e.to_string()))?;
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| fail(e.to_string()))?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .map_err(|e| fail(e.to_string()))?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Identity { server: Arc::new(server), pem: certificate.pem() })
}

/// Writes the certificate so that readers see the old file or the new one, never half.
pub fn write_pem(path: &Path, pem: &str) -> Result<(), Error> {
    let fail = |source| Error::File { action: "cannot write", path: path.into(), source };
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    std::fs::write(&fresh, pem).map_err(fail)?;
    std::fs::rename(&fresh, path).map_err(fail)
}
