//! What an agent shows when a controller connects: its certificate and key, which its controller renews while it serves. The key is made
//! here and never leaves; a certificate that is not ours, or ends no later than the one in force, changes nothing.

use super::enrol::{Bundle, agent_name};
use super::{WireError, tls};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use vocabulary::Secret;
use vocabulary::request::AgentError;

/// What a controller asks of an agent's certificate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Renewal {
    /// To make a key, and to ask for a certificate for it. It forgets what it asked for before.
    Propose,
    /// To take the certificate that it asked for last.
    Take {
        /// The certificate.
        certificate_pem: String,
    },
}

/// What it answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Renewed {
    /// The request, signed by the key that it made.
    Proposed {
        /// PKCS #10.
        request_pem: String,
    },
    /// From now on it shows the new one, also after its next start.
    Taken,
}

/// An agent's certificate and key in force.
pub struct Credentials {
    path: Option<PathBuf>,
    live: Mutex<Live>,
}

struct Live {
    bundle: Bundle,
    shown: Arc<CertifiedKey>,
    /// The key that a certificate was asked for.
    proposed: Option<KeyPair>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Credentials {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.live().shown.clone())
    }
}

fn refused(reason: impl Into<String>) -> AgentError {
    AgentError::Refused { reason: reason.into() }
}

impl Credentials {
    /// Those of a bundle that lies in this file, where what renews it is written.
    pub fn of_file(bundle: Bundle, path: &Path) -> Result<Arc<Credentials>, WireError> {
        Credentials::make(bundle, Some(path.to_path_buf()))
    }

    /// Those of a bundle that lies nowhere: what renews it is forgotten with the process.
    pub fn in_memory(bundle: Bundle) -> Result<Arc<Credentials>, WireError> {
        Credentials::make(bundle, None)
    }

    fn make(bundle: Bundle, path: Option<PathBuf>) -> Result<Arc<Credentials>, WireError> {
        let shown = Arc::new(tls::certified(&bundle.certificate_pem, bundle.key_pem.expose())?);
        Ok(Arc::new(Credentials { path, live: Mutex::new(Live { bundle, shown, proposed: None }) }))
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The authority's certificate.
    pub(super) fn ca_pem(&self) -> String {
        self.live().bundle.ca_pem.clone()
    }

    pub(super) async fn renew(self: Arc<Self>, asked: Renewal) -> Result<Renewed, AgentError> {
        match asked {
            Renewal::Propose => self.propose(),
            // the file is written to its end, also if nobody waits for the answer any more
            Renewal::Take { certificate_pem } => tokio::task::spawn_blocking(move || self.take(&certificate_pem))
                .await
                .unwrap_or_else(|_| Err(refused("the agent is stopping"))),
        }
    }

    fn propose(&self) -> Result<Renewed, AgentError> {
        let mut live = self.live();
        let made = || {
            let key = KeyPair::generate_for(&PKCS_ED25519)?;
            let request = CertificateParams::new(vec![agent_name(&live.bundle.agent)])?.serialize_request(&key)?.pem()?;
            Ok::<_, rcgen::Error>((key, request))
        };
        let (key, request_pem) = made().map_err(|error| refused(format!("no key could be made: {error}")))?;
        live.proposed = Some(key);
        Ok(Renewed::Proposed { request_pem })
    }

    /// The lock is not held while the disk writes: whoever connects meanwhile is shown the old one, and a second certificate for the same
    /// request finds none asked for.
    fn take(&self, certificate_pem: &str) -> Result<Renewed, AgentError> {
        let (old, ends, key) = {
            let mut live = self.live();
            (live.bundle.clone(), ends_of(&live.shown), live.proposed.take())
        };
        let key_pem = key.map(|key| Secret::new(key.serialize_pem())).ok_or_else(|| refused("no certificate was asked for"))?;
        let shown = tls::certified(certificate_pem, key_pem.expose()).map_err(|error| refused(error.to_string()))?;
        tls::is_of_agent(&old.ca_pem, &old.agent, &shown).map_err(|error| refused(error.to_string()))?;
        let until = ends_of(&shown);
        if until <= ends {
            return Err(refused("it ends no later than the one in force"));
        }
        // whoever was renewed has had a memory before
        let bundle = Bundle { certificate_pem: certificate_pem.to_owned(), key_pem, fresh: false, ..old };
        if let Some(path) = &self.path {
            bundle.store(path).map_err(|error| refused(format!("{error}; a renewal writes the bundle anew")))?;
        }
        let mut live = self.live();
        (live.bundle, live.shown) = (bundle, Arc::new(shown));
        tracing::info!(until_s = until.as_secs(), "the certificate was renewed");
        Ok(Renewed::Taken)
    }
}

/// When a certificate ends, since 1970; zero if it cannot be read.
fn ends_of(shown: &CertifiedKey) -> Duration {
    shown.cert.first().map_or(Duration::ZERO, |certificate| tls::ends(certificate))
}
