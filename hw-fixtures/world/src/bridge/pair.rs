//! A pair of switches that is one to whoever hangs at both: an inter-switch link, port-channels with a leg on each, and a configuration that
//! is committed on one switch after the other. Each switch has a state, an administration and troubles of its own, so a commit may hold on
//! one and not on the other. It must never forward by what was meant for the pair, only by what each switch is.

use super::{Address, Bridge, Call, Error, Leaving, Setting};
use crate::limits::CALL_GIVEN_UP;
use std::collections::BTreeSet;

/// One of the two.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Side {
    /// The first.
    One,
    /// The second.
    Two,
}

impl Side {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Side {
        match self {
            Side::One => Side::Two,
            Side::Two => Side::One,
        }
    }
}

/// What came over the inter-switch link beside a frame.
#[derive(Default)]
pub(super) struct Across {
    /// Channels that the switch before this one reaches by a leg of its own: this one must not send them the frame a second time.
    pub served: BTreeSet<String>,
    /// The channel by which the frame came in over there: its sender is behind the leg here as well.
    pub channel: Option<String>,
}

/// How a machine's two NICs are one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bonding {
    /// One of them is used, and hears: this one, as long as it has a link.
    ActiveBackup(Side),
    /// Both are, by LACP: a conversation stays on one as long as that has a link.
    Lacp,
}

/// Two NICs of one machine, one at each switch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bond {
    /// Their ports, on the first switch and the second.
    pub ports: [String; 2],
    /// How they are one.
    pub bonding: Bonding,
}

/// See the module. Clones are the same.
#[derive(Clone)]
pub struct Pair {
    sides: [Bridge; 2],
    link: String,
}

impl Pair {
    /// Of these two, whose ports of this name are the ends of the inter-switch link.
    pub fn new(one: Bridge, two: Bridge, link: &str) -> Pair {
        Pair { sides: [one, two], link: link.to_owned() }
    }

    /// One of them, for all that concerns it alone.
    pub fn side(&self, side: Side) -> &Bridge {
        let [one, two] = &self.sides;
        match side {
            Side::One => one,
            Side::Two => two,
        }
    }

    /// The cable of the inter-switch link is pulled or plugged.
    pub fn plug_link(&self, plugged: bool) {
        self.sides.iter().for_each(|side| side.plug(&self.link, plugged));
    }

    /// A frame comes in at a port of one of them; where it leaves the pair.
    pub fn forward(
        &self,
        side: Side,
        from: &str,
        tag: Option<u16>,
        (source, destination): (Address, Address),
    ) -> Vec<(Side, Leaving)> {
        let (here, there) = (self.side(side), self.side(side.other()));
        let (crossing, leaving): (Vec<Leaving>, Vec<Leaving>) =
            here.forward(from, tag, source, destination).into_iter().partition(|leaving| leaving.port == self.link);
        let mut all: Vec<(Side, Leaving)> = leaving.into_iter().map(|leaving| (side, leaving)).collect();
        // a switch that is away shows no link, and what was sent there is lost
        for crossing in crossing {
            let channel = Some(here.logical(from)).filter(|logical| logical != from);
            let across = Across { served: here.channels_in(crossing.vlan), channel };
            let left = there.forward_across(&self.link, crossing.tag, (source, destination), &across);
            all.extend(left.into_iter().map(|leaving| (side.other(), leaving)));
        }
        all
    }

    /// Commits a setting of the port or channel of this name, on the first switch and then on the second, whatever became of the first: how
    /// that ended on each. What one of them did before it said no stays done.
    pub async fn commit(&self, port: &str, setting: &Setting) -> [Result<(), Error>; 2] {
        let [one, two] = &self.sides;
        [committed(one, port, setting).await, committed(two, port, setting).await]
    }

    // -- a machine with two NICs --

    fn links(&self, bond: &Bond) -> [bool; 2] {
        let ([one, two], [first, second]) = (&self.sides, &bond.ports);
        [one.shows_link(first), two.shows_link(second)]
    }

    /// By which NIC a machine with this bond sends such a frame; none without a link.
    pub fn sends_by(&self, bond: &Bond, (source, destination): (Address, Address)) -> Option<Side> {
        let wanted = match bond.bonding {
            Bonding::ActiveBackup(active) => active,
            Bonding::Lacp => {
                let ([.., from], [.., to]) = (source, destination);
                if (from ^ to) & 1 == 0 { Side::One } else { Side::Two }
            }
        };
        match (self.links(bond), wanted) {
            ([true, _], Side::One) | ([true, false], Side::Two) => Some(Side::One),
            ([_, true], Side::Two) | ([false, true], Side::One) => Some(Side::Two),
            ([false, false], _) => None,
        }
    }

    /// A machine with this bond sends a frame; where it leaves the pair.
    pub fn send(&self, bond: &Bond, tag: Option<u16>, frame: (Address, Address)) -> Vec<(Side, Leaving)> {
        let [first, second] = &bond.ports;
        match self.sends_by(bond, frame) {
            Some(Side::One) => self.forward(Side::One, first, tag, frame),
            Some(Side::Two) => self.forward(Side::Two, second, tag, frame),
            None => Vec::new(),
        }
    }

    /// How many copies of what left the pair so are heard by a machine with this bond.
    pub fn heard(&self, bond: &Bond, left: &[(Side, Leaving)]) -> usize {
        let [first, second] = &bond.ports;
        let active = match bond.bonding {
            Bonding::ActiveBackup(_) => self.sends_by(bond, Default::default()),
            Bonding::Lacp => None,
        };
        let at = |side: &Side, port: &String| (*side, port) == (Side::One, first) || (*side, port) == (Side::Two, second);
        let hears = |side: &Side| bond.bonding == Bonding::Lacp || active == Some(*side);
        left.iter().filter(|(side, leaving)| at(side, &leaving.port) && hears(side)).count()
    }
}

/// As an administrator sets a port: what is new first, then what is no longer wanted, then up or down.
async fn committed(bridge: &Bridge, port: &str, setting: &Setting) -> Result<(), Error> {
    let talk = bridge.converse()?;
    let set = async {
        let index = talk.interface(port).await?.index;
        let before = talk.vlans(index).await?;
        let wanted = setting.vlans.iter().map(|(vlan, membership)| (*vlan, *vlan, *membership)).collect();
        talk.change(Call::Join(index, wanted)).await?;
        let gone = before.keys().filter(|vlan| !setting.vlans.contains_key(vlan)).map(|vlan| (*vlan, *vlan)).collect();
        talk.change(Call::Leave(index, gone)).await?;
        talk.change(Call::Mtu(index, setting.mtu)).await?;
        talk.change(Call::Put(index, setting.up)).await
    };
    // who never answers has not said yes
    tokio::time::timeout(CALL_GIVEN_UP, set).await.unwrap_or(Err(Error::Gone))
}
