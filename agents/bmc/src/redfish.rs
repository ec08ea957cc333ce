//! One machine's BMC over Redfish: one kept session, fresh readings, commands that are sent at most once and judged by what is read.
//! Must never command a box whose identity was not read on the same session right before, and never report what was asked for
//! instead of what was read.

mod abilities;
mod boot;
mod command;
mod ear;
mod events;
mod facts;
mod greet;
#[cfg(any(test, feature = "hostile"))]
pub mod hostile;
mod http;
mod identity;
mod inventory;
mod layout;
mod light;
mod lldp;
mod log;
pub mod over_tls;
mod policy;
mod power;
mod session;
mod survey;
mod task;
pub mod tls;
pub mod transport;
mod trouble;
mod view;
mod walk;
pub(crate) mod youth;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use serde_json::Value;
use vocabulary::Fault;
use vocabulary::boot::Firmware;
use vocabulary::light::{Light, LightReading};
use vocabulary::power::{BootTarget, Identity, MachineReading, PowerState, RestorePolicy};
use vocabulary::request::AgentError;

use crate::driver::{Door, Driver, Inspection, Probe, Purpose, Scope, Survey};
use crate::fault::Kind;
use crate::findings::{Ability, Findings, ONLY_WATCHED};
use crate::given::{Given, now, since};
use crate::limits::{self, Patience};
use boot::Reads;
use command::{Sent, Verdict};
use ear::Ear;
pub use greet::Greeting;
pub(crate) use greet::greet;
use http::{Http, Reply, Via};
use layout::{Choice, Layout, Root};
use power::Reset;
use session::{Account, Numbers, Session};
use tls::Pin;
use transport::Road;
use trouble::Trouble;
use youth::Youth;

/// A BMC that speaks Redfish.
#[derive(Debug)]
pub(crate) struct Redfish {
    address: String,
    http: Arc<Http>,
    account: Account,
    expected: Identity,
    choice: Choice,
    /// The estate lets it only be read.
    watches: bool,
    patience: Patience,
    /// The only firmware mode of the machine, where it has only one.
    firmware: Option<Firmware>,
    numbers: Numbers,
    youth: Mutex<Youth>,
    found: Mutex<Option<Findings>>,
    held: tokio::sync::Mutex<Held>,
    ear: tokio::sync::Mutex<Ear>,
    given: Given,
}

/// What is kept from one call to the next.
#[derive(Debug, Default)]
struct Held {
    root: Option<Root>,
    session: Option<Arc<Session>>,
    layout: Option<Arc<Layout>>,
    /// When and why the account was refused.
    refused: Option<(Instant, Kind, String)>,
}

/// A session and what was found out on it.
#[derive(Clone, Debug)]
struct Link {
    session: Arc<Session>,
    layout: Arc<Layout>,
}

/// A reading and the system's own words behind it.
#[derive(Debug)]
struct Seen {
    reading: MachineReading,
    system: Value,
    link: Link,
}

/// What a caller wants done.
#[derive(Clone, Copy, Debug)]
enum Errand {
    Reset(Reset),
    Boot(BootTarget),
    PolicyOff,
    Light(Light),
}

