//! The protocol: sessions, ETags, errors, bounds. Must never read a body where the status alone would hide a wrong one.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{CHASSIS, MANAGER, RESET, SESSIONS, SYSTEM, key, rig, rig_with};

#[tokio::test]
async fn links_lead_from_the_root_to_every_resource() {
    let mut machine = bmc_sim::MachineConfig::for_test("m1");
    machine.nics = vec![bmc_sim::Nic::new("provisioning", "52:54:00:0c:01:01")];
    machine.serial = "LAB0001".into();
    let uuid = machine.uuid.clone();
    let rig = rig_with(machine).await;
    let root: Value = rig.client.get(rig.url("/redfish/v1/")).send().await.unwrap().json().await.unwrap();
    let mut waiting: Vec<String> = vec!["/redfish/v1".into()];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(path) = waiting.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let body = rig.get(&path).await;
        assert!(body["@odata.type"].is_string() && body["Name"].is_string(), "{path}");
        links(&body, &mut waiting);
    }
    assert!(seen.len() >= 12, "{seen:?}");
    let members = rig.get(root["Systems"]["@odata.id"].as_str().unwrap()).await;
    let system = rig.get(members["Members"][0]["@odata.id"].as_str().unwrap()).await;
    assert_eq!(system["UUID"], uuid);
    assert_eq!(system["SerialNumber"], "LAB0001");
    let reset = &system["Actions"]["#ComputerSystem.Reset"];
    let info = rig.get(reset["@Redfish.ActionInfo"].as_str().unwrap()).await;
    assert_eq!(info["Parameters"][0]["AllowableValues"], reset["ResetType@Redfish.AllowableValues"]);
    let nic = rig.get("/redfish/v1/Systems/System-1/EthernetInterfaces/NIC.1").await;
    assert_eq!(nic["MACAddress"], "52:54:00:0c:01:01");
}

