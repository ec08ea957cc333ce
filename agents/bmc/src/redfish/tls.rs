//! Who may be at the other end: exactly the pinned certificate, or, while enrolling, the first that is seen.
//! Must never ask a certificate authority, a host name or a clock: BMC certificates are self-signed and their clocks are wrong.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest as _, Sha256};

use super::trouble::Trouble;

/// SHA-256 of a certificate.
type Fingerprint = [u8; 32];

/// The certificate of one BMC: pinned, or taken at first sight and then held to for this driver's life.
#[derive(Debug)]
pub struct Pin {
    schemes: WebPkiSupportedAlgorithms,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pinned: Option<Fingerprint>,
    /// The pin was given, or the expected machine was read under it.
    trusted: bool,
    refused: Option<Fingerprint>,
}

impl Pin {
    /// Pins this certificate; `None` takes the first one that is seen.
    pub fn new(pinned: Option<Fingerprint>) -> Arc<Pin> {
        let schemes = ring::default_provider().signature_verification_algorithms;
        Arc::new(Pin { schemes, state: Mutex::new(State { pinned, trusted: pinned.is_some(), refused: None }) })
    }

    /// Reads a fingerprint in hex, with or without colons, in any case.
    pub fn parse(text: &str) -> Option<Fingerprint> {
        let digits: Vec<u8> = text
            .chars()
            .filter(|c| *c != ':')
            .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
            .collect::<Option<_>>()?;
        let bytes: Vec<u8> = digits.chunks_exact(2).filter_map(|pair| Some((pair.first()? << 4) | pair.get(1)?)).collect();
        if digits.len() == 64 { bytes.try_into().ok() } else { None }
    }

    /// The certificate that this driver holds to, in hex; `None` before the first connection of an enrolment.
    pub fn certificate(&self) -> Option<String> {
        self.lock().pinned.map(hex)
    }

    /// The expected machine was read under the certificate that is held to.
    pub fn trust(&self) {
        let mut state = self.lock();
        state.trusted = state.pinned.is_some();
    }

    /// True if a command may go out: the first contact only reads.
    pub fn is_trusted(&self) -> bool {
        self.lock().trusted
    }

    /// The certificate that was refused since this was last asked.
    pub(crate) fn refusal(&self) -> Option<Trouble> {
        let mut state = self.lock();
        let seen = hex(state.refused.take()?);
        Some(Trouble::Certificate { seen, pinned: hex(state.pinned?) })
    }

    /// This certificate (DER) was shown: true if it is the one that is held to, from now on if there was none.
    pub fn admits(&self, certificate: &[u8]) -> bool {
        let seen: Fingerprint = Sha256::digest(certificate).into();
        let mut state = self.lock();
        let admitted = *state.pinned.get_or_insert(seen) == seen;
        if !admitted {
            state.refused = Some(seen);
        }
        admitted
    }

    /// TLS towards this BMC. Every connection proves itself anew: nothing is resumed.
    pub fn client(self: &Arc<Pin>) -> Result<ClientConfig, rustls::Error> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::<Pin>::clone(self))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _stapled: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.admits(certificate.as_ref()) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
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

fn hex(bytes: Fingerprint) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fingerprints_read_back(bytes in any::<[u8; 32]>()) {
            let text = hex(bytes);
            prop_assert_eq!(Pin::parse(&text), Some(bytes));
            prop_assert_eq!(Pin::parse(&text.to_uppercase()), Some(bytes));
            let colons: Vec<String> = bytes.iter().map(|b| format!("{b:02X}")).collect();
            prop_assert_eq!(Pin::parse(&colons.join(":")), Some(bytes));
            prop_assert_eq!(Pin::parse(text.get(..62).unwrap()), None);
        }

        #[test]
        fn parse_is_total(text in ".{0,80}") {
            let _ = Pin::parse(&text);
        }
    }

    fn shown(pin: &Pin, certificate: &[u8]) -> bool {
        let name = ServerName::try_from("bmc").unwrap();
        pin.verify_server_cert(&CertificateDer::from(certificate.to_vec()), &[], &name, &[], UnixTime::now()).is_ok()
    }

    #[test]
    fn only_the_pinned_certificate_passes_and_the_first_one_pins_itself() {
        let pinned = Pin::new(Some(Sha256::digest(b"right").into()));
        assert!(shown(&pinned, b"right") && !shown(&pinned, b"wrong"));
        assert!(matches!(pinned.refusal(), Some(Trouble::Certificate { .. })));
        assert!(pinned.refusal().is_none());
        let enrolling = Pin::new(None);
        assert!(enrolling.certificate().is_none());
        assert!(shown(&enrolling, b"first") && shown(&enrolling, b"first") && !shown(&enrolling, b"second"));
        assert_eq!(enrolling.certificate(), Some(hex(Sha256::digest(b"first").into())));
    }

    #[test]
    fn a_pin_is_trusted_if_it_was_given_or_the_machine_was_read_under_it() {
        assert!(Pin::new(Some(Sha256::digest(b"right").into())).is_trusted());
        let enrolling = Pin::new(None);
        enrolling.trust();
        assert!(!enrolling.is_trusted(), "nothing was seen yet");
        assert!(shown(&enrolling, b"first") && !enrolling.is_trusted());
        enrolling.trust();
        assert!(enrolling.is_trusted());
    }
}
