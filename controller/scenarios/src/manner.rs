//! What a scenario's words about a BMC mean to a simulated one, in the lab and in a world.

use serde_json::{Value, json};

use crate::script::Manner;

/// The quirks that change.
pub fn quirks(manner: Manner) -> Value {
    match manner {
        Manner::Honest => json!({
            "reach": "answering", "reset": "obeys", "reset_delay_ms": 0, "power_state": "truthful", "chassis_power": "truthful",
            "force_off_when_off": "no_content",
        }),
        Manner::Reachable => json!({"reach": "answering"}),
        Manner::Unreachable => json!({"reach": "unreachable"}),
        Manner::IgnoresOff => json!({"reset": "ignored"}),
        Manner::SwitchesOffAfter(time) => json!({"reset_delay_ms": u64::try_from(time.as_millis()).unwrap_or(u64::MAX)}),
        Manner::SaysOff => json!({"power_state": "off", "chassis_power": "off"}),
        Manner::RefusesOffWhenOff => json!({"force_off_when_off": "conflict"}),
    }
}
