//! The wire over loopback with real TLS: who is let in, what is bounded, and what a controller is told when something breaks.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use async_trait::async_trait;
use bytes::Bytes;
use contract::conformance::{self, GateFixture};
use contract::wire::{self, Authority, Bundle, ControllerIdentity, Credentials, WireClient};
use contract::{Action, AgentError, Answer, Client, Device, Gate, Readopt, Request, limits};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use vocabulary::boot::PermitReading;
use vocabulary::check::{Check, CheckOutcome, TcpCheck};
use vocabulary::request::{AgentHello, Resource};
use vocabulary::{AgentId, Epoch, EstateUuid, Lineage, MachineId, Span, VlanId, WallTime};

fn authority() -> Authority {
    Authority::create(EstateUuid("estate-1".into()), Lineage("lineage-1".into())).unwrap()
}

fn agent(name: &str) -> AgentId {
    name.parse().unwrap()
}

/// A boot service's ledger in memory, which also answers checks at its own pace.
#[derive(Default)]
struct Desk {
    calls: AtomicUsize,
}

#[async_trait]
impl Device for Desk {
    fn owns(&self, resource: &Resource) -> bool {
        matches!(resource, Resource::Permit(machine) if machine.as_str().starts_with('m'))
    }
    async fn perform(&self, action: &Action) -> Result<Answer, AgentError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match action {
            Action::ReadPermit { machine } | Action::RevokePermit { machine } => {
                Ok(Answer::Permit(PermitReading { machine: machine.clone(), standing: None, read_at: WallTime(0) }))
            }
            Action::RunCheck { check: Check::Tcp(tcp) } if tcp.address.port() == 1 => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Ok(Answer::Check { outcome: CheckOutcome::Healthy })
            }
            Action::RunCheck { check: Check::Tcp(tcp) } if tcp.address.port() == 2 => {
                Ok(Answer::Check { outcome: CheckOutcome::Wrong("x".repeat(limits::ANSWER_BYTES_MAX)) })
            }
            Action::RunCheck { .. } => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok(Answer::Check { outcome: CheckOutcome::Healthy })
            }
            _ => Err(AgentError::Rejected { reason: "not a boot service's".into() }),
        }
    }
}

fn check(port: u16) -> Request {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    Request { token: None, action: Action::RunCheck { check: Check::Tcp(TcpCheck { address, deadline: Span::ms(10) }) } }
}
const SLOW: u16 = 1;
const HUGE: u16 = 2;
const FINE: u16 = 3;

fn hello() -> Request {
    Request { token: None, action: Action::Hello }
}

/// A served agent with a real gate; dropping it ends the agent.
struct Served {
    address: SocketAddr,
    task: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve_at(address: SocketAddr, bundle: &Bundle) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::open(folder.path().join("gate"), bundle.identity(&folder.path().join("bundle")), Desk::default()).unwrap();
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let credentials = Credentials::in_memory(bundle.clone()).unwrap();
    let task = tokio::spawn(async move { wire::serve(listener, credentials, Arc::new(gate)).await.unwrap() });
    Served { address, task, _folder: folder }
}

async fn serve(bundle: &Bundle) -> Served {
    serve_at(SocketAddr::from(([127, 0, 0, 1], 0)), bundle).await
}

async fn pair() -> (Served, WireClient, ControllerIdentity) {
    let authority = authority();
    let controller = authority.issue_controller().unwrap();
    let served = serve(&authority.issue_agent(&agent("boot1")).unwrap()).await;
    let client = WireClient::connect(served.address, &agent("boot1"), &controller).unwrap();
    (served, client, controller)
}

fn unreachable(outcome: &Result<Answer, AgentError>) -> bool {
    matches!(outcome, Err(AgentError::Unreachable { .. }))
}

#[tokio::test]
async fn a_gate_over_the_wire_passes_the_gates_suite() {
    let (_served, client, _) = pair().await;
    let fixture = GateFixture {
        client: Arc::new(client),
        resource: Resource::Permit("m1".parse().unwrap()),
        foreign: Resource::Permit("x1".parse().unwrap()),
        epoch: 10,
        quarantine: VlanId::constant(99),
    };
    conformance::gate(&fixture).await.unwrap();
}

