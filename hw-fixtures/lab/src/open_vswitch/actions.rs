//! What Open vSwitch's datapath does with a frame, as its daemon writes it: `p3,push_vlan(vid=20,pcp=0),br0,pop_vlan,u20`. Pure and total: an
//! action that is not known here makes the whole an error, never a shorter list.

/// Where a frame goes: the port, and the VLAN it is tagged with there.
pub type Output<'a> = (&'a str, Option<u16>);

/// Pieces between commas that stand in no bracket.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    text.split(move |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|piece| !piece.is_empty())
}

/// The VLAN of `push_vlan(vid=20,pcp=0)`.
fn pushed(piece: &str) -> Option<u16> {
    let inside = piece.strip_prefix("push_vlan(")?.strip_suffix(')')?;
    inside.split(',').find_map(|part| part.strip_prefix("vid="))?.parse().ok()
}

/// All outputs of these actions on a frame that came with this tag, or without one.
pub fn outputs(actions: &str, tag: Option<u16>) -> Result<Vec<Output<'_>>, String> {
    let (mut tag, mut all) = (tag, Vec::new());
    for piece in pieces(actions) {
        let is_name = piece.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        match piece {
            "drop" => {}
            "pop_vlan" => tag = None,
            // the daemon itself looks at the frame; what it does then is another flow
            _ if piece.starts_with("userspace(") => {}
            _ if piece.starts_with("push_vlan(") => {
                tag = Some(pushed(piece).ok_or_else(|| format!("odd action `{piece}`"))?);
            }
            name if is_name => all.push((name, tag)),
            other => return Err(format!("unknown action `{other}`")),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_output_has_the_tag_of_its_moment() {
        let all = outputs("p3,push_vlan(vid=20,pcp=0),br0,pop_vlan,u20", None).unwrap();
        assert_eq!(all, [("p3", None), ("br0", Some(20)), ("u20", None)]);
        assert_eq!(outputs("p5,pop_vlan,p1,u10", Some(10)).unwrap(), [("p5", Some(10)), ("p1", None), ("u10", None)]);
        assert_eq!(outputs("push_vlan(tpid=0x88a8,vid=7,pcp=0),p1", None).unwrap(), [("p1", Some(7))]);
        assert_eq!(outputs("drop", None).unwrap(), []);
        assert_eq!(outputs("userspace(pid=0,slow_path(cfm,bfd)),u20", None).unwrap(), [("u20", None)]);
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        for odd in ["clone(p1,p2)", "set(eth(src=02:00:00:00:00:01)),p1", "push_vlan(pcp=0),p1", "p1,recirc(0x1)"] {
            assert!(outputs(odd, None).is_err(), "{odd}");
        }
    }

    proptest! {
        #[test]
        fn total(text in "(p1|u20|drop|push_vlan|pop_vlan|vid=[0-9]{0,6}|[(),= ]){0,24}") {
            let _ = outputs(&text, None);
        }
    }
}
