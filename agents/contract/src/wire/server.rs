//! The agent's side of the wire: accepts a controller, reads one bounded request, lets the agent answer, writes one bounded answer.
//! It decides nothing about the request; the gate behind it does. What concerns the certificate that it shows is answered here.

use super::complaints::Complaints;
use super::credentials::{Credentials, Renewal};
use super::{AnswerReply, CERTIFICATE_PATH, READOPT_PATH, REQUEST_PATH, ReadoptReply, Reply, WireError, tls};
use crate::agent::{Client, Readopt};
use crate::limits;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use vocabulary::request::AgentError;

/// Serves an agent until the future is dropped; dropping it ends every connection. Returns only if the authority is unusable.
pub async fn serve(listener: TcpListener, credentials: Arc<Credentials>, agent: Arc<dyn Client>) -> Result<(), WireError> {
    let acceptor = TlsAcceptor::from(tls::server(&credentials.ca_pem(), credentials.clone())?);
    let behind = Arc::new(Behind { agent, credentials });
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
    let complaints = Arc::new(Complaints::default());
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = places.clone().acquire_owned().await else { return Ok(()) };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (acceptor, behind, complaints) = (acceptor.clone(), behind.clone(), complaints.clone());
                connections.spawn(async move {
                    match connection(stream, acceptor, behind).await {
                        Ok(()) => {}
                        Err(End::Unsaid) => tracing::debug!(%peer, "closed before the first byte"),
                        Err(End::Failed(reason)) => match complaints.about(peer.ip(), std::time::Instant::now()) {
                            Some(unsaid) => tracing::warn!(%peer, reason, unsaid, "connection ended"),
                            None => tracing::debug!(%peer, reason, "connection ended"),
                        },
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(limits::ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What answers.
struct Behind {
    agent: Arc<dyn Client>,
    credentials: Arc<Credentials>,
}

/// How a connection ends that did not end well.
enum End {
    /// The peer only looked whether the port is open, as a canary does every few seconds.
    Unsaid,
    /// Why it failed.
    Failed(String),
}

impl From<String> for End {
    fn from(reason: String) -> End {
        End::Failed(reason)
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, behind: Arc<Behind>) -> Result<(), End> {
    let _ = stream.set_nodelay(true);
    let greeting = async {
        if matches!(stream.peek(&mut [0]).await, Ok(0) | Err(_)) {
            return Err(End::Unsaid);
        }
        acceptor.accept(stream).await.map_err(|error| End::Failed(format!("TLS: {error}")))
    };
    let stream = timeout(limits::HANDSHAKE, greeting).await.map_err(|_| "TLS handshake took too long".to_owned())??;
    let service = hyper::service::service_fn(move |request| {
        let behind = behind.clone();
        async move { Ok::<_, Infallible>(answer(request, &behind).await) }
    });
    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::STREAMS_MAX)
        .max_header_list_size(limits::HEADER_BYTES_MAX)
        .keep_alive_interval(limits::KEEP_ALIVE_EVERY)
        .keep_alive_timeout(limits::KEEP_ALIVE_ANSWER)
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(|error| End::Failed(format!("HTTP/2: {error}")))
}

async fn answer(request: Request<Incoming>, behind: &Behind) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let most = match path.as_str() {
        REQUEST_PATH | CERTIFICATE_PATH => limits::REQUEST_BYTES_MAX,
        READOPT_PATH => limits::ANSWER_BYTES_MAX,
        _ => return problem(StatusCode::NOT_FOUND, "no such path; is the controller newer than the agent?"),
    };
    if request.method() != Method::POST {
        return problem(StatusCode::METHOD_NOT_ALLOWED, "use POST");
    }
    let body = match timeout(limits::BODY_ARRIVAL, Limited::new(request.into_body(), most).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return problem(StatusCode::PAYLOAD_TOO_LARGE, &format!("a request has at most {most} bytes"));
        }
        Ok(Err(_)) => return problem(StatusCode::BAD_REQUEST, "the body did not arrive whole"),
        Err(_) => return problem(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
    };
    let Behind { agent, credentials } = behind;
    match path.as_str() {
        REQUEST_PATH => match serde_json::from_slice::<vocabulary::request::Request>(&body) {
            Ok(request) => json(&AnswerReply::from(agent.call(request).await)),
            Err(error) => not_understood(&error),
        },
        CERTIFICATE_PATH => match serde_json::from_slice::<Renewal>(&body) {
            Ok(asked) => json(&Reply::from(credentials.clone().renew(asked).await)),
            Err(error) => not_understood(&error),
        },
        _ => match serde_json::from_slice::<Readopt>(&body) {
            Ok(seed) => json(&ReadoptReply::from(agent.readopt(seed).await)),
            Err(error) => not_understood(&error),
        },
    }
}

/// Says where the JSON is wrong, never what stands there: it may be a secret.
fn not_understood(error: &serde_json::Error) -> Response<Full<Bytes>> {
    let place = format!("request not understood at line {} column {}", error.line(), error.column());
    problem(StatusCode::BAD_REQUEST, &format!("{place}; is the controller newer than the agent?"))
}

fn json<T: Serialize>(reply: &T) -> Response<Full<Bytes>> {
    match serde_json::to_vec(reply) {
        Ok(bytes) if bytes.len() <= limits::ANSWER_BYTES_MAX => Response::new(Full::new(Bytes::from(bytes))),
        Ok(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the answer is too long"),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be written"),
    }
}

/// A 4xx says that nothing was done: the controller reads it as `Refused`.
fn problem(status: StatusCode, reason: &str) -> Response<Full<Bytes>> {
    let reply: AnswerReply = AnswerReply::Error(AgentError::Refused { reason: reason.to_owned() });
    let body = serde_json::to_vec(&reply).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}