#[tokio::test]
async fn readopt_crosses_the_wire() {
    let (_served, client, _) = pair().await;
    let seed = Readopt {
        estate: EstateUuid("estate-1".into()),
        lineage: Lineage("lineage-2".into()),
        controller: None,
        floor: Epoch(4),
        entries: vec![],
        ports: vec![],
    };
    let hello: AgentHello = client.readopt(seed.clone()).await.unwrap();
    assert_eq!(hello.lineage, Some(Lineage("lineage-2".into())));
    let foreign = client.readopt(Readopt { estate: EstateUuid("x".into()), ..seed }).await;
    assert!(matches!(foreign, Err(AgentError::Refused { .. })));
}

#[tokio::test]
async fn another_estates_authority_opens_nothing_on_either_side() {
    let (served, client, _) = pair().await;
    assert!(client.call(hello()).await.is_ok());
    let stranger = authority().issue_controller().unwrap();
    let client = WireClient::connect(served.address, &agent("boot1"), &stranger).unwrap();
    assert!(unreachable(&client.call(hello()).await), "an agent of another authority is no agent of ours");
    // A stranger that does not mind who the agent is: the agent minds.
    assert!(raw(served.address, &stranger, true).await.is_err());
}

#[tokio::test]
async fn the_agents_name_must_be_the_expected_one() {
    let (served, _, controller) = pair().await;
    let client = WireClient::connect(served.address, &agent("boot2"), &controller).unwrap();
    let outcome = client.call(hello()).await;
    assert!(unreachable(&outcome), "{outcome:?}");
}

#[tokio::test]
async fn an_agent_is_no_controller() {
    let authority = authority();
    let bundle = authority.issue_agent(&agent("boot1")).unwrap();
    let served = serve(&bundle).await;
    let posing = ControllerIdentity {
        ca_pem: bundle.ca_pem.clone(),
        certificate_pem: bundle.certificate_pem.clone(),
        key_pem: bundle.key_pem.clone(),
    };
    let client = WireClient::connect(served.address, &agent("boot1"), &posing).unwrap();
    assert!(unreachable(&client.call(hello()).await));
}

/// A raw HTTP/2 connection; `careless` accepts whatever certificate the agent shows.
async fn raw(
    address: SocketAddr,
    identity: &ControllerIdentity,
    careless: bool,
) -> Result<hyper::client::conn::http2::SendRequest<Full<Bytes>>, String> {
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.expose().as_bytes()).unwrap();
    connect(address, identity, Some((chain, key)), careless).await
}

async fn connect(
    address: SocketAddr,
    identity: &ControllerIdentity,
    certificate: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    careless: bool,
) -> Result<hyper::client::conn::http2::SendRequest<Full<Bytes>>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(identity.ca_pem.as_bytes()).unwrap()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match certificate {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    if careless {
        config.dangerous().set_certificate_verifier(Arc::new(Careless));
    }
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("boot1.agent.understudy").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|e| e.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    tokio::spawn(connection);
    // TLS 1.3 tells a client only with the first read that its certificate was refused.
    let first = hyper::Request::post("https://boot1/v1/request").body(Full::new(Bytes::from_static(b"{}"))).unwrap();
    sender.send_request(first).await.map_err(|e| e.to_string())?;
    Ok(sender)
}

#[derive(Debug)]
struct Careless;

