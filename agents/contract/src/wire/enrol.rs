//! Enrolment: the estate's certificate authority, and the bundle that makes a process an agent of this estate.
//! Keys are written for their owner only and never printed; an authority is never replaced by opening it.

use crate::gate::Identity;
use crate::limits;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, PublicKeyData,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use vocabulary::{AgentId, EstateUuid, Lineage, Secret};

/// The name in a controller's certificate.
pub const CONTROLLER_NAME: &str = "controller.understudy";
/// What follows an agent's id in its certificate's name.
const AGENT_SUFFIX: &str = ".agent.understudy";
const CERTIFICATE_FILE: &str = "authority.pem";
const KEY_FILE: &str = "authority.key";
const ABOUT_FILE: &str = "authority.json";
const SECRET_MODE: u32 = 0o600;
const DAY: Duration = Duration::from_secs(86_400);
/// Certificates are valid from here on, so that an agent whose clock is slow still accepts them.
const VALID_FROM: (i32, u8, u8) = (2020, 1, 1);

/// The name in an agent's certificate.
pub fn agent_name(agent: &AgentId) -> String {
    format!("{agent}{AGENT_SUFFIX}")
}

/// Why an enrolment does not succeed.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The disk said no.
    #[error("cannot {what} {path}: check that the directory exists and belongs to this user")]
    Disk {
        /// What was tried.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file's content is not what it should be.
    #[error("{path} is not usable ({reason}): restore it from the backup, or enrol again")]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The directory holds another estate's authority.
    #[error("{path} holds the authority of another estate: give each estate a directory of its own")]
    OtherEstate {
        /// The directory.
        path: PathBuf,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
}

/// What makes a process an agent of this estate: its names, the authority, and its own certificate and key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// The agent.
    pub agent: AgentId,
    /// The estate.
    pub estate: EstateUuid,
    /// The store's lineage at the time of enrolment.
    pub lineage: Lineage,
    /// The authority's certificate.
    pub ca_pem: String,
    /// The agent's certificate.
    pub certificate_pem: String,
    /// The agent's key. `Debug` hides it.
    pub key_pem: Secret,
    /// True if the estate never had a memory of this agent: its first start may begin with an empty one.
    pub fresh: bool,
}

impl Bundle {
    /// Reads a bundle's file.
    pub fn load(path: &Path) -> Result<Bundle, EnrolError> {
        let bytes = read(path)?;
        serde_json::from_slice(&bytes).map_err(|e| EnrolError::Content { path: path.to_path_buf(), reason: e.to_string() })
    }

    /// Writes the bundle's file, for its owner only. It holds a key.
    pub fn store(&self, path: &Path) -> Result<(), EnrolError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|e| EnrolError::Content { path: path.to_path_buf(), reason: e.to_string() })?;
        write_secret(path, &text)
    }

    /// Who the gate is to be. `path` is where the bundle lies; its use is marked beside it, so it must lie on a disk that keeps.
    pub fn identity(&self, path: &Path) -> Identity {
        let mut mark = OsString::from(path.as_os_str());
        mark.push(".used");
        Identity {
            agent: self.agent.clone(),
            estate: self.estate.clone(),
            lineage: self.lineage.clone(),
            fresh: self.fresh,
            enrolment: fingerprint(&self.certificate_pem),
            mark: Some(PathBuf::from(mark)),
        }
    }
}

/// A controller's certificate and key, with the authority.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControllerIdentity {
    /// The authority's certificate.
    pub ca_pem: String,
    /// The controller's certificate.
    pub certificate_pem: String,
    /// The controller's key. `Debug` hides it.
    pub key_pem: Secret,
}

/// The estate's certificate authority. Lives with the controller; agents get only its certificate.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
    estate: EstateUuid,
    lineage: Lineage,
}

#[derive(Serialize, Deserialize)]
struct About {
    estate: EstateUuid,
}

impl Authority {
    /// Makes an authority in memory.
    pub fn create(estate: EstateUuid, lineage: Lineage) -> Result<Authority, EnrolError> {
        let (authority, _) = Authority::make(estate, lineage)?;
        Ok(authority)
    }

