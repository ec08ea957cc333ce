//! The control socket: the hand of a test or a lab that makes BMCs lie and machines die. One JSON request a line, one JSON answer a line.
//! Must never be reachable from the network, nor tell a password or a session's token.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, broadcast};

use crate::bmc::{Bmc, Reading};
use crate::error::Error;
use crate::limits;
use crate::lines;
use crate::power::Outcome;
use crate::simulator::Control;

/// A control request. `name` is a machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The pid of every machine's process (null: off).
    Pids,
    /// Truth, readings, settings and quirks of a machine.
    State {
        /// Machine.
        name: String,
    },
    /// A finger on the power button: on if off, else the ACPI button.
    PressPowerButton {
        /// Machine.
        name: String,
    },
    /// Powers on, past the BMC's quirks.
    PowerOn {
        /// Machine.
        name: String,
    },
    /// Cuts power and waits until the process is reaped, past the BMC's quirks.
    PowerOff {
        /// Machine.
        name: String,
    },
    /// SIGSTOP: the machine hangs, its power stays on.
    Freeze {
        /// Machine.
        name: String,
    },
    /// SIGCONT.
    Thaw {
        /// Machine.
        name: String,
    },
    /// SIGKILL from outside: the machine dies by itself.
    Kill {
        /// Machine.
        name: String,
    },
    /// Mains power fails: machine and BMC are gone.
    PowerLoss {
        /// Machine.
        name: String,
    },
    /// Mains power returns: the active restore policy applies.
    PowerReturn {
        /// Machine.
        name: String,
    },
    /// Changes the named quirks, leaves the others.
    SetQuirks {
        /// Machine.
        name: String,
        /// Keys as in the configuration.
        quirks: Value,
    },
    /// An honest BMC again.
    ClearQuirks {
        /// Machine.
        name: String,
    },
    /// The BMC restarts itself; the machine runs on.
    RebootBmc {
        /// Machine.
        name: String,
        /// How long it is away, ms (none: quirk `bmc_reboot_ms`).
        #[serde(default)]
        away_ms: Option<u64>,
        /// How long readings are wrong afterwards, ms (none: quirk `bmc_early_ms`).
        #[serde(default)]
        early_ms: Option<u64>,
    },
    /// Every session is forgotten.
    LoseSessions {
        /// Machine.
        name: String,
    },
    /// A new key and certificate for new connections; the file keeps the old one.
    ChangeCertificate {
        /// Machine.
        name: String,
    },
    /// From here on the connection tells changes, one a line.
    Watch,
}

/// Does what a request asks for; `Watch` is the socket's own business and only acknowledged here.
pub async fn perform(control: &Control, request: Request) -> Result<Value, Error> {
    match request {
        Request::Pids => Ok(Value::Object(control.all().map(|b| (b.config.name.clone(), json!(b.state().pid()))).collect())),
        Request::Watch => Ok(json!({})),
        Request::State { name } => Ok(state(control.find(&name)?.as_ref())),
        Request::PressPowerButton { name } => done(control.find(&name)?.press_button().await?),
        Request::PowerOn { name } => done(control.find(&name)?.power_on("ManagementCommand").await?),
        Request::PowerOff { name } => control.find(&name)?.pull().await.map(|()| json!({})),
        Request::Freeze { name } => control.find(&name)?.freeze().await.map(|()| json!({})),
        Request::Thaw { name } => control.find(&name)?.thaw().map(|()| json!({})),
        Request::Kill { name } => control.find(&name)?.signal(Signal::SIGKILL).map(|_| json!({})),
        Request::PowerLoss { name } => control.find(&name)?.power_loss().await.map(|()| json!({})),
        Request::PowerReturn { name } => control.find(&name)?.power_return().await.map(|()| json!({})),
        Request::SetQuirks { name, quirks } => {
            let bmc = control.find(&name)?;
            let before = bmc.state().quirks.clone();
            let quirks = before.changed(&quirks).map_err(|reason| Error::State { name, reason })?;
            bmc.set_quirks(quirks.clone());
            bmc.settled().await;
            Ok(json!({ "quirks": quirks }))
        }
        Request::ClearQuirks { name } => {
            let bmc = control.find(&name)?;
            bmc.set_quirks(crate::quirks::Quirks::default());
            bmc.settled().await;
            Ok(json!({}))
        }
        Request::RebootBmc { name, away_ms, early_ms } => {
            let bmc = control.find(&name)?;
            if !bmc.state().supply {
                return Err(Error::State { name, reason: "it has no mains power".into() });
            }
            let quirks = bmc.state().quirks.clone();
            let time = |asked: Option<u64>, quirk| Duration::from_millis(asked.unwrap_or(quirk).min(limits::DELAY_MAX_MS));
            bmc.restart_bmc(time(away_ms, quirks.bmc_reboot_ms), time(early_ms, quirks.bmc_early_ms), "commanded");
            bmc.settled().await;
            Ok(json!({}))
        }
        Request::LoseSessions { name } => {
            control.find(&name)?.state().sessions.clear();
            Ok(json!({}))
        }
        Request::ChangeCertificate { name } => {
            let bmc = control.find(&name)?;
            let identity = crate::tls::identity(&name, bmc.address)?;
            let pem = identity.pem.clone();
            bmc.state().identity = identity;
            Ok(json!({ "certificate": pem }))
        }
    }
}

