//! Who answers HTTPS at an address: a Redfish service tells itself by its root, which needs no account.
//! Must never send a credential, nor take a web server that is no BMC for one.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;

use super::http::{Credential, Http, Via};
use super::over_tls::OverTls;
use super::tls::Pin;
use super::trouble::Trouble;
use super::{layout, view};
use crate::limits::Patience;

/// What a Redfish service tells to everybody. Texts are empty where not told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Greeting {
    /// SHA-256 of the certificate that was shown, in hex.
    pub certificate: String,
    /// Version of Redfish.
    pub version: String,
    /// Vendor of the service.
    pub vendor: String,
    /// Product.
    pub product: String,
    /// UUID of the service, which is the BMC's own and not the system's.
    pub uuid: String,
}

/// Asks for the service root; `None` if what answers is no Redfish service, or nothing in time.
pub(crate) async fn greet(address: SocketAddr, patience: Patience) -> Result<Option<Greeting>, Trouble> {
    let pin = Pin::new(None);
    let transport = OverTls::new(address, Arc::clone(&pin), patience).map_err(Trouble::Unsupported)?;
    let http = Http::new(Box::new(transport), pin, patience);
    let root = match http.get(Via::Eyes, layout::ROOT, &Credential::Nobody).await {
        Ok(reply) => reply.body,
        Err(trouble) => {
            tracing::debug!(%address, %trouble, "no service root");
            return Ok(None);
        }
    };
    Ok(http.certificate().filter(|_| is_redfish(&root)).map(|certificate| read(&root, certificate)))
}

/// True for a service root, and for a refusal in the words of the standard's own registry.
fn is_redfish(body: &Value) -> bool {
    let text = |key: &str| view::text(body, key).unwrap_or_default();
    !text("RedfishVersion").is_empty() || text("@odata.type").starts_with("#ServiceRoot.") || view::said(body).contains("base.")
}

fn read(root: &Value, certificate: String) -> Greeting {
    let text = |key: &str| view::text(root, key).unwrap_or_default();
    let uuid = view::told(&text("UUID"), "").uuid;
    Greeting { certificate, version: text("RedfishVersion"), vendor: text("Vendor"), product: text("Product"), uuid }
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::any_json;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_service_root_is_told_from_any_other_json() {
        assert!(is_redfish(&json!({ "RedfishVersion": "1.6.0" })));
        assert!(is_redfish(&json!({ "@odata.type": "#ServiceRoot.v1_15_0.ServiceRoot" })));
        assert!(is_redfish(&json!({ "error": { "code": "Base.1.8.ServiceTemporarilyUnavailable" } })));
        for other in [json!(null), json!({}), json!({ "v1": "/redfish/v1/" }), json!({ "error": "no" }), json!([1])] {
            assert!(!is_redfish(&other), "{other}");
        }
        let filler = read(&json!({ "UUID": "00000000-0000-0000-0000-000000000000" }), "c".into());
        assert!(filler.uuid.is_empty(), "a filler names no BMC");
    }

    proptest! {
        #[test]
        fn reading_is_total(root in any_json()) {
            let _ = (is_redfish(&root), read(&root, String::new()));
        }
    }
}
