//! One machine's BMC over IPMI 2.0: one kept session, fresh readings, commands that are sent at most once and judged by what is read.
//! Must never command a box whose GUID was not read on the same session right before, and never report what was asked for instead of
//! what was read.

mod abilities;
pub mod air;
pub mod commands;
pub mod crypto;
pub mod fault;
pub mod fru;
mod handshake;
#[cfg(any(test, feature = "hostile"))]
pub mod hostile;
mod hub;
mod identity;
mod inventory;
mod light;
mod live;
pub mod log;
pub mod noise;
#[cfg(test)]
mod peer;
pub(crate) mod presence;
#[cfg(test)]
mod recorded_tests;
mod sensing;
pub mod sensors;
pub mod session;
#[cfg(test)]
mod session_tests;
mod states;
mod survey;
mod trouble;
pub mod watchdog;
pub mod wire;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use ipmi_rs_core::connection::CompletionErrorCode;
use vocabulary::boot::Firmware;
use vocabulary::estate::{CipherSuite, IpmiPrivilege};
use vocabulary::light::{Light, LightReading};
use vocabulary::power::{BootTarget, Identity, MachineReading, PowerState, RestorePolicy};
use vocabulary::request::AgentError;
use zeroize::Zeroizing;

use crate::driver::{Door, Driver, Probe, Purpose, Scope, Survey};
use crate::fault::{Kind, Refusal};
use crate::findings::{Findings, ONLY_WATCHED};
use crate::given::{Given, now};
use crate::limits::{self, Patience};
use crate::redfish::youth::believed;
use commands::{BootFlags, Control};
pub use crypto::Suite;
use fault::Fault;
pub use handshake::Account;
pub use hub::Lines;
use hub::{Line, Told};
use session::{Request, Timing};
use trouble::{Setting, Trouble, Verdict};

/// Longest user name of IPMI, bytes.
const USER_MAX: usize = 16;
/// Longest password and longest K_G of IPMI 2.0, bytes.
const PASSWORD_MAX: usize = 20;

/// Who answered last.
#[derive(Clone, Debug)]
struct Met {
    session: u64,
    identity: Identity,
    /// When that was asked.
    at: Instant,
}

impl Met {
    /// True while a routine look may do without asking again.
    fn counts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < limits::IPMI_IDENTITY
    }
}

/// A BMC that speaks IPMI.
pub(crate) struct Ipmi {
    address: String,
    line: Line,
    given: Given,
    /// UUID in lower case, and serial number; empty where the estate names none that tells machines apart.
    expected: Identity,
    purpose: Purpose,
    patience: Patience,
    /// The only firmware mode of the machine, where it has only one.
    firmware: Option<Firmware>,
    privilege: IpmiPrivilege,
    met: Mutex<Option<Met>>,
    /// The device was asked who made it; asked once, whatever came of it.
    asked: AtomicBool,
    found: Mutex<Option<Findings>>,
    inventory: Mutex<inventory::Known>,
    sensors: Mutex<sensing::Cached>,
    log: Mutex<log::Follower>,
}

/// The account in the form that the handshake needs.
pub fn account(door: &Door) -> Result<Account, String> {
    let access = door.bmc.ipmi_access();
    let user = door.bmc.user.clone().into_bytes();
    let password = Zeroizing::new(door.password.expose().as_bytes().to_vec());
    if user.len() > USER_MAX {
        return Err(format!("the user's name is longer than the {USER_MAX} bytes of IPMI"));
    }
    if password.len() > PASSWORD_MAX {
        return Err(format!("the password is longer than the {PASSWORD_MAX} bytes of IPMI 2.0, and the BMC would cut it"));
    }
    let key = door.key.as_ref().map(|key| read_key(key.expose())).transpose()?;
    let privilege = level(access.privilege);
    let suites = match access.weakest_suite {
        CipherSuite::Three => vec![Suite::Seventeen, Suite::Three],
        CipherSuite::Seventeen => vec![Suite::Seventeen],
    };
    Ok(Account { user, password, key, privilege, suites })
}

fn level(privilege: IpmiPrivilege) -> u8 {
    match privilege {
        IpmiPrivilege::User => 2,
        IpmiPrivilege::Operator => 3,
        IpmiPrivilege::Administrator => 4,
    }
}

