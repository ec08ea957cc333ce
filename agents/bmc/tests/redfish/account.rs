//! What a person would mend: each trouble with an account, a session or a restart has a code of its own, and no account is tried into a
//! lock-out by watching.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{SERIAL, UUID, door, identity};
use crate::replay::{self, Asked, Replay, Told};
use serde_json::{Value, json};
use vocabulary::request::AgentError;

const SYSTEM: &str = "/redfish/v1/Systems/1";
/// So many polls come within the pause.
const POLLS: usize = 10;

/// A small honest BMC.
fn honest(asked: &Asked) -> Told {
    match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/redfish/v1/") => replay::json(200, &json!({})),
        ("GET", "/redfish/v1/Systems") => replay::json(200, &json!({ "Members": [{ "@odata.id": SYSTEM }] })),
        ("GET", SYSTEM) => replay::json(200, &system()),
        ("POST", path) if path.ends_with("/Sessions") => replay::session(),
        ("POST" | "PATCH" | "DELETE", _) => Some((204, Vec::new(), String::new())),
        _ => replay::json(404, &Value::Null),
    }
}

fn system() -> Value {
    json!({
        "UUID": UUID,
        "SerialNumber": SERIAL,
        "PowerState": "On",
        "Actions": { "#ComputerSystem.Reset": { "target": "/redfish/v1/Systems/1/Actions/Reset" } },
    })
}

fn error(status: u16, id: &str, message: &str) -> Told {
    let info = json!([{ "MessageId": id, "Message": message }]);
    replay::json(status, &json!({ "error": { "code": id, "message": message, "@Message.ExtendedInfo": info } }))
}

fn is_login(asked: &Asked) -> bool {
    asked.method == "POST" && asked.path.ends_with("/Sessions")
}

fn is_basic(asked: &Asked) -> bool {
    asked.headers.iter().any(|(name, _)| name == "authorization")
}

fn code<T: std::fmt::Debug>(outcome: Result<T, AgentError>) -> String {
    let text = outcome.unwrap_err().to_string();
    let at = text.find("F10").unwrap_or_else(|| panic!("no code: {text}"));
    text[at..at + 5].to_owned()
}

/// Polls, and what each of them says.
async fn polled(driver: &Arc<dyn bmc::Driver>) -> String {
    let first = code(driver.read().await);
    for _ in 1..POLLS {
        assert_eq!(code(driver.read().await), first);
    }
    assert_eq!(code(driver.power_off().await), first, "a command does not try the account either");
    first
}

async fn opened(server: &Replay) -> Arc<dyn bmc::Driver> {
    bmc::open(&door(server.address, Some(server.pin.clone()))).unwrap()
}

#[tokio::test]
async fn each_refused_log_in_has_its_code_and_is_tried_once_within_the_pause() {
    for (status, id, message, expected) in [
        (401, "Base.1.15.ResourceAtUriUnauthorized", "Invalid username or password", "F1009"),
        (401, "Oem.1.0.AccountLocked", "The account is locked for 600 seconds.", "F1010"),
        (403, "Base.1.15.PasswordChangeRequired", "The password must be changed.", "F1010"),
    ] {
        let server =
            Replay::start(move |asked, _| if is_login(asked) { error(status, id, message) } else { honest(asked) }).await;
        let driver = opened(&server).await;
        assert_eq!(polled(&driver).await, expected, "{id}");
        assert_eq!(server.asked("POST").len(), 1, "{id}: {POLLS} polls are one attempt");
        assert!(!server.asked("GET").iter().any(is_basic), "{id}");
    }
}

/// At a BMC that answers this to a login, and for a while takes the account in each request: how its driver says it is logged in, then to what
/// polls come.
async fn without_sessions(status: u16, id: &'static str, text: &'static str) -> (String, String) {
    let taken = Arc::new(AtomicBool::new(true));
    let takes = Arc::clone(&taken);
    let server = Replay::start(move |asked, _| {
        if is_login(asked) {
            error(status, id, text)
        } else if is_basic(asked) && !takes.load(Ordering::Relaxed) {
            error(401, "Base.1.15.NoValidSession", "")
        } else {
            honest(asked)
        }
    })
    .await;
    let driver = opened(&server).await;
    driver.read().await.unwrap();
    let session = driver.found().unwrap().session;
    taken.store(false, Ordering::Relaxed);
    let basic = || server.asked("GET").iter().filter(|asked| is_basic(asked)).count();
    let before = basic();
    let told = polled(&driver).await;
    assert_eq!(basic(), before + 1, "{POLLS} polls are one attempt");
    (session, told)
}

