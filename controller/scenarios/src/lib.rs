//! Scenarios: what happens to a data centre, and what is expected of Understudy then. A scenario is one text file.
//!
//! The product is driven only through its command line and its API, as a user would; whether it did right is said by the users' side, by
//! the equipment and by the oracle. Nothing here may look into the product's store or help it along.

pub mod agents;
pub mod bench;
pub mod between;
pub mod clock;
pub mod command;
pub mod console;
pub mod demo;
pub mod e2e;
pub mod estate;
pub mod expect;
pub mod eyes;
pub mod hall;
pub mod hand;
pub mod library;
pub mod limits;
pub mod manner;
pub mod network;
pub mod oracle;
pub mod places;
pub mod product;
pub mod rig;
pub mod rivals;
pub mod run;
pub mod screen;
pub mod script;
pub mod seconds;
pub mod signals;
pub mod simulated;
pub mod steps;
pub mod storage;
pub mod trouble;
pub mod world;
