//! What runs inside the lab's QEMU machines: the switch's first process, the servers' initrd and the servers' workload.
//!
//! It must never decide anything about a failover, and it holds no credential of the product: it is equipment and payload, nothing more.

pub mod claim;
pub mod facts;
pub mod hand;
pub mod kernel;
pub mod limits;
pub mod links;
pub mod netlink;
pub mod records;
pub mod root;
pub mod server;
pub mod switch;
pub mod web;
pub mod workload;