fn links(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(path) if key == "@odata.id" || key == "@Redfish.ActionInfo" => {
                        found.push(path.trim_end_matches('/').to_owned());
                    }
                    _ => links(value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| links(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn a_session_opens_works_and_closes() {
    let rig = rig().await;
    let login = json!({ "UserName": "controller", "Password": "lab" });
    let opened = rig.client.post(rig.url(SESSIONS)).json(&login).send().await.unwrap();
    assert_eq!(opened.status(), StatusCode::CREATED);
    let token = opened.headers()["x-auth-token"].to_str().unwrap().to_owned();
    let location = opened.headers()["location"].to_str().unwrap().to_owned();
    let body = opened.text().await.unwrap();
    assert!(!body.contains(&token) && !body.contains("lab\""), "a secret in the body: {body}");
    let read = || rig.client.get(rig.url(SYSTEM)).header("X-Auth-Token", &token).send();
    assert_eq!(read().await.unwrap().status(), StatusCode::OK);
    assert_eq!(rig.get(SESSIONS).await["Members@odata.count"], 1);
    let closed = rig.client.delete(rig.url(&location)).header("X-Auth-Token", &token).send().await.unwrap();
    assert_eq!(closed.status(), StatusCode::NO_CONTENT);
    assert_eq!(read().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn strangers_are_refused() {
    let rig = rig().await;
    let get = || rig.client.get(rig.url(SYSTEM));
    assert_eq!(get().send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(get().basic_auth("controller", Some("wrong")).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(get().basic_auth("other", Some("lab")).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let forged = get().basic_auth("controller", Some("lab")).header("X-Auth-Token", "forged").send().await.unwrap();
    assert_eq!(forged.status(), StatusCode::UNAUTHORIZED);
    let wrong = json!({ "UserName": "controller", "Password": "wrong" });
    let refused = rig.client.post(rig.url(SESSIONS)).json(&wrong).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let unknown = rig.client.get(rig.url("/redfish/v1/Nothing")).send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::UNAUTHORIZED);
    let reset = rig.client.post(rig.url(RESET)).json(&json!({ "ResetType": "On" })).send().await.unwrap();
    assert_eq!(reset.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(rig.pid(), None);
}

#[tokio::test]
async fn sessions_are_capped_and_time_out() {
    let rig = rig().await;
    rig.quirk(json!({ "session_cap": 1, "session_timeout_ms": 2000 })).await;
    let login = json!({ "UserName": "controller", "Password": "lab" });
    let open = || rig.client.post(rig.url(SESSIONS)).json(&login).send();
    assert_eq!(open().await.unwrap().status(), StatusCode::CREATED);
    let refused = open().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(key(refused).await, "SessionLimitExceeded");
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    assert_eq!(open().await.unwrap().status(), StatusCode::CREATED);
}

#[tokio::test]
async fn a_patch_with_a_stale_etag_changes_nothing() {
    let rig = rig().await;
    let etag = rig.try_get(SYSTEM).await.unwrap().headers()["etag"].to_str().unwrap().to_owned();
    let patch = |etag: &str, policy: &str| {
        let request = rig.client.patch(rig.url(SYSTEM)).basic_auth("controller", Some("lab")).header("If-Match", etag);
        request.json(&json!({ "PowerRestorePolicy": policy })).send()
    };
    assert_eq!(patch(&etag, "AlwaysOff").await.unwrap().status(), StatusCode::OK);
    assert_eq!(rig.get(SYSTEM).await["PowerRestorePolicy"], "AlwaysOff");
    let stale = patch(&etag, "AlwaysOn").await.unwrap();
    assert_eq!(stale.status(), StatusCode::PRECONDITION_FAILED);
    assert_eq!(key(stale).await, "PreconditionFailed");
    assert_eq!(rig.get(SYSTEM).await["PowerRestorePolicy"], "AlwaysOff");
    rig.quirk(json!({ "etag": "required" })).await;
    assert_eq!(rig.patch(json!({ "AssetTag": "x" })).await.status(), StatusCode::PRECONDITION_REQUIRED);
    rig.quirk(json!({ "etag": "weak" })).await;
    let weak = rig.try_get(SYSTEM).await.unwrap().headers()["etag"].to_str().unwrap().to_owned();
    assert!(weak.starts_with("W/"));
    assert_eq!(patch(&weak, "AlwaysOn").await.unwrap().status(), StatusCode::OK);
    rig.quirk(json!({ "etag": "none" })).await;
    assert!(!rig.try_get(SYSTEM).await.unwrap().headers().contains_key("etag"));
}

#[tokio::test]
async fn a_patch_is_taken_whole_or_not_at_all() {
    let rig = rig().await;
    for (body, wanted) in [
        (json!({ "AssetTag": "ours", "PowerState": "On" }), "PropertyNotWritable"),
        (json!({ "AssetTag": "ours", "NoSuchThing": 1 }), "PropertyUnknown"),
        (json!({ "AssetTag": "ours", "PowerRestorePolicy": "Sometimes" }), "PropertyValueNotInList"),
        (json!({ "AssetTag": "ours", "PowerRestorePolicy": 7 }), "PropertyValueTypeError"),
        (json!({ "AssetTag": "ours", "Boot": { "BootSourceOverrideTarget": "Moon" } }), "PropertyValueNotInList"),
        (json!({}), "NoOperation"),
    ] {
        let refused = rig.patch(body.clone()).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(key(refused).await, wanted, "{body}");
        assert_eq!(rig.get(SYSTEM).await["AssetTag"], "");
    }
    assert_eq!(rig.patch(json!({ "AssetTag": "ours" })).await.status(), StatusCode::OK);
    assert_eq!(rig.get(SYSTEM).await["AssetTag"], "ours");
}

#[tokio::test]
async fn errors_have_their_status_and_their_message() {
    let rig = rig().await;
    let missing = rig.try_get("/redfish/v1/Systems/1").await.unwrap();
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert_eq!(key(missing).await, "ResourceMissingAtURI");
    let wrong = rig.post(CHASSIS, json!({})).await;
    assert_eq!(wrong.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(wrong.headers()["allow"], "GET");
    let post = |body: String| rig.client.post(rig.url(RESET)).basic_auth("controller", Some("lab")).body(body).send();
    let broken = post("{\"ResetType\": ".into()).await.unwrap();
    assert_eq!(broken.status(), StatusCode::BAD_REQUEST);
    assert_eq!(key(broken).await, "MalformedJSON");
    let list = post("[]".into()).await.unwrap();
    assert_eq!(key(list).await, "UnrecognizedRequestBody");
    let none = post("{}".into()).await.unwrap();
    assert_eq!(key(none).await, "ActionParameterMissing");
    let unknown = post("{\"ResetType\":\"Explode\"}".into()).await.unwrap();
    assert_eq!(unknown.status(), StatusCode::BAD_REQUEST);
    assert_eq!(key(unknown).await, "ActionParameterValueNotInList");
    let large = post(format!("{{\"ResetType\":\"{}\"}}", "x".repeat(70_000))).await.unwrap();
    assert_eq!(large.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let head = rig.client.head(rig.url(MANAGER)).basic_auth("controller", Some("lab")).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(rig.pid(), None);
}

#[tokio::test]
async fn what_has_no_effect_is_answered_as_the_quirk_says() {
    let rig = rig().await;
    for (quirk, wanted) in
        [("no_content", StatusCode::NO_CONTENT), ("conflict", StatusCode::CONFLICT), ("bad_request", StatusCode::BAD_REQUEST)]
    {
        rig.quirk(json!({ "force_off_when_off": quirk })).await;
        assert_eq!(rig.reset("ForceOff").await, wanted);
    }
    rig.reset("On").await;
    let pid = rig.pid();
    rig.quirk(json!({ "on_when_on": "conflict" })).await;
    assert_eq!(rig.reset("On").await, StatusCode::CONFLICT);
    assert_eq!(rig.pid(), pid);
}