/// The constructor in the registry's row.
pub(crate) fn open(door: &Door, purpose: Purpose, given: &Given, road: &Road) -> Result<Arc<dyn Driver>, AgentError> {
    let address = door.bmc.address.to_string();
    let refuse = |reason: String| AgentError::Rejected { reason: format!("BMC {address}: {reason}") };
    let expected = view::told(&door.identity.uuid, &door.identity.serial);
    if purpose == Purpose::Act && expected.uuid.is_empty() && expected.serial.is_empty() {
        return Err(refuse("the estate names neither a usable UUID nor a usable serial; nothing could ever be checked".into()));
    }
    let pinned = match &door.pin {
        Some(text) => {
            Some(Pin::parse(text).ok_or_else(|| refuse("the pinned certificate is no SHA-256 in hex (64 digits)".into()))?)
        }
        None => Pin::parse(&door.bmc.certificate),
    };
    let pin = Pin::new(pinned);
    let transport = road(door.bmc.address, &pin, door.patience);
    let transport = transport.map_err(|why| Trouble::Unsupported(why).told(&address))?;
    let http = Http::new(transport, pin, door.patience);
    let choice = match purpose {
        Purpose::Act => Choice::Expected(expected.clone()),
        Purpose::Look => Choice::Look(expected.clone()),
    };
    Ok(Arc::new(Redfish {
        address,
        http: Arc::new(http),
        account: Account { user: door.bmc.user.clone(), password: door.password.clone() },
        expected,
        choice,
        watches: door.bmc.only_watches(),
        patience: door.patience,
        firmware: if door.firmware.len() == 1 { door.firmware.first().copied() } else { None },
        numbers: Numbers::new(given),
        youth: Mutex::default(),
        found: Mutex::default(),
        held: tokio::sync::Mutex::default(),
        ear: tokio::sync::Mutex::new(Ear::new(given.clone())),
        given: given.clone(),
    }))
}

impl Redfish {
    /// The kept session and layout, made now if there is none.
    async fn link(&self) -> Result<Link, Trouble> {
        let wait = self.patience.discovery;
        let made = tokio::time::timeout(wait, async {
            let mut held = self.held.lock().await;
            self.establish(&mut held).await
        });
        made.await.unwrap_or_else(|_| Err(Trouble::Silent(format!("no session and discovery within {wait:?}"))))
    }

    async fn establish(&self, held: &mut Held) -> Result<Link, Trouble> {
        if let Some((when, kind, why)) = &held.refused
            && since(*when) < limits::LOGIN_PAUSE
        {
            let pause = limits::LOGIN_PAUSE;
            return Err(Trouble::Account(*kind, format!("{why}; not tried again for {pause:?}, lest the account be locked")));
        }
        if held.session.as_ref().is_some_and(|session| session.is_due()) {
            held.session = None;
        }
        let made = self.make(held).await;
        match &made {
            Err(Trouble::Account(kind, why)) => {
                held.refused = Some((now(), *kind, why.clone()));
                held.session = None;
            }
            Err(Trouble::SessionLost) => held.session = None,
            Err(Trouble::Silent(_)) => {
                if let Some(session) = &held.session {
                    session.interrupted(&self.numbers);
                }
            }
            _ => {}
        }
        made
    }

    async fn make(&self, held: &mut Held) -> Result<Link, Trouble> {
        let session = match &held.session {
            Some(session) => Arc::clone(session),
            None => {
                (held.root, held.layout) = (None, None);
                let root = Root::read(&self.http).await?;
                let session = Arc::new(Session::open(&self.http, root.sessions.as_deref(), &self.account, &self.numbers).await?);
                tracing::debug!(bmc = %self.address, kept = session.is_kept(), "new session");
                (held.root, held.session) = (Some(root), Some(Arc::clone(&session)));
                session
            }
        };
        if let Some(layout) = &held.layout {
            return Ok(Link { session, layout: Arc::clone(layout) });
        }
        let root = match held.root.take() {
            Some(root) => root,
            None => Root::read(&self.http).await?,
        };
        let root = held.root.insert(root);
        let (layout, host) = layout::discover(&self.http, root, &session.credential, &self.choice).await?;
        let attribute = layout.quirks.restore_attribute().map(|attribute| attribute.name);
        let mut abilities = abilities::of(&host.system, layout.resets.as_deref(), attribute);
        if self.watches {
            abilities.iter_mut().for_each(|ability| *ability = Ability::no(ability.name.clone(), ONLY_WATCHED));
        }
        abilities.extend([
            abilities::rail(layout.chassis.as_deref()),
            abilities::tells(layout.events.as_deref(), session.is_kept()),
            abilities::host(&host.system, &layout.system, host.of),
        ]);
        let (platform, quirks) = (host.platform.to_string(), host.platform.records());
        let findings = Findings { platform, quirks, session: session.shown(), abilities };
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(findings);
        let layout = Arc::new(layout);
        held.layout = Some(Arc::clone(&layout));
        Ok(Link { session, layout })
    }

