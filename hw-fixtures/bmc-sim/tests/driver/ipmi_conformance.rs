//! The contract's suite for BMCs over IPMI, with every misbehaviour staged by the simulator.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bmc::Driver;
use contract::bmc::Bmc;
use contract::conformance::{self, BmcFixture};
use serde_json::{Value, json};
use vocabulary::power::{Identity, PowerState};

use crate::common::{self, Bench, honest, impatient};
use crate::ipmi_common::{bench, commands};

struct Staged {
    bench: Bench,
    driver: Arc<dyn Driver>,
}

impl Staged {
    async fn stage(&self, quirks: Value) -> bool {
        self.bench.quirks(quirks).await;
        true
    }
}

#[async_trait]
impl BmcFixture for Staged {
    fn bmc(&self) -> &dyn Bmc {
        self.driver.as_ref()
    }
    fn identity(&self) -> Identity {
        common::identity(common::UUID, "")
    }
    async fn truth(&self) -> Option<PowerState> {
        Some(if self.bench.runs() { PowerState::On } else { PowerState::Off })
    }
    async fn power_commands(&self) -> Option<u64> {
        u64::try_from(commands(&self.bench, "chassis_control").await.len()).ok()
    }
    async fn swap_box(&self) -> bool {
        self.stage(json!({ "uuid": "99999999-9999-4999-8999-999999999999" })).await
    }
    async fn tell_no_power(&self) -> bool {
        self.stage(json!({ "power_state": "null" })).await
    }
    async fn lose_next_reply(&self) -> bool {
        self.stage(json!({ "drop_reply": true })).await
    }
    async fn cut_off(&self) -> bool {
        self.stage(json!({ "reach": "unreachable" })).await
    }
    async fn mend(&self) {
        self.bench.perform(bmc_sim::Request::ClearQuirks { name: common::NAME.into() }).await;
    }
    fn patience(&self) -> Duration {
        // what is staged breaks sessions, and after that an Off is not believed for a while
        bmc::limits::BMC_EARLY + Duration::from_secs(5)
    }
}

#[tokio::test]
async fn the_driver_keeps_the_laws_of_the_contract_over_ipmi() {
    let mut bench = bench(honest()).await;
    bench.door.patience = impatient();
    let driver = bench.open();
    conformance::bmc(&Staged { bench, driver }).await.unwrap();
}
