//! The monitor (QMP) of a QEMU machine: resets seen as they happen, the ACPI button pressed.
//! Must never stop a machine or decide its power: the process alone does that.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::limits;
use crate::lines;

/// The cause told for a reset that the guest (or its firmware) made.
pub const GUEST_RESET: &str = "OSSoftRestart";

/// Follows one start's monitor until it is aborted, connecting again whenever the connection breaks; `told` hears the cause of each reset.
pub async fn follow(machine: String, path: PathBuf, mut commands: mpsc::Receiver<&'static str>, told: impl Fn(&'static str)) {
    let mut seen = None;
    let mut reset = |cause| {
        // Firmware resets the machine once more on its way through a warm reset: that is part of the one before.
        let before = seen.replace(Instant::now());
        if cause != GUEST_RESET || before.is_none_or(|at: Instant| at.elapsed() >= limits::RESET_ECHO) {
            told(cause);
        }
    };
    loop {
        if let Err(e) = talk(&path, &mut commands, &mut reset).await {
            tracing::debug!(%machine, error = %e, "monitor");
        }
        tokio::time::sleep(limits::MONITOR_RETRY).await;
    }
}

async fn talk(
    path: &Path,
    commands: &mut mpsc::Receiver<&'static str>,
    reset: &mut impl FnMut(&'static str),
) -> std::io::Result<()> {
    let (reader, mut writer) = UnixStream::connect(path).await?.into_split();
    writer.write_all(&command("qmp_capabilities")).await?;
    // Lines are read by a task of their own: a half-read line would be lost if a command came in between.
    let (sender, mut events) = mpsc::channel(limits::MONITOR_QUEUE);
    let reading = tokio::spawn(async move {
        let mut reader = BufReader::new(reader);
        while let Ok(Some(line)) = lines::next(&mut reader, limits::MONITOR_LINE_MAX).await {
            if let Some(cause) = cause(&line)
                && sender.send(cause).await.is_err()
            {
                return;
            }
        }
    });
    let result = loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(cause) => reset(cause),
                None => break Ok(()),
            },
            Some(name) = commands.recv() => if let Err(e) = writer.write_all(&command(name)).await {
                break Err(e);
            },
        }
    };
    reading.abort();
    result
}

fn command(name: &str) -> Vec<u8> {
    format!("{}\n", json!({ "execute": name })).into_bytes()
}

/// The cause of a reset, in Redfish's words, if this line tells of one.
fn cause(line: &[u8]) -> Option<&'static str> {
    let message: Value = serde_json::from_slice(line).ok()?;
    if message.get("event")?.as_str()? != "RESET" {
        return None;
    }
    let reason = message.pointer("/data/reason").and_then(Value::as_str).unwrap_or_default();
    Some(match reason {
        "guest-reset" => GUEST_RESET,
        "guest-panic" => "SystemCrash",
        "host-qmp-system-reset" | "host-ui" | "host-signal" => "ManagementCommand",
        _ => "Unknown",
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn resets_are_told_with_their_cause() {
        let told = |text: &str| super::cause(text.as_bytes());
        assert_eq!(told(r#"{"event":"RESET","data":{"guest":true,"reason":"guest-reset"}}"#), Some("OSSoftRestart"));
        assert_eq!(told(r#"{"event":"RESET","data":{"guest":true,"reason":"guest-panic"}}"#), Some("SystemCrash"));
        assert_eq!(told(r#"{"event":"SHUTDOWN","data":{"guest":true}}"#), None);
        assert_eq!(told("no json"), None);
    }
}