/// K_G as text, or as `0x` and hexadecimal digits.
fn read_key(text: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let complaint =
        || format!("the BMC key is neither text of up to {PASSWORD_MAX} bytes nor `0x` and up to {} digits", 2 * PASSWORD_MAX);
    let bytes = match text.strip_prefix("0x") {
        Some(digits) if digits.is_ascii() && digits.len().is_multiple_of(2) => {
            let pair = |at| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
            (0..digits.len()).step_by(2).map(pair).collect::<Option<Vec<u8>>>().ok_or_else(complaint)?
        }
        Some(_) => return Err(complaint()),
        None => text.as_bytes().to_vec(),
    };
    if bytes.is_empty() || bytes.len() > PASSWORD_MAX { Err(complaint()) } else { Ok(Zeroizing::new(bytes)) }
}

/// The constructor in the registry's row.
pub(crate) fn open(door: &Door, purpose: Purpose, given: &Given, lines: &Lines) -> Result<Arc<dyn Driver>, AgentError> {
    let address = door.bmc.address.to_string();
    let refuse = |reason: String| AgentError::Rejected { reason: format!("BMC {address}: {reason}") };
    let expected = identity::expected(&door.identity);
    if purpose == Purpose::Act && expected.uuid.is_empty() && expected.serial.is_empty() {
        return Err(refuse("the estate names neither a UUID nor a serial that only this machine can have".into()));
    }
    let account = account(door).map_err(refuse)?;
    let privilege = door.bmc.ipmi_access().privilege;
    let patience = door.patience;
    let timing = Timing {
        step: patience.connect,
        request: patience.request,
        pause: patience.connect / limits::IPMI_PAUSES_PER_STEP,
        idle: limits::IPMI_KEEP_ALIVE,
    };
    let line = lines.line(door.bmc.address, Arc::new(account), timing);
    let line = line.map_err(|fault| Trouble::from(fault).told(&address))?;
    let firmware = if door.firmware.len() == 1 { door.firmware.first().copied() } else { None };
    Ok(Arc::new(Ipmi {
        address,
        line,
        given: given.clone(),
        expected,
        purpose,
        patience,
        firmware,
        privilege,
        met: Mutex::default(),
        asked: AtomicBool::new(false),
        found: Mutex::default(),
        inventory: Mutex::default(),
        sensors: Mutex::default(),
        log: Mutex::default(),
    }))
}

impl Ipmi {
    /// Asks for what every BMC must answer.
    async fn need(&self, what: &str, request: Request, on: Option<u64>) -> Result<Told, Trouble> {
        let told = self.line.ask(request, on).await?;
        match commands::good(&told.reply) {
            Ok(_) => Ok(told),
            Err(code) if commands::is_not_ready(code) => Err(Fault::Busy.into()),
            Err(code) => Err(no(what, code)),
        }
    }

    /// A fresh reading.
    async fn see(&self) -> Result<MachineReading, Trouble> {
        self.in_time(self.look()).await
    }

    /// A reading of how it is, where who it is was asked for not long ago on a session that is still open; else a fresh one.
    async fn glance(&self) -> Result<MachineReading, Trouble> {
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match met.filter(|met| met.counts(now())) {
            Some(met) => self.in_time(self.status(met.identity, met.session)).await,
            None => self.see().await,
        }
    }

    /// A reading within its time; a fresh one on a new session if the kept one is gone.
    async fn in_time(&self, first: impl Future<Output = Result<MachineReading, Trouble>>) -> Result<MachineReading, Trouble> {
        let wait = self.patience.reading;
        let seen = tokio::time::timeout(wait, async {
            match first.await {
                Err(Trouble::Fault(Fault::Broken | Fault::Expired)) => self.look().await,
                outcome => outcome,
            }
        });
        seen.await.unwrap_or_else(|_| Err(Trouble::Late(format!("no complete reading within {wait:?}"))))
    }

    /// Who it is, then how it is, both asked for after this call began and on one session.
    async fn look(&self) -> Result<MachineReading, Trouble> {
        // what is about to be asked is not known meanwhile, and not at all if a stranger answers
        self.met.lock().unwrap_or_else(PoisonError::into_inner).take();
        let at = now();
        let told = self.line.ask(commands::system_guid(), None).await?;
        let guid = match commands::good(&told.reply) {
            Ok(data) => commands::read_guid(data).ok_or(Fault::Nonsense("a GUID that is cut short"))?,
            // then the one that the handshake's codes vouch for
            Err(code) if commands::is_unknown_command(code) => told.guid,
            Err(code) if commands::is_not_ready(code) => return Err(Fault::Busy.into()),
            Err(code) => return Err(no("the GUID", code)),
        };
        let mut identity = identity::told(guid, &self.expected);
        if identity::needs_serial(&identity, &self.expected) {
            identity.serial = self.serial(told.session).await?;
        }
        if self.purpose == Purpose::Act
            && let Some(strange) = identity::strange(&identity, &self.expected)
        {
            return Err(Trouble::Identity(strange));
        }
        self.met.lock().unwrap_or_else(PoisonError::into_inner).replace(Met {
            session: told.session,
            identity: identity.clone(),
            at,
        });
        self.status(identity, told.session).await
    }

