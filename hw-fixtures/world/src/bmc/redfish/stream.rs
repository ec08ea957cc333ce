//! The event stream of a BMC (server-sent events): what happens to the machine, told as it happens, or what a quirk makes of that.
//! Must never tell an event that did not happen unless a quirk says so, nor hold more than a few pieces for a listener that is slow.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::Either;
use hyper::body::Frame;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::{Answer, Body, message};
use crate::bmc::Bmc;
use crate::bmc::limits;
use crate::bmc::quirks::EventStream;
use crate::bmc::stamp::rfc3339;

/// A stream as its connection takes it.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// Opens a stream for the session of this token (none: the account itself).
pub fn open(bmc: &Arc<Bmc>, token: Option<&str>, how: EventStream) -> Answer {
    if how == EventStream::Refused {
        return message::error(StatusCode::SERVICE_UNAVAILABLE, "ServiceTemporarilyUnavailable", &["30"]);
    }
    let (listener, events) = mpsc::channel(limits::STREAM_QUEUE);
    tokio::spawn(tell(Arc::clone(bmc), token.map(str::to_owned), how, listener));
    Answer { status: StatusCode::OK, body: None, headers: Vec::new(), events: Some(Events(events)) }
}

/// The answer that carries a stream.
pub fn response(events: Events) -> Response<Body> {
    let mut response = Response::new(Either::Right(events));
    let headers = response.headers_mut();
    headers.insert("odata-version", HeaderValue::from_static("4.0"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

/// Feeds one stream until nobody listens, its session is gone, or another quirk is in force.
async fn tell(bmc: Arc<Bmc>, token: Option<String>, how: EventStream, listener: mpsc::Sender<Bytes>) {
    let mut happens = bmc.events.subscribe();
    // where there is no console to look at, what happens is told
    let every = if bmc.host.waits_for_a_look() { limits::STREAM_LOOK } else { limits::STREAM_COMMENT };
    let mut look = tokio::time::interval(every);
    let mut comment = tokio::time::interval(limits::STREAM_COMMENT);
    let (mut number, mut progress) = (0u64, None);
    while stands(&bmc, token.as_deref(), how) {
        // in this order, so that a world of one seed tells one story
        let piece = tokio::select! {
            biased;
            () = listener.closed() => return,
            what = happens.recv() => match what {
                Ok(what @ ("on" | "off" | "reset" | "bmc_up")) if how == EventStream::Offered => Some(event(&bmc, &mut number, what)),
                Ok("boot") => booted(&bmc, &mut progress, how).then(|| event(&bmc, &mut number, "BootProgress")),
                Ok(_) | Err(RecvError::Lagged(_)) => None,
                Err(RecvError::Closed) => return,
            },
            _ = look.tick() => {
                bmc.look().await;
                booted(&bmc, &mut progress, how).then(|| event(&bmc, &mut number, "BootProgress"))
            }
            _ = comment.tick(), if how == EventStream::Offered => Some(": still here\n\n".into()),
            room = listener.reserve(), if matches!(how, EventStream::Floods | EventStream::Garbage) => match room {
                Ok(room) => {
                    room.send(rubbish(&bmc, &mut number, how));
                    None
                }
                Err(_) => return,
            },
        };
        if let Some(piece) = piece
            && listener.send(Bytes::from(piece)).await.is_err()
        {
            return;
        }
    }
}

/// True if the boot has come further than was last seen, and the stream tells that.
fn booted(bmc: &Bmc, seen: &mut Option<(&'static str, SystemTime)>, how: EventStream) -> bool {
    let now = bmc.state().progress;
    let moved = std::mem::replace(seen, now).is_some_and(|before| Some(before) != now);
    moved && how == EventStream::Offered
}

/// True while the stream may go on as it began; asked whenever something happens.
fn stands(bmc: &Bmc, token: Option<&str>, how: EventStream) -> bool {
    let state = bmc.state();
    how != EventStream::Closes && state.quirks.redfish.events == how && token.is_none_or(|token| state.sessions.is_open(token))
}

fn rubbish(bmc: &Bmc, number: &mut u64, how: EventStream) -> Bytes {
    match how {
        EventStream::Floods => Bytes::from(event(bmc, number, "on")),
        // never a line end: bytes that could be one are another
        _ => bmc.dice.bytes::<1024>().iter().map(|byte| byte | 0x80).collect(),
    }
}

/// One event as it goes over the wire.
fn event(bmc: &Bmc, number: &mut u64, what: &str) -> String {
    *number += 1;
    let ids = &bmc.config.hardware;
    let at = {
        let state = bmc.state();
        rfc3339(state.wall.now(), state.quirks.clock_offset_s)
    };
    let body = json!({
        "@odata.type": "#Event.v1_10_0.Event",
        "Id": number.to_string(),
        "Name": "Event Array",
        "Events": [{
            "EventId": number.to_string(),
            "MemberId": "0",
            "EventType": "Alert",
            "EventTimestamp": at,
            "MessageId": "ResourceEvent.1.3.ResourceChanged",
            "Message": format!("One or more resource properties have changed ({what})."),
            "OriginOfCondition": { "@odata.id": format!("/redfish/v1/Systems/{}", ids.system_id) },
        }],
    });
    format!("id: {number}\ndata: {body}\n\n")
}
