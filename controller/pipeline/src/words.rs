//! Actions and answers in words, for plans and records. Holds no secret and names the device.

use vocabulary::request::{Action, Answer};

/// The word for AdvanceEpoch in `Intent` records.
pub const ADVANCE: &str = "advance epoch";
/// The word for PowerOn in `Intent` records.
pub const POWER_ON: &str = "power on";

/// An action in the words of a plan; names the device, holds no secret.
pub fn words(action: &Action) -> String {
    match action {
        Action::AdvanceEpoch { .. } => ADVANCE.to_owned(),
        Action::PowerOff { machine } => format!("power off {machine}"),
        Action::BarPort { port, quarantine } => format!("bar {port} in VLAN {quarantine}"),
        Action::RevokeVolume { volume, keep: None } => format!("revoke every initiator of {volume}"),
        Action::RevokeVolume { volume, keep: Some(keep) } => format!("revoke every initiator of {volume} but {keep}"),
        Action::RevokePermit { machine } => format!("revoke the permit of {machine}"),
        Action::JoinPort { port, setting, .. } => match setting.native {
            Some(vlan) => format!("join {port} to VLAN {vlan}"),
            None => format!("join {port}"),
        },
        Action::GrantVolume { volume, initiator, .. } => format!("grant {volume} to {initiator}"),
        Action::GrantPermit { permit } => format!("permit {} to boot as {}", permit.machine, permit.server),
        Action::SetBootTarget { machine, target } => format!("next boot of {machine} by {target:?}"),
        Action::PowerOn { .. } => POWER_ON.to_owned(),
        Action::SetRestorePolicyOff { machine } => format!("restore policy of {machine} to always-off"),
        Action::ParkPort { port, parking } => format!("park {port} in VLAN {parking}"),
        Action::CutOutlet { outlet } => format!("cut outlet {outlet}"),
        Action::FeedOutlet { outlet } => format!("feed outlet {outlet}"),
        Action::LiftBar { resources } => format!("lift {} bars", resources.len()),
        Action::ShutDown { machine } => format!("ask the operating system of {machine} to stop"),
        Action::Identify { machine, light } => format!("identify light of {machine}: {light:?}"),
        Action::Hello
        | Action::Introduce { .. }
        | Action::Vouch { .. }
        | Action::ReadMachine { .. }
        | Action::WatchMachine { .. }
        | Action::AwaitChange { .. }
        | Action::ReadPort { .. }
        | Action::ReadVolume { .. }
        | Action::ReadPermit { .. }
        | Action::ReadOutlet { .. }
        | Action::CountSupplies { .. }
        | Action::ReadFindings { .. }
        | Action::Survey { .. }
        | Action::ReadContacts { .. }
        | Action::RunCheck { .. } => "read".to_owned(),
    }
}

/// An answer in the words of a record.
pub fn answer_words(answer: &Answer) -> String {
    match answer {
        Answer::Machine(reading) => {
            let rail = reading.chassis_power.map_or(String::new(), |rail| format!(", rail {rail:?}"));
            format!("power {:?}{rail} (session {}, serial {})", reading.system_power, reading.session, reading.identity.serial)
        }
        Answer::Port(reading) => {
            let native = reading.setting.native.map_or("none".to_owned(), |vlan| vlan.to_string());
            format!("{} native {native}, {} tagged, saved {}", reading.port, reading.setting.tagged.len(), reading.saved)
        }
        Answer::Volume(reading) => {
            format!("{} admits {}, {} sessions", reading.volume, reading.allowed.len(), reading.sessions.len())
        }
        Answer::Permit(reading) => match &reading.standing {
            Some((server, epoch)) => format!("{} may boot as {server} ({epoch})", reading.machine),
            None => format!("{} gets silence", reading.machine),
        },
        Answer::Outlet(reading) => {
            let watts = reading.watts.map_or("not measured".to_owned(), |watts| format!("{watts} W"));
            format!("{} {:?}, {watts}, {:?} when its unit returns", reading.outlet, reading.relay, reading.on_return)
        }
        Answer::Supplies { count } => {
            count.map_or("no power supplies told".to_owned(), |count| format!("{count} power supplies"))
        }
        Answer::Light { light } => format!("identify light {light:?}"),
        Answer::Advanced { clear, busy } => format!("{} clear, {} busy", clear.len(), busy.len()),
        Answer::Hello(_)
        | Answer::Findings { .. }
        | Answer::Survey { .. }
        | Answer::Contacts { .. }
        | Answer::Check { .. }
        | Answer::Done => "done".to_owned(),
    }
}
