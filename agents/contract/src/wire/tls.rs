//! TLS for the wire: version 1.3 only, ring only, the estate's own authority only, and names that are checked on both sides.

use super::WireError;
use super::enrol::{CONTROLLER_NAME, ControllerIdentity, agent_name};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};
use std::sync::Arc;
use std::time::Duration;
use vocabulary::AgentId;

const ALPN: &[u8] = b"h2";

fn bad(what: &str, error: impl std::fmt::Display) -> WireError {
    WireError::Certificates { reason: format!("{what}: {error}") }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn roots(ca_pem: &str) -> Result<Arc<RootCertStore>, WireError> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(ca_pem.as_bytes()).map_err(|e| bad("authority's certificate", e))?;
    roots.add(authority).map_err(|e| bad("authority's certificate", e))?;
    Ok(Arc::new(roots))
}

fn chain(certificate_pem: &str) -> Result<Vec<CertificateDer<'static>>, WireError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate_pem.as_bytes()).collect();
    chain.map_err(|e| bad("certificate", e))
}

fn key(key_pem: &str) -> Result<PrivateKeyDer<'static>, WireError> {
    PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|e| bad("key", e))
}

/// A certificate with the key that it is made for.
pub(super) fn certified(certificate_pem: &str, key_pem: &str) -> Result<CertifiedKey, WireError> {
    CertifiedKey::from_der(chain(certificate_pem)?, key(key_pem)?, &provider()).map_err(|e| bad("agent's certificate", e))
}

/// Whether a controller of this authority would take it for this agent, now.
pub(super) fn is_of_agent(ca_pem: &str, agent: &AgentId, shown: &CertifiedKey) -> Result<(), WireError> {
    let name = ServerName::try_from(agent_name(agent)).map_err(|e| bad("agent's name", e))?;
    let authority = WebPkiServerVerifier::builder_with_provider(roots(ca_pem)?, provider())
        .build()
        .map_err(|e| bad("authority's certificate", e))?;
    let certificate = shown.end_entity_cert().map_err(|e| bad("agent's certificate", e))?;
    let verified = authority.verify_server_cert(certificate, &[], &name, &[], UnixTime::now());
    verified.map(drop).map_err(|e| bad("agent's certificate", e))
}

/// When a certificate ends, since 1970; zero if it cannot be read.
pub(super) fn ends(certificate: &CertificateDer<'_>) -> Duration {
    let read = x509_parser::parse_x509_certificate(certificate).map(|(_, read)| read.validity().not_after.timestamp());
    read.ok().and_then(|seconds| u64::try_from(seconds).ok()).map_or(Duration::ZERO, Duration::from_secs)
}

/// The agent's side.
pub(super) fn server(ca_pem: &str, shown: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, WireError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(ca_pem)?, provider())
        .build()
        .map_err(|e| bad("authority's certificate", e))?;
    let name = ServerName::try_from(CONTROLLER_NAME).map_err(|e| bad("controller's name", e))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| bad("TLS 1.3", e))?
        .with_client_cert_verifier(Arc::new(OnlyController { chain: verifier, name }))
        .with_cert_resolver(shown);
    config.alpn_protocols = vec![ALPN.to_vec()];
    // No resumption: every connection shows its certificate.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The controller's side.
pub(super) fn client(identity: &ControllerIdentity) -> Result<Arc<ClientConfig>, WireError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| bad("TLS 1.3", e))?
        .with_root_certificates(roots(&identity.ca_pem)?)
        .with_client_auth_cert(chain(&identity.certificate_pem)?, key(identity.key_pem.expose())?)
        .map_err(|e| bad("controller's certificate", e))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// Accepts a certificate of the authority that bears the controller's name, and no other: an agent's certificate opens no agent.
#[derive(Debug)]
struct OnlyController {
    chain: Arc<dyn ClientCertVerifier>,
    name: ServerName<'static>,
}

impl ClientCertVerifier for OnlyController {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_name(&certificate, &self.name)
            .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
