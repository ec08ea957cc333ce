//! The BMC's side of IPMI under hostile bytes: packets of strangers, any request in the open, any request inside a session. For tests and
//! fuzzers alone. Must never let a machine be powered: what takes its time is begun and not performed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::bmc::ipmi::session::{Event, Request, Session, Timing};
use ::bmc::ipmi::{Account, Suite, wire};
use ::hostile::{Group, decoder};
use tokio::sync::broadcast;
use world::bmc::ipmi::{Begun, NOBODY, TABLE, begin, code, hear, seal};
use world::bmc::limits;
use world::bmc::rmcp::{ADMINISTRATOR, Asked, Heard};
use world::bmc::{Bmc, Ports, Secrets};
use zeroize::Zeroizing;

use crate::config::MachineConfig;
use crate::process::Process;
use crate::simulator::surroundings;

/// See the module.
pub const PORT: Group = Group {
    name: "bmc_sim_ipmi",
    home: env!("CARGO_MANIFEST_DIR"),
    input_max: wire::PACKET_MAX + 64,
    memory_max: 256 * 1024,
    words: &[
        &[0x06, 0x00, 0xff, 0x07],
        &[0x06, 0x00, 0xff, 0x06],
        &[0x20, 0x18, 0xc8, 0x81],
        &[0x10],
        &[0x12],
        &[0x14],
        &[wire::SEALED],
    ],
    decoders: &[decoder("stranger", stranger), decoder("request", request), decoder("request in a session", in_session)],
};

const FROM: ([u8; 4], u16) = ([127, 0, 0, 1], 4711);
const TIMING: Timing = Timing {
    step: Duration::from_secs(4),
    request: Duration::from_secs(4),
    pause: Duration::from_secs(1),
    idle: Duration::from_secs(40),
};

fn device() -> Arc<Bmc> {
    let machine = MachineConfig::for_test("m1");
    let secrets = Secrets { password: "secret".into(), key: None };
    let (described, changes) = (machine.described(), broadcast::Sender::new(1));
    Bmc::new(described, secrets, surroundings(Process::new(machine, None), Ports::default(), changes))
}

/// What stands in a folder of settings has no say: some commands begin work on a runtime.
fn inside<T>(work: impl FnOnce(&Arc<Bmc>) -> T) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().ok()?;
    let _inside = runtime.enter();
    Some(work(&device()))
}

/// Whoever sends packets without a session gets nothing done that needs rights, and the table of sessions stays small.
fn stranger(input: &[u8]) -> bool {
    let taken = inside(|bmc| {
        let mut taken = false;
        // once as it is, once as the payload of each step of the handshake
        let payloads = [0x10, 0x12, 0x14].map(|kind| wire::plus(wire::Header { kind, session: 0, sequence: 0 }, input));
        for packet in std::iter::once(input.to_vec()).chain(payloads) {
            taken |= match hear(bmc, SocketAddr::from(FROM), &packet) {
                Heard::Asked(asked) => {
                    assert_eq!((asked.privilege, asked.session()), (NOBODY, None));
                    matches!(begun(bmc, &asked), Some((code::DONE, _)))
                }
                Heard::Reply { packet, again } => {
                    assert!(packet.len() <= wire::PACKET_MAX && again.is_none());
                    true
                }
                Heard::Refused(_) => unreachable!("nobody was asked for a proof"),
                Heard::Ignored(_) => false,
            };
        }
        assert_eq!(bmc.state().rmcp.count(Instant::now(), limits::HALF_OPEN), 0, "a session without a proof");
        taken
    });
    taken.unwrap_or(false)
}

/// A request with an administrator's rights: which (network function and command, or a line of the table), and its data.
fn request(input: &[u8]) -> bool {
    let [netfn, command, data @ ..] = input else { return false };
    let (netfn, command) = named(*netfn, *command);
    let data = data.get(..data.len().min(200)).unwrap_or_default();
    let done = inside(|bmc| {
        let packet = wire::bare(&wire::message(1, netfn, command, data));
        let Heard::Asked(mut asked) = hear(bmc, SocketAddr::from(FROM), &packet) else { return false };
        asked.privilege = ADMINISTRATOR;
        begun(bmc, &asked).is_some_and(|(done, _)| done == code::DONE)
    });
    done.unwrap_or(false)
}

/// A high network function stands for a line of the table: any command is then as near as its number.
fn named(netfn: u8, command: u8) -> (u8, u8) {
    let row = TABLE.get(usize::from(command) % TABLE.len()).filter(|_| netfn >= 0x40);
    row.map_or((netfn % 32 * 2, command), |row| (row.netfn, row.command))
}

/// What is answered at once; a refusal carries no data, and every answer fits into a packet.
fn begun(bmc: &Arc<Bmc>, asked: &Asked) -> Option<(u8, Vec<u8>)> {
    let Begun::Done(code, data) = begin(bmc, asked) else { return None };
    assert!(code == code::DONE || data.is_empty(), "{code:#x}");
    assert!(seal(bmc, asked, code, &data).is_none_or(|packet| packet.len() <= wire::PACKET_MAX));
    Some((code, data))
}

