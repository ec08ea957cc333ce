//! The boot service as a whole: opens everything, then runs until one part fails or it is told to stop. Sockets are opened before the
//! first permit is served, and the gate speaks before both.

use crate::advertise;
use crate::config::Config;
use crate::desk::Desk;
use crate::device::BootDevice;
use crate::dhcp_wire::DhcpWire;
use crate::error::BootError;
use crate::http::Http;
use crate::limits::{AGE_MARK_EVERY, TRUST_EVERY};
use crate::tftp::Tftp;
use async_trait::async_trait;
use contract::agent::{Client, Readopt};
use contract::gate::Gate;
use contract::wire::{self, Bundle};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use vocabulary::request::{AgentError, AgentHello, Answer, Request};

const GATE_FILE: &str = "gate.json";

/// The gate as the wire sees it: whoever got through the mutual authentication is a controller, and its call renews the leases.
struct Heard {
    gate: Gate<BootDevice>,
    desk: Arc<Desk>,
}

#[async_trait]
impl Client for Heard {
    async fn call(&self, request: Request) -> Result<Answer, AgentError> {
        self.desk.heard().await;
        self.gate.call(request).await
    }

    async fn readopt(&self, seed: Readopt) -> Result<AgentHello, AgentError> {
        self.desk.heard().await;
        self.gate.readopt(seed).await
    }
}

/// Runs the service. Returns only with a fault.
pub async fn run(config: Config) -> Result<(), BootError> {
    let agent = |error: &dyn std::fmt::Display| BootError::Agent(error.to_string());
    let bundle = Bundle::load(&config.bundle).map_err(|error| agent(&error))?;
    let desk = Arc::new(Desk::open(config.clone())?);
    let identity = bundle.identity(&config.bundle);
    let gate =
        Gate::open(config.state_dir.join(GATE_FILE), identity, BootDevice::new(desk.clone())).map_err(|error| agent(&error))?;
    desk.withhold(true);
    serve_if_trusted(&gate, &desk).await?;

    let listener = TcpListener::bind(config.listen).await.map_err(|source| BootError::Socket {
        what: "agent",
        interface: config.listen.to_string(),
        source,
    })?;
    let dhcp = DhcpWire::open(desk.clone())?;
    let tftp = Tftp::open(desk.clone())?;
    let http = Http::open(desk.clone())?;
    let mut parts: JoinSet<Result<(), BootError>> = JoinSet::new();
    parts.spawn(advertise::serve(config.interface.clone()));
    parts.spawn(dhcp.serve());
    parts.spawn(tftp.serve());
    parts.spawn(http.serve());
    parts.spawn(keep_age(desk.clone()));
    parts.spawn(watch_trust(gate.clone(), desk.clone()));
    let heard: Arc<dyn Client> = Arc::new(Heard { gate, desk });
    parts.spawn(async move { wire::serve(listener, &bundle, heard).await.map_err(|error| BootError::Agent(error.to_string())) });
    tracing::info!(interface = config.interface, address = %config.address, agent = %config.listen, "the boot service is up");
    match parts.join_next().await {
        Some(Ok(Err(fault))) => Err(fault),
        Some(Ok(Ok(()))) | None => Err(BootError::Agent("a part of the service ended by itself".to_owned())),
        Some(Err(failed)) => Err(BootError::Agent(format!("a part of the service failed inside: {failed}"))),
    }
}

/// Serves the permits if the gate's memory may be trusted. Otherwise nobody knows whether they are the latest, and they are withheld.
async fn serve_if_trusted(gate: &Gate<BootDevice>, desk: &Desk) -> Result<bool, BootError> {
    if !gate.trusted() {
        tracing::error!("F1207 the gate's memory is not trusted: all permits are withheld until `understudy agent readopt`");
        return Ok(false);
    }
    gate.restore().await.map_err(|error| BootError::Agent(error.to_string()))?;
    desk.withhold(false);
    Ok(true)
}

/// After `agent readopt` the permits that the estate's ledger names are served again.
async fn watch_trust(gate: Gate<BootDevice>, desk: Arc<Desk>) -> Result<(), BootError> {
    let mut every = tokio::time::interval(TRUST_EVERY);
    let mut serving = gate.trusted();
    loop {
        every.tick().await;
        if !serving && gate.trusted() {
            serving = serve_if_trusted(&gate, &desk).await?;
            tracing::info!("the gate is trusted again: permits are served");
        }
    }
}

async fn keep_age(desk: Arc<Desk>) -> Result<(), BootError> {
    let mut every = tokio::time::interval(AGE_MARK_EVERY);
    // the first tick is at once, and there is nothing new to write yet
    every.tick().await;
    loop {
        every.tick().await;
        desk.keep_age().await;
    }
}
