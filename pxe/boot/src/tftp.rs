//! TFTP for firmware that cannot do better: read requests for the iPXE binaries named in the configuration, from addresses of machines
//! with a live permit. Nothing is ever written, no other file is ever read, and whoever has no permit gets no packet.

use crate::desk::Desk;
use crate::error::BootError;
use crate::limits::{
    ACCEPT_PAUSE, FILE_CHUNK_BYTES, IPXE_BYTES_MAX, TFTP_BLOCK_BYTES, TFTP_BLOCK_BYTES_MAX, TFTP_REQUEST_BYTES, TFTP_RETRIES,
    TFTP_RETRY, TFTP_TRANSFER, TFTP_TRANSFERS_MAX, TFTP_WINDOW_MAX,
};
use crate::{config, sockets};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;

const READ: u16 = 1;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OPTIONS_ACK: u16 = 6;
const NOT_FOUND: u16 = 1;

/// A read request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The file's name without leading slashes.
    pub file: String,
    /// Block size, where asked for and usable.
    pub block: Option<usize>,
    /// True if the client wants to know the file's size.
    pub wants_size: bool,
    /// Window size, where asked for and usable.
    pub window: Option<u16>,
}

impl Request {
    /// Reads a request in octet mode; `None` for everything else, writing included.
    pub fn parse(packet: &[u8]) -> Option<Request> {
        let (opcode, rest) = packet.split_first_chunk::<2>()?;
        if u16::from_be_bytes(*opcode) != READ || rest.last() != Some(&0) {
            return None;
        }
        let mut words = rest.split(|byte| *byte == 0).map(|word| std::str::from_utf8(word).ok());
        let file = words.next()??.trim_start_matches('/').to_owned();
        if !words.next()??.eq_ignore_ascii_case("octet") {
            return None;
        }
        let mut request = Request { file, block: None, wants_size: false, window: None };
        while let (Some(Some(name)), Some(Some(value))) = (words.next(), words.next()) {
            match name.to_ascii_lowercase().as_str() {
                "blksize" => {
                    let asked = value.parse::<usize>().ok().filter(|size| *size >= TFTP_BLOCK_BYTES);
                    request.block = asked.map(|size| size.min(TFTP_BLOCK_BYTES_MAX));
                }
                "tsize" => request.wants_size = true,
                "windowsize" => {
                    let asked = value.parse::<u16>().ok().filter(|size| *size >= 1);
                    request.window = asked.map(|size| size.min(TFTP_WINDOW_MAX));
                }
                _ => {}
            }
        }
        Some(request)
    }
}

/// One transfer, without a socket: packets in, packets out.
pub struct Transfer {
    data: Arc<[u8]>,
    block: usize,
    window: u64,
    /// The acknowledgement of the options, until it is acknowledged itself.
    options: Option<Vec<u8>>,
    /// Blocks acknowledged.
    acked: u64,
}

/// What a transfer wants next.
#[derive(PartialEq, Eq, Debug)]
pub enum Next {
    /// Send these and wait.
    Send(Vec<Vec<u8>>),
    /// Wait on: nothing new.
    Wait,
    /// It is over.
    End,
}

impl Transfer {
    /// Begins a transfer of this data.
    pub fn new(request: &Request, data: Arc<[u8]>) -> Transfer {
        let mut options = OPTIONS_ACK.to_be_bytes().to_vec();
        let mut option = |name: &str, value: usize| {
            options.extend(name.as_bytes());
            options.push(0);
            options.extend(value.to_string().as_bytes());
            options.push(0);
        };
        if let Some(block) = request.block {
            option("blksize", block);
        }
        if request.wants_size {
            option("tsize", data.len());
        }
        if let Some(window) = request.window {
            option("windowsize", usize::from(window));
        }
        let (block, window) = (request.block.unwrap_or(TFTP_BLOCK_BYTES), u64::from(request.window.unwrap_or(1)));
        Transfer { data, block, window, options: Some(options).filter(|options| options.len() > 2), acked: 0 }
    }

