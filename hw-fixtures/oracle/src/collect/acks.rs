//! The sink of acknowledgements: what a server says was durable.

use std::io;
use std::net::UdpSocket;

use super::Shared;
use crate::frames::record;
use crate::limits::{ACK_BYTES_MAX, READ_TURN};
use crate::sys::now_ns;

/// Receives acknowledgements for ever.
pub fn receive(shared: &Shared) -> io::Result<()> {
    let socket = UdpSocket::bind(shared.config.sources.acks)?;
    socket.set_read_timeout(Some(READ_TURN))?;
    let mut buffer = [0; ACK_BYTES_MAX];
    loop {
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        };
        let at_ns = now_ns();
        if let Some(record) = buffer.get(..length).and_then(record) {
            shared.lock().acknowledged(&record, at_ns);
        }
    }
}
