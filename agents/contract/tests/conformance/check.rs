//! A vantage point that speaks just enough TCP and HTTP, sound or with one fault.

use async_trait::async_trait;
use contract::check::Vantage;
use contract::conformance;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vocabulary::check::{Check, CheckOutcome, HttpCheck};

#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    None,
    OpenPortIsEnough,
    AnyStatus,
    AnyText,
    NoDeadline,
    AlwaysSilent,
    BlamesTheService,
}

struct Eye(Fault);

impl Eye {
    async fn http(&self, http: &HttpCheck) -> Result<CheckOutcome, String> {
        let address = http.url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).ok_or("not a URL")?;
        let mut stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
        if self.0 == Fault::OpenPortIsEnough {
            return Ok(CheckOutcome::Healthy);
        }
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.map_err(|e| e.to_string())?;
        let mut answer = Vec::new();
        stream.take(4096).read_to_end(&mut answer).await.map_err(|e| e.to_string())?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let text = http.contains.as_ref().is_none_or(|text| answer.contains(text) || self.0 == Fault::AnyText);
        let good = status == Some("200") || (status.is_some() && self.0 == Fault::AnyStatus);
        Ok(if good && text { CheckOutcome::Healthy } else { CheckOutcome::Wrong(answer) })
    }
}

#[async_trait]
impl Vantage for Eye {
    async fn run(&self, check: &Check) -> CheckOutcome {
        if self.0 == Fault::AlwaysSilent {
            return CheckOutcome::Silent("blind".into());
        }
        let (deadline, outcome) = match check {
            Check::Tcp(tcp) => {
                let connected = tokio::time::timeout(Duration::from_secs(1), TcpStream::connect(tcp.address)).await;
                let open = connected.is_ok_and(|c| c.is_ok());
                return if open { CheckOutcome::Healthy } else { CheckOutcome::Silent("closed".into()) };
            }
            Check::Http(http) if !http.url.starts_with("http://") && self.0 != Fault::BlamesTheService => {
                return CheckOutcome::Unknown("not a URL".into());
            }
            Check::Http(http) => (http.deadline.as_duration(), self.http(http)),
            Check::Tls(_) | Check::Exec(_) => return CheckOutcome::Unknown("it cannot".into()),
        };
        let deadline = if self.0 == Fault::NoDeadline { Duration::from_secs(3600) } else { deadline };
        match tokio::time::timeout(deadline, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(reason)) => CheckOutcome::Silent(reason),
            Err(_) => CheckOutcome::Silent("nothing in time".into()),
        }
    }
}

#[tokio::test]
async fn every_fault_of_a_vantage_point_is_found() {
    conformance::check(&Eye(Fault::None)).await.unwrap();
    for (fault, law) in [
        (Fault::OpenPortIsEnough, "another text"),
        (Fault::AnyStatus, "another status"),
        (Fault::AnyText, "another text"),
        (Fault::NoDeadline, "within its deadline"),
        (Fault::AlwaysSilent, "open port is Healthy"),
        (Fault::BlamesTheService, "accuses nobody"),
    ] {
        let verdict = conformance::check(&Eye(fault)).await;
        assert!(verdict.as_ref().is_err_and(|seen| seen.contains(law)), "{fault:?}: {verdict:?}");
    }
}