    /// The event stream and the session on which to listen, where the BMC offers the one and keeps the other. Where each request carries
    /// the account, nobody listens: such a BMC's own log-ins would be events.
    async fn stream(&self) -> Option<(Link, String)> {
        let held = self.held.lock().await;
        let session = held.session.as_ref().filter(|session| session.is_kept())?;
        let layout = held.layout.as_ref()?;
        let link = Link { session: Arc::clone(session), layout: Arc::clone(layout) };
        layout.events.clone().map(|events| (link, events))
    }

    /// Draws the consequences of what went wrong on a link: a lost session is forgotten, a silence breaks it, a strange box is
    /// discovered anew next time.
    async fn noted<T>(&self, link: &Link, outcome: Result<T, Trouble>) -> Result<T, Trouble> {
        match &outcome {
            Ok(_) | Err(Trouble::Unsupported(_) | Trouble::Unconfirmed(..)) => {}
            Err(Trouble::Silent(_) | Trouble::BrokenOff(_) | Trouble::Certificate { .. }) => {
                link.session.interrupted(&self.numbers);
            }
            Err(Trouble::SessionLost | Trouble::Account(..)) => {
                let mut held = self.held.lock().await;
                if let Err(Trouble::Account(kind, why)) = &outcome {
                    held.refused = Some((now(), *kind, why.clone()));
                }
                if held.session.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, &link.session)) {
                    held.session = None;
                }
            }
            Err(Trouble::Identity(_) | Trouble::Answer(_) | Trouble::Rights(_) | Trouble::Busy(_)) => {
                let mut held = self.held.lock().await;
                if held.layout.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, &link.layout)) {
                    held.layout = None;
                }
            }
        }
        outcome
    }

    /// The system as it is now, after making sure that it is the expected machine.
    async fn identified(&self, link: &Link, via: Via) -> Result<Reply, Trouble> {
        let reply = self.system(link, via).await?;
        identity::check(&self.expected, &view::identity(&reply.body))?;
        Ok(reply)
    }

    async fn system(&self, link: &Link, via: Via) -> Result<Reply, Trouble> {
        let path = &link.layout.system;
        let reply = self.http.get(via, path, &link.session.credential).await?;
        match reply.status {
            401 => Err(layout::lost(&link.session.credential, &reply.explained())),
            _ if reply.is_success() => Ok(reply),
            _ => Err(Trouble::of(reply.status, path, &reply.explained())),
        }
    }

    /// A fresh reading; once more on a new session if the kept one is gone.
    async fn see(&self) -> Result<Seen, Trouble> {
        let mut again = true;
        loop {
            let link = self.link().await?;
            let wait = self.patience.reading;
            let seen = tokio::time::timeout(wait, self.look(&link)).await;
            let seen = seen.unwrap_or_else(|_| Err(Trouble::Silent(format!("no complete reading within {wait:?}"))));
            match self.noted(&link, seen).await {
                Err(Trouble::SessionLost) if again => again = false,
                outcome => return outcome,
            }
        }
    }

    /// Asks system, chassis and manager at once: every field of the reading was requested after this call began.
    async fn look(&self, link: &Link) -> Result<Seen, Trouble> {
        let who = &link.session.credential;
        let before = link.session.number(&self.numbers);
        // where each request carries the account, an account that is refused is refused once, not three times
        let alone = if link.session.is_kept() { None } else { Some(self.system(link, Via::Eyes).await?) };
        let (system, chassis, manager) = futures::join!(
            async { if let Some(system) = alone { Ok(system) } else { self.system(link, Via::Eyes).await } },
            layout::optional(&self.http, link.layout.chassis.as_deref(), who),
            layout::optional(&self.http, link.layout.manager.as_deref(), who),
        );
        let system = system?.body;
        let (chassis, manager) = (chassis?, manager?);
        let told = view::identity(&system);
        if let Choice::Expected(expected) = &self.choice {
            identity::check(expected, &told)?;
            self.http.pin().trust();
        }
        let unbroken = !link.session.is_kept() || link.session.number(&self.numbers) == before;
        let (bmc_started, clock) = (view::time(&manager, "LastResetTime"), view::time(&manager, "DateTime"));
        let young =
            self.youth.lock().unwrap_or_else(PoisonError::into_inner).is_young(bmc_started.as_deref(), clock.as_deref(), now());
        let reading = MachineReading {
            session: if unbroken { before } else { self.numbers.next() },
            identity: told,
            certificate: self.http.certificate(),
            system_power: youth::believed(view::power(&system), young),
            chassis_power: link.layout.chassis.as_ref().map(|_| youth::believed(view::power(&chassis), young)),
            last_reset: view::time(&system, "LastResetTime"),
            boot_progress: view::boot_progress(&system),
            bmc_started,
            restore_policy: view::restore_policy(&system),
            health: view::health(&system),
            read_at: (self.given.wall)(),
        };
        Ok(Seen { reading, system, link: link.clone() })
    }

    /// Sends a command; once more on a new session if the BMC says that it does not know the kept one (then nothing was done).
    async fn order(&self, errand: Errand) -> Result<Sent, Trouble> {
        if self.watches {
            return Err(Trouble::Rights(ONLY_WATCHED.to_owned()));
        }
        if !self.http.pin().is_trusted() {
            return Err(Trouble::Unsupported(
                "no certificate is pinned for it, and the first contact only reads; nothing was sent; enrol the machine with \
                 `understudy machine enroll`, or write the certificate's SHA-256 into its `bmc`"
                    .into(),
            ));
        }
        let mut again = true;
        loop {
            let link = self.link().await?;
            let sent = match errand {
                Errand::Reset(reset) => power::reset(self, &link, reset).await,
                Errand::Boot(target) => boot::set(self, &link, target).await,
                Errand::PolicyOff => policy::set_off(self, &link).await,
                Errand::Light(light) => light::switch(self, &link, light).await,
            };
            match self.noted(&link, sent).await {
                Err(Trouble::SessionLost) if again => again = false,
                outcome => return outcome,
            }
        }
    }

    /// A power command and what is read afterwards. A refusal counts for nothing where the machine reads as wanted.
    async fn powered(&self, reset: Reset, wanted: fn(&MachineReading) -> bool) -> Result<MachineReading, Trouble> {
        let verdict = self.order(Errand::Reset(reset)).await?.verdict;
        let word = reset.word();
        match (verdict, self.see().await) {
            (Verdict::Accepted | Verdict::NotNeeded, Ok(seen)) => Ok(seen.reading),
            (Verdict::Denied(_) | Verdict::Failed(_), Ok(seen)) if wanted(&seen.reading) => Ok(seen.reading),
            (Verdict::Denied(why), Ok(seen)) => {
                let text = format!("{word} is answered {why}, the machine reads {}", shown(&seen.reading));
                Err(Trouble::refused(&why, text))
            }
            (Verdict::Failed(why), Ok(seen)) => {
                let text = format!("{word} is answered {why}, the machine reads {}", shown(&seen.reading));
                Err(Trouble::Unconfirmed(Kind::Answer, text))
            }
            (Verdict::NotNeeded, Err(trouble)) => Err(trouble),
            (Verdict::Denied(why), Err(trouble)) => {
                Err(Trouble::refused(&why, format!("{word} is answered {why}; reading back: {trouble}")))
            }
            (Verdict::Accepted, Err(trouble)) => {
                let text = format!("{word} was accepted, but what is cannot be read: {trouble}");
                Err(Trouble::Unconfirmed(trouble.kind().in_mid_operation(), text))
            }
            (Verdict::Failed(why), Err(trouble)) => {
                let text = format!("{word} is answered {why}; reading back: {trouble}");
                Err(Trouble::Unconfirmed(trouble.kind().in_mid_operation(), text))
            }
        }
    }

    /// A setting and what is read back, several times: BMCs take a moment.
    async fn settled(&self, errand: Errand, what: &str) -> Result<Seen, Trouble> {
        let sent = self.order(errand).await?;
        let mut pause = limits::READ_BACK_PAUSE;
        let (mut attempt, mut corrected) = (1, false);
        loop {
            let reads = match (self.read_back(errand, &sent).await, &sent.verdict) {
                (Ok((seen, Reads::Set)), _) => return Ok(seen),
                (Ok((seen, Reads::Flipped(mode))), _) if !corrected => {
                    corrected = true;
                    let outcome = boot::correct(self, &seen.link, &sent.at, mode).await;
                    self.noted(&seen.link, outcome).await.map_err(|trouble| {
                        let kind = trouble.kind().in_mid_operation();
                        Trouble::Unconfirmed(kind, format!("{what} changed the boot mode; setting that again: {trouble}"))
                    })?;
                    continue;
                }
                (Ok((_, Reads::Flipped(mode))), _) => format!("the other boot mode than {mode:?}, which was set again"),
                (Ok((_, Reads::Otherwise(reads))), Verdict::Denied(why)) => {
                    return Err(Trouble::refused(why, format!("{what} is answered {why}; it reads {reads}")));
                }
                (Ok((_, Reads::Otherwise(reads))), _) => reads,
                (Err(trouble), Verdict::Denied(why)) => {
                    return Err(Trouble::refused(why, format!("{what} is answered {why}; reading back: {trouble}")));
                }
                (Err(trouble), _) => {
                    let kind = trouble.kind().in_mid_operation();
                    return Err(Trouble::Unconfirmed(kind, format!("{what}: reading back: {trouble}")));
                }
            };
            if attempt == limits::READ_BACK_ATTEMPTS {
                let answered =
                    if let Verdict::Failed(why) = &sent.verdict { format!("answered {why}") } else { "accepted".to_owned() };
                return Err(Trouble::Unconfirmed(Kind::Answer, format!("{what} was {answered}, but it still reads {reads}")));
            }
            tokio::time::sleep(pause).await;
            (attempt, pause) = (attempt + 1, pause.saturating_mul(2));
        }
    }

    /// A fresh reading, and how a setting reads with it.
    async fn read_back(&self, errand: Errand, sent: &Sent) -> Result<(Seen, Reads), Trouble> {
        let mut seen = self.see().await?;
        let reads = match errand {
            Errand::Boot(target) => boot::read_back(self, &seen.link, &seen.system, target, sent).await?,
            Errand::PolicyOff => {
                let read = policy::read_back(self, &seen.link, &seen.system).await?;
                seen.reading.restore_policy = read.active;
                if read.active == RestorePolicy::AlwaysOff { Reads::Set } else { Reads::Otherwise(read.shown) }
            }
            Errand::Light(light) => {
                let told = light::reading(&seen.system);
                if told.fits(light) { Reads::Set } else { Reads::Otherwise(format!("{told:?}")) }
            }
            // A power command is judged by `powered`.
            Errand::Reset(_) => Reads::Otherwise(shown(&seen.reading)),
        };
        Ok((seen, reads))
    }

    /// A reading as an outcome of looking.
    fn probed(&self, seen: &Seen) -> Probe {
        let matches = identity::likeness(&self.expected, &seen.reading.identity) == identity::Likeness::Same;
        let findings = self.found().unwrap_or_default();
        Probe {
            certificate: seen.reading.certificate.clone(),
            findings,
            reading: seen.reading.clone(),
            survey: Survey::default(),
            matches,
        }
    }

    /// Bounds a whole command and puts its outcome into a caller's words.
    async fn bounded<T>(&self, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, AgentError> {
        let wait = self.patience.command;
        let late = || Trouble::BrokenOff(format!("not finished within {wait:?}; whether it was done is unknown"));
        tokio::time::timeout(wait, work).await.unwrap_or_else(|_| Err(late())).map_err(|trouble| trouble.told(&self.address))
    }
}

