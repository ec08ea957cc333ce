//! The caller's side of the lab's door (see `control`): for the command line, for scenarios, for the oracle.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use crate::children::End;
use crate::control::{Act, Request};
use crate::exec::Exec;
use crate::facts::Fact;
use crate::reply::Reply;
use crate::services::{Service, Standing};

/// The door's name in a run folder.
pub const SOCKET: &str = "lab.sock";

/// Why a lab did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no lab in this folder, or it is just ending.
    #[error("no lab answers at {path}: {source}; `understudy-lab up` starts one")]
    Unreachable {
        /// The socket.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The lab went away in between.
    #[error("the lab ended during the call: {0}")]
    Gone(io::Error),
    /// The lab answered in an unknown form.
    #[error("the lab's answer is not understood: {0}")]
    Strange(String),
    /// The lab said no.
    #[error("{0}")]
    Refused(String),
}

/// What a command inside came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its end.
    pub end: End,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A connection to a lab.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the lab of a run folder.
    pub fn connect(run: &Path) -> Result<Self, ClientError> {
        let path = run.join(SOCKET);
        let stream =
            UnixStream::connect(&path).map_err(|source| ClientError::Unreachable { path: path.display().to_string(), source })?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        let mut line = serde_json::to_vec(request).map_err(|error| ClientError::Strange(error.to_string()))?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).map_err(ClientError::Gone)
    }

    fn receive(&mut self) -> Result<Reply, ClientError> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).map_err(ClientError::Gone)? == 0 {
            return Err(ClientError::Gone(io::ErrorKind::UnexpectedEof.into()));
        }
        serde_json::from_str(&line).map_err(|error| ClientError::Strange(error.to_string()))
    }

    /// Asks for something that has one answer.
    pub fn ask(&mut self, request: &Request) -> Result<Value, ClientError> {
        self.send(request)?;
        match self.receive()? {
            Reply::Ok(value) => Ok(value),
            Reply::Error(why) => Err(ClientError::Refused(why)),
            other => Err(ClientError::Strange(format!("{other:?}"))),
        }
    }

    /// Runs a command inside; `each` sees its output as it comes (true: standard error).
    pub fn exec_with(&mut self, exec: Exec, mut each: impl FnMut(bool, &str)) -> Result<End, ClientError> {
        self.send(&Request::Exec(exec))?;
        loop {
            match self.receive()? {
                Reply::Out(text) => each(false, &text),
                Reply::Err(text) => each(true, &text),
                Reply::Ok(value) => {
                    return serde_json::from_value(value).map_err(|error| ClientError::Strange(error.to_string()));
                }
                Reply::Error(why) => return Err(ClientError::Refused(why)),
                Reply::Fact(_) => {}
            }
        }
    }

    /// Runs a command inside and collects its output.
    pub fn exec(&mut self, argv: &[&str]) -> Result<Output, ClientError> {
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let exec = Exec { argv: argv.iter().map(|word| (*word).to_owned()).collect(), ..Exec::default() };
        let end = self.exec_with(exec, |error, text| if error { stderr.push_str(text) } else { stdout.push_str(text) })?;
        Ok(Output { end, stdout, stderr })
    }

    /// Adds a service and starts it; answers when it is ready.
    pub fn add(&mut self, service: Service) -> Result<Standing, ClientError> {
        self.standing(&Request::Add { service })
    }

    /// Starts a service of the table.
    pub fn start(&mut self, name: &str) -> Result<Standing, ClientError> {
        self.standing(&Request::Start { name: name.to_owned() })
    }

    /// Ends a service in order.
    pub fn stop(&mut self, name: &str) -> Result<Standing, ClientError> {
        self.standing(&Request::Stop { name: name.to_owned() })
    }

    /// Kills a service.
    pub fn kill(&mut self, name: &str) -> Result<Standing, ClientError> {
        self.standing(&Request::Kill { name: name.to_owned() })
    }

    fn standing(&mut self, request: &Request) -> Result<Standing, ClientError> {
        serde_json::from_value(self.ask(request)?).map_err(|error| ClientError::Strange(error.to_string()))
    }

    /// Does something to a machine's QEMU; answers its process inside the lab.
    pub fn machine(&mut self, name: &str, act: Act) -> Result<Option<i32>, ClientError> {
        let value = self.ask(&Request::Machine { name: name.to_owned(), act })?;
        serde_json::from_value(value).map_err(|error| ClientError::Strange(error.to_string()))
    }

    /// Gives the switch an order of the foreign hand.
    pub fn hand(&mut self, line: &str) -> Result<(), ClientError> {
        self.ask(&Request::Hand { line: line.to_owned() }).map(drop)
    }

    /// Lays a file onto the switch's small disk (see [`Request::Put`]).
    pub fn put(&mut self, name: &str, content: String) -> Result<(), ClientError> {
        self.ask(&Request::Put { name: name.to_owned(), content }).map(drop)
    }

    /// The newest fact of the switch.
    pub fn facts(&mut self) -> Result<Option<Fact>, ClientError> {
        let value = self.ask(&Request::Facts { follow: false })?;
        serde_json::from_value(value).map_err(|error| ClientError::Strange(error.to_string()))
    }

    /// Every fact of the switch from now on; the connection serves nothing else then.
    pub fn follow_facts(mut self) -> Result<impl Iterator<Item = Result<Fact, ClientError>>, ClientError> {
        self.send(&Request::Facts { follow: true })?;
        Ok(std::iter::from_fn(move || match self.receive() {
            Ok(Reply::Fact(fact)) => Some(Ok(fact)),
            Ok(Reply::Error(why)) => Some(Err(ClientError::Refused(why))),
            Ok(other) => Some(Err(ClientError::Strange(format!("{other:?}")))),
            Err(error) => Some(Err(error)),
        }))
    }
}
