//! The controller's side of the wire: two kept connections to one agent, so that looks at equipment that answers nobody never stand in
//! the way of a plan. A request goes out at most once; a lost or unclear reply is
//! `Unreachable`, and only a request that provably never left is tried on a second connection.

use super::credentials::{Renewal, Renewed};
use super::enrol::{ControllerIdentity, agent_name};
use super::{CERTIFICATE_PATH, READOPT_PATH, REQUEST_PATH, Reply, WireError, tls};
use crate::agent::{Client, Readopt};
use crate::limits;
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::CertificateError;
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use vocabulary::request::{AgentError, AgentHello, Answer};
use vocabulary::{AgentId, WallTime};

type Sender = SendRequest<Full<Bytes>>;

/// An agent over the wire.
pub struct WireClient {
    address: SocketAddr,
    agent: AgentId,
    name: ServerName<'static>,
    connector: TlsConnector,
    /// For plans and people.
    plans: Lane,
    /// For what the detection asks again and again.
    routine: Lane,
    /// When the certificate ends that the agent showed last, in milliseconds since 1970; zero before the first.
    until_ms: AtomicU64,
}

/// One kept connection, made when it is needed.
#[derive(Default)]
struct Lane {
    connection: Mutex<Connection>,
    /// Attempts to connect that have ended.
    attempts: AtomicU64,
}

/// A kept connection. Each has its own number, so that a request which failed on an old one does not drop its successor.
#[derive(Default)]
struct Connection {
    number: u64,
    sender: Option<Sender>,
    /// Why the last attempt to connect failed: the answer to all who waited for it.
    failure: String,
}

fn unreachable(reason: impl Into<String>) -> AgentError {
    AgentError::Unreachable { reason: reason.into() }
}

impl WireClient {
    /// Prepares the way to an agent. Connects with the first request, and again whenever the connection is gone.
    pub fn connect(address: SocketAddr, agent: &AgentId, identity: &ControllerIdentity) -> Result<WireClient, WireError> {
        let connector = TlsConnector::from(tls::client(identity)?);
        let name = ServerName::try_from(agent_name(agent))
            .map_err(|e| WireError::Certificates { reason: format!("agent's name {agent}: {e}") })?;
        Ok(WireClient {
            address,
            agent: agent.clone(),
            name,
            connector,
            plans: Lane::default(),
            routine: Lane::default(),
            until_ms: AtomicU64::new(0),
        })
    }

    /// The agent at the other end.
    pub fn agent(&self) -> &AgentId {
        &self.agent
    }

    async fn exchange<Q, A>(&self, lane: &Lane, path: &str, request: &Q, most: usize, deadline: Duration) -> Result<A, AgentError>
    where
        Q: Serialize + Sync,
        A: DeserializeOwned,
    {
        let body = serde_json::to_vec(request)
            .map_err(|e| AgentError::Refused { reason: format!("the request cannot be written: {e}") })?;
        if body.len() > most {
            let has = body.len();
            return Err(AgentError::Refused { reason: format!("the request has {has} bytes, an agent takes {most}; split it") });
        }
        let mut used = None;
        match timeout(deadline, self.exchange_bytes(lane, path, Bytes::from(body), &mut used)).await {
            Ok(Ok((status, bytes))) => self.understand(status, &bytes),
            Ok(Err(reason)) => {
                lane.abandon(used).await;
                Err(unreachable(format!("agent {} at {}: {reason}", self.agent, self.address)))
            }
            Err(_) => {
                lane.abandon(used).await;
                let waited = deadline.as_secs_f32();
                Err(unreachable(format!("agent {} at {} did not answer within {waited} s", self.agent, self.address)))
            }
        }
    }

    async fn exchange_bytes(
        &self,
        lane: &Lane,
        path: &str,
        body: Bytes,
        used: &mut Option<u64>,
    ) -> Result<(StatusCode, Bytes), String> {
        let mut response = self.send(lane, path, &body, used).await;
        if matches!(response, Err(Unsent::Stale(_))) {
            // Provably never sent (the kept connection had just ended): once more, on a new one.
            lane.abandon(*used).await;
            response = self.send(lane, path, &body, used).await;
        }
        let response = response.map_err(|unsent| match unsent {
            Unsent::Stale(reason) | Unsent::Failed(reason) => reason,
        })?;
        let status = response.status();
        let bytes = Limited::new(response.into_body(), limits::ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| format!("the answer did not arrive whole: {error}"))?;
        Ok((status, bytes.to_bytes()))
    }

    async fn send(&self, lane: &Lane, path: &str, body: &Bytes, used: &mut Option<u64>) -> Result<Response<Incoming>, Unsent> {
        let (number, mut sender) = self.sender(lane).await.map_err(Unsent::Failed)?;
        *used = Some(number);
        sender.ready().await.map_err(|error| Unsent::Stale(error.to_string()))?;
        let request = Request::post(format!("https://{}{path}", agent_name(&self.agent)))
            .header(hyper::header::CONTENT_TYPE, "application/json")
            .body(Full::new(body.clone()))
            .map_err(|error| Unsent::Failed(error.to_string()))?;
        sender.try_send_request(request).await.map_err(|mut failed| {
            let unsent = failed.take_message().is_some();
            let reason = failed.into_error().to_string();
            if unsent { Unsent::Stale(reason) } else { Unsent::Failed(reason) }
        })
    }

