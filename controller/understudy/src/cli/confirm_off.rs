//! The command line of `machine confirm-off`. It only describes.

use crate::names;
use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use pipeline::record::Found;
use vocabulary::MachineId;

/// `machine confirm-off`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  understudy machine confirm-off m1 --serial 7XK2P03 --found unplugged --reason 'both cords pulled, ticket 4711'

For a failover that waits for a proof which nobody can give: the BMC and its outlets do not answer, or the switch is dark. Read the serial
number off the box that you have looked at: that is how you know which one it is. The word stands for the proof by power for 15 minutes and
for nothing else: storage must be cut off all the same. A sign of life of the machine ends it (F0310). Where the estate wants two people,
both say it, each by himself.

Plug the machine in again when `understudy machine show` lists nothing to confirm but its power: its ports are barred and it boots nothing then. It is
released with power, since it must be seen to be off.")]
pub struct ConfirmOff {
    /// The machine that is said to be off
    #[arg(add = ArgValueCompleter::new(names::machines))]
    pub machine: MachineId,
    /// The serial number on the box before you
    #[arg(long)]
    pub serial: String,
    /// As what you found it, or leave it
    #[arg(long, value_enum)]
    pub found: FoundWord,
    /// How you know; it is recorded
    #[arg(long)]
    pub reason: String,
}

/// As what a machine is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum FoundWord {
    /// Off by its power button; it still has mains
    Off,
    /// Every power cord is pulled
    Unplugged,
    /// It is out of its rack
    Removed,
}

impl From<FoundWord> for Found {
    fn from(word: FoundWord) -> Found {
        match word {
            FoundWord::Off => Found::Off,
            FoundWord::Unplugged => Found::Unplugged,
            FoundWord::Removed => Found::Removed,
        }
    }
}