    /// The packets in flight now: at the start, and again after a silence.
    pub fn in_flight(&self) -> Vec<Vec<u8>> {
        match &self.options {
            Some(options) => vec![options.clone()],
            None => (self.acked + 1..=self.last().min(self.acked + self.window)).map(|block| self.block(block)).collect(),
        }
    }

    /// Takes a packet of the client.
    pub fn take(&mut self, packet: &[u8]) -> Next {
        let (Some(opcode), Some(number)) = (number_at(packet, 0), number_at(packet, 2)) else { return Next::Wait };
        match opcode {
            // firmware asks for the size, then stops with an error and asks again for the file
            ERROR => return Next::End,
            ACK => {}
            _ => return Next::Wait,
        }
        if self.options.is_some() {
            if number != 0 {
                return Next::Wait;
            }
            self.options = None;
            return Next::Send(self.in_flight());
        }
        // block numbers have 16 bits and wrap; only those in flight are meant
        let ahead = u64::from(number.wrapping_sub(self.acked as u16));
        if ahead == 0 || ahead > self.window || self.acked + ahead > self.last() {
            return Next::Wait;
        }
        self.acked += ahead;
        if self.acked == self.last() { Next::End } else { Next::Send(self.in_flight()) }
    }

    /// The number of blocks: the last one is shorter than the others, if need be empty.
    fn last(&self) -> u64 {
        (self.data.len() / self.block) as u64 + 1
    }

    fn block(&self, number: u64) -> Vec<u8> {
        let start = usize::try_from(number - 1).unwrap_or(usize::MAX).saturating_mul(self.block).min(self.data.len());
        let end = start.saturating_add(self.block).min(self.data.len());
        let mut packet = DATA.to_be_bytes().to_vec();
        packet.extend((number as u16).to_be_bytes());
        packet.extend(self.data.get(start..end).unwrap_or_default());
        packet
    }
}

fn number_at(packet: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*packet.get(at..)?.first_chunk::<2>()?))
}

/// The files that are served, by name.
#[derive(Clone, Debug)]
pub struct Binaries(BTreeMap<String, PathBuf>);

impl Binaries {
    /// Those of a configuration.
    pub fn of(config: &config::Config) -> Binaries {
        let ipxe = &config.ipxe;
        let files = [&ipxe.bios, &ipxe.uefi].into_iter().chain(&ipxe.uefi_san);
        Binaries(files.map(|path| (config::file_name(path).to_owned(), path.clone())).collect())
    }
}

/// A request that is answered, and the file that it means.
pub struct Admitted {
    request: Request,
    path: Option<PathBuf>,
}

/// Whether a first packet from this address is answered at all; `None` is silence.
pub fn admitted(desk: &Desk, binaries: &Binaries, from: IpAddr, packet: &[u8]) -> Option<Admitted> {
    let request = Request::parse(packet)?;
    let Some(permit) = desk.bearer_at(from) else {
        tracing::debug!(%from, "TFTP from a stranger: silence");
        return None;
    };
    let path = binaries.0.get(&request.file).cloned();
    tracing::debug!(machine = %permit.machine, file = %request.file, known = path.is_some(), "TFTP");
    Some(Admitted { request, path })
}

/// How an admitted request is answered.
pub enum Opening {
    /// By this packet alone: there is no such file.
    Refused(Vec<u8>),
    /// By a transfer.
    Transfer(Transfer),
}

/// Begins to answer.
pub async fn begin(desk: &Desk, admitted: &Admitted) -> io::Result<Opening> {
    let Some(path) = &admitted.path else {
        let mut packet = [ERROR.to_be_bytes(), NOT_FOUND.to_be_bytes()].concat();
        packet.push(0);
        return Ok(Opening::Refused(packet));
    };
    let mut file = desk.shelf().open(path).await?;
    if file.length() > IPXE_BYTES_MAX {
        return Err(io::Error::other("the file grew beyond any iPXE"));
    }
    let mut data = Vec::new();
    loop {
        let piece = file.read(FILE_CHUNK_BYTES).await?;
        if piece.is_empty() {
            return Ok(Opening::Transfer(Transfer::new(&admitted.request, data.into())));
        }
        data.extend(piece);
        if data.len() as u64 > IPXE_BYTES_MAX {
            return Err(io::Error::other("the file grew while it was read"));
        }
    }
}

