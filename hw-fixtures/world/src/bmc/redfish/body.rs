//! What all resources are written with: references, collections, states.
//! Must never know a resource.

use serde_json::{Value, json};

/// A reference to a resource, by its path below the service root.
pub fn link(path: &str) -> Value {
    json!({ "@odata.id": format!("/redfish/v1/{path}") })
}

/// A collection and its members, by their ids.
pub fn collection(kind: &str, path: &str, name: &str, ids: &[String]) -> Value {
    let members: Vec<Value> = ids.iter().map(|id| link(&format!("{path}/{id}"))).collect();
    json!({
        "@odata.id": format!("/redfish/v1/{path}"),
        "@odata.type": format!("#{kind}.{kind}"),
        "Name": name,
        "Members": members,
        "Members@odata.count": ids.len(),
    })
}

/// A status in a state of that name.
pub fn status(state: &str) -> Value {
    health(state, "OK")
}

/// A status in a state of that name, and of that health.
pub fn health(state: &str, health: &str) -> Value {
    json!({ "State": state, "Health": health, "HealthRollup": health })
}

/// Sets a key of a body.
pub fn put(body: &mut Value, key: &str, value: Value) {
    if let Some(object) = body.as_object_mut() {
        object.insert(key.into(), value);
    }
}
