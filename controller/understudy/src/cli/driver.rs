//! `driver test`: its flags and its help.

use clap::{Args, Subcommand};
use std::num::NonZeroU16;
use vocabulary::{PortName, VlanId};

/// `driver ...`.
#[derive(Debug, Subcommand)]
pub enum Driver {
    /// Try a driver's program on real equipment, without a controller: every law that the drivers within keep
    #[command(subcommand)]
    Test(DriverTest),
}

/// `driver test ...`.
#[derive(Debug, Subcommand)]
pub enum DriverTest {
    /// A switch's: two ports that nothing needs are set again and again
    #[command(after_help = "Examples:
  understudy driver test switch --port swp7 --port swp8 --vlan 901 --vlan 902 --vlan 903 -- ./our-switch --host 10.0.0.3
  understudy driver test switch --port ge-7 --port ge-8 --vlan 901 --vlan 902 --vlan 903 --env USER=admin --yes -- ./our-switch

If every law holds, both ports are up afterwards and carry the first VLAN. Exit 1 names the law that was broken, and what was seen; the ports are
left as they were then.")]
    Switch(SwitchTest),
    /// A power distribution unit's: an outlet that nothing needs is switched again and again
    #[command(after_help = "Examples:
  understudy driver test outlets --outlet 7 --neighbour 6 --neighbour 8 --serial 5A1234E00001 -- ./our-unit --host 10.0.0.7

Something that draws power has to hang there, or its meter proves nothing. If every law holds, the outlet is off afterwards. Exit 1 names the law
that was broken; the outlet is left as it was then.")]
    Outlets(OutletsTest),
}

/// Which program.
#[derive(Debug, Args)]
pub struct DriverProgram {
    /// What it finds in its environment besides PATH and LANG
    #[arg(long = "env", value_name = "NAME=VALUE")]
    pub environment: Vec<String>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    pub command: Vec<String>,
}

/// `driver test switch`.
#[derive(Debug, Args)]
pub struct SwitchTest {
    /// A port that nothing needs; give two
    #[arg(long = "port", required = true, value_name = "PORT")]
    pub ports: Vec<PortName>,
    /// A VLAN that may be set there; give three
    #[arg(long = "vlan", required = true, value_name = "VLAN", value_parser = vlan)]
    pub vlans: Vec<VlanId>,
    #[command(flatten)]
    pub program: DriverProgram,
}

/// `driver test outlets`.
#[derive(Debug, Args)]
pub struct OutletsTest {
    /// An outlet that nothing needs
    #[arg(long, value_name = "NUMBER")]
    pub outlet: NonZeroU16,
    /// Another one of the same unit, which is read and never switched
    #[arg(long = "neighbour", value_name = "NUMBER")]
    pub neighbours: Vec<NonZeroU16>,
    /// The unit's serial number
    #[arg(long)]
    pub serial: String,
    #[command(flatten)]
    pub program: DriverProgram,
}

fn vlan(word: &str) -> Result<VlanId, String> {
    word.parse().ok().and_then(VlanId::new).ok_or_else(|| "a VLAN is a number from 1 to 4094".to_owned())
}
