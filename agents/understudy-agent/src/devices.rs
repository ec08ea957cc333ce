//! All devices of one agent behind its one gate: each request goes to the one that owns the resource. Decides nothing.

use async_trait::async_trait;
use check::Checker;
use contract::{Action, AgentError, Answer, Device, Standing};
use std::sync::Arc;
use vocabulary::request::Resource;

/// The devices of this agent.
#[derive(Default)]
pub struct Devices {
    /// Those that own resources.
    pub owners: Vec<Arc<dyn Device>>,
    /// The vantage point, which owns none.
    pub vantage: Option<Checker>,
}

impl Devices {
    fn owner(&self, resource: &Resource) -> Option<&Arc<dyn Device>> {
        self.owners.iter().find(|owner| owner.owns(resource))
    }
}

#[async_trait]
impl Device for Devices {
    fn owns(&self, resource: &Resource) -> bool {
        self.owner(resource).is_some()
    }

    async fn perform(&self, action: &Action) -> Result<Answer, AgentError> {
        if let (Action::RunCheck { .. }, Some(vantage)) = (action, &self.vantage) {
            return vantage.perform(action).await;
        }
        let resources = action.resources();
        let owner = resources.first().and_then(|resource| self.owner(resource));
        match owner {
            Some(owner) => owner.perform(action).await,
            None => Err(AgentError::Rejected { reason: "this agent has no device for this kind of request".into() }),
        }
    }

    /// Each device gets what it owns; one that fails keeps no other from its own.
    async fn restore(&self, standing: &[Standing]) -> Result<(), AgentError> {
        let mut first = Ok(());
        for owner in &self.owners {
            let own: Vec<Standing> = standing.iter().filter(|one| owner.owns(&one.entry.resource)).cloned().collect();
            let restored = owner.restore(&own).await;
            if first.is_ok() {
                first = restored;
            }
        }
        first
    }

    fn suspend(&self) {
        self.owners.iter().for_each(|owner| owner.suspend());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocabulary::check::{Check, TcpCheck};
    use vocabulary::{PortId, Span};

    #[tokio::test]
    async fn an_agent_without_the_device_says_so() {
        let none = Devices::default();
        let port = PortId { switch: "sw1".parse().unwrap(), port: "p1".parse().unwrap() };
        assert!(!none.owns(&Resource::Port(port.clone())));
        let check = Check::Tcp(TcpCheck { address: "127.0.0.1:1".parse().unwrap(), deadline: Span::ms(100) });
        for action in [Action::ReadPort { port }, Action::RunCheck { check }, Action::ReadContacts { after: 0 }] {
            assert!(matches!(none.perform(&action).await, Err(AgentError::Rejected { .. })));
        }
    }
}