    /// The kept connection, or a new one. Whoever needs it meanwhile waits for the same attempt and shares its failure.
    async fn sender(&self, lane: &Lane) -> Result<(u64, Sender), String> {
        let ended = lane.attempts.load(Ordering::SeqCst);
        let mut kept = lane.connection.lock().await;
        if let Some(sender) = kept.sender.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok((kept.number, sender.clone()));
        }
        if lane.attempts.load(Ordering::SeqCst) != ended && !kept.failure.is_empty() {
            return Err(kept.failure.clone());
        }
        let dialled = timeout(limits::CONNECT, self.dial()).await;
        let dialled = dialled.unwrap_or_else(|_| Err("no connection within the time-out".to_owned()));
        kept.number = kept.number.wrapping_add(1);
        kept.failure = dialled.as_ref().err().cloned().unwrap_or_default();
        kept.sender = dialled.as_ref().ok().cloned();
        lane.attempts.fetch_add(1, Ordering::SeqCst);
        dialled.map(|sender| (kept.number, sender))
    }

    async fn dial(&self) -> Result<Sender, String> {
        let stream = TcpStream::connect(self.address).await.map_err(|e| format!("cannot connect: {e}"))?;
        let _ = stream.set_nodelay(true);
        let stream = self.connector.connect(self.name.clone(), stream).await.map_err(|error| self.unwelcome(&error))?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let ends = shown.map_or(Duration::ZERO, |certificate| tls::ends(certificate));
        self.until_ms.store(u64::try_from(ends.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_header_list_size(limits::HEADER_BYTES_MAX)
            .keep_alive_interval(limits::KEEP_ALIVE_EVERY)
            .keep_alive_timeout(limits::KEEP_ALIVE_ANSWER)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| format!("HTTP/2: {e}"))?;
        let agent = self.agent.clone();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%agent, %error, "connection ended");
            }
        });
        Ok(sender)
    }

    fn unwelcome(&self, error: &std::io::Error) -> String {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
                let agent = &self.agent;
                format!(
                    "F1019: its certificate has ended ({error}); enrol it again: `understudy agent enroll {agent} --out FILE`"
                )
            }
            _ => format!("TLS: {error}"),
        }
    }

    async fn renewal(&self, asked: &Renewal) -> Result<Renewed, AgentError> {
        self.exchange(&self.plans, CERTIFICATE_PATH, asked, limits::REQUEST_BYTES_MAX, limits::RENEWAL).await
    }

    fn understand<A: DeserializeOwned>(&self, status: StatusCode, bytes: &[u8]) -> Result<A, AgentError> {
        let reply: Result<Reply<A>, _> = serde_json::from_slice(bytes);
        match (status, reply) {
            (StatusCode::OK, Ok(reply)) => reply.into(),
            (status, Ok(Reply::Error(error))) if status.is_client_error() => Err(error),
            (StatusCode::OK, Err(_)) => Err(unreachable(format!(
                "agent {}: its answer is not understood, whether it happened is unknown; is the agent newer than the controller?",
                self.agent
            ))),
            (status, _) => Err(unreachable(format!("agent {} answered with status {status}", self.agent))),
        }
    }
}

impl Lane {
    /// Drops a connection that failed, unless somebody has replaced it already. Its other requests run to their end.
    async fn abandon(&self, used: Option<u64>) {
        let mut kept = self.connection.lock().await;
        if used == Some(kept.number) {
            kept.sender = None;
        }
    }
}

/// Why a request has no response.
enum Unsent {
    /// The kept connection had ended, and the request never left this process.
    Stale(String),
    /// Nobody could be reached, or the request may have arrived.
    Failed(String),
}

#[async_trait]
impl Client for WireClient {
    async fn call(&self, request: vocabulary::request::Request) -> Result<Answer, AgentError> {
        let deadline = limits::deadline(&request.action);
        let lane = if request.action.is_routine() { &self.routine } else { &self.plans };
        self.exchange(lane, REQUEST_PATH, &request, limits::REQUEST_BYTES_MAX, deadline).await
    }

    async fn readopt(&self, seed: Readopt) -> Result<AgentHello, AgentError> {
        self.exchange(&self.plans, READOPT_PATH, &seed, limits::ANSWER_BYTES_MAX, limits::READOPT).await
    }

    fn certificate_until(&self) -> Option<WallTime> {
        let until_ms = self.until_ms.load(Ordering::Relaxed);
        (until_ms > 0).then_some(WallTime(until_ms))
    }

    async fn propose_certificate(&self) -> Result<String, AgentError> {
        match self.renewal(&Renewal::Propose).await? {
            Renewed::Proposed { request_pem } => Ok(request_pem),
            Renewed::Taken => Err(unreachable("the agent answered something else")),
        }
    }

    async fn take_certificate(&self, certificate_pem: String) -> Result<(), AgentError> {
        match self.renewal(&Renewal::Take { certificate_pem }).await? {
            // the next request is sent over a connection that shows the new one
            Renewed::Taken => {
                for lane in [&self.plans, &self.routine] {
                    lane.connection.lock().await.sender = None;
                }
                Ok(())
            }
            Renewed::Proposed { .. } => Err(unreachable("the agent answered something else")),
        }
    }
}
