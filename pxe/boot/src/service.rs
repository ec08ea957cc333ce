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
use contract::wire::{self, Bundle, Credentials};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use vocabulary::request::{AgentError, AgentHello, Answer, Request};

const GATE_FILE: &str = "gate.json";

/// The service without its sockets: the gate as the wire sees it, and the desk behind it. A controller's call renews the leases if the
/// gate let it pass. What it refuses (a store of another lineage, another estate, an older epoch) comes from a controller that does not
/// speak for these permits. Clones are the same.
#[derive(Clone)]
pub struct Agent {
    gate: Gate<BootDevice>,
    desk: Arc<Desk>,
}

#[async_trait]
impl Client for Agent {
    async fn call(&self, request: Request) -> Result<Answer, AgentError> {
        let answer = self.gate.call(request).await;
        self.renew_if_passed(&answer).await;
        answer
    }

    async fn readopt(&self, seed: Readopt) -> Result<AgentHello, AgentError> {
        let answer = self.gate.readopt(seed).await;
        self.renew_if_passed(&answer).await;
        answer
    }
}

impl Agent {
    /// Behind this gate, which was opened over a device of this desk. Nobody knows yet whether its permits are the latest: they are
    /// withheld until `serve_when_cleared`.
    pub fn begin(gate: Gate<BootDevice>) -> Agent {
        let desk = gate.device().desk().clone();
        desk.withhold(true);
        Agent { gate, desk }
    }

    async fn renew_if_passed<T>(&self, answer: &Result<T, AgentError>) {
        if answer.is_ok() {
            self.desk.heard().await;
        }
    }

    async fn serve_if_trusted(&self) -> Result<bool, BootError> {
        if !self.gate.trusted() {
            tracing::error!("F1207 the gate's memory is not trusted: all permits are withheld until `understudy agent readopt`");
            return Ok(false);
        }
        self.gate.restore().await.map_err(|error| BootError::Agent(error.to_string()))?;
        self.desk.withhold(false);
        Ok(true)
    }

    /// Serves the permits once the gate's memory is known to be current, or no controller is there to say so, if it may be trusted; says
    /// whether it may.
    pub async fn serve_when_cleared(&self) -> Result<bool, BootError> {
        self.gate.cleared().await;
        self.serve_if_trusted().await
    }

    /// As `serve_when_cleared`; where the memory is not trusted, those that the estate's ledger names are served after `agent readopt`.
    /// Returns only with a fault.
    pub async fn keep_serving(self) -> Result<(), BootError> {
        let mut serving = self.serve_when_cleared().await?;
        let mut every = tokio::time::interval(TRUST_EVERY);
        loop {
            every.tick().await;
            let may = self.gate.trusted() && !self.gate.held_for_older();
            if serving && !may {
                tracing::error!(
                    "F1207 a controller says that the gate's memory is an older copy: all permits are withheld until `understudy agent readopt`"
                );
                self.desk.withhold(true);
                serving = false;
            } else if !serving && may {
                serving = self.serve_if_trusted().await?;
                tracing::info!("the gate is trusted again: permits are served");
            }
        }
    }

    /// Writes the age of the last contact now and then. Never returns.
    pub async fn keep_age(self) -> Result<(), BootError> {
        let mut every = tokio::time::interval(AGE_MARK_EVERY);
        // the first tick is at once, and there is nothing new to write yet
        every.tick().await;
        loop {
            every.tick().await;
            self.desk.keep_age().await;
        }
    }
}

/// Runs the service. Returns only with a fault.
pub async fn run(config: Config) -> Result<(), BootError> {
    let fault = |error: &dyn std::fmt::Display| BootError::Agent(error.to_string());
    let bundle = Bundle::load(&config.bundle).map_err(|error| fault(&error))?;
    let desk = Arc::new(Desk::open(config.clone())?);
    let identity = bundle.identity(&config.bundle);
    let gate =
        Gate::open(config.state_dir.join(GATE_FILE), identity, BootDevice::new(desk.clone())).map_err(|error| fault(&error))?;
    let agent = Agent::begin(gate);

    let listener = TcpListener::bind(config.listen).await.map_err(|source| BootError::Socket {
        what: "agent",
        interface: config.listen.to_string(),
        source,
    })?;
    let dhcp = DhcpWire::open(desk.clone())?;
    let tftp = Tftp::open(desk.clone())?;
    let http = Http::open(desk)?;
    let mut parts: JoinSet<Result<(), BootError>> = JoinSet::new();
    parts.spawn(advertise::serve(config.interface.clone()));
    parts.spawn(dhcp.serve());
    parts.spawn(tftp.serve());
    parts.spawn(http.serve());
    parts.spawn(agent.clone().keep_age());
    parts.spawn(agent.clone().keep_serving());
    let heard: Arc<dyn Client> = Arc::new(agent);
    let credentials = Credentials::of_file(bundle, &config.bundle).map_err(|error| fault(&error))?;
    let served = wire::serve(listener, credentials, heard);
    parts.spawn(async move { served.await.map_err(|error| BootError::Agent(error.to_string())) });
    tracing::info!(interface = config.interface, address = %config.address, agent = %config.listen, "the boot service is up");
    match parts.join_next().await {
        Some(Ok(Err(fault))) => Err(fault),
        Some(Ok(Ok(()))) | None => Err(BootError::Agent("a part of the service ended by itself".to_owned())),
        Some(Err(failed)) => Err(BootError::Agent(format!("a part of the service failed inside: {failed}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::Caller;
    use crate::examples::permit;
    use crate::http::tests::config;
    use contract::gate::Identity;
    use std::time::Duration;
    use vocabulary::request::{Action, Token};
    use vocabulary::{Epoch, EstateUuid, Lineage, OpId, PlanId, Span};

    #[tokio::test]
    async fn only_a_call_that_passed_the_gate_renews_the_leases() {
        let folder = tempfile::tempdir().unwrap();
        let desk = Arc::new(Desk::open(config(folder.path())).unwrap());
        let mut short = permit(1, "web1", 5);
        short.lease = Span::ms(100);
        desk.heard().await;
        desk.grant(&short).await.unwrap();
        let (estate, lineage) = (EstateUuid("estate".into()), Lineage("lineage".into()));
        let identity = Identity::in_process("boot1".parse().unwrap(), estate.clone(), lineage, true);
        let gate = Gate::open(folder.path().join("gate.json"), identity, BootDevice::new(desk.clone())).unwrap();
        let heard = Agent { gate, desk: desk.clone() };
        let Ok(Answer::Hello(hello)) = heard.call(Request { token: None, action: Action::Hello }).await else { panic!() };
        let resource = vocabulary::request::Resource::Permit(short.machine.clone());
        let advance = |lineage: &str| {
            let (epoch, number) = (Epoch(9), 1);
            let token = Token {
                estate: estate.clone(),
                lineage: Lineage(lineage.into()),
                controller: vocabulary::ControllerLife::default(),
                plan: PlanId(epoch),
                step: "test".into(),
                epoch,
                op: OpId { epoch, number },
                agent_boot: hello.boot.clone(),
                expires_tick: u64::MAX,
            };
            Request { token: Some(token), action: Action::AdvanceEpoch { resources: vec![resource.clone()] } }
        };
        let mac = crate::permits::provisioning(&short).unwrap().mac;
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert!(heard.call(advance("a rolled-back store's")).await.is_err());
        assert!(matches!(desk.caller(mac), Caller::Stale(_)), "a refused call renews nothing");
        assert!(heard.call(advance("lineage")).await.is_ok());
        assert!(matches!(desk.caller(mac), Caller::Bearer(_)));
    }
}
