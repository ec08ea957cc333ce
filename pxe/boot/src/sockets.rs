//! Sockets that belong to the provisioning interface and to no other: what comes in elsewhere is not seen, whatever address it bears.

use crate::error::BootError;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

fn bound(socket: &Socket, interface: &str, address: SocketAddrV4) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.bind(&SocketAddr::V4(address).into())
}

/// A datagram socket. With the unspecified address it also gets broadcasts.
pub fn datagrams(what: &'static str, interface: &str, ip: Ipv4Addr, port: u16) -> Result<tokio::net::UdpSocket, BootError> {
    let open = || {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        if ip.is_unspecified() {
            socket.set_broadcast(true)?;
        }
        bound(&socket, interface, SocketAddrV4::new(ip, port))?;
        tokio::net::UdpSocket::from_std(socket.into())
    };
    open().map_err(|source| BootError::Socket { what, interface: interface.to_owned(), source })
}

/// A listener for connections.
pub fn connections(what: &'static str, interface: &str, ip: Ipv4Addr, port: u16) -> Result<tokio::net::TcpListener, BootError> {
    let open = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        // a restart must not wait for connections of the process before
        socket.set_reuse_address(true)?;
        bound(&socket, interface, SocketAddrV4::new(ip, port))?;
        socket.listen(BACKLOG)?;
        tokio::net::TcpListener::from_std(socket.into())
    };
    open().map_err(|source| BootError::Socket { what, interface: interface.to_owned(), source })
}

/// A raw ICMPv6 socket in a multicast group. The standard library's datagram type serves it: it sends to and receives from addresses with a scope.
pub fn icmp6(interface: &str, index: u32, group: &Ipv6Addr) -> Result<tokio::net::UdpSocket, BootError> {
    let open = || {
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
        socket.set_nonblocking(true)?;
        socket.bind_device(Some(interface.as_bytes()))?;
        // RFC 4861: neighbour discovery is believed only with hop limit 255, which no router passes on
        socket.set_multicast_hops_v6(255)?;
        socket.set_unicast_hops_v6(255)?;
        socket.set_multicast_if_v6(index)?;
        socket.set_multicast_loop_v6(false)?;
        socket.join_multicast_v6(group, index)?;
        tokio::net::UdpSocket::from_std(socket.into())
    };
    open().map_err(|source| BootError::Socket { what: "router advertisements", interface: interface.to_owned(), source })
}
