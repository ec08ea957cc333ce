//! Every bound of the boot service in one place: how long, how many, how large. Nothing else may hold a bare number that a stranger can
//! push against.

use std::time::Duration;

/// Largest DHCP packet read. Clients may send up to 1500 octets on Ethernet; what is longer is cut and then fails to parse.
pub const DHCP_PACKET_BYTES: usize = 1500;
/// Shortest DHCP answer; some firmware drops shorter ones (RFC 1542).
pub const DHCP_ANSWER_BYTES_MIN: usize = 300;
/// How long DISCOVER and REQUEST with one transaction id are the same attempt, in milliseconds: firmware gives up sooner.
pub const DHCP_TRANSACTION_MS: u64 = 60_000;
/// The same step of the same machine is noted as a contact at most this often, in milliseconds: a retransmission is no news.
pub const CONTACT_REPEAT_MS: u64 = 1_000;
/// Relayed packets are told of in the log at most this often, in milliseconds, with their count.
pub const RELAYED_TELL_MS: u64 = 60_000;
/// Default time of an address lease, in seconds.
pub const ADDRESS_LEASE_SECONDS: u64 = 3600;
/// Shortest address lease that the configuration may name, in seconds: renewals come at half of it.
pub const ADDRESS_LEASE_SECONDS_MIN: u64 = 10;

/// Largest iPXE binary that is served. Debian's largest has 1.1 MB.
pub const IPXE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// TFTP block size where the client asks for nothing (RFC 1350).
pub const TFTP_BLOCK_BYTES: usize = 512;
/// Largest TFTP block: fits an Ethernet frame with its headers, since firmware cannot be trusted to put fragments together.
pub const TFTP_BLOCK_BYTES_MAX: usize = 1468;
/// Most TFTP blocks in flight (RFC 7440).
pub const TFTP_WINDOW_MAX: u16 = 16;
/// How long a TFTP block waits for its acknowledgement before it is sent again.
pub const TFTP_RETRY: Duration = Duration::from_secs(1);
/// How often a TFTP block is sent again before the transfer is given up.
pub const TFTP_RETRIES: u32 = 6;
/// Longest TFTP transfer.
pub const TFTP_TRANSFER: Duration = Duration::from_secs(120);
/// Most TFTP transfers at once.
pub const TFTP_TRANSFERS_MAX: usize = 128;
/// Largest TFTP request read.
pub const TFTP_REQUEST_BYTES: usize = 600;

/// Most HTTP connections at once.
pub const HTTP_CONNECTIONS_MAX: usize = 512;
/// Most HTTP connections at once from one address.
pub const HTTP_CONNECTIONS_PER_PEER: usize = 8;
/// How long a client may take to send the head of a request.
pub const HTTP_HEAD: Duration = Duration::from_secs(10);
/// Longest life of an HTTP connection: a kernel and an initrd over a slow link.
pub const HTTP_CONNECTION: Duration = Duration::from_secs(900);
/// Size of the pieces in which files are read, and sent by HTTP.
pub const FILE_CHUNK_BYTES: usize = 128 * 1024;
/// Pause after a failed accept (out of file descriptors), so that the loop does not spin.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often a router advertisement is sent unasked.
pub const ADVERTISE_EVERY: Duration = Duration::from_secs(10);
/// How often a solicitation's answer is tried again while the interface has no link-local address yet.
pub const ADVERTISE_TRIES: u32 = 40;
/// Pause between these.
pub const ADVERTISE_PAUSE: Duration = Duration::from_millis(100);
/// Most solicitations whose answers are waiting at once.
pub const SOLICITATIONS_MAX: usize = 64;
/// Largest ICMPv6 packet read.
pub const ICMP_PACKET_BYTES: usize = 1500;

/// Most boot contacts kept. A reader that falls further behind has missed some; the sequence numbers tell it so.
pub const CONTACTS_MAX: usize = 4096;
/// Most contacts in one answer.
pub const CONTACTS_PER_ANSWER: usize = 512;
/// How long a reader of contacts waits for the next.
pub const CONTACTS_WAIT: Duration = Duration::from_secs(5);

/// Longest lease that a permit may bring, in milliseconds: 30 days. The design's default is 7.
pub const PERMIT_LEASE_MS_MAX: u64 = 30 * 86_400_000;
/// Contact with a controller is written to disk at most this often, in milliseconds. What is not yet written shortens a lease over a
/// restart and never lengthens it.
pub const CONTACT_MARK_MS: u64 = 60_000;
/// How often the age of the last contact is written while no controller is heard.
pub const AGE_MARK_EVERY: Duration = Duration::from_secs(300);
/// Largest permit file read.
pub const PERMIT_FILE_BYTES_MAX: u64 = 256 * 1024;
/// Longest text of one field of a permit.
pub const PERMIT_TEXT_MAX: usize = 1024;
/// Most NICs in one permit.
pub const PERMIT_NICS_MAX: usize = 32;
/// Most machines that one boot service knows.
pub const MACHINES_MAX: usize = 10_000;

/// Names of the roles that the boot service itself must know.
pub const PROVISIONING: &str = "provisioning";
/// The role of the NIC over which `san` reaches its volume, where the permit has one.
pub const STORAGE: &str = "storage";
/// How long a token lives at most, in milliseconds. A boot that takes longer begins again.
pub const TOKEN_LIFE_MS: u64 = 3_600_000;
/// How often a service whose gate was not trusted at the start looks whether it is by now.
pub const TRUST_EVERY: Duration = Duration::from_secs(1);
