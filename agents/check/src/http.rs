//! The HTTP check, in the clear or over TLS: a GET is answered with the expected status, and the first 4 KiB of the body hold the expected text.
//! Follows no redirect, keeps no connection, and reads no more than its bounds, whatever is sent.

use crate::limits::{BODY_BYTES_MAX, HEAD_BYTES_MAX, SHOWN_CHARS_MAX, URL_BYTES_MAX};
use crate::socket::{Source, Tried};
use crate::tcp::shown;
use crate::tls;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};
use vocabulary::check::{CheckOutcome, HttpCheck};

const DEFAULT_PORT: u16 = 80;
const DEFAULT_TLS_PORT: u16 = 443;

/// Where a URL leads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Over TLS.
    pub tls: bool,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// `host[:port]` as written, for the `Host` header.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

/// Reads `http://host[:port]/path` or `https://...`; anything else is no place.
pub(crate) fn place(url: &str) -> Option<Place> {
    if url.len() > URL_BYTES_MAX || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let (tls, rest) = match url.strip_prefix("https://") {
        Some(rest) => (true, rest),
        None => (false, url.strip_prefix("http://")?),
    };
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    let split = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(split)?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(six) => {
            let (host, after) = six.split_once(']')?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() || host.contains('@') || port.is_some_and(|port| port.starts_with('+')) {
        return None;
    }
    let port = port.map_or(Some(if tls { DEFAULT_TLS_PORT } else { DEFAULT_PORT }), |port| port.parse().ok())?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    Some(Place { tls, host: host.to_owned(), port, authority: authority.to_owned(), path: format!("{slash}{path}") })
}

async fn resolve(place: &Place) -> Result<SocketAddr, String> {
    if let Ok(address) = place.host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, place.port));
    }
    let mut found = tokio::net::lookup_host((place.host.as_str(), place.port))
        .await
        .map_err(|error| format!("the name {} cannot be resolved: {error}", place.host))?;
    found.next().ok_or_else(|| format!("the name {} has no address", place.host))
}

/// Runs one try.
pub async fn attempt(source: &Source, check: &HttpCheck, deadline: Duration) -> Tried {
    let until = Instant::now() + deadline;
    let Some(place) = place(&check.url) else {
        return Err(format!(
            "`{}` is not a URL it can use: write http://host[:port]/path or https://host[:port]/path",
            printable(check.url.as_bytes())
        ));
    };
    let late = |what: &str| format!("{}: {what} within {}", place.authority, shown(deadline));
    let address = match timeout_at(until, resolve(&place)).await {
        Err(_) => return Err(late("its name was not resolved")),
        Ok(address) => address?,
    };
    let mut stream = match timeout_at(until, source.connect(address)).await {
        Err(_) => return Ok(CheckOutcome::Silent(late("no connection"))),
        Ok(Err(reason)) => return reason.into(),
        Ok(Ok(stream)) => stream,
    };
    // from here on the host is alive, whatever else it does
    let talk = async {
        if !place.tls {
            return ask(&mut stream, &place, check).await;
        }
        match tls::over(stream, address).await {
            Ok(mut stream) => ask(&mut stream, &place, check).await,
            Err(reason) => CheckOutcome::Wrong(format!("{}: {reason}", place.authority)),
        }
    };
    Ok(match timeout_at(until, talk).await {
        Ok(outcome) => outcome,
        Err(_) => CheckOutcome::Wrong(late("connected, but the answer did not come to its end")),
    })
}

/// Sends the request. HTTP/1.0: the answer ends with the connection, and no chunks come.
async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), place: &Place, check: &HttpCheck) -> CheckOutcome {
    let request = format!(
        "GET {} HTTP/1.0\r\nHost: {}\r\nUser-Agent: understudy-check\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        place.path, place.authority
    );
    if let Err(error) = stream.write_all(request.as_bytes()).await {
        return CheckOutcome::Wrong(format!("{}: the connection broke: {error}", place.authority));
    }
    judge(stream, check).await
}

/// Reads the answer as far as needed and says whether it is the expected one.
async fn judge(stream: &mut (impl AsyncRead + Unpin), check: &HttpCheck) -> CheckOutcome {
    let mut answer = Vec::new();
    let body = loop {
        if let Some(body) = end_of_head(&answer) {
            break body;
        }
        if answer.len() >= HEAD_BYTES_MAX {
            return CheckOutcome::Wrong(format!("its headers are longer than {HEAD_BYTES_MAX} bytes"));
        }
        match more(stream, &mut answer, HEAD_BYTES_MAX).await {
            Ok(0) => return CheckOutcome::Wrong(format!("not an HTTP answer: `{}`", printable(&answer))),
            Ok(_) => {}
            Err(error) => return CheckOutcome::Wrong(format!("the connection broke: {error}")),
        }
    };
    match status(&answer) {
        None => return CheckOutcome::Wrong(format!("not an HTTP answer: `{}`", printable(&answer))),
        Some(status) if status != check.status => {
            return CheckOutcome::Wrong(format!("status {status} instead of {}", check.status));
        }
        Some(_) => {}
    }
    let Some(wanted) = check.contains.as_deref().filter(|wanted| !wanted.is_empty()) else { return CheckOutcome::Healthy };
    let limit = body + BODY_BYTES_MAX;
    loop {
        let seen = answer.get(body..answer.len().min(limit)).unwrap_or_default();
        if seen.windows(wanted.len()).any(|part| part == wanted.as_bytes()) {
            return CheckOutcome::Healthy;
        }
        let ended = answer.len() >= limit || !matches!(more(stream, &mut answer, limit).await, Ok(n) if n > 0);
        if ended {
            return CheckOutcome::Wrong(format!("the body does not contain `{}`", printable(wanted.as_bytes())));
        }
    }
}

/// Reads once, up to `limit` bytes in all.
async fn more(stream: &mut (impl AsyncRead + Unpin), answer: &mut Vec<u8>, limit: usize) -> std::io::Result<usize> {
    let room = u64::try_from(limit.saturating_sub(answer.len())).unwrap_or(0);
    stream.take(room).read_buf(answer).await
}

/// Where the body begins.
pub(crate) fn end_of_head(answer: &[u8]) -> Option<usize> {
    let at = |end: &[u8]| answer.windows(end.len()).position(|part| part == end).map(|found| found + end.len());
    match (at(b"\r\n\r\n"), at(b"\n\n")) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The status of an HTTP/1 answer.
pub(crate) fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?.trim_end();
    let code = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1))?;
    let digits = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
    if digits { code.parse().ok() } else { None }
}

/// A foreign text, cut and without control characters.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..bytes.len().min(4 * SHOWN_CHARS_MAX)).unwrap_or_default());
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN_CHARS_MAX).collect()
}