    /// How the box is that answers on this session.
    async fn status(&self, identity: Identity, session: u64) -> Result<MachineReading, Trouble> {
        let told = self.need("the chassis status", commands::chassis_status(), Some(session)).await?;
        let chassis = commands::read_chassis(&told.reply.data).ok_or(Fault::Nonsense("no chassis status"))?;
        Ok(MachineReading {
            session: told.session,
            identity,
            certificate: None,
            system_power: believed(chassis.power, told.young),
            // one source: a proof by these readings alone is weak
            chassis_power: None,
            last_reset: None,
            boot_progress: None,
            bmc_started: None,
            restore_policy: chassis.restore_policy,
            health: chassis.health.map(str::to_owned),
            read_at: (self.given.wall)(),
        })
    }

    /// Asks the device who made it, and keeps what is known of the BMC then.
    async fn find_out(&self, reading: &MachineReading) -> Result<Findings, Trouble> {
        let told = self.need("the device", commands::device_id(), Some(reading.session)).await?;
        let device = commands::read_device_id(&told.reply.data).ok_or(Fault::Nonsense("a device that is cut short"))?;
        let findings = abilities::of(&device, told.spoken, self.privilege, reading.restore_policy);
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(findings.clone());
        Ok(findings)
    }

    /// Sends what changes something, on the session on which the reading was taken.
    async fn send(&self, what: &'static str, request: Request, on: u64) -> Result<Verdict, Trouble> {
        let told = match self.line.ask(request, Some(on)).await {
            Err(Fault::Broken) => return Err(Trouble::BrokenOff(format!("the session fell silent after {what} was sent"))),
            told => told?,
        };
        let refusal = |code| Refusal { kind: commands::kind(code), why: commands::explained(code) };
        Ok(match commands::good(&told.reply) {
            Ok(_) => Verdict::Accepted,
            Err(code) if commands::is_doubtful(code) => Verdict::Failed(commands::explained(code)),
            Err(code) if commands::is_not_yet(code) => Verdict::NotYet(refusal(code)),
            Err(code) => Verdict::Denied(refusal(code)),
        })
    }

    fn may_command(&self) -> Result<(), Trouble> {
        if self.privilege == IpmiPrivilege::User {
            return Err(Trouble::Rights(ONLY_WATCHED.to_owned()));
        }
        Ok(())
    }

