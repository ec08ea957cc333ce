//! HTTP for booting machines: script, kernel, initrd, iPXE and the claim, each below this boot's token. Whoever has no permit is hung up
//! on; whoever has one but no valid token gets an empty 404. Secrets are sent only by `deliver`, which uses the token up first.

use crate::desk::{Desk, Visit};
use crate::error::BootError;
use crate::limits::{
    ACCEPT_PAUSE, FILE_CHUNK_BYTES, HTTP_CONNECTION, HTTP_CONNECTIONS_MAX, HTTP_CONNECTIONS_PER_PEER, HTTP_HEAD,
};
use crate::range::{self, Wanted};
use crate::shelf::Reader;
use crate::tokens::BootToken;
use crate::{config, script, sockets};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use vocabulary::boot::{BootMethod, BootStep, Permit};

/// What an answer carries.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The HTTP service.
pub struct Http {
    desk: Arc<Desk>,
    listener: TcpListener,
    peers: Arc<Peers>,
}

/// How many connections each address has open.
#[derive(Default)]
struct Peers(Mutex<BTreeMap<IpAddr, usize>>);

/// One counted connection.
struct Place {
    peers: Arc<Peers>,
    peer: IpAddr,
}

impl Peers {
    fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = open.values().sum();
        let mine = open.get(&peer).copied().unwrap_or(0);
        if all >= HTTP_CONNECTIONS_MAX || mine >= HTTP_CONNECTIONS_PER_PEER {
            return None;
        }
        open.insert(peer, mine + 1);
        Some(Place { peers: self.clone(), peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.peers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mine) = open.get_mut(&self.peer) {
            *mine -= 1;
            if *mine == 0 {
                open.remove(&self.peer);
            }
        }
    }
}

impl Http {
    /// Opens the listener.
    pub fn open(desk: Arc<Desk>) -> Result<Http, BootError> {
        let config = desk.config();
        let listener = sockets::connections("HTTP", &config.interface, config.ip(), config.ports.http)?;
        Ok(Http { desk, listener, peers: Arc::default() })
    }

    /// Where it listens; tests let the kernel choose.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves for ever.
    pub async fn serve(self) -> Result<(), BootError> {
        loop {
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "HTTP accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if self.desk.bearer_at(peer.ip()).is_none() {
                tracing::debug!(%peer, "HTTP from a stranger: hung up");
                continue;
            }
            let Some(place) = self.peers.enter(peer.ip()) else {
                tracing::warn!(%peer, "too many HTTP connections");
                continue;
            };
            tokio::spawn(connection(self.desk.clone(), stream, place));
        }
    }
}

async fn connection(desk: Arc<Desk>, stream: TcpStream, place: Place) {
    if let Err(error) = converse(desk, stream, place.peer).await {
        tracing::debug!(%error, peer = %place.peer, "HTTP connection ended");
    }
    drop(place);
}

/// Answers what comes over a stream from this address, until it ends or its time is over.
pub(crate) async fn converse<S>(desk: Arc<Desk>, stream: S, peer: IpAddr) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request| {
        let desk = desk.clone();
        async move { Ok::<_, Infallible>(answer(&desk, &request, peer).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HTTP_HEAD).max_headers(64);
    tokio::time::timeout(HTTP_CONNECTION, builder.serve_connection(TokioIo::new(stream), service)).await.unwrap_or(Ok(()))
}

/// Answers one request of a client at this address without a socket; `None` if its connection would be hung up on.
pub async fn served<B>(desk: &Arc<Desk>, request: &Request<B>, peer: IpAddr) -> Option<Response<Body>> {
    match desk.bearer_at(peer) {
        Some(_) => Some(answer(desk, request, peer).await),
        None => None,
    }
}

/// The body of a request, whatever it is, is not looked at.
async fn answer<B>(desk: &Arc<Desk>, request: &Request<B>, peer: IpAddr) -> Response<Body> {
    let asked = Asked::of(request);
    let head = asked.head;
    if !head && request.method() != Method::GET {
        return empty(StatusCode::NOT_FOUND);
    }
    let mut parts = request.uri().path().trim_start_matches('/').splitn(2, '/');
    let (segment, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let (permit, token) = match desk.visit(segment, peer) {
        Visit::Stranger => return empty(StatusCode::NOT_FOUND),
        Visit::Used => return empty(StatusCode::GONE),
        Visit::Open(permit, token) => (permit, token),
    };
    let config = desk.config();
    let machine = &permit.machine;
    tracing::debug!(%machine, name, method = %request.method(), "HTTP");
    let files = config.image_files(&permit.image);
    match (name, permit.method) {
        ("boot.ipxe", _) => first_script(desk, &permit, token, segment, head),
        ("kernel", BootMethod::Kernel) => file(desk, &permit, &files.kernel, asked, Some(BootStep::Kernel)).await,
        ("initrd", BootMethod::Kernel) => file(desk, &permit, &files.initrd, asked, Some(BootStep::Initrd)).await,
        // a HEAD delivers nothing, so it must not use the token up
        ("claim" | "san.ipxe", _) if head => empty(StatusCode::NOT_FOUND),
        ("claim", BootMethod::Kernel) => deliver(desk, token, BootMethod::Kernel, |permit| Ok(script::claim(permit))),
        ("san.ipxe", BootMethod::San) => deliver(desk, token, BootMethod::San, script::san_login),
        (other, _) => match ipxe_binary(config, other) {
            Some(path) => file(desk, &permit, path, asked, None).await,
            None => empty(StatusCode::NOT_FOUND),
        },
    }
}

/// What of a request matters to a file.
#[derive(Clone, Copy)]
struct Asked<'r> {
    head: bool,
    range: Option<&'r str>,
}

impl<'r> Asked<'r> {
    fn of<B>(request: &'r Request<B>) -> Asked<'r> {
        let range = request.headers().get(header::RANGE).and_then(|value| value.to_str().ok());
        Asked { head: request.method() == Method::HEAD, range }
    }
}

/// For UEFI HTTP boot.
fn ipxe_binary<'c>(config: &'c config::Config, name: &str) -> Option<&'c Path> {
    let binaries = [Some(&config.ipxe.uefi), config.ipxe.uefi_san.as_ref()];
    binaries.into_iter().flatten().find(|path| config::file_name(path) == name).map(std::path::PathBuf::as_path)
}