fn done(outcome: Outcome) -> Result<Value, Error> {
    Ok(json!({ "outcome": match outcome {
        Outcome::Done => "done",
        Outcome::NoEffect => "no_effect",
        Outcome::Conflict => "conflict",
    }}))
}

fn state(bmc: &Bmc) -> Value {
    let told = |reading| match reading {
        Reading::Is(text) => json!(text),
        Reading::Null => Value::Null,
        Reading::Missing => json!("(missing)"),
        Reading::Unavailable => json!("(error)"),
    };
    let link = *bmc.link.borrow();
    let mut state = bmc.state();
    let timeout = state.session_timeout();
    json!({
        "name": bmc.config.name,
        "address": bmc.address,
        "pid": state.pid(),
        "power": if state.process.is_some() { "on" } else { "off" },
        "frozen": state.process.as_ref().is_some_and(|p| p.frozen),
        "starts": state.generation,
        "mains": state.supply,
        "system_power": told(state.system_power()),
        "chassis_power": told(state.chassis_power()),
        "reach": link.reach,
        "bmc_starting": state.bmc_down,
        "last_reset_cause": state.last_reset.map(|(_, cause)| cause),
        "restore_policy": state.policy,
        "restore_policy_pending": state.policy_pending,
        "boot": { "enabled": state.boot.enabled, "target": state.boot.target, "mode": state.boot.mode },
        "sessions": state.sessions.list(timeout).len(),
        "requests": state.requests,
        "recent": state.recent,
        "quirks": state.quirks,
    })
}

/// Listens on the control socket until the task is aborted.
pub fn bind(path: &Path) -> Result<UnixListener, Error> {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    let fail = |source| Error::File { action: "cannot listen on", path: path.into(), source };
    if std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket()) {
        std::fs::remove_file(path).map_err(fail)?;
    }
    let listener = UnixListener::bind(path).map_err(fail)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(fail)?;
    Ok(listener)
}

/// Serves the control socket until the task is aborted.
pub async fn serve(control: Control, listener: UnixListener) {
    let slots = Arc::new(Semaphore::new(limits::CONTROL_CONNECTIONS_MAX));
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let control = control.clone();
                tokio::spawn(async move {
                    if let Err(e) = talk(&control, stream).await {
                        tracing::debug!(error = %e, "control connection");
                    }
                    drop(slot);
                });
            }
            Err(e) => {
                tracing::warn!(error = %e, "control accept");
                tokio::time::sleep(limits::ACCEPT_RETRY).await;
            }
        }
    }
}

async fn talk(control: &Control, stream: UnixStream) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    while let Some(line) = lines::next(&mut reader, limits::CONTROL_LINE_MAX).await? {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let request: Result<Request, _> = serde_json::from_slice(&line);
        let watch = matches!(request, Ok(Request::Watch)).then(|| control.watch());
        let answer = match request {
            Ok(request) => control.answer(request).await,
            Err(e) => json!({ "ok": false, "error": format!("not a request: {e}; send {{\"verb\":\"state\",\"name\":\"m1\"}}") }),
        };
        writer.write_all(format!("{answer}\n").as_bytes()).await?;
        if let Some(mut changes) = watch {
            return watched(&mut changes, &mut reader, &mut writer).await;
        }
    }
    Ok(())
}

async fn watched<R, W>(
    changes: &mut broadcast::Receiver<crate::bmc::Change>,
    reader: &mut R,
    writer: &mut W,
) -> std::io::Result<()>
where
    R: tokio::io::AsyncBufRead + Unpin,
    W: tokio::io::AsyncWrite + Unpin,
{
    loop {
        let line = tokio::select! {
            change = changes.recv() => match change {
                Ok(change) => serde_json::to_string(&change).map_err(std::io::Error::other)?,
                Err(broadcast::error::RecvError::Lagged(missed)) => json!({ "missed": missed }).to_string(),
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            },
            closed = lines::next(reader, limits::CONTROL_LINE_MAX) => match closed? {
                Some(_) => continue,
                None => return Ok(()),
            },
        };
        writer.write_all(format!("{line}\n").as_bytes()).await?;
    }
}