impl rustls::client::danger::ServerCertVerifier for Careless {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[tokio::test]
async fn without_a_client_certificate_nothing_is_answered() {
    let (served, _, controller) = pair().await;
    assert!(raw(served.address, &controller, false).await.is_ok(), "with one it is");
    assert!(connect(served.address, &controller, None, false).await.is_err());
}

async fn post(
    sender: &mut hyper::client::conn::http2::SendRequest<Full<Bytes>>,
    path: &str,
    body: impl Into<Bytes>,
) -> (u16, String) {
    let request = hyper::Request::post(format!("https://boot1{path}")).body(Full::new(body.into())).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn bodies_are_bounded_and_nonsense_is_refused_without_repeating_it() {
    let (served, client, controller) = pair().await;
    let mut sender = raw(served.address, &controller, false).await.unwrap();
    let (status, body) = post(&mut sender, wire::REQUEST_PATH, vec![b' '; limits::REQUEST_BYTES_MAX + 1]).await;
    assert_eq!(status, 413, "{body}");
    let (status, _) = post(&mut sender, wire::REQUEST_PATH, vec![b' '; limits::REQUEST_BYTES_MAX]).await;
    assert_eq!(status, 400);
    let (status, body) = post(&mut sender, wire::REQUEST_PATH, r#"{"token":null,"action":"hunter2"}"#).await;
    assert_eq!(status, 400);
    assert!(body.contains("not understood") && !body.contains("hunter2"), "{body}");
    assert_eq!(post(&mut sender, "/v2/request", "{}").await.0, 404);
    let (status, body) = post(&mut sender, wire::REQUEST_PATH, r#"{"token":null,"action":{"kind":"hello"}}"#).await;
    assert_eq!(status, 200);
    assert!(body.starts_with(r#"{"ok":{"kind":"hello""#), "{body}");
    let (status, body) =
        post(&mut sender, wire::REQUEST_PATH, r#"{"token":null,"action":{"kind":"power-on","machine":"x1"}}"#).await;
    assert_eq!(status, 200);
    assert!(body.starts_with(r#"{"error":{"kind":"refused""#), "{body}");

    let machine = |n: usize| Resource::Machine(format!("m{n}").parse::<MachineId>().unwrap());
    let long = Action::AdvanceEpoch { resources: (0..80_000).map(machine).collect() };
    let outcome = client.call(Request { token: None, action: long }).await;
    assert!(matches!(outcome, Err(AgentError::Refused { .. })), "refused before it leaves: {outcome:?}");
    assert!(unreachable(&client.call(check(HUGE)).await), "an answer that is too long is no answer");
    assert!(client.call(hello()).await.is_ok());
}

#[tokio::test]
async fn noise_does_not_disturb_an_agent() {
    let (served, client, _) = pair().await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(served.address).await.unwrap());
        let mut noisy = TcpStream::connect(served.address).await.unwrap();
        noisy.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut end = Vec::new();
        let _ = noisy.read_to_end(&mut end).await;
    }
    assert!(client.call(hello()).await.is_ok());
}

/// What is logged on this thread while the guard lives; tests of one thread run all of their agent on it.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Waits until this was logged so often.
    async fn has(&self, text: &str, times: usize) -> String {
        let read = || String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let end = Instant::now() + Duration::from_secs(2);
        while read().matches(text).count() < times && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let log = read();
        assert!(log.matches(text).count() >= times, "not {times} times {text:?}: {log}");
        log
    }
}

#[tokio::test]
async fn a_port_check_is_not_worth_a_warning_and_a_failed_handshake_one_a_minute() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_ansi(false);
    let _guard = tracing::subscriber::set_default(subscriber.with_writer(move || writer.clone()).finish());
    let (served, client, _) = pair().await;
    for _ in 0..3 {
        drop(TcpStream::connect(served.address).await.unwrap());
    }
    let reset = TcpStream::connect(served.address).await.unwrap();
    reset.set_zero_linger().unwrap();
    drop(reset);
    let text = log.has("closed before the first byte", 4).await;
    assert!(!text.contains("WARN"), "{text}");
    for _ in 0..3 {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    let text = log.has("connection ended", 3).await;
    assert_eq!(text.matches("WARN").count(), 1, "{text}");
    client.call(hello()).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_dies_in_the_middle_is_unreachable_and_reached_again() {
    let authority = authority();
    let controller = authority.issue_controller().unwrap();
    let bundle = authority.issue_agent(&agent("boot1")).unwrap();
    let served = serve(&bundle).await;
    let address = served.address;
    let client = Arc::new(WireClient::connect(address, &agent("boot1"), &controller).unwrap());
    assert!(client.call(hello()).await.is_ok());
    let asking = client.clone();
    let started = Instant::now();
    let call = tokio::spawn(async move { asking.call(check(SLOW)).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(served);
    assert!(unreachable(&call.await.unwrap()));
    assert!(started.elapsed() < Duration::from_secs(2), "a broken connection is noticed at once");
    assert!(unreachable(&client.call(hello()).await), "nobody listens");
    let _served = serve_at(address, &bundle).await;
    assert!(client.call(hello()).await.is_ok(), "the next request finds the new life");
}

#[tokio::test]
async fn a_slow_agent_meets_the_deadline_and_is_asked_again() {
    let (_served, client, _) = pair().await;
    let deadline = limits::deadline(&check(SLOW).action);
    let started = Instant::now();
    assert!(unreachable(&client.call(check(SLOW)).await));
    assert!(started.elapsed() >= deadline && started.elapsed() < deadline + Duration::from_secs(1));
    assert!(client.call(check(FINE)).await.is_ok());
}

#[tokio::test]
async fn an_agent_that_accepts_and_says_nothing_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let controller = authority().issue_controller().unwrap();
    let client = WireClient::connect(listener.local_addr().unwrap(), &agent("boot1"), &controller).unwrap();
    let client = Arc::new(client);
    let started = Instant::now();
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.call(hello()).await })
        })
        .collect();
    for caller in callers {
        assert!(unreachable(&caller.await.unwrap()));
    }
    assert!(started.elapsed() < limits::CONNECT + Duration::from_secs(1), "all share one attempt");
}

#[tokio::test]
async fn one_connection_carries_many_requests_at_once() {
    let (_served, client, _) = pair().await;
    let client = Arc::new(client);
    let started = Instant::now();
    let calls: Vec<_> = (0..2 * limits::STREAMS_MAX)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.call(check(FINE)).await })
        })
        .collect();
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
    assert!(started.elapsed() < Duration::from_secs(5), "50 ms each, one after the other would be 25 s");
}

