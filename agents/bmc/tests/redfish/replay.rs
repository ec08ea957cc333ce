//! A TLS server that answers from a script: for trees of other platforms and for behaviour on the wire that no healthy HTTP server has.
//! Must never be clever: one request, one scripted answer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

/// A header that makes its answer so much later.
pub const LATE_MS: &str = "X-Late-Ms";

/// What is answered; `None` closes the connection instead.
pub type Told = Option<(u16, Vec<(String, String)>, String)>;
type Script = Arc<dyn Fn(&Asked, usize) -> Told + Send + Sync>;

/// A running server.
pub struct Replay {
    pub address: SocketAddr,
    pub pin: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Replay {
    /// The script is called with each request and its number on its connection, from 0.
    pub async fn start(script: impl Fn(&Asked, usize) -> Told + Send + Sync + 'static) -> Replay {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["bmc".into()]).unwrap().self_signed(&key).unwrap();
        let pin = crate::common::fingerprint(&certificate.pem());
        let private = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, script): (_, Script) = (Arc::clone(&asked), Arc::new(script));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, log, script) = (acceptor.clone(), Arc::clone(&log), Arc::clone(&script));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        // A client that goes away ends its connection, not the server.
                        let _ = talk(stream, log, script).await;
                    }
                });
            }
        });
        Replay { address, pin, asked, task }
    }

    /// Requests of a method, in order of arrival.
    pub fn asked(&self, method: &str) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().filter(|asked| asked.method == method).cloned().collect()
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn talk(
    stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    log: Arc<Mutex<Vec<Asked>>>,
    script: Script,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    for number in 0.. {
        let mut first = String::new();
        if stream.read_line(&mut first).await? == 0 {
            return Ok(());
        }
        let mut words = first.split_whitespace().map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
                None => break,
            }
        }
        let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).await?;
        let asked = Asked { method, path, headers, body: serde_json::from_slice(&body).unwrap_or_default() };
        log.lock().unwrap().push(asked.clone());
        let Some((status, headers, body)) = script(&asked, number) else {
            return Ok(());
        };
        if let Some((_, late)) = headers.iter().find(|(name, _)| name == LATE_MS) {
            tokio::time::sleep(std::time::Duration::from_millis(late.parse().unwrap())).await;
        }
        let headers: String = headers.into_iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let answer = format!("HTTP/1.1 {status} Scripted\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
        stream.get_mut().write_all(answer.as_bytes()).await?;
        stream.get_mut().flush().await?;
    }
    Ok(())
}

/// An answer with a JSON body and no headers.
pub fn json(status: u16, body: &Value) -> Told {
    Some((status, Vec::new(), body.to_string()))
}

/// The answer to a login.
pub fn session() -> Told {
    let headers = vec![
        ("X-Auth-Token".into(), "scripted".into()),
        ("Location".into(), "https://bmc.example/redfish/v1/SessionService/Sessions/1".into()),
    ];
    Some((201, headers, "{}".into()))
}