/// The same requests, sealed by a real client in a session; then the same packet again, and one with a bit changed.
fn in_session(input: &[u8]) -> bool {
    let [netfn, command, at, data @ ..] = input else { return false };
    let (netfn, command) = named(*netfn, *command);
    let data = data.get(..data.len().min(200)).unwrap_or_default();
    let done = inside(|bmc| {
        let Some(mut client) = opened(bmc) else { unreachable!("the client and its BMC understand each other") };
        client.ask(Instant::now(), Request { netfn, command, data: data.to_vec(), repeatable: false });
        let Some(packet) = client.poll_out() else { return false };
        let mut broken = packet.clone();
        let covered = 4 + usize::from(*at) % packet.len().saturating_sub(4).max(1);
        broken.get_mut(covered).into_iter().for_each(|byte| *byte ^= 1 << (at % 8));
        assert!(matches!(hear(bmc, SocketAddr::from(FROM), &broken), Heard::Ignored(_)), "a packet with a wrong code was taken");
        let Heard::Asked(asked) = hear(bmc, SocketAddr::from(FROM), &packet) else { unreachable!("the client's code is right") };
        assert!(asked.session().is_some() && (asked.head.netfn, asked.head.command) == (netfn, command) && asked.data == data);
        let done = begun(bmc, &asked).is_some_and(|(done, _)| done == code::DONE);
        assert!(!matches!(hear(bmc, SocketAddr::from(FROM), &packet), Heard::Asked(_)), "a packet was acted on twice");
        done
    });
    done.unwrap_or(false)
}

fn random(bytes: &mut [u8]) {
    rand::RngCore::fill_bytes(&mut rand::rng(), bytes);
}

fn opened(bmc: &Arc<Bmc>) -> Option<Session> {
    let account = Account {
        user: bmc.config.user.as_bytes().to_vec(),
        password: Zeroizing::new(b"secret".to_vec()),
        key: None,
        privilege: ADMINISTRATOR,
        suites: vec![Suite::Seventeen],
    };
    let mut client = Session::new(Arc::new(account), TIMING, Arc::new(random));
    client.open(Instant::now());
    for _ in 0..16 {
        if let Some(event) = client.poll_event() {
            return matches!(event, Event::Opened(_)).then_some(client);
        }
        let reply = match hear(bmc, SocketAddr::from(FROM), &client.poll_out()?) {
            Heard::Reply { packet, .. } => packet,
            Heard::Asked(asked) => {
                let Begun::Done(code, data) = begin(bmc, &asked) else { return None };
                seal(bmc, &asked, code, &data)?
            }
            Heard::Refused(_) | Heard::Ignored(_) => return None,
        };
        client.receive(Instant::now(), &reply);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request of each command, as bytes of `request`, and packets as a client sends them.
    fn inputs() -> Vec<(String, Vec<u8>)> {
        let row = |(at, row): (usize, &world::bmc::ipmi::Row)| (row.name.to_owned(), vec![0x40, u8::try_from(at).unwrap()]);
        let mut inputs: Vec<(String, Vec<u8>)> = TABLE.iter().enumerate().map(row).collect();
        let data: [(&str, &[u8]); 8] = [
            ("get_system_boot_options", &[5, 0, 0]),
            ("set_system_boot_options", &[5, 0xa0, 0x04, 0, 0, 0]),
            ("get_sdr", &[0, 0, 0, 0, 0, 0xff]),
            ("get_sel_entry", &[0, 0, 0, 0, 0, 0xff]),
            ("read_fru_data", &[0, 0, 0, 16]),
            ("get_sensor_reading", &[1]),
            ("set_watchdog_timer", &[4, 1, 0, 0, 10, 0]),
            ("get_channel_cipher_suites", &[0x0e, 0, 0x80]),
        ];
        for (name, data) in data {
            inputs.iter_mut().find(|(row, _)| row == name).unwrap().1.extend(data);
        }
        let offer =
            [&[7, 4, 0, 0, 1, 2, 3, 4][..], &[0, 0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 8, 4, 0, 0, 0, 2, 0, 0, 8, 1, 0, 0, 0]].concat();
        inputs.push(("ping".into(), wire::ping(7)));
        inputs.push(("greeting".into(), wire::bare(&wire::message(1, 0x06, 0x38, &[0x8e, 0x04]))));
        inputs.push(("offer".into(), wire::plus(wire::Header { kind: 0x10, session: 0, sequence: 0 }, &offer)));
        inputs
    }

    #[test]
    fn the_port_under_hostile_bytes() {
        let inputs = inputs();
        let named: Vec<(&str, Vec<u8>)> = inputs.iter().map(|(name, input)| (name.as_str(), input.clone())).collect();
        ::hostile::capture(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/bmc_sim_ipmi"), &named);
        ::hostile::run(&PORT);
    }

    /// What this BMC answers is where the client's decoders begin.
    #[test]
    fn answers_for_the_clients_corpus() {
        let ask = |netfn, command, data: &[u8]| {
            let bmc = device();
            let packet = wire::bare(&wire::message(1, netfn, command, data));
            let Heard::Asked(mut asked) = hear(&bmc, SocketAddr::from(FROM), &packet) else { panic!() };
            asked.privilege = ADMINISTRATOR;
            let (code, data) = begun(&bmc, &asked).unwrap();
            assert_eq!(code, code::DONE, "{netfn:#x} {command:#x}");
            data
        };
        let answers = [
            ("device_id", ask(0x06, 0x01, &[])),
            ("system_guid", ask(0x06, 0x37, &[])),
            ("chassis_status", ask(0x00, 0x01, &[])),
            ("boot_flags", ask(0x00, 0x09, &[5, 0, 0])),
            ("channel_authentication", ask(0x06, 0x38, &[0x8e, 0x04])),
            ("sdr_info", ask(0x0a, 0x20, &[])),
            ("sdr", ask(0x0a, 0x23, &[0, 0, 0, 0, 0, 0xff])),
            ("sel_info", ask(0x0a, 0x40, &[])),
            ("fru_info", ask(0x0a, 0x10, &[0])),
            ("watchdog", ask(0x06, 0x25, &[])),
            ("refused", vec![code::RIGHTS]),
        ];
        ::hostile::capture(concat!(env!("CARGO_MANIFEST_DIR"), "/../../agents/bmc/tests/corpus/ipmi_answers"), &answers);
    }
}