#[async_trait]
impl contract::bmc::Bmc for Redfish {
    async fn read(&self) -> Result<MachineReading, AgentError> {
        self.see().await.map(|seen| seen.reading).map_err(|trouble| trouble.told(&self.address))
    }

    async fn changed(&self) -> Result<(), AgentError> {
        let mut ear = self.ear.lock().await;
        loop {
            // looks make sessions; the next one may bring it
            let Some((link, events)) = self.stream().await else {
                let reason = format!("BMC {}: it offers no event stream, or gives no session on which to listen", self.address);
                return Err(AgentError::Rejected { reason });
            };
            match ear.next(&self.http, &link.session, &events).await {
                Ok(()) => return Ok(()),
                // another box answers: what is read from here on is not on an unbroken session
                Err(strange @ Trouble::Certificate { .. }) => drop(self.noted(&link, Err::<(), _>(strange)).await),
                Err(trouble) => tracing::debug!(bmc = %self.address, %trouble, "no event stream; it is tried again later"),
            }
        }
    }

    async fn power_off(&self) -> Result<MachineReading, AgentError> {
        self.bounded(self.powered(Reset::ForceOff, MachineReading::all_off)).await
    }

    async fn power_on(&self) -> Result<MachineReading, AgentError> {
        let on = |reading: &MachineReading| matches!(reading.system_power, PowerState::On | PowerState::PoweringOn);
        self.bounded(self.powered(Reset::On, on)).await
    }

