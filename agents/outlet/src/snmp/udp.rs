//! SNMP over UDP to a unit in the network. GETs are repeated when no answer comes; a SET goes out once, and is not sent at all while the unit's
//! engine is not yet known. Must never let a secret into a text, nor believe an answer that was not asked for.

use super::config::SnmpConfig;
use super::talk::{Oid, Talk, TalkError, Value};
use crate::limits::{EXCHANGE_MAX, GET_REPEATS, OBJECTS_MAX, PACKET_WAIT, SET_WAIT, SOCKET_MAX};
use async_snmp::{
    Auth, Client, DecodeConfig, EngineCache, Error, ErrorStatus, FixedCardinalityResponse, ResponseShapePolicy, Retry, UdpClient,
};
use async_trait::async_trait;
use futures::StreamExt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Mutex;
use vocabulary::WallTime;

/// The two ways to one unit. They share what is known of its engine.
#[derive(Clone)]
struct Ways {
    asking: UdpClient,
    telling: UdpClient,
}

/// A unit in the network.
pub(super) struct Udp {
    address: SocketAddr,
    auth: Auth,
    repeats: Retry,
    /// Opened at the first request, and anew after one that had no answer: the unit may be another one by now, and its engine with it.
    ways: Mutex<Option<Ways>>,
}

/// What does not fit what was asked is no answer. Only what stands behind a whole message is passed over.
fn decoding() -> DecodeConfig {
    let mut decoding = DecodeConfig::STRICT;
    decoding.trailing_bytes = true;
    decoding
}

fn value(value: &async_snmp::Value) -> Value {
    match value {
        async_snmp::Value::Integer(value) => Value::Integer(*value),
        async_snmp::Value::OctetString(bytes) => Value::Text(bytes.to_vec()),
        async_snmp::Value::NoSuchObject | async_snmp::Value::NoSuchInstance | async_snmp::Value::EndOfMibView => Value::Missing,
        _ => Value::Other,
    }
}

fn failed(error: &Error) -> TalkError {
    match error.exchange_source() {
        Error::Snmp { status: status @ (ErrorStatus::CommitFailed | ErrorStatus::UndoFailed), .. } => {
            TalkError::Half(format!("the unit says {status}: it may have done it, or a part of it"))
        }
        Error::Snmp { status, .. } => TalkError::Refused(status.to_string()),
        // said without the time it took: the same failure is told once. Whoever is not let in gets no answer that can be believed, so it
        // may be that as well
        Error::Timeout { target, .. } => TalkError::Silent(format!(
            "no answer from {target}: is that the unit's address, and are user or community, protocols and passwords those of the unit?"
        )),
        // nobody vouches for these
        Error::Report { status, .. } => TalkError::Silent(format!(
            "the unit's engine answers: {status}; are the user, its protocols and its passwords those of the unit?"
        )),
        other => TalkError::Silent(other.to_string()),
    }
}

fn pairs(response: &FixedCardinalityResponse) -> Vec<(Oid, Value)> {
    response.varbinds.iter().map(|bound| (bound.oid.arcs().to_vec(), value(&bound.value))).collect()
}

impl Udp {
    pub fn new(config: &SnmpConfig) -> Result<Udp, String> {
        let repeats = Retry::fixed(GET_REPEATS, Duration::ZERO).map_err(|error| error.to_string())?;
        Ok(Udp { address: config.address, auth: config.access.resolved()?, repeats, ways: Mutex::new(None) })
    }

    async fn way(&self, cache: &Arc<EngineCache>, wait: Duration, repeats: Retry) -> Result<UdpClient, TalkError> {
        let client = Client::builder(self.address, self.auth.clone())
            .max_oids_per_request(OBJECTS_MAX)
            .construction_timeout(SOCKET_MAX)
            .request_timeout(wait)
            .retry(repeats)
            // how an answer is made up is looked at where it is used
            .response_shape_policy(ResponseShapePolicy::Compatible)
            .decode_config(decoding())
            .strict_source(true)
            .engine_cache(cache.clone());
        client.connect().await.map_err(|error| TalkError::Silent(format!("no socket towards {}: {error}", self.address)))
    }

    async fn ways(&self) -> Result<Ways, TalkError> {
        let mut ways = self.ways.lock().await;
        if let Some(ways) = &*ways {
            return Ok(ways.clone());
        }
        let cache = Arc::new(EngineCache::new());
        let asking = self.way(&cache, PACKET_WAIT, self.repeats.clone()).await?;
        let telling = self.way(&cache, SET_WAIT, Retry::none()).await?;
        Ok(ways.insert(Ways { asking, telling }).clone())
    }

    /// What is said of a failure; after one that leaves the unit's engine in doubt the next request begins from nothing.
    async fn told(&self, error: &Error) -> TalkError {
        let told = failed(error);
        if matches!(told, TalkError::Silent(_)) {
            *self.ways.lock().await = None;
        }
        told
    }
}

#[async_trait]
impl Talk for Udp {
    async fn get(&self, oids: &[Oid]) -> Result<Vec<(Oid, Value)>, TalkError> {
        let ways = self.ways().await?;
        let named: Vec<async_snmp::Oid> = oids.iter().map(|oid| async_snmp::Oid::from_slice(oid)).collect();
        // what does not fit into one packet would be asked for in parts, and what two packets say does not belong together
        let mut parts = Box::pin(ways.asking.get_many_chunks(&named).map_err(|error| failed(&error))?);
        match tokio::time::timeout(EXCHANGE_MAX, parts.next()).await {
            Ok(Some(Ok(part))) if part.request_range.len() == named.len() => Ok(pairs(&part.response)),
            Ok(Some(Ok(_)) | None) => Err(TalkError::Refused("that it cannot answer this in one packet".to_owned())),
            Ok(Some(Err(error))) => Err(self.told(&error.source).await),
            Err(_) => {
                *self.ways.lock().await = None;
                Err(TalkError::Silent(format!("no answer from {} in time", self.address)))
            }
        }
    }

    async fn set(&self, oid: &Oid, value: &Value) -> Result<(), TalkError> {
        let Value::Integer(number) = value else {
            return Err(TalkError::Refused("only numbers are set here".to_owned()));
        };
        let ways = self.ways().await?;
        let named = async_snmp::Oid::from_slice(oid);
        match ways.telling.set(&named, async_snmp::Value::Integer(*number)).await {
            // the value may differ: a unit that tells how it is instead of what it was told has said yes, and is read anyhow
            Ok(response) if pairs(&response).iter().map(|(answered, _)| answered).eq([oid]) => Ok(()),
            Ok(_) => Err(TalkError::Silent("the unit answered about other objects than were set".to_owned())),
            Err(error) => Err(self.told(&error).await),
        }
    }

    fn now(&self) -> WallTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