#[tokio::test]
async fn what_answers_nobody_keeps_no_command_waiting() {
    let (_served, client, _) = pair().await;
    let client = Arc::new(client);
    let looks: Vec<_> = (0..limits::STREAMS_MAX + 44)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.call(check(SLOW)).await })
        })
        .collect();
    // all of them are under way, as many as a connection takes
    tokio::time::sleep(Duration::from_millis(300)).await;
    let permit = Request { token: None, action: Action::ReadPermit { machine: "m1".parse().unwrap() } };
    let asked = Instant::now();
    for request in [hello(), permit] {
        assert!(tokio::time::timeout(Duration::from_secs(2), client.call(request)).await.unwrap().is_ok());
    }
    assert!(looks.iter().all(|look| !look.is_finished()), "they still wait, {:?} later", asked.elapsed());
    looks.iter().for_each(JoinHandle::abort);
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn an_authority_and_its_bundles_survive_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("authority");
    let (estate, lineage) = (EstateUuid("estate-1".into()), Lineage("lineage-1".into()));
    let first = Authority::open(&place, estate.clone(), lineage.clone()).unwrap();
    let path = folder.path().join("bundle.json");
    first.issue_agent(&agent("boot1")).unwrap().store(&path).unwrap();
    drop(first);
    let bundle = Bundle::load(&path).unwrap();
    assert!(bundle.fresh && bundle.agent == agent("boot1"));
    assert!(!format!("{bundle:?}").contains("PRIVATE KEY"));
    for secret in [path, place.join("authority.key")] {
        assert_eq!(mode(&secret), 0o600);
    }
    let again = Authority::open(&place, estate, lineage.clone()).unwrap();
    assert!(!again.issue_agent_again(&agent("boot1")).unwrap().fresh);
    let served = serve(&bundle).await;
    let client = WireClient::connect(served.address, &agent("boot1"), &again.issue_controller().unwrap()).unwrap();
    assert!(client.call(hello()).await.is_ok(), "the reopened authority vouches for what it issued before");
    assert!(Authority::open(&place, EstateUuid("estate-2".into()), lineage).is_err());
    std::fs::write(folder.path().join("bad.json"), "{").unwrap();
    assert!(Bundle::load(&folder.path().join("bad.json")).is_err());
}