    async fn shut_down(&self) -> Result<MachineReading, AgentError> {
        self.bounded(self.powered(Reset::GracefulShutdown, MachineReading::all_off)).await
    }

    async fn set_boot_target(&self, target: BootTarget) -> Result<MachineReading, AgentError> {
        let what = format!("boot target {}", boot::word(target));
        self.bounded(self.settled(Errand::Boot(target), &what)).await.map(|seen| seen.reading)
    }

    async fn set_restore_policy_off(&self) -> Result<MachineReading, AgentError> {
        self.bounded(self.settled(Errand::PolicyOff, "restore policy AlwaysOff")).await.map(|seen| seen.reading)
    }

    async fn identify(&self, light: Light) -> Result<LightReading, AgentError> {
        let seen = self.bounded(self.settled(Errand::Light(light), "the identify light")).await?;
        Ok(light::reading(&seen.system))
    }
}

#[async_trait]
impl Driver for Redfish {
    async fn probe(&self) -> Result<Probe, Fault> {
        let seen = self.see().await.map_err(|trouble| trouble.fault(&self.address))?;
        Ok(self.probed(&seen))
    }

    async fn survey(&self, scope: Scope) -> Result<Survey, Fault> {
        self.survey_all(scope).await.map_err(|trouble| trouble.fault(&self.address))
    }

