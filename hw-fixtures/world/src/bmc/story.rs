//! Two BMCs with their machines in a world of one thread whose time stands still between events: a Redfish client and an IPMI console speak
//! to them, and every word is written down. Must never touch a socket, a process, the machine's clock or its chance.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::ipmi::{Out, Port};
use super::redfish::Connection;
use super::rmcp::crypto::{BLOCK, Keys, Suite};
use super::rmcp::wire::{self, Header};
use super::stand_in::{Phase, StandIn};
use super::{Bmc, Machine, PowerReading, Quirks, Reach, Reading, Stage};
use crate::clock::{now, since};

const SYSTEM: &str = "/redfish/v1/Systems/System-1";
const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
const RESET: &str = "/redfish/v1/Systems/System-1/Actions/ComputerSystem.Reset";
/// The console's session id and random number: this side of the conversation is always the same.
const CONSOLE: u32 = 0x0a0b_0c0d;
const NONCE: [u8; BLOCK] = [0x5a; BLOCK];
const USER: &[u8] = b"controller";
const PASSWORD: &[u8] = b"lab";
const POST: Duration = Duration::from_secs(240);
const DYING: Duration = Duration::from_secs(3);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// All that was said, with the time it was said at.
#[derive(Default)]
struct Transcript(Vec<String>);

/// A Redfish client.
struct Client<'a> {
    begun: Instant,
    name: &'a str,
    connection: Connection,
    token: Option<String>,
}

impl Client<'_> {
    async fn ask(&mut self, told: &mut Transcript, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = &self.token {
            request = request.header("x-auth-token", token);
        }
        let body = Full::new(Bytes::from(body.map(|body| body.to_string()).unwrap_or_default()));
        let answer = self.connection.answer(request.body(body).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        if let Some(token) = parts.headers.get("x-auth-token") {
            self.token = Some(token.to_str().unwrap().to_owned());
        }
        let text = String::from_utf8(body.to_vec()).unwrap();
        let (at, name) = (since(self.begun).as_millis(), self.name);
        told.0.push(format!("{at} {name} {method} {path} {} {:?} {text}", parts.status, parts.headers));
        (parts.status.as_u16(), serde_json::from_str(&text).unwrap_or_default())
    }

    async fn power(&mut self, told: &mut Transcript) -> String {
        let (_, system) = self.ask(told, "GET", SYSTEM, None).await;
        system["PowerState"].as_str().unwrap_or("null").to_owned()
    }

    async fn reset(&mut self, told: &mut Transcript, kind: &str) -> u16 {
        self.ask(told, "POST", RESET, Some(json!({ "ResetType": kind }))).await.0
    }
}

/// Where a BMC's packets end.
struct Wire(mpsc::UnboundedSender<Vec<u8>>);

impl Out for Wire {
    fn send(&self, _: SocketAddr, packet: &[u8]) {
        self.0.send(packet.to_vec()).unwrap();
    }
}

/// An IPMI console in a session of suite 17.
struct Console<'a> {
    begun: Instant,
    name: &'a str,
    port: Arc<Port>,
    out: Arc<dyn Out>,
    came: mpsc::UnboundedReceiver<Vec<u8>>,
    session: Option<(u32, Keys)>,
    sent: u32,
}