    /// Opens the authority in this directory, or makes it there. `lineage` goes into the bundles that are issued from now on.
    pub fn open(directory: &Path, estate: EstateUuid, lineage: Lineage) -> Result<Authority, EnrolError> {
        let about = directory.join(ABOUT_FILE);
        if !about.exists() {
            return Authority::begin(directory, estate, lineage);
        }
        let known: About = serde_json::from_slice(&read(&about)?)
            .map_err(|e| EnrolError::Content { path: about.clone(), reason: e.to_string() })?;
        if known.estate != estate {
            return Err(EnrolError::OtherEstate { path: directory.to_path_buf() });
        }
        let path = directory.join(CERTIFICATE_FILE);
        let ca_pem = text(&path)?;
        let key_path = directory.join(KEY_FILE);
        let key =
            KeyPair::from_pem(&text(&key_path)?).map_err(|e| EnrolError::Content { path: key_path, reason: e.to_string() })?;
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, key).map_err(|e| EnrolError::Content { path, reason: e.to_string() })?;
        Ok(Authority { issuer, ca_pem, estate, lineage })
    }

    /// The files of this authority, as `open` reads them: for a backup. They hold its key.
    pub fn files(&self) -> Result<BTreeMap<String, Secret>, EnrolError> {
        let about = serde_json::to_string(&About { estate: self.estate.clone() })
            .map_err(|e| EnrolError::Content { path: PathBuf::from(ABOUT_FILE), reason: e.to_string() })?;
        Ok(BTreeMap::from([
            (KEY_FILE.to_owned(), Secret::new(self.issuer.key().serialize_pem())),
            (CERTIFICATE_FILE.to_owned(), Secret::new(self.ca_pem.clone())),
            (ABOUT_FILE.to_owned(), Secret::new(about)),
        ]))
    }

    /// Puts the files of a backup into a directory that holds no authority. Any other name among them is refused.
    pub fn put_back(directory: &Path, files: &BTreeMap<String, Secret>) -> Result<(), EnrolError> {
        std::fs::create_dir_all(directory).map_err(|source| EnrolError::Disk {
            what: "make directory",
            path: directory.to_path_buf(),
            source,
        })?;
        let known = [KEY_FILE, CERTIFICATE_FILE, ABOUT_FILE];
        if let Some(other) = files.keys().find(|name| !known.contains(&name.as_str())) {
            let reason = format!("`{other}` is no file of an authority");
            return Err(EnrolError::Content { path: directory.to_path_buf(), reason });
        }
        // the description last: a directory without it holds no authority
        for name in known {
            if let Some(content) = files.get(name) {
                write_secret(&directory.join(name), content.expose().as_bytes())?;
            }
        }
        Ok(())
    }

    /// The description is written last: a directory without it holds no authority yet, and nobody was enrolled by it.
    fn begin(directory: &Path, estate: EstateUuid, lineage: Lineage) -> Result<Authority, EnrolError> {
        std::fs::create_dir_all(directory).map_err(|source| EnrolError::Disk {
            what: "make directory",
            path: directory.to_path_buf(),
            source,
        })?;
        let (authority, key_pem) = Authority::make(estate.clone(), lineage)?;
        write_secret(&directory.join(KEY_FILE), key_pem.expose().as_bytes())?;
        write_secret(&directory.join(CERTIFICATE_FILE), authority.ca_pem.as_bytes())?;
        let about = directory.join(ABOUT_FILE);
        let bytes = serde_json::to_vec(&About { estate })
            .map_err(|e| EnrolError::Content { path: about.clone(), reason: e.to_string() })?;
        write_secret(&about, &bytes)?;
        Ok(authority)
    }

    fn make(estate: EstateUuid, lineage: Lineage) -> Result<(Authority, Secret), EnrolError> {
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let key_pem = Secret::new(key.serialize_pem());
        let mut params = params(Vec::new(), days(limits::AUTHORITY_DAYS))?;
        params.distinguished_name.push(DnType::CommonName, format!("Understudy estate {estate}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let ca_pem = params.self_signed(&key)?.pem();
        Ok((Authority { issuer: Issuer::new(params, key), ca_pem, estate, lineage }, key_pem))
    }

    /// A bundle for an agent that the estate never had: its first start begins with an empty memory.
    pub fn issue_agent(&self, agent: &AgentId) -> Result<Bundle, EnrolError> {
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let certificate_pem = self.certify_agent(agent, &key, days(limits::AGENT_CERTIFICATE_DAYS))?;
        let key_pem = Secret::new(key.serialize_pem());
        Ok(Bundle {
            agent: agent.clone(),
            estate: self.estate.clone(),
            lineage: self.lineage.clone(),
            ca_pem: self.ca_pem.clone(),
            certificate_pem,
            key_pem,
            fresh: true,
        })
    }

    /// A bundle for an agent that the estate has had before: without its old gate file it is untrusted until `agent readopt`.
    pub fn issue_agent_again(&self, agent: &AgentId) -> Result<Bundle, EnrolError> {
        Ok(Bundle { fresh: false, ..self.issue_agent(agent)? })
    }

    /// The same for a shorter time, after which it has ended.
    pub fn issue_agent_for(&self, agent: &AgentId, valid: Duration) -> Result<Bundle, EnrolError> {
        let bundle = self.issue_agent(agent)?;
        let key = KeyPair::from_pem(bundle.key_pem.expose())?;
        Ok(Bundle { certificate_pem: self.certify_agent(agent, &key, valid)?, ..bundle })
    }

    /// A new certificate for an agent that asks for one, with the key that it proves to have. Whatever else its request says is its own
    /// wish: the name is the one that it is known by.
    pub fn renew_agent(&self, agent: &AgentId, request_pem: &str) -> Result<String, EnrolError> {
        let request = CertificateSigningRequestParams::from_pem(request_pem)?;
        self.certify_agent(agent, &request.public_key, days(limits::AGENT_CERTIFICATE_DAYS))
    }

    /// A controller's certificate. Kept in memory: each start of `serve` makes its own.
    pub fn issue_controller(&self) -> Result<ControllerIdentity, EnrolError> {
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let (name, valid) = (CONTROLLER_NAME.to_owned(), days(limits::CONTROLLER_CERTIFICATE_DAYS));
        let certificate_pem = self.certify(name, ExtendedKeyUsagePurpose::ClientAuth, &key, valid)?;
        Ok(ControllerIdentity { ca_pem: self.ca_pem.clone(), certificate_pem, key_pem: Secret::new(key.serialize_pem()) })
    }

    fn certify_agent(&self, agent: &AgentId, key: &impl PublicKeyData, valid: Duration) -> Result<String, EnrolError> {
        self.certify(agent_name(agent), ExtendedKeyUsagePurpose::ServerAuth, key, valid)
    }

    fn certify(
        &self,
        name: String,
        usage: ExtendedKeyUsagePurpose,
        key: &impl PublicKeyData,
        valid: Duration,
    ) -> Result<String, EnrolError> {
        let mut params = params(vec![name.clone()], valid)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(key, &self.issuer)?.pem())
    }
}