    async fn inspect(&self) -> Result<Inspection, Fault> {
        // not `see`, which would log in again where the session is lost
        let looked = async {
            let link = self.link().await?;
            let wait = self.patience.reading;
            let seen = tokio::time::timeout(wait, self.look(&link)).await;
            seen.unwrap_or_else(|_| Err(Trouble::Silent(format!("no complete reading within {wait:?}"))))
        };
        let seen = looked.await.map_err(|trouble| trouble.fault(&self.address))?;
        let inventory = inventory::read(&self.http, &seen.link.session.credential, &seen.system).await;
        Ok(Inspection { probe: self.probed(&seen), inventory })
    }

    async fn power_supplies(&self) -> Result<Option<u32>, AgentError> {
        self.bounded(self.count_supplies()).await
    }

    fn found(&self) -> Option<Findings> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn close(&self) {
        let session = self.held.lock().await.session.take();
        // who still waits for a change holds it, and ends with it
        if let Ok(mut ear) = self.ear.try_lock() {
            *ear = Ear::new(self.given.clone());
        }
        if let Some(session) = session {
            session.close(&self.http).await;
        }
    }
}

impl Drop for Redfish {
    fn drop(&mut self) {
        let session = self.held.get_mut().session.take();
        // Without a runtime nobody can say farewell: the session runs out by itself.
        if let (Some(session), Ok(runtime)) = (session, tokio::runtime::Handle::try_current()) {
            let http = Arc::clone(&self.http);
            runtime.spawn(async move { session.close(&http).await });
        }
    }
}

fn shown(reading: &MachineReading) -> String {
    match reading.chassis_power {
        Some(chassis) => format!("{:?} (chassis {chassis:?})", reading.system_power),
        None => format!("{:?}", reading.system_power),
    }
}
