//! All of a machine's contact with what is outside of it: frames on the cables of its NICs, and the two conversations that it holds over
//! them, HTTP and iSCSI. Whoever implements this is the network: it decides what arrives, and when. What a machine has sent is on its way
//! whether or not the machine still lives: no call may be undone because its future was dropped or is polled no more.

use async_trait::async_trait;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A NIC's hardware address, which names the NIC.
pub type Mac = [u8; 6];

/// Where a conversation comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Source {
    /// The NIC whose cable it takes.
    pub nic: Mac,
    /// The address that the machine uses there.
    pub address: Ipv4Addr,
}

/// What a server answered by HTTP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// As whom an initiator logs in, and to what.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Its name.
    pub initiator: String,
    /// The target's name.
    pub target: String,
    /// The logical unit.
    pub lun: u64,
    /// CHAP user and secret, where it has them.
    pub account: Option<(String, String)>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.account.as_ref().map(|(user, _)| user);
        let Login { initiator, target, lun, .. } = self;
        f.debug_struct("Login")
            .field("initiator", initiator)
            .field("target", target)
            .field("lun", lun)
            .field("user", &user)
            .finish()
    }
}

/// A session as the network knows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Session(pub u64);

/// Nobody answered, or hung up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lost;

/// Why a login came to nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LoginError {
    /// Nobody answered, or hung up.
    Lost,
    /// The target said no: name, address or secret.
    Denied,
}

/// What the file system of a root volume says of its server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Root {
    /// Whose it is.
    pub server: String,
    /// Its address in production, with the length of the prefix.
    pub production: Option<(Ipv4Addr, u8)>,
}

/// See the module. A call may take for ever: it is the machine that loses its patience.
#[async_trait]
pub trait Cables: Send + Sync {
    /// The NIC shows its link, or shows none. What waited for it is gone at both.
    fn link(&self, nic: Mac, up: bool);

    /// Puts a frame on the cable, without its check sum. Nobody says whether it arrives.
    fn send(&self, nic: Mac, frame: Vec<u8>);

    /// The next frame that the NIC takes off the cable. Dropping the future loses none.
    async fn receive(&self, nic: Mac) -> Vec<u8>;

    /// Asks for a page; the path begins with `/`.
    async fn get(&self, from: Source, server: SocketAddrV4, path: &str) -> Result<Page, Lost>;

    /// Logs in to a target.
    async fn log_in(&self, from: Source, portal: SocketAddrV4, login: &Login) -> Result<Session, LoginError>;

    /// The file system on the volume; `None` if there is none.
    async fn root(&self, session: Session) -> Result<Option<Root>, Lost>;

    /// What a block holds; 0 if it was never written.
    async fn read(&self, session: Session, block: u64) -> Result<u64, Lost>;

    /// Writes a block. `Ok`: it is on the volume; `Lost`: nobody knows.
    async fn write(&self, session: Session, block: u64, value: u64) -> Result<(), Lost>;

    /// Ends a session in order.
    async fn log_out(&self, session: Session);
}