fn days(days: u64) -> Duration {
    DAY.saturating_mul(u32::try_from(days).unwrap_or(u32::MAX))
}

fn params(names: Vec<String>, valid: Duration) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    let (year, month, day) = VALID_FROM;
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + now + valid;
    Ok(params)
}

/// SHA-256 of a text, in hex: names one enrolment.
fn fingerprint(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, EnrolError> {
    let fail = |source| EnrolError::Disk { what: "read", path: path.to_path_buf(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(fail)?.take(limits::BUNDLE_BYTES_MAX).read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}

fn text(path: &Path) -> Result<String, EnrolError> {
    String::from_utf8(read(path)?)
        .map_err(|_| EnrolError::Content { path: path.to_path_buf(), reason: "it is not text".to_owned() })
}

/// Written beside with the owner's rights only, synchronised, renamed: a key is never readable by others, not even for a moment.
fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), EnrolError> {
    let fail = |source| EnrolError::Disk { what: "write", path: path.to_path_buf(), source };
    let mut beside = OsString::from(path.as_os_str());
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let _ = std::fs::remove_file(&beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(SECRET_MODE).open(&beside).map_err(fail)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(fail)?;
    std::fs::rename(&beside, path).map_err(fail)?;
    // what was renamed is there after a power cut only if its folder was written
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)
}
