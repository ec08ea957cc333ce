//! Checks against real sockets on loopback that behave as broken services do.

use super::*;
use crate::http::{Place, end_of_head, place, status};
use contract::conformance;
use proptest::prelude::*;
use std::net::SocketAddr;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use vocabulary::check::{HttpCheck, TcpCheck};

const DEADLINE: Span = Span::ms(400);

fn checker() -> Checker {
    Checker::default()
}

fn tcp(address: SocketAddr) -> Check {
    Check::Tcp(TcpCheck { address, deadline: DEADLINE })
}

fn http(address: SocketAddr, contains: Option<&str>) -> Check {
    Check::Http(HttpCheck {
        url: format!("http://{address}/x"),
        status: 200,
        contains: contains.map(str::to_owned),
        deadline: DEADLINE,
    })
}

/// A service that reads the request, sends this and closes; `pause` between its bytes if given.
async fn service(answer: Vec<u8>, pause: Option<Duration>, close: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                match pause {
                    None => drop(stream.write_all(&answer).await),
                    Some(pause) => {
                        for byte in answer {
                            if stream.write_all(&[byte]).await.is_err() {
                                return;
                            }
                            tokio::time::sleep(pause).await;
                        }
                    }
                }
                if !close {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                }
            });
        }
    });
    address
}

async fn outcome(check: Check) -> CheckOutcome {
    let start = Instant::now();
    let outcome = checker().run(&check).await;
    assert!(start.elapsed() < DEADLINE.as_duration() + Duration::from_millis(300), "the deadline is kept");
    outcome
}

fn wrong(outcome: CheckOutcome) -> String {
    match outcome {
        CheckOutcome::Wrong(reason) => reason,
        other => panic!("{other:?}"),
    }
}

/// A listener whose queue is full drops every further request for a connection: nothing answers.
fn silent() -> (std::net::TcpListener, Vec<std::net::TcpStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let listener: std::net::TcpListener = socket.into();
    let address = listener.local_addr().unwrap();
    let mut fill = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        fill.push(stream);
    }
    (listener, fill)
}

#[tokio::test]
async fn an_open_port_is_healthy_and_a_closed_one_is_wrong() {
    let open = service(Vec::new(), None, true).await;
    assert_eq!(outcome(tcp(open)).await, CheckOutcome::Healthy);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert!(wrong(outcome(tcp(closed)).await).contains("refuses"), "a host that refuses is alive");
    assert!(wrong(outcome(http(closed, None)).await).contains("refuses"));
}

#[tokio::test]
async fn a_port_that_answers_nothing_is_silent() {
    let (listener, _fill) = silent();
    let address = listener.local_addr().unwrap();
    assert!(matches!(outcome(tcp(address)).await, CheckOutcome::Silent(_)));
    assert!(matches!(outcome(http(address, None)).await, CheckOutcome::Silent(_)));
}

#[tokio::test]
async fn an_answer_is_judged_by_status_and_text() {
    let fine = service(b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nhello web1\n".to_vec(), None, true).await;
    assert_eq!(outcome(http(fine, None)).await, CheckOutcome::Healthy);
    assert_eq!(outcome(http(fine, Some("web1"))).await, CheckOutcome::Healthy);
    assert!(wrong(outcome(http(fine, Some("web2"))).await).contains("does not contain `web2`"));
    assert!(wrong(outcome(http(fine, Some("Server"))).await).contains("does not contain"), "headers are no body");
    let redirect = service(format!("HTTP/1.1 302 Found\r\nLocation: http://{fine}/\r\n\r\n").into_bytes(), None, true).await;
    assert_eq!(wrong(outcome(http(redirect, None)).await), "status 302 instead of 200", "no redirect is followed");
    let kept = service(b"HTTP/1.1 200 OK\r\n\r\nhello web1".to_vec(), None, false).await;
    assert_eq!(outcome(http(kept, Some("web1"))).await, CheckOutcome::Healthy, "a connection kept open does not matter");
}

#[tokio::test]
async fn broken_answers_are_wrong_and_bounded() {
    for garbage in [&b""[..], b"\r\n\r\n", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 999999 x\r\n\r\n", b"HTTP/1.1\r\n\r\n", &[0xff; 300]]
    {
        let address = service(garbage.to_vec(), None, true).await;
        assert!(wrong(outcome(http(address, None)).await).contains("not an HTTP answer"), "{garbage:?}");
    }
    let huge = service([b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 1 << 20]].concat(), None, false).await;
    assert!(wrong(outcome(http(huge, None)).await).contains("headers are longer"));
    let far = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'.'; 4096], b"web1".to_vec(), vec![b'.'; 1 << 20]].concat();
    let far = service(far, None, false).await;
    assert!(wrong(outcome(http(far, Some("web1"))).await).contains("does not contain"), "only the first 4 KiB count");
}

