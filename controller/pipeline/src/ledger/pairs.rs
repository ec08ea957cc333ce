//! Maps as lists of pairs, for keys that JSON has no text for. A key that comes twice is an error: nothing is dropped in silence.

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};
use std::collections::BTreeMap;

pub fn serialize<S: Serializer, K: Serialize, V: Serialize>(map: &BTreeMap<K, V>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(map)
}

pub fn deserialize<'de, D, K, V>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    let pairs: Vec<(K, V)> = Vec::deserialize(deserializer)?;
    let many = pairs.len();
    let map: BTreeMap<K, V> = pairs.into_iter().collect();
    if map.len() == many { Ok(map) } else { Err(D::Error::custom("a key comes twice")) }
}
