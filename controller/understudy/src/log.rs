//! The controller's log, on standard error. No secret ever reaches it: secrets have no `Display`, and their `Debug` hides them.

use crate::forms::LogFormat;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// What is logged unless UNDERSTUDY_LOG says something else.
const DEFAULT: &str = "info";

/// Begins to log: objects for programs unless a person is looking.
pub fn begin(format: Option<LogFormat>) {
    let person = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if person { LogFormat::Text } else { LogFormat::Json });
    let filter = EnvFilter::try_from_env("UNDERSTUDY_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let colour = person && std::env::var_os("NO_COLOR").is_none_or(|text| text.is_empty());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // a second log in one process is impossible here: `serve` is begun once
    let _ = match format {
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
        LogFormat::Text => log.with_ansi(colour).try_init(),
    };
}
