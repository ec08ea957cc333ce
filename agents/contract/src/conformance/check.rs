//! The laws of `Vantage`: total, within the deadline, and outcomes that are never mixed up. The suite brings its own services on
//! loopback; nothing else is touched.

use super::{Verdict, ensure};
use crate::check::Vantage;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use vocabulary::Span;
use vocabulary::check::{Check, CheckOutcome, HttpCheck, TcpCheck};

const DEADLINE: Span = Span::ms(400);
const MARGIN: Duration = Duration::from_millis(1_000);

/// A service that lives as long as the suite.
struct Service {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers every connection with these bytes; `None`: accepts and says nothing.
async fn service(answer: Option<&'static str>) -> Result<Service, String> {
    let fail = |error: std::io::Error| format!("the suite cannot listen on loopback: {error}");
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    let task = tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let Some(answer) = answer else {
                silent.push(stream);
                continue;
            };
            tokio::spawn(async move {
                let mut request = [0u8; 2048];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    Ok(Service { address, task })
}

async fn run(vantage: &dyn Vantage, check: Check) -> Result<CheckOutcome, String> {
    let started = tokio::time::Instant::now();
    let most = DEADLINE.as_duration() + MARGIN;
    let outcome = tokio::time::timeout(most, vantage.run(&check)).await;
    outcome.map_err(|_| format!("a check ends within its deadline; seen: none after {:?}: {check:?}", started.elapsed()))
}

fn tcp(address: SocketAddr) -> Check {
    Check::Tcp(TcpCheck { address, deadline: DEADLINE })
}

fn http(address: SocketAddr, contains: Option<&str>) -> Check {
    let url = format!("http://{address}/health");
    Check::Http(HttpCheck { url, status: 200, contains: contains.map(str::to_owned), deadline: DEADLINE })
}

/// Runs the suite.
pub async fn check(vantage: &dyn Vantage) -> Verdict {
    let good = service(Some("HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nweb1 is up")).await?;
    let ill = service(Some("HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")).await?;
    let noise = service(Some("\0\u{1}not http at all\r\n\r\n")).await?;
    let mute = service(None).await?;
    let gone = {
        let closing = service(None).await?;
        closing.task.abort();
        let address = closing.address;
        drop(closing);
        tokio::time::sleep(Duration::from_millis(50)).await;
        address
    };
    use CheckOutcome::{Healthy, Silent, Unknown, Wrong};
    let seen = run(vantage, tcp(good.address)).await?;
    ensure(seen == Healthy, "an open port is Healthy", seen)?;
    let seen = run(vantage, tcp(gone)).await?;
    ensure(matches!(seen, Silent(_) | Wrong(_)), "a closed port is not Healthy", seen)?;
    let seen = run(vantage, http(good.address, None)).await?;
    ensure(seen == Healthy, "the expected status is Healthy", seen)?;
    let seen = run(vantage, http(good.address, Some("web1"))).await?;
    ensure(seen == Healthy, "the expected text is Healthy", seen)?;
    let seen = run(vantage, http(good.address, Some("web2"))).await?;
    ensure(matches!(seen, Wrong(_)), "another text is Wrong: the host is alive", seen)?;
    let seen = run(vantage, http(ill.address, None)).await?;
    ensure(matches!(seen, Wrong(_)), "another status is Wrong: the host is alive", seen)?;
    let seen = run(vantage, http(noise.address, None)).await?;
    ensure(matches!(seen, Wrong(_)), "an answer that is not HTTP is Wrong: the host is alive", seen)?;
    let seen = run(vantage, http(mute.address, None)).await?;
    ensure(seen != Healthy, "an HTTP service that says nothing is not Healthy", seen)?;
    let seen = run(vantage, http(gone, None)).await?;
    ensure(seen != Healthy, "a closed port is not Healthy", seen)?;
    let nonsense = HttpCheck { url: "nonsense".to_owned(), status: 200, contains: None, deadline: DEADLINE };
    let seen = run(vantage, Check::Http(nonsense)).await?;
    ensure(matches!(seen, Unknown(_)), "a URL that is none accuses nobody: it is Unknown", seen)
}