impl<'a> Console<'a> {
    fn new(name: &'a str, bmc: &Arc<Bmc>) -> Console<'a> {
        let (sender, came) = mpsc::unbounded_channel();
        let (port, out) = (Arc::new(Port::new(bmc)), Arc::new(Wire(sender)));
        Console { begun: now(), name, port, out, came, session: None, sent: 0 }
    }

    async fn carry(&mut self, told: &mut Transcript, packet: &[u8]) -> Vec<u8> {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        told.0.push(format!("{} {} > {}", since(self.begun).as_millis(), self.name, hex(packet)));
        self.port.take(&self.out, ([127, 0, 0, 9], 4711).into(), packet);
        let reply = tokio::time::timeout(seconds(60), self.came.recv()).await.expect("no answer").unwrap();
        told.0.push(format!("{} {} < {}", since(self.begun).as_millis(), self.name, hex(&reply)));
        reply
    }

    async fn shake(&mut self, told: &mut Transcript, kind: u8, payload: &[u8]) -> Vec<u8> {
        let reply = self.carry(told, &wire::plus(Header { kind, session: 0, sequence: 0 }, payload)).await;
        let (header, payload) = wire::read_plus(&reply).unwrap();
        assert_eq!((header.kind, payload[1]), (kind + 1, 0), "taken");
        payload.to_vec()
    }

    async fn open(&mut self, told: &mut Transcript) -> u32 {
        let (suite, ours, rights) = (Suite::Seventeen, CONSOLE.to_le_bytes(), 4);
        let algorithms: Vec<u8> =
            (0u8..).zip(suite.algorithms()).flat_map(|(kind, number)| [kind, 0, 0, 8, number, 0, 0, 0]).collect();
        let opened = self.shake(told, 0x10, &[&[1, rights, 0, 0], &ours[..], &algorithms].concat()).await;
        let theirs = &opened[8..12];
        let name = [&[rights, u8::try_from(USER.len()).unwrap()], USER].concat();
        let role = [&[rights, 0, 0], &name[1..]].concat();
        let challenge = self.shake(told, 0x12, &[&[2, 0, 0, 0], theirs, &NONCE, &role].concat()).await;
        let (nonce, guid) = (&challenge[8..24], &challenge[24..40]);
        let right = suite.mac(PASSWORD, &[&ours, theirs, &NONCE, nonce, guid, &name]);
        assert_eq!(challenge[40..], right, "the BMC knows the password");
        let proof = suite.mac(PASSWORD, &[nonce, &ours, &name]);
        self.shake(told, 0x14, &[&[3, 0, 0, 0], theirs, &proof].concat()).await;
        let sik = suite.mac(PASSWORD, &[&NONCE, nonce, &name]);
        let id = u32::from_le_bytes(theirs.try_into().unwrap());
        (self.session, self.sent) = (Some((id, Keys::of(suite, &sik))), 0);
        // a session begins with a user's rights
        assert_eq!(self.ask(told, 0x06, 0x3b, &[rights]).await, (0, vec![rights]));
        id
    }

    /// Completion code and data.
    async fn ask(&mut self, told: &mut Transcript, netfn: u8, command: u8, data: &[u8]) -> (u8, Vec<u8>) {
        let sum = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
        self.sent += 1;
        let (first, second) = ([0x20, netfn << 2], [&[0x81, (self.sent as u8) << 2, command], data].concat());
        let message = [&first[..], &[sum(&first)], &second, &[sum(&second)]].concat();
        let (id, keys) = self.session.as_ref().unwrap();
        let header = Header { kind: wire::SEALED | wire::MESSAGE, session: *id, sequence: self.sent };
        let mut packet = wire::plus(header, &keys.encrypt(&[7; BLOCK], &message));
        wire::fill(&mut packet);
        packet.extend(keys.code(wire::covered(&packet).unwrap()));
        let reply = self.carry(told, &packet).await;
        let (_, keys) = self.session.as_ref().unwrap();
        keys.proven(wire::covered(&reply).unwrap()).unwrap();
        let answer = keys.decrypt(wire::read_plus(&reply).unwrap().1).unwrap();
        (answer[6], answer[7..answer.len() - 1].to_vec())
    }

    /// True if the chassis says that it has power.
    async fn power(&mut self, told: &mut Transcript) -> bool {
        let (code, status) = self.ask(told, 0x00, 0x01, &[]).await;
        assert_eq!(code, 0);
        status[0] & 1 == 1
    }
}

/// What came of a story.
struct Told {
    text: String,
    redfish: String,
    ipmi: u32,
    virtual_time: Duration,
}

/// Both machines are powered on, one over each protocol, pass POST, and are powered off; one BMC says so too early, the other's rail lags.
async fn story(seed: u64) -> Told {
    let begun = now();
    let mut told = Transcript::default();
    let hosts = [StandIn::new(POST, DYING), StandIn::new(POST, DYING)];
    let machine = |name: &str, quirks| Machine { quirks, ..Machine::new(name, "00112233-4455-6677-8899-aabbccddeeff") };
    let early = Quirks { off_early_ms: 20_000, ..Quirks::default() };
    let slow = Quirks { ipmi_late_ms: 700, ipmi_late_percent: 40, ipmi_seed: seed, powering_off_ms: 5_000, ..Quirks::default() };
    let bmcs = [hosts[0].with_bmc(machine("m1", early), seed), hosts[1].with_bmc(machine("m2", slow), seed)];
    let mut client = Client { begun, name: "m1", connection: Connection::new(&bmcs[0]), token: None };
    let mut console = Console::new("m2", &bmcs[1]);

    let account = json!({ "UserName": "controller", "Password": "lab" });
    let (status, session) = client.ask(&mut told, "POST", SESSIONS, Some(account)).await;
    assert_eq!(status, 201);
    let ipmi = console.open(&mut told).await;

    let boot = json!({ "Boot": { "BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Pxe" } });
    assert_eq!(client.ask(&mut told, "PATCH", SYSTEM, Some(boot)).await.0, 200);
    assert_eq!(client.reset(&mut told, "On").await, 204);
    assert_eq!(console.ask(&mut told, 0x00, 0x02, &[1]).await.0, 0);
    assert_eq!((hosts[0].phase(), hosts[1].phase()), (Phase::Post, Phase::Post));
    assert_eq!((hosts[0].booted(), hosts[1].booted()), (vec!["Pxe".to_owned()], vec!["None".to_owned()]));
    assert!(client.power(&mut told).await == "On" && console.power(&mut told).await);

    tokio::time::sleep(POST + seconds(1)).await;
    assert_eq!((hosts[0].phase(), hosts[1].phase()), (Phase::Runs, Phase::Runs));
    let (_, system) = client.ask(&mut told, "GET", SYSTEM, None).await;
    assert_eq!(system["BootProgress"]["LastState"], Stage::SystemRuns.word());

    // Off is said too early: the machine runs on for twenty seconds, and dies for three more
    assert_eq!(client.reset(&mut told, "ForceOff").await, 204);
    assert_eq!((client.power(&mut told).await.as_str(), hosts[0].phase()), ("Off", Phase::Runs));
    tokio::time::sleep(seconds(22)).await;
    assert_eq!((client.power(&mut told).await.as_str(), hosts[0].phase()), ("Off", Phase::Runs));
    tokio::time::sleep(seconds(2)).await;
    assert_eq!((client.power(&mut told).await.as_str(), hosts[0].phase()), ("Off", Phase::Off));

    // the session was idle for minutes, so it is gone
    assert_eq!(bmcs[1].state().rmcp.count(now(), seconds(60)), 0);
    assert_ne!(console.open(&mut told).await, ipmi);
    // an honest BMC says On until the machine is really gone
    assert_eq!(console.ask(&mut told, 0x00, 0x02, &[0]).await.0, 0);
    let mut looks = 0;
    loop {
        // an answer may be late on its way, but is as old as its question
        let is_gone = hosts[1].phase() == Phase::Off;
        assert_eq!(console.power(&mut told).await, !is_gone);
        if is_gone {
            break;
        }
        tokio::time::sleep(seconds(1)).await;
        looks += 1;
    }
    assert_eq!((hosts[1].phase(), bmcs[1].state().system_power()), (Phase::Off, Reading::Is("Off")));
    assert!(looks > 3, "{looks}");
    let redfish = session["Id"].as_str().unwrap().to_owned();
    Told { text: told.0.join("\n"), redfish, ipmi, virtual_time: since(begun) }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work)
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long it really took is asked from outside of the world")]
fn one_seed_tells_one_story_in_no_time() {
    let begun = std::time::Instant::now();
    let (first, again, other) = (run(story(1)), run(story(1)), run(story(2)));
    let took = begun.elapsed();
    assert_eq!(first.text, again.text);
    assert!(first.text.len() > 10_000, "{}", first.text);
    assert!(first.redfish != other.redfish && first.ipmi != other.ipmi);
    assert!(first.virtual_time > seconds(270) && took < seconds(5), "{:?} in {took:?}", first.virtual_time);
}

#[test]
fn a_machine_that_ends_by_itself_is_off_when_it_is_gone_and_not_before() {
    run(async {
        let host = StandIn::new(POST, DYING);
        let bmc = host.with_bmc(Machine::new("m1", "00112233-4455-6677-8899-aabbccddeeff"), 1);
        let mut changes = bmc.changes.subscribe();
        bmc.power_on("ManagementCommand").await.unwrap();
        tokio::time::sleep(POST * 2).await;
        host.resets_itself();
        let reads = || bmc.state().system_power();
        assert_eq!(
            (host.phase(), bmc.state().progress.map(|(word, _)| word)),
            (Phase::Post, Some("PrimaryProcessorInitializationStarted"))
        );
        tokio::time::sleep(POST * 2).await;
        assert_eq!(bmc.state().progress.map(|(word, _)| word), Some(Stage::SystemRuns.word()));
        host.end("a panic").unwrap();
        tokio::time::sleep(DYING - Duration::from_millis(1)).await;
        assert_eq!(reads(), Reading::Is("On"));
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!((host.phase(), reads()), (Phase::Off, Reading::Is("Off")));
        let mut told = Vec::new();
        while let Ok(change) = changes.try_recv() {
            told.push((change.what, change.cause, change.monotonic_ns / 1_000_000_000));
        }
        let told: Vec<_> = told.iter().map(|(what, cause, at)| (*what, cause.as_str(), *at)).collect();
        assert_eq!(told, [("on", "ManagementCommand", 0), ("reset", "OSSoftRestart", 480), ("off", "a panic", 963)]);
    });
}

#[test]
fn a_hung_machine_has_power_hears_no_button_and_dies_of_the_cut() {
    run(async {
        let host = StandIn::new(POST, DYING);
        let bmc = host.with_bmc(Machine::new("m1", "00112233-4455-6677-8899-aabbccddeeff"), 1);
        assert!(bmc.freeze().await.is_err() && bmc.kill().is_err());
        bmc.power_on("ManagementCommand").await.unwrap();
        bmc.freeze().await.unwrap();
        tokio::time::sleep(POST * 2).await;
        bmc.graceful_off().await;
        tokio::time::sleep(POST * 2).await;
        assert_eq!((host.phase(), bmc.state().system_power()), (Phase::Post, Reading::Is("On")));
        bmc.thaw().unwrap();
        tokio::time::sleep(POST + seconds(1)).await;
        assert_eq!(host.phase(), Phase::Runs);
        bmc.freeze().await.unwrap();
        bmc.set_quirks(Quirks { power_state: PowerReading::Stuck, ..Quirks::default() });
        bmc.pull().await.unwrap();
        assert_eq!((host.phase(), bmc.state().system_power()), (Phase::Off, Reading::Is("On")));
    });
}

fn machine(quirks: Quirks) -> Machine {
    Machine { quirks, ..Machine::new("m1", "00112233-4455-6677-8899-aabbccddeeff") }
}

/// A request of the account itself.
fn asked(method: &str, path: &str, body: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(path).header("authorization", "Basic Y29udHJvbGxlcjpsYWI=");
    request.body(Full::new(Bytes::from(body.to_owned()))).unwrap()
}

/// A body that does not come.
struct Never;

impl hyper::body::Body for Never {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Pending
    }
}

