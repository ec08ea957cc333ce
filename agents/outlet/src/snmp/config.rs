//! What the SNMP driver needs to know. Secrets are references here, never values.

use super::tables::TableName;
use crate::limits::{PASSWORD_BYTES_MIN, USER_BYTES_MAX};
use crate::secrets::resolve;
use async_snmp::{Auth, AuthProtocol, PrivProtocol, UsmConfig};
use serde::Deserialize;
use std::net::SocketAddr;
use vocabulary::Secret;
use vocabulary::estate::SecretReference;

/// A unit that speaks SNMP.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SnmpConfig {
    /// Where its SNMP agent listens, such as `192.0.2.7:161`.
    pub address: SocketAddr,
    /// The vendor's table.
    pub table: TableName,
    /// How to be let in. It must be allowed to write.
    pub access: Access,
}

/// How to be let in.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// SNMPv3 with authentication and privacy.
    V3(V3),
    /// SNMPv2c: whoever hears a packet may switch, and whoever can send one may lie. Only where nobody else is in the network.
    V2cInClear(Community),
}

/// A user of SNMPv3.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct V3 {
    /// Its name.
    pub user: String,
    /// By what its packets are authenticated.
    pub authentication: Authentication,
    /// The password for that.
    pub authentication_password: SecretReference,
    /// By what they are encrypted.
    pub privacy: Privacy,
    /// The password for that.
    pub privacy_password: SecretReference,
}

/// The community of SNMPv2c.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Community {
    /// A word that goes over the network as it is.
    pub community: SecretReference,
}

/// Authentication. MD5 is not offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Authentication {
    /// HMAC-SHA-96.
    Sha1,
    /// HMAC-SHA-256.
    Sha256,
    /// HMAC-SHA-384.
    Sha384,
    /// HMAC-SHA-512.
    Sha512,
}

/// Privacy. DES is not offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Privacy {
    /// AES with 128 bits.
    Aes128,
    /// AES with 192 bits, keys lengthened as Blumenthal wrote it.
    Aes192,
    /// AES with 256 bits, keys lengthened as Blumenthal wrote it.
    Aes256,
    /// AES with 192 bits, keys lengthened as Reeder wrote it and Cisco does it.
    Aes192Reeder,
    /// AES with 256 bits, keys lengthened as Reeder wrote it and Cisco does it.
    Aes256Reeder,
}

fn password(reference: &SecretReference) -> Result<Secret, String> {
    let secret = resolve(reference)?;
    if secret.expose().len() < PASSWORD_BYTES_MIN {
        return Err(format!("a password of SNMPv3 has at least {PASSWORD_BYTES_MIN} bytes"));
    }
    Ok(secret)
}

impl Access {
    /// The same with its secrets. Both kinds hide them from `Debug`.
    pub(super) fn resolved(&self) -> Result<Auth, String> {
        match self {
            Access::V2cInClear(one) => Ok(Auth::v2c(resolve(&one.community)?.expose().as_bytes().to_vec())),
            Access::V3(one) => {
                if one.user.is_empty() || one.user.len() > USER_BYTES_MAX {
                    return Err(format!("the user's name has 1 to {USER_BYTES_MAX} bytes"));
                }
                let authentication = match one.authentication {
                    Authentication::Sha1 => AuthProtocol::Sha1,
                    Authentication::Sha256 => AuthProtocol::Sha256,
                    Authentication::Sha384 => AuthProtocol::Sha384,
                    Authentication::Sha512 => AuthProtocol::Sha512,
                };
                let privacy = match one.privacy {
                    Privacy::Aes128 => PrivProtocol::Aes128,
                    Privacy::Aes192 => PrivProtocol::Aes192Blumenthal,
                    Privacy::Aes256 => PrivProtocol::Aes256Blumenthal,
                    Privacy::Aes192Reeder => PrivProtocol::Aes192Reeder,
                    Privacy::Aes256Reeder => PrivProtocol::Aes256Reeder,
                };
                let (first, second) = (password(&one.authentication_password)?, password(&one.privacy_password)?);
                let user = UsmConfig::new(one.user.clone());
                let user = user.auth_priv(authentication, first.expose(), privacy, second.expose());
                user.map(Auth::from).map_err(|error| format!("this user of SNMPv3 cannot be used: {error}"))
            }
        }
    }
}