    /// Checks who answers and sends the command, once. It goes out again only where nothing was sent (the session was gone), and a
    /// power-on also where the BMC says that it is not possible yet while the machine is off.
    async fn control(&self, control: Control) -> Result<Verdict, Trouble> {
        self.may_command()?;
        let (mut again, mut conflicts) = (true, 0);
        loop {
            let seen = self.see().await?;
            let power = seen.system_power;
            let needless = match control {
                // an Off that is read may be a lie, and cutting power twice does no harm
                Control::Down => false,
                Control::Up => power == PowerState::On,
                Control::SoftShutdown => power == PowerState::Off,
            };
            if needless {
                return Ok(Verdict::NotNeeded);
            }
            match self.send(control.word(), commands::chassis_control(control), seen.session).await {
                Err(Trouble::Fault(fault)) if fault.nothing_was_sent() && again => again = false,
                Ok(Verdict::NotYet(why)) if control == Control::Up && conflicts < limits::POWER_ON_CONFLICTS_MAX => {
                    conflicts += 1;
                    tracing::info!(bmc = %self.address, %why, "power-on refused; it is asked for again after a pause");
                    tokio::time::sleep(limits::POWER_ON_CONFLICT_PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// A power command and what is read afterwards. A refusal counts for nothing where the machine reads as wanted.
    async fn powered(&self, control: Control, wanted: PowerState) -> Result<MachineReading, Trouble> {
        let verdict = self.control(control).await?;
        let word = control.word();
        match (verdict, self.see().await) {
            (Verdict::Accepted | Verdict::NotNeeded, Ok(seen)) => Ok(seen),
            (Verdict::NotYet(_) | Verdict::Denied(_) | Verdict::Failed(_), Ok(seen)) if seen.system_power == wanted => Ok(seen),
            (Verdict::NotYet(why) | Verdict::Denied(why), Ok(seen)) => {
                let text = format!("{word} is answered: {why}; the machine reads {:?}", seen.system_power);
                Err(Trouble::refused(&why, text))
            }
            (Verdict::Failed(why), Ok(seen)) => {
                let text = format!("{word} is answered: {why}; the machine reads {:?}", seen.system_power);
                Err(Trouble::Unconfirmed(Kind::Answer, text))
            }
            (Verdict::NotNeeded, Err(trouble)) => Err(trouble),
            (Verdict::NotYet(why) | Verdict::Denied(why), Err(trouble)) => {
                Err(Trouble::refused(&why, format!("{word} is answered: {why}; reading back: {trouble}")))
            }
            (Verdict::Accepted, Err(trouble)) => {
                let text = format!("{word} was accepted, but what is cannot be read: {trouble}");
                Err(Trouble::Unconfirmed(trouble.kind().in_mid_operation(), text))
            }
            (Verdict::Failed(why), Err(trouble)) => {
                let text = format!("{word} is answered: {why}; reading back: {trouble}");
                Err(Trouble::Unconfirmed(trouble.kind().in_mid_operation(), text))
            }
        }
    }

    /// The boot flags as they are.
    async fn flags(&self, on: u64) -> Result<BootFlags, Trouble> {
        let told = self.need("the boot flags", commands::read_boot_flags(), Some(on)).await?;
        Ok(commands::read_flags(&told.reply.data).ok_or(Fault::Nonsense("boot flags that are locked or cut short"))?)
    }

    async fn boot_from(&self, target: BootTarget) -> Result<MachineReading, Trouble> {
        self.may_command()?;
        let seen = self.see().await?;
        let uefi = match self.firmware {
            Some(firmware) => firmware == Firmware::Uefi,
            // as it is: setting a device alone flips the mode on some platforms
            None => self.flags(seen.session).await.is_ok_and(BootFlags::is_uefi),
        };
        let Some(request) = commands::boot_flags(target, uefi) else {
            return Err(Trouble::Unsupported("IPMI has no boot target UefiHttp; use Pxe, or Redfish".into()));
        };
        // Not every BMC has it; then the machine must be started within 60 s.
        self.send("the boot target", commands::keep_boot_flags(), seen.session).await?;
        self.send("the boot target", request, seen.session).await?.taken("the boot target")?;
        self.settled("the boot target", Setting::Boot(target, uefi)).await
    }

    async fn stay_off(&self) -> Result<MachineReading, Trouble> {
        self.may_command()?;
        let seen = self.see().await?;
        if seen.restore_policy == RestorePolicy::AlwaysOff {
            return Ok(seen);
        }
        let verdict = self.send("the restore policy", commands::restore_policy_off(), seen.session).await?;
        verdict.taken("restore policy AlwaysOff, without which the machine may return by itself,")?;
        self.settled("restore policy AlwaysOff", Setting::StayOff).await
    }

    /// Whether a setting reads as wanted, and how it reads.
    async fn check(&self, setting: Setting, seen: &MachineReading) -> Result<(bool, String), Trouble> {
        match setting {
            Setting::Boot(target, uefi) => {
                let flags = self.flags(seen.session).await?;
                Ok((flags.is_set(target, uefi), flags.shown()))
            }
            Setting::StayOff => Ok((seen.restore_policy == RestorePolicy::AlwaysOff, format!("{:?}", seen.restore_policy))),
        }
    }

    /// A setting is read back several times: BMCs take a moment.
    async fn settled(&self, what: &str, setting: Setting) -> Result<MachineReading, Trouble> {
        let mut pause = limits::READ_BACK_PAUSE;
        let mut reads = String::new();
        for attempt in 1..=limits::READ_BACK_ATTEMPTS {
            let read_back = async {
                let seen = self.see().await?;
                let (set, reads) = self.check(setting, &seen).await?;
                Ok::<_, Trouble>((seen, set, reads))
            };
            match read_back.await {
                Ok((seen, true, _)) => return Ok(seen),
                Ok((.., now)) => reads = now,
                Err(trouble) => {
                    let kind = trouble.kind().in_mid_operation();
                    return Err(Trouble::Unconfirmed(kind, format!("{what}: reading back: {trouble}")));
                }
            }
            if attempt < limits::READ_BACK_ATTEMPTS {
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2);
            }
        }
        Err(Trouble::Unconfirmed(Kind::Answer, format!("{what} was accepted, but it still reads {reads}")))
    }

    /// Bounds a whole command and puts its outcome into a caller's words.
    async fn bounded<T>(&self, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, AgentError> {
        let wait = self.patience.command;
        let late = || Trouble::BrokenOff(format!("not finished within {wait:?}"));
        tokio::time::timeout(wait, work).await.unwrap_or_else(|_| Err(late())).map_err(|trouble| trouble.told(&self.address))
    }
}

#[async_trait]
impl contract::bmc::Bmc for Ipmi {
    async fn read(&self) -> Result<MachineReading, AgentError> {
        let reading = self.see().await.map_err(|trouble| trouble.told(&self.address))?;
        if !self.asked.swap(true, Ordering::Relaxed)
            && let Err(trouble) = self.find_out(&reading).await
        {
            tracing::debug!(bmc = %self.address, %trouble, "the BMC does not tell who made it");
        }
        Ok(reading)
    }

    async fn watch(&self) -> Result<MachineReading, AgentError> {
        // what is asked but once is asked with the first reading
        if !self.asked.load(Ordering::Relaxed) {
            return self.read().await;
        }
        self.glance().await.map_err(|trouble| trouble.told(&self.address))
    }

    async fn power_off(&self) -> Result<MachineReading, AgentError> {
        self.bounded(self.powered(Control::Down, PowerState::Off)).await
    }

    async fn power_on(&self) -> Result<MachineReading, AgentError> {
        self.bounded(self.powered(Control::Up, PowerState::On)).await
    }

    async fn shut_down(&self) -> Result<MachineReading, AgentError> {
        self.bounded(self.powered(Control::SoftShutdown, PowerState::Off)).await
    }

    async fn set_boot_target(&self, target: BootTarget) -> Result<MachineReading, AgentError> {
        self.bounded(self.boot_from(target)).await
    }

    async fn identify(&self, light: Light) -> Result<LightReading, AgentError> {
        self.bounded(self.switch_light(light)).await
    }

    async fn set_restore_policy_off(&self) -> Result<MachineReading, AgentError> {
        self.bounded(self.stay_off()).await
    }
}

#[async_trait]
impl Driver for Ipmi {
    async fn probe(&self) -> Result<Probe, vocabulary::Fault> {
        let look = async {
            let mut reading = self.see().await?;
            let findings = self.find_out(&reading).await?;
            if reading.identity.serial.is_empty() {
                reading.identity.serial = self.serial_if_told(reading.session).await?;
            }
            let matches = identity::strange(&reading.identity, &self.expected).is_none();
            Ok::<_, Trouble>(Probe { reading, certificate: None, findings, survey: Survey::default(), matches })
        };
        look.await.map_err(|trouble| trouble.kind().fault(&self.address, &trouble.to_string()))
    }

    async fn survey(&self, scope: Scope) -> Result<Survey, vocabulary::Fault> {
        let wait = self.patience.survey;
        let whole = tokio::time::timeout(wait, self.survey_all(scope)).await;
        let whole = whole.unwrap_or_else(|_| Err(Trouble::Late(format!("not all was told within {wait:?}"))));
        whole.map_err(|trouble| trouble.kind().fault(&self.address, &trouble.to_string()))
    }

    fn found(&self) -> Option<Findings> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn close(&self) {
        self.line.close().await;
    }
}

/// A question that was answered by a refusal.
fn no(what: &str, code: CompletionErrorCode) -> Trouble {
    let refusal = Refusal { kind: commands::kind(code), why: commands::explained(code) };
    Trouble::refused(&refusal, format!("{what} is answered: {refusal}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn who_answered_is_asked_again_after_a_while() {
        let at = Instant::now();
        let met = Met { session: 1, identity: Identity { uuid: String::new(), serial: String::new() }, at };
        assert!(met.counts(at) && met.counts(at + limits::IPMI_IDENTITY - Duration::from_millis(1)));
        assert!(!met.counts(at + limits::IPMI_IDENTITY));
    }

    #[test]
    fn a_key_is_text_or_digits() {
        assert_eq!(read_key("secret").unwrap().as_slice(), b"secret");
        assert_eq!(read_key("0x00ff").unwrap().as_slice(), [0x00, 0xff]);
        for bad in ["", "0x", "0x1", "0xgg", "0xéé", "123456789012345678901"] {
            assert!(read_key(bad).is_err(), "{bad}");
        }
    }
}