#[test]
fn a_connection_that_is_dropped_hangs_or_is_cut_is_met_as_one() {
    run(async {
        let host = StandIn::new(POST, DYING);
        let bmc = host.with_bmc(machine(Quirks { drop_reply: true, ..Quirks::default() }), 1);
        let connection = Connection::new(&bmc);
        // the answer is lost, what was asked is done
        assert!(connection.answer(asked("POST", RESET, r#"{"ResetType":"On"}"#)).await.is_err());
        assert_eq!(host.phase(), Phase::Post);
        let quirks = |redfish| Quirks::default().changed(&json!({ "redfish": redfish })).unwrap();
        bmc.set_quirks(quirks(json!({ "hangs": "System-1" })));
        assert!(tokio::time::timeout(seconds(3_600), connection.answer(asked("GET", SYSTEM, ""))).await.is_err());
        bmc.set_quirks(quirks(json!({ "idle_cut_ms": 5_000 })));
        assert!(connection.answer(asked("GET", SYSTEM, "")).await.is_err(), "idle for an hour");
        let connection = Connection::new(&bmc);
        for (pause, answered) in [(4, true), (4, true), (5, false)] {
            tokio::time::sleep(seconds(pause)).await;
            assert_eq!(connection.answer(asked("GET", SYSTEM, "")).await.is_ok(), answered);
        }
        // a body that does not come is waited for, and not for ever
        let begun = now();
        let request = Request::builder().method("POST").uri(RESET).body(Never).unwrap();
        let answer = Connection::new(&bmc).answer(request).await.unwrap();
        assert_eq!((answer.status().as_u16(), since(begun)), (408, super::limits::BODY_READ));
    });
}

#[test]
fn an_event_stream_tells_what_happens_when_it_happens() {
    run(async {
        let host = StandIn::new(POST, DYING);
        let bmc = host.with_bmc(machine(Quirks::default()), 1);
        bmc.power_on("ManagementCommand").await.unwrap();
        let begun = now();
        let answer = Connection::new(&bmc).answer(asked("GET", "/redfish/v1/EventService/SSE", "")).await.unwrap();
        let (mut body, mut told) = (answer.into_body(), Vec::new());
        let hand = Arc::clone(&bmc);
        tokio::spawn(async move {
            tokio::time::sleep(seconds(600)).await;
            hand.force_off().await;
        });
        // with a comment every ten seconds
        for _ in 0..200 {
            let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
            let text = String::from_utf8(piece.to_vec()).unwrap();
            if let Some((_, what)) = text.split_once("have changed (") {
                told.push((what.split_once(')').unwrap().0.to_owned(), since(begun)));
            }
        }
        assert!(since(begun) > seconds(1_200));
        assert_eq!(told, [("BootProgress".to_owned(), POST), ("off".to_owned(), seconds(600) + DYING)]);
    });
}

#[test]
fn without_mains_nothing_is_heard_and_afterwards_the_policy_acts() {
    run(async {
        let host = StandIn::new(POST, DYING);
        let bmc = host.with_bmc(machine(Quirks::default()), 1);
        let (mut console, mut told) = (Console::new("m1", &bmc), Transcript::default());
        console.open(&mut told).await;
        bmc.power_on("ManagementCommand").await.unwrap();
        let before = bmc.link().get();
        bmc.power_loss().await.unwrap();
        let lost = bmc.link().get();
        assert_eq!((before.reach, lost.reach, lost.epoch), (Reach::Answering, Reach::Unreachable, before.epoch + 1));
        assert_eq!((host.phase(), bmc.power_on("ManagementCommand").await.is_err()), (Phase::Off, true));
        console.port.take(
            &console.out,
            ([127, 0, 0, 9], 4711).into(),
            &wire::bare(&[0x20, 0x18, 0xc8, 0x81, 0, 0x38, 0x8e, 4, 0xb5]),
        );
        tokio::time::sleep(seconds(60)).await;
        assert!(console.came.try_recv().is_err());
        // it ran, and so it runs again
        bmc.power_return().await.unwrap();
        assert_eq!((host.phase(), bmc.link().get().reach), (Phase::Post, Reach::Answering));
        console.open(&mut told).await;
        assert!(console.power(&mut told).await);
    });
}
