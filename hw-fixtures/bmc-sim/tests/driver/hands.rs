//! What BMCs do otherwise with commands and settings, each a quirk of the simulator: the driver copes, or says that it does not know.
//! Over real TLS sockets. Must never judge a setting by an answer alone: what the machine would do is asked of the simulator.

use crate::common::{bench, is_rejected, nothing_was_sent};
use serde_json::json;

#[tokio::test]
async fn reset_types_are_read_from_the_action_info_where_the_action_lists_none() {
    let bench = bench(json!({ "redfish": { "inline_values": false, "reset_types": ["On", "ForceOff"] } })).await;
    bench.switch_on().await;
    let driver = bench.open();
    let refused = driver.shut_down().await;
    assert!(is_rejected(&refused) && nothing_was_sent(&bench).await, "{refused:?}");
    assert!(refused.unwrap_err().to_string().contains("it has: On, ForceOff"), "the list is told");
    driver.power_off().await.unwrap();
    let before = bench.requests().await;
    driver.read().await.unwrap();
    assert_eq!(bench.requests().await - before, 3, "the list is fetched at discovery, not with each reading");
}
