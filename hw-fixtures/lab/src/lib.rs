//! A small data centre on one computer: real firmware, a real switch, a real storage target, in namespaces of their own.
//!
//! It pretends to be equipment and never takes a decision of the product. It touches nothing of the computer but its run folder and its
//! cache, and leaves nothing running when it ends, however it ends. Floors: `sys` and the pure parts (`names`, `cpio`, `elf`, `qemu`,
//! `bmc`) at the bottom, then `children`, `services`, `open_vswitch`, `facts`, `ipmi`, then `supervisor`; `enter` and `client` are the caller's side.

pub mod agents;
pub mod bmc;
pub mod children;
pub mod client;
pub mod control;
pub mod cpio;
pub mod elf;
pub mod enter;
pub mod exec;
pub mod facts;
pub mod hand;
pub mod images;
pub mod inside;
pub mod ipmi;
pub mod limits;
pub mod modules;
pub mod names;
pub mod open_vswitch;
pub mod packages;
pub mod qemu;
pub mod reply;
pub mod services;
pub mod supervisor;
pub mod sys;
pub mod volumes;
