//! Puts a world's power distribution unit under the outlet agent's driver: what it is asked are the world's objects. Packets get lost on the
//! way: a unit that has no power never answers. Must never answer by itself.

use ::outlet::snmp::{Oid, Talk, TalkError, Value};
use async_trait::async_trait;
use vocabulary::WallTime;
use world::Wall;
use world::outlet::mib::{self, Mib, SetError};

/// The SNMP agent of a simulated unit, with the clock of the agent that asks it.
pub struct SimulatedTalk {
    /// The unit's objects.
    pub mib: Mib,
    /// The agent's time of day.
    pub wall: Wall,
}

/// Nobody answers; whoever asks gives up by himself.
async fn silence<T>() -> T {
    std::future::pending().await
}

#[async_trait]
impl Talk for SimulatedTalk {
    async fn get(&self, oids: &[Oid]) -> Result<Vec<(Oid, Value)>, TalkError> {
        let mut values = Vec::with_capacity(oids.len());
        for oid in oids {
            let value = match self.mib.get(oid).await {
                Ok(mib::Value::Integer(number)) => Value::Integer(number),
                Ok(mib::Value::Text(text)) => Value::Text(text.into_bytes()),
                Ok(mib::Value::Ticks(_)) => Value::Other,
                Ok(mib::Value::NoObject | mib::Value::NoInstance) => Value::Missing,
                Err(mib::Dark) => return silence().await,
            };
            values.push((oid.clone(), value));
        }
        Ok(values)
    }

    async fn set(&self, oid: &Oid, value: &Value) -> Result<(), TalkError> {
        let Value::Integer(number) = value else { return Err(TalkError::Refused("wrongType".to_owned())) };
        match self.mib.set(oid, &mib::Value::Integer(*number)).await {
            Ok(()) => Ok(()),
            Err(SetError::Dark) => silence().await,
            Err(error) => Err(TalkError::Refused(format!("{error:?}"))),
        }
    }

    fn now(&self) -> WallTime {
        crate::wall(&self.wall)
    }
}