#[tokio::test]
async fn a_slow_answer_is_cut_at_the_deadline() {
    let pause = Some(Duration::from_millis(50));
    let slow_head = service(b"HTTP/1.1 200 OK\r\n\r\nweb1".to_vec(), pause, true).await;
    assert!(wrong(outcome(http(slow_head, None)).await).contains("did not come to its end"));
    let mute = service(Vec::new(), None, false).await;
    assert!(wrong(outcome(http(mute, None)).await).contains("did not come to its end"), "its kernel answered: the host is alive");
}

#[tokio::test]
async fn a_fault_of_this_vantage_point_accuses_nobody() {
    let open = service(Vec::new(), None, true).await;
    let nowhere = VantageConfig { address: Some("203.0.113.9".parse().unwrap()), interface: None };
    let missing = VantageConfig { address: None, interface: Some("nosuch0".into()) };
    for config in [nowhere, missing] {
        let checker = Checker::new(&config);
        assert!(wrong(checker.run(&tcp(open)).await).contains("this vantage point"));
        let asked = checker.perform(&Action::RunCheck { check: tcp(open) }).await;
        assert!(matches!(asked, Err(AgentError::Rejected { .. })), "behind the gate it is no outcome at all");
    }
    let here = Checker::new(&VantageConfig { address: Some("127.0.0.1".parse().unwrap()), interface: None });
    assert_eq!(here.run(&tcp(open)).await, CheckOutcome::Healthy);
    let bad = Check::Http(HttpCheck { url: "https://127.0.0.1/".into(), status: 200, contains: None, deadline: DEADLINE });
    assert!(wrong(outcome(bad).await).contains("not a URL"));
}

#[tokio::test]
async fn it_conforms() {
    conformance::check(&checker()).await.unwrap();
}

#[test]
fn urls_are_read() {
    let read = |url: &str| place(url).map(|Place { host, port, authority, path }| (host, port, authority, path));
    let of = |host: &str, port, authority: &str, path: &str| Some((host.to_owned(), port, authority.to_owned(), path.to_owned()));
    assert_eq!(read("http://10.20.0.11/"), of("10.20.0.11", 80, "10.20.0.11", "/"));
    assert_eq!(read("http://10.20.0.11:8080/a?b=c#d"), of("10.20.0.11", 8080, "10.20.0.11:8080", "/a?b=c"));
    assert_eq!(read("http://[fd00::1]:81"), of("fd00::1", 81, "[fd00::1]:81", "/"));
    assert_eq!(read("http://web1?x"), of("web1", 80, "web1", "/?x"));
    for bad in [
        "",
        "http://",
        "ftp://x/",
        "http://a@b/",
        "http://x:99999/",
        "http://x:+1/",
        "http://x y/",
        "http://x/\r\nHost: z",
        "http://[::1",
    ] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn readers_are_total(bytes in prop::collection::vec(any::<u8>(), 0..200), url in "(http://)?[a-z\\[\\]:/@?#0-9. ]{0,40}") {
        let _ = (place(&url), status(&bytes));
        if let Some(end) = end_of_head(&bytes) {
            prop_assert!(end <= bytes.len());
        }
    }
}
