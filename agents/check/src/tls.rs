//! The TLS check: a handshake comes to its end, with a certificate that is valid now and for the name asked for.
//! A health check authenticates nobody: who has signed the certificate is not asked.

use crate::socket::{Source, Tried};
use crate::tcp::shown;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vocabulary::check::{CheckOutcome, TlsCheck};
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

/// Runs one try.
pub async fn attempt(source: &Source, check: &TlsCheck, deadline: Duration) -> Tried {
    let until = Instant::now() + deadline;
    let address = check.address;
    let name = match &check.name {
        Some(name) => {
            Some(ServerName::try_from(name.clone()).map_err(|_| format!("`{name}` is no name that a certificate holds"))?)
        }
        None => None,
    };
    let stream = match timeout_at(until, source.connect(address)).await {
        Err(_) => return Ok(CheckOutcome::Silent(format!("{address}: no connection within {}", shown(deadline)))),
        Ok(Err(reason)) => return reason.into(),
        Ok(Ok(stream)) => stream,
    };
    // from here on the host is alive, whatever else it does
    let judge = Arc::new(Judge::new(name.clone()));
    let outcome = match timeout_at(until, handshake(stream, address, name, &judge)).await {
        Err(_) => Err(format!("connected, but the handshake did not come to its end within {}", shown(deadline))),
        Ok(Err(reason)) => Err(reason),
        Ok(Ok(_)) => judge.complaint().map_or(Ok(()), Err),
    };
    Ok(outcome.map_or_else(|reason| CheckOutcome::Wrong(format!("{address}: {reason}")), |()| CheckOutcome::Healthy))
}

/// TLS over a connection, whoever is at its other end.
pub async fn over(stream: TcpStream, address: SocketAddr) -> Result<TlsStream<TcpStream>, String> {
    handshake(stream, address, None, &Arc::new(Judge::new(None))).await
}

async fn handshake(
    stream: TcpStream,
    address: SocketAddr,
    name: Option<ServerName<'static>>,
    judge: &Arc<Judge>,
) -> Result<TlsStream<TcpStream>, String> {
    let none = |error: rustls::Error| format!("no TLS: {error}");
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(none)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::<Judge>::clone(judge))
        .with_no_client_auth();
    // each try proves that a handshake works
    config.resumption = Resumption::disabled();
    let name = name.unwrap_or_else(|| ServerName::IpAddress(address.ip().into()));
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| format!("no TLS: {error}"))
}

/// Lets every certificate pass, and keeps what is wrong with it.
#[derive(Debug)]
struct Judge {
    schemes: WebPkiSupportedAlgorithms,
    name: Option<ServerName<'static>>,
    complaint: Mutex<Option<String>>,
}

impl Judge {
    fn new(name: Option<ServerName<'static>>) -> Judge {
        let schemes = ring::default_provider().signature_verification_algorithms;
        Judge { schemes, name, complaint: Mutex::default() }
    }

    fn complaint(&self) -> Option<String> {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What is wrong with a certificate at this time.
fn fault(certificate: &CertificateDer<'_>, name: Option<&ServerName<'_>>, now: UnixTime) -> Option<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate.as_ref()) else {
        return Some("its certificate cannot be read".to_owned());
    };
    let now = i64::try_from(now.as_secs()).ok().and_then(|seconds| ASN1Time::from_timestamp(seconds).ok())?;
    let validity = parsed.validity();
    if now < validity.not_before {
        return Some(format!("its certificate is valid from {} on", validity.not_before));
    }
    if now > validity.not_after {
        return Some(format!("its certificate has expired on {}", validity.not_after));
    }
    let name = name?;
    let held = ParsedCertificate::try_from(certificate).and_then(|parsed| verify_server_name(&parsed, name));
    held.err().map(|_| format!("its certificate is not for {}", name.to_str()))
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = fault(certificate, self.name.as_ref(), now);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.supported_schemes()
    }
}
