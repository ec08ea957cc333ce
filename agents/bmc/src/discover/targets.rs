//! The addresses of a search: those of all its ranges, each once.
//! Must never hold more than a bounded number, nor an address that is no single host's.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vocabulary::network::Cidr;

use crate::limits;

/// Addresses to ask, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Targets(BTreeSet<IpAddr>);

/// Why ranges cannot be searched.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unusable {
    /// Nobody would wait for that.
    #[error("{0} addresses are more than the {max} of one search; name smaller ranges", max = limits::SEARCH_ADDRESSES_MAX)]
    TooMany(u128),
    /// An IPv6 range is too large.
    #[error("{0} holds too many addresses: IPv6 is searched in ranges up to /{min}", min = limits::SEARCH_PREFIX_MIN)]
    TooWide(Cidr),
    /// Not an address of hosts.
    #[error("{0} holds no hosts' addresses: it is multicast, unspecified or reserved")]
    NoHosts(Cidr),
}

impl Targets {
    /// The addresses of some ranges. The address of an IPv4 network itself and its broadcast address are no hosts', nor is the first of
    /// an IPv6 network, which any router answers; in ranges of one or two addresses all are.
    pub fn of(ranges: &[Cidr]) -> Result<Targets, Unusable> {
        let total: u128 = ranges.iter().map(count).fold(0, u128::saturating_add);
        for range in ranges {
            check(range)?;
        }
        if total > (limits::SEARCH_ADDRESSES_MAX as u128).saturating_mul(ranges.len().max(1) as u128) {
            return Err(Unusable::TooMany(total));
        }
        let mut targets = BTreeSet::new();
        for range in ranges {
            targets.extend(addresses(range));
            if targets.len() > limits::SEARCH_ADDRESSES_MAX {
                return Err(Unusable::TooMany(total));
            }
        }
        Ok(Targets(targets))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        self.0.iter().copied()
    }
}

fn width(range: &Cidr) -> u32 {
    let bits = if range.address.is_ipv4() { 32 } else { 128 };
    bits - u32::from(range.prefix).min(bits)
}

fn count(range: &Cidr) -> u128 {
    1u128.checked_shl(width(range)).unwrap_or(u128::MAX)
}

fn check(range: &Cidr) -> Result<(), Unusable> {
    let first = first(range);
    let address = ip(range, first);
    if address.is_ipv6() && range.prefix < limits::SEARCH_PREFIX_MIN {
        return Err(Unusable::TooWide(*range));
    }
    let single = width(range) == 0;
    let reserved = match address {
        // 0.0.0.0/8 is this network, 240.0.0.0/4 is reserved
        IpAddr::V4(four) => four.octets().first().is_some_and(|first| *first == 0 || *first >= 240),
        IpAddr::V6(six) => single && six.is_unspecified(),
    };
    if reserved || address.is_multicast() { Err(Unusable::NoHosts(*range)) } else { Ok(()) }
}

/// The first address of a range, as a number.
fn first(range: &Cidr) -> u128 {
    let number = match range.address {
        IpAddr::V4(four) => u128::from(u32::from(four)),
        IpAddr::V6(six) => u128::from(six),
    };
    let mask = u128::MAX.checked_shl(width(range)).unwrap_or(0);
    number & mask
}

fn ip(range: &Cidr, number: u128) -> IpAddr {
    match range.address {
        IpAddr::V4(_) => Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        IpAddr::V6(_) => Ipv6Addr::from(number).into(),
    }
}

/// Only for ranges whose count was checked.
fn addresses(range: &Cidr) -> impl Iterator<Item = IpAddr> {
    let range = *range;
    let (first, count) = (first(&range), count(&range).min(limits::SEARCH_ADDRESSES_MAX as u128 + 1));
    let (head, tail) = match (width(&range), range.address.is_ipv4()) {
        (0 | 1, _) => (0, 0),
        (_, true) => (1, 1),
        (_, false) => (1, 0),
    };
    (head..count - tail).map(move |offset| ip(&range, first.saturating_add(offset)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(ranges: &[&str]) -> Result<Vec<String>, Unusable> {
        let ranges: Vec<Cidr> = ranges.iter().map(|range| range.parse().unwrap()).collect();
        Targets::of(&ranges).map(|targets| targets.iter().map(|address| address.to_string()).collect())
    }

    #[test]
    fn only_hosts_are_asked_and_each_once() {
        assert_eq!(of(&["10.0.0.9/30"]), Ok(vec!["10.0.0.9".into(), "10.0.0.10".into()]), "neither the network nor broadcast");
        assert_eq!(of(&["10.0.0.8/31"]), Ok(vec!["10.0.0.8".into(), "10.0.0.9".into()]));
        assert_eq!(of(&["10.0.0.8/32", "10.0.0.8/31", "10.0.0.9/32"]), Ok(vec!["10.0.0.8".into(), "10.0.0.9".into()]));
        assert_eq!(of(&["fd00::/126"]), Ok(vec!["fd00::1".into(), "fd00::2".into(), "fd00::3".into()]));
        assert_eq!(of(&["fd00::5/128"]), Ok(vec!["fd00::5".into()]));
    }

    #[test]
    fn what_is_too_large_or_no_host_is_refused_with_its_reason() {
        assert_eq!(of(&["10.1.0.0/16"]).map(|all| all.len()), Ok(65_534));
        assert_eq!(of(&["10.0.0.0/15"]), Err(Unusable::TooMany(131_072)));
        assert_eq!(of(&["10.0.0.0/16", "10.1.0.0/16"]), Err(Unusable::TooMany(131_072)));
        assert_eq!(of(&["10.0.0.0/16", "10.0.0.0/16"]).map(|all| all.len()), Ok(65_534), "the same twice is no more");
        assert_eq!(of(&["fd00::/112"]).map(|all| all.len()), Ok(65_535));
        assert!(matches!(of(&["fd00::/111"]), Err(Unusable::TooWide(_))));
        for nobody in ["224.0.0.0/24", "0.0.0.0/24", "255.255.255.255/32", "ff02::/112", "::/128"] {
            assert!(matches!(of(&[nobody]), Err(Unusable::NoHosts(_))), "{nobody}");
        }
        assert!(of(&["0.0.0.0/0"]).is_err() && of(&["::/0"]).is_err());
    }

    proptest! {
        #[test]
        fn any_ranges_give_bounded_addresses_of_theirs(ranges in proptest::collection::vec((any::<IpAddr>(), 0u8..=128), 0..4)) {
            let ranges: Vec<Cidr> = ranges.into_iter().map(|(address, prefix)| {
                let prefix = if address.is_ipv4() { prefix.min(32) } else { prefix };
                Cidr { address, prefix }
            }).collect();
            if let Ok(targets) = Targets::of(&ranges) {
                prop_assert!(targets.len() <= limits::SEARCH_ADDRESSES_MAX);
                let within = |address: IpAddr| ranges.iter().any(|range| {
                    address.is_ipv4() == range.address.is_ipv4() && first(range) == first(&Cidr { address, prefix: range.prefix })
                });
                prop_assert!(targets.iter().all(within));
            }
        }
    }
}
