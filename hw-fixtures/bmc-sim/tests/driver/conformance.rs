//! The contract's suite for BMCs, with every misbehaviour staged by the simulator.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bmc::Driver;
use contract::bmc::Bmc;
use contract::conformance::{self, BmcFixture};
use serde_json::{Value, json};
use vocabulary::power::{Identity, PowerState};

use crate::common::{self, Bench, bench, honest, impatient};

struct Staged {
    bench: Bench,
    driver: Arc<dyn Driver>,
}

impl Staged {
    async fn stage(&self, quirks: Value) -> bool {
        self.bench.quirks(quirks).await;
        // An interrupted port needs a moment to be closed or open again.
        tokio::time::sleep(Duration::from_millis(200)).await;
        true
    }
}

#[async_trait]
impl BmcFixture for Staged {
    fn bmc(&self) -> &dyn Bmc {
        self.driver.as_ref()
    }
    fn identity(&self) -> Identity {
        common::identity(common::UUID, common::SERIAL)
    }
    async fn truth(&self) -> Option<PowerState> {
        Some(if self.bench.runs() { PowerState::On } else { PowerState::Off })
    }
    async fn power_commands(&self) -> Option<u64> {
        u64::try_from(self.bench.sent("POST").await.len()).ok()
    }
    async fn swap_box(&self) -> bool {
        self.stage(json!({ "serial": "ANOTHER", "uuid": "99999999-9999-4999-8999-999999999999" })).await
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
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    fn patience(&self) -> Duration {
        Duration::from_secs(10)
    }
}

#[tokio::test]
async fn the_driver_keeps_the_laws_of_the_contract() {
    let mut bench = bench(honest()).await;
    bench.door.patience = impatient();
    let driver = bench.open();
    conformance::bmc(&Staged { bench, driver }).await.unwrap();
}
