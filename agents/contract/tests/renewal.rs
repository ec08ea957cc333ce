//! Certificates that are renewed while an agent serves, over real connections: what is taken, what is refused, and what stays after it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use async_trait::async_trait;
use contract::wire::{self, Authority, Bundle, Credentials, WireClient};
use contract::{Action, AgentError, Answer, Client, Request};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use vocabulary::{AgentId, EstateUuid, Lineage};

const DAY_MS: u64 = 86_400_000;

struct Still;

#[async_trait]
impl Client for Still {
    async fn call(&self, _: Request) -> Result<Answer, AgentError> {
        Ok(Answer::Done)
    }
}

fn authority() -> Authority {
    Authority::create(EstateUuid("estate".into()), Lineage("lineage".into())).unwrap()
}

fn sw1() -> AgentId {
    "sw1".parse().unwrap()
}

/// An agent's process on what lies in its folder.
struct Served {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(path: &Path) -> Served {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let credentials = Credentials::of_file(Bundle::load(path).unwrap(), path).unwrap();
    let task = tokio::spawn(async move { wire::serve(listener, credentials, Arc::new(Still)).await.unwrap() });
    Served { address, task }
}

fn connect(served: &Served, authority: &Authority) -> WireClient {
    WireClient::connect(served.address, &sw1(), &authority.issue_controller().unwrap()).unwrap()
}

async fn says(client: &WireClient) -> Result<Answer, AgentError> {
    client.call(Request { token: None, action: Action::Hello }).await
}

/// Days until the certificate that was shown last ends.
fn days(client: &WireClient) -> Option<u64> {
    let now_ms = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    // to the nearest day
    client.certificate_until().map(|until| (until.0 + DAY_MS / 2 - now_ms) / DAY_MS)
}

fn reason(outcome: Result<(), AgentError>) -> String {
    let Err(AgentError::Refused { reason }) = outcome else { panic!("{outcome:?}") };
    reason
}

fn written(folder: &Path, authority: &Authority, days: u64) -> std::path::PathBuf {
    let path = folder.join("bundle.json");
    authority.issue_agent_for(&sw1(), Duration::from_secs(days * 86_400)).unwrap().store(&path).unwrap();
    path
}

#[tokio::test]
async fn a_certificate_is_renewed_while_its_agent_serves_and_stays_so() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority());
    let path = written(folder.path(), &authority, 30);
    let before = Bundle::load(&path).unwrap();
    let served = serve(&path).await;
    let client = connect(&served, &authority);
    assert_eq!(days(&client), None, "it was not reached yet");
    says(&client).await.unwrap();
    assert_eq!(days(&client), Some(30));
    let request = client.propose_certificate().await.unwrap();
    client.take_certificate(authority.renew_agent(&sw1(), &request).unwrap()).await.unwrap();
    says(&client).await.unwrap();
    assert_eq!(days(&client), Some(730), "over a new connection, which shows the new one");
    let after = Bundle::load(&path).unwrap();
    assert!(!after.fresh && after.key_pem != before.key_pem && after.certificate_pem != before.certificate_pem);
    drop((served, client));
    let served = serve(&path).await;
    let client = connect(&served, &authority);
    says(&client).await.unwrap();
    assert_eq!(days(&client), Some(730));
}

#[tokio::test]
async fn what_is_no_renewal_of_ours_changes_nothing() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority());
    let path = written(folder.path(), &authority, 1000);
    let before = std::fs::read(&path).unwrap();
    let served = serve(&path).await;
    let client = connect(&served, &authority);
    let of = |authority: &Authority, agent: &str, request: &str| authority.renew_agent(&agent.parse().unwrap(), request).unwrap();
    let take = async |certificate: String| reason(client.take_certificate(certificate).await);
    let other = authority.issue_agent(&sw1()).unwrap().certificate_pem;
    assert!(take(other.clone()).await.contains("no certificate was asked for"));
    let first = client.propose_certificate().await.unwrap();
    let second = client.propose_certificate().await.unwrap();
    assert!(take(of(&authority, "sw1", &first)).await.contains("key"), "that key is forgotten");
    assert!(take(of(&authority, "sw1", &second)).await.contains("no certificate was asked for"), "a request is answered once");
    let request = client.propose_certificate().await.unwrap();
    assert!(take(of(&authority, "sw2", &request)).await.contains("not valid for name"));
    for (estate, told) in [("another", "UnknownIssuer"), ("estate", "BadSignature")] {
        let stranger = Authority::create(EstateUuid(estate.into()), Lineage("lineage".into())).unwrap();
        let request = client.propose_certificate().await.unwrap();
        let refused = take(of(&stranger, "sw1", &request)).await;
        assert!(refused.contains(told), "{refused}");
    }
    let request = client.propose_certificate().await.unwrap();
    assert!(take(of(&authority, "sw1", &request)).await.contains("no later than the one in force"));
    for garbage in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        client.propose_certificate().await.unwrap();
        take(garbage.to_owned()).await;
    }
    says(&client).await.unwrap();
    assert_eq!((days(&client), std::fs::read(&path).unwrap()), (Some(1000), before));
    assert!(authority.renew_agent(&sw1(), "no request").is_err());
}

#[tokio::test]
async fn a_bundle_that_cannot_be_written_stays_in_force() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority());
    let path = written(folder.path(), &authority, 30);
    let served = serve(&path).await;
    let client = connect(&served, &authority);
    let request = client.propose_certificate().await.unwrap();
    // not even root writes a file where its folder is gone
    std::fs::remove_dir_all(folder.path()).unwrap();
    let told = reason(client.take_certificate(authority.renew_agent(&sw1(), &request).unwrap()).await);
    assert!(told.contains("cannot write") && told.contains("bundle.json"), "{told}");
    says(&client).await.unwrap();
    assert_eq!(days(&client), Some(30));
}

#[tokio::test]
async fn an_agent_whose_certificate_has_ended_is_to_be_enrolled_again() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority());
    let path = written(folder.path(), &authority, 0);
    let served = serve(&path).await;
    let client = connect(&served, &authority);
    // certificates count whole seconds
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let Err(AgentError::Unreachable { reason }) = says(&client).await else { panic!("it was taken") };
    assert!(reason.contains("F1019") && reason.contains("understudy agent enroll sw1"), "{reason}");
}