fn first_script(desk: &Desk, permit: &Permit, token: BootToken, segment: &str, head: bool) -> Response<Body> {
    match script::first(permit, &format!("{}/{segment}", desk.config().base_url())) {
        Ok(text) => {
            if !head {
                desk.script_fetched(permit, token);
            }
            words(text)
        }
        Err(reason) => {
            tracing::error!(machine = %permit.machine, reason, "no script");
            empty(StatusCode::NOT_FOUND)
        }
    }
}

/// Sends what holds secrets: once for each boot. The token is used up before the first byte leaves; if the bytes are lost, the machine
/// boots again and gets a new one.
fn deliver(
    desk: &Desk,
    token: BootToken,
    method: BootMethod,
    text: impl FnOnce(&Permit) -> Result<String, String>,
) -> Response<Body> {
    let Some(permit) = desk.use_up(token, method) else { return empty(StatusCode::GONE) };
    match text(&permit) {
        Ok(text) => {
            tracing::info!(machine = %permit.machine, server = %permit.server, epoch = %permit.epoch, "secrets delivered, token used");
            words(text)
        }
        Err(reason) => {
            tracing::error!(machine = %permit.machine, reason, "no secrets");
            empty(StatusCode::NOT_FOUND)
        }
    }
}

async fn file(desk: &Arc<Desk>, permit: &Arc<Permit>, path: &Path, asked: Asked<'_>, step: Option<BootStep>) -> Response<Body> {
    let mut file = match desk.shelf().open(path).await {
        Ok(file) => file,
        Err(error) => {
            tracing::error!(%error, path = %path.display(), machine = %permit.machine, "F1206 a file of a permitted boot cannot be read");
            return empty(StatusCode::NOT_FOUND);
        }
    };
    let length = file.length();
    let (status, start, end) = match range::wanted(asked.range, length) {
        Wanted::All => (StatusCode::OK, 0, length),
        Wanted::Part { start, end } => (StatusCode::PARTIAL_CONTENT, start, end),
        Wanted::Impossible => {
            let mut response = empty(StatusCode::RANGE_NOT_SATISFIABLE);
            set(&mut response, header::CONTENT_RANGE, format!("bytes */{length}"));
            return response;
        }
    };
    if let Err(error) = file.seek(start).await {
        tracing::error!(%error, path = %path.display(), "seek");
        return empty(StatusCode::NOT_FOUND);
    }
    let body = if asked.head {
        Empty::new().map_err(|never| match never {}).boxed_unsync()
    } else {
        let done = step.filter(|_| end == length).map(|step| (desk.clone(), permit.clone(), step));
        streamed(file, end - start, done)
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_LENGTH, (end - start).to_string());
    set(&mut response, header::ACCEPT_RANGES, "bytes".to_owned());
    set(&mut response, header::CONTENT_TYPE, "application/octet-stream".to_owned());
    if status == StatusCode::PARTIAL_CONTENT {
        set(&mut response, header::CONTENT_RANGE, format!("bytes {start}-{}/{length}", end.saturating_sub(1)));
    }
    response
}

/// Streams `left` bytes of a file in pieces; a step to be noted is noted when the connection takes the last piece.
fn streamed(file: Box<dyn Reader>, left: u64, done: Option<(Arc<Desk>, Arc<Permit>, BootStep)>) -> Body {
    let pieces = futures::stream::unfold((file, left, done), |(mut file, left, done)| async move {
        if left == 0 {
            return None;
        }
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(FILE_CHUNK_BYTES);
        match file.read(size).await {
            // shorter than it was when it was opened: the client must see a broken transfer, not a short file
            Ok(piece) if piece.is_empty() => Some((Err(io::Error::other("the file shrank while it was sent")), (file, 0, None))),
            Ok(piece) => {
                let left = left.saturating_sub(piece.len() as u64);
                // nobody asks for what comes after the last byte, so now is the time
                if let Some((desk, permit, step)) = done.as_ref().filter(|_| left == 0) {
                    desk.note(permit, *step);
                }
                Some((Ok(Frame::data(piece)), (file, left, done)))
            }
            Err(error) => Some((Err(error), (file, 0, None))),
        }
    });
    BodyExt::boxed_unsync(StreamBody::new(pieces))
}

fn words(text: String) -> Response<Body> {
    let length = text.len();
    let mut response = Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync());
    set(&mut response, header::CONTENT_TYPE, "text/plain".to_owned());
    set(&mut response, header::CONTENT_LENGTH, length.to_string());
    set(&mut response, header::CACHE_CONTROL, "no-store".to_owned());
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

fn set(response: &mut Response<Body>, name: header::HeaderName, value: String) {
    // only numbers and constants come here; a value that is no header is left out
    if let Ok(value) = HeaderValue::from_str(&value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
pub(crate) mod tests;