#[tokio::test]
async fn an_account_that_may_make_no_session_names_itself_and_is_told_where_that_does_not_suffice_either() {
    let (session, told) = without_sessions(403, "Base.1.15.InsufficientPrivilege", "Insufficient privilege.").await;
    assert!(session.starts_with("the account may not make a session"), "{session}");
    assert_eq!(told, "F1011");
}

#[tokio::test]
async fn an_account_that_is_locked_while_it_is_watched_is_tried_once() {
    let locked = Arc::new(AtomicBool::new(false));
    let lock = Arc::clone(&locked);
    let server = Replay::start(move |asked, _| {
        if !lock.load(Ordering::Relaxed) || asked.path == "/redfish/v1/" {
            honest(asked)
        } else if is_login(asked) {
            error(401, "Oem.1.0.AccountLocked", "The account is locked.")
        } else {
            error(401, "Base.1.15.NoValidSession", "There is no valid session.")
        }
    })
    .await;
    let driver = opened(&server).await;
    driver.read().await.unwrap();
    locked.store(true, Ordering::Relaxed);
    assert_eq!(polled(&driver).await, "F1010");
    assert_eq!(server.asked("POST").len(), 2, "one log-in that was taken, one that was not");
}

#[tokio::test]
async fn a_full_table_of_sessions_is_told_whether_the_account_itself_is_taken_or_not() {
    let refusal = "The number of simultaneous sessions is exceeded.";
    let (session, told) = without_sessions(503, "Base.1.15.SessionLimitExceeded", refusal).await;
    assert!(session.starts_with("F1013: "), "{session}");
    assert_eq!(told, "F1013");
}

#[tokio::test]
async fn a_session_that_never_holds_and_rights_that_do_not_suffice_are_told_apart() {
    let server =
        Replay::start(|asked, _| if asked.path == SYSTEM { error(401, "Base.NoValidSession", "") } else { honest(asked) }).await;
    assert_eq!(code(opened(&server).await.read().await), "F1012");
    let server =
        Replay::start(|asked, _| if asked.path == SYSTEM { error(403, "Base.InsufficientPrivilege", "") } else { honest(asked) })
            .await;
    let driver = opened(&server).await;
    assert_eq!(polled(&driver).await, "F1011");
    assert_eq!(server.asked("POST").len(), 1, "the session is kept");
    let server = Replay::start(|asked, _| match asked.method.as_str() {
        "POST" | "PATCH" if !is_login(asked) => error(403, "Base.InsufficientPrivilege", "No."),
        _ => honest(asked),
    })
    .await;
    let driver = opened(&server).await;
    driver.read().await.unwrap();
    assert_eq!(code(driver.power_off().await), "F1011", "an account that may only read");
}

#[tokio::test]
async fn a_restart_in_mid_operation_silence_and_a_stranger_are_told_apart() {
    let server =
        Replay::start(|asked, _| if asked.method == "POST" && asked.path.ends_with("Reset") { None } else { honest(asked) })
            .await;
    let broken = opened(&server).await.power_off().await;
    assert!(matches!(broken, Err(AgentError::Unreachable { .. })), "{broken:?}");
    assert_eq!(code(broken), "F1014");
    let server =
        Replay::start(|asked, _| if asked.path == SYSTEM { error(503, "Base.ServiceShuttingDown", "") } else { honest(asked) })
            .await;
    assert_eq!(code(opened(&server).await.read().await), "F1014");
    let gone = server.address;
    drop(server);
    let nobody = bmc::open(&door(gone, None)).unwrap().read().await;
    assert_eq!(code(nobody), "F1015");
    let server = Replay::start(|asked, _| honest(asked)).await;
    assert_eq!(code(bmc::open(&door(server.address, Some("ab".repeat(32)))).unwrap().read().await), "F1016");
    let mut other = door(server.address, Some(server.pin.clone()));
    other.identity = identity("", "OTHER");
    assert_eq!(code(bmc::open(&other).unwrap().read().await), "F1016");
}

#[tokio::test]
async fn a_look_tells_the_same_codes_and_says_what_to_do() {
    let server = Replay::start(|asked, _| if is_login(asked) { error(401, "", "Invalid") } else { honest(asked) }).await;
    let fault = bmc::probe(&door(server.address, None), bmc::Scope::Facts).await.unwrap_err();
    assert_eq!(fault.code.to_string(), "F1009");
    assert!(fault.message.contains("Invalid") && fault.remedy.contains("password"), "{fault:?}");
    let fault = bmc::probe(&door(server.address, Some("no fingerprint".into())), bmc::Scope::Facts).await.unwrap_err();
    assert_eq!(fault.code.to_string(), "F1007");
}
