//! Checks against real sockets on loopback that behave as broken services do.

use super::*;
use crate::http::{Place, end_of_head, place, status};
use contract::conformance;
use proptest::prelude::*;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use vocabulary::check::{ExecCheck, HttpCheck, TcpCheck, TlsCheck};

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

fn unknown(outcome: CheckOutcome) -> String {
    match outcome {
        CheckOutcome::Unknown(reason) => reason,
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
    let nowhere = VantageConfig { address: Some("203.0.113.9".parse().unwrap()), ..VantageConfig::default() };
    let missing = VantageConfig { interface: Some("nosuch0".into()), ..VantageConfig::default() };
    for config in [nowhere, missing] {
        let checker = Checker::open(&config, &[]).await;
        assert!(unknown(checker.run(&tcp(open)).await).contains("this vantage point"));
        let asked = checker.perform(&Action::RunCheck { check: tcp(open) }).await;
        assert!(matches!(asked, Err(AgentError::Rejected { .. })), "behind the gate it is no outcome at all");
    }
    let here = VantageConfig { address: Some("127.0.0.1".parse().unwrap()), ..VantageConfig::default() };
    assert_eq!(Checker::open(&here, &[]).await.run(&tcp(open)).await, CheckOutcome::Healthy);
    let bad = Check::Http(HttpCheck { url: "ftp://127.0.0.1/".into(), status: 200, contains: None, deadline: DEADLINE });
    assert!(unknown(outcome(bad).await).contains("not a URL"));
    let plugin = Check::Exec(ExecCheck { plugin: "true".into(), arguments: vec![], every: DEADLINE, deadline: DEADLINE });
    assert!(unknown(outcome(plugin).await).contains("runs no plugins"));
}

/// A service over TLS that reads the request, sends this and closes; its certificate holds these names and these dates.
async fn tls_service(answer: &'static [u8], names: &[&str], years: std::ops::Range<i32>) -> SocketAddr {
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut parameters = rcgen::CertificateParams::new(names).unwrap();
    parameters.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    let certificate = parameters.self_signed(&key).unwrap();
    let private = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], private).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    address
}

fn tls(address: SocketAddr, name: Option<&str>) -> Check {
    Check::Tls(TlsCheck { address, name: name.map(str::to_owned), deadline: DEADLINE })
}

#[tokio::test]
async fn a_handshake_is_healthy_while_its_certificate_holds() {
    let fine = tls_service(b"", &["web1.example"], 2020..2100).await;
    assert_eq!(outcome(tls(fine, None)).await, CheckOutcome::Healthy);
    assert_eq!(outcome(tls(fine, Some("web1.example"))).await, CheckOutcome::Healthy);
    assert!(wrong(outcome(tls(fine, Some("web2.example"))).await).contains("is not for web2.example"));
    let old = tls_service(b"", &["web1.example"], 2020..2021).await;
    assert!(wrong(outcome(tls(old, None)).await).contains("has expired on"));
    let young = tls_service(b"", &["web1.example"], 2090..2100).await;
    assert!(wrong(outcome(tls(young, None)).await).contains("is valid from"));
    let clear = service(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), None, true).await;
    assert!(wrong(outcome(tls(clear, None)).await).contains("no TLS"), "its kernel answered: the host is alive");
    let mute = service(Vec::new(), None, false).await;
    assert!(wrong(outcome(tls(mute, None)).await).contains("handshake"));
    let (listener, _fill) = silent();
    assert!(matches!(outcome(tls(listener.local_addr().unwrap(), None)).await, CheckOutcome::Silent(_)));
    assert!(unknown(outcome(tls(fine, Some("no name"))).await).contains("no name that a certificate holds"));
}

#[tokio::test]
async fn http_is_asked_over_tls_whoever_has_signed() {
    let of = |address: SocketAddr, contains: Option<&str>| {
        let url = format!("https://{address}/x");
        Check::Http(HttpCheck { url, status: 200, contains: contains.map(str::to_owned), deadline: DEADLINE })
    };
    let fine = tls_service(b"HTTP/1.1 200 OK\r\n\r\nhello web1", &["web1.example"], 2020..2021).await;
    assert_eq!(outcome(of(fine, Some("web1"))).await, CheckOutcome::Healthy, "an old certificate is for a `tls` check to tell");
    assert!(wrong(outcome(of(fine, Some("web2"))).await).contains("does not contain"));
    let clear = service(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), None, true).await;
    assert!(wrong(outcome(of(clear, None)).await).contains("no TLS"));
}

#[tokio::test]
async fn it_conforms() {
    conformance::check(&checker()).await.unwrap();
}

#[test]
fn urls_are_read() {
    let read = |url: &str| place(url).map(|Place { tls, host, port, authority, path }| (tls, host, port, authority, path));
    let of = |host: &str, port, authority: &str, path: &str| {
        Some((false, host.to_owned(), port, authority.to_owned(), path.to_owned()))
    };
    assert_eq!(read("http://10.20.0.11/"), of("10.20.0.11", 80, "10.20.0.11", "/"));
    assert_eq!(read("http://10.20.0.11:8080/a?b=c#d"), of("10.20.0.11", 8080, "10.20.0.11:8080", "/a?b=c"));
    assert_eq!(read("http://[fd00::1]:81"), of("fd00::1", 81, "[fd00::1]:81", "/"));
    assert_eq!(read("http://web1?x"), of("web1", 80, "web1", "/?x"));
    assert_eq!(read("https://10.20.0.11"), Some((true, "10.20.0.11".to_owned(), 443, "10.20.0.11".to_owned(), "/".to_owned())));
    for bad in [
        "",
        "https://",
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
    fn readers_are_total(bytes in prop::collection::vec(any::<u8>(), 0..200), url in "(https?://)?[a-z\\[\\]:/@?#0-9. ]{0,40}") {
        let _ = (place(&url), status(&bytes));
        if let Some(end) = end_of_head(&bytes) {
            prop_assert!(end <= bytes.len());
        }
    }
}

#[tokio::test]
async fn silence_of_a_host_that_writes_its_memory_away_is_told_apart() {
    let at = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let checker = Checker::open(&VantageConfig { kdump: Some(at), ..VantageConfig::default() }, &[]).await;
    // a queue of one that is full: further connections get no answer
    let silent = tokio::net::TcpSocket::new_v4().unwrap();
    silent.bind("127.0.0.9:0".parse().unwrap()).unwrap();
    let listener = silent.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address)).await {
        held.push(stream);
    }
    assert!(matches!(checker.run(&tcp(address)).await, CheckOutcome::Silent(_)));
    let message = [0x1B30_2A40_u32.to_le_bytes(), 1_u32.to_le_bytes()].concat();
    let sender = tokio::net::UdpSocket::bind("127.0.0.9:0").await.unwrap();
    let told = async {
        loop {
            sender.send_to(&message, at).await.unwrap();
            if matches!(checker.run(&tcp(address)).await, CheckOutcome::Dumping(_)) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), told).await.unwrap();
    assert!(matches!(checker.run(&http(address, None)).await, CheckOutcome::Dumping(_)));
    // it lives: what answers is no kernel that writes
    let answers = service(b"HTTP/1.0 200 OK\r\n\r\n".to_vec(), None, true).await;
    assert!(matches!(checker.run(&http(answers, None)).await, CheckOutcome::Healthy));
}