/// The TFTP service.
pub struct Tftp {
    desk: Arc<Desk>,
    binaries: Binaries,
    socket: UdpSocket,
}

impl Tftp {
    /// Opens the socket.
    pub fn open(desk: Arc<Desk>) -> Result<Tftp, BootError> {
        let config = desk.config();
        let socket = sockets::datagrams("TFTP", &config.interface, config.ip(), config.ports.tftp)?;
        let binaries = Binaries::of(config);
        Ok(Tftp { desk, binaries, socket })
    }

    /// Where it listens; tests let the kernel choose.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves for ever.
    pub async fn serve(self) -> Result<(), BootError> {
        let transfers = Arc::new(Semaphore::new(TFTP_TRANSFERS_MAX));
        let mut buffer = [0u8; TFTP_REQUEST_BYTES];
        loop {
            let Ok((length, from)) = self.socket.recv_from(&mut buffer).await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let packet = buffer.get(..length).unwrap_or_default();
            let Some(admitted) = admitted(&self.desk, &self.binaries, from.ip(), packet) else { continue };
            let Ok(place) = transfers.clone().try_acquire_owned() else { continue };
            let config = self.desk.config();
            let socket = match sockets::datagrams("TFTP transfer", &config.interface, config.ip(), 0) {
                Ok(socket) => socket,
                Err(fault) => {
                    tracing::warn!(%fault, "no socket for a transfer");
                    continue;
                }
            };
            let desk = self.desk.clone();
            tokio::spawn(async move {
                if let Err(error) = transfer(&desk, &socket, from, &admitted).await {
                    tracing::info!(%error, %from, "TFTP transfer given up");
                }
                drop(place);
            });
        }
    }
}

async fn transfer(desk: &Desk, socket: &UdpSocket, to: SocketAddr, admitted: &Admitted) -> io::Result<()> {
    // connected: packets from anybody else are not seen
    socket.connect(to).await?;
    match begin(desk, admitted).await? {
        Opening::Refused(packet) => socket.send(&packet).await.map(|_| ()),
        Opening::Transfer(transfer) => tokio::time::timeout(TFTP_TRANSFER, run(socket, transfer)).await?,
    }
}

async fn run(socket: &UdpSocket, mut transfer: Transfer) -> io::Result<()> {
    let mut buffer = [0u8; TFTP_REQUEST_BYTES];
    let mut silences = 0;
    send_all(socket, &transfer.in_flight()).await?;
    let mut deadline = tokio::time::Instant::now() + TFTP_RETRY;
    loop {
        // a deadline, not a time-out: packets that mean nothing must not put the next try off
        match tokio::time::timeout_at(deadline, socket.recv(&mut buffer)).await {
            Ok(received) => match transfer.take(buffer.get(..received?).unwrap_or_default()) {
                Next::End => return Ok(()),
                Next::Wait => continue,
                Next::Send(packets) => {
                    silences = 0;
                    send_all(socket, &packets).await?;
                }
            },
            Err(_) if silences >= TFTP_RETRIES => return Err(io::Error::other("the client fell silent")),
            Err(_) => {
                silences += 1;
                send_all(socket, &transfer.in_flight()).await?;
            }
        }
        deadline = tokio::time::Instant::now() + TFTP_RETRY;
    }
}

async fn send_all(socket: &UdpSocket, packets: &[Vec<u8>]) -> io::Result<()> {
    for packet in packets {
        socket.send(packet).await?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "tftp_tests.rs"]
mod tests;
