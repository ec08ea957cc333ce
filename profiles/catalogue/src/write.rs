//! An estate back to files: what is written reads back as the same estate. Secrets stay the references they are.

use crate::documents::Kind;
use serde::Serialize;
use std::collections::BTreeMap;
use vocabulary::Fault;
use vocabulary::estate::Estate;

#[derive(Serialize)]
struct Headed<'a, T> {
    #[serde(flatten)]
    header: BTreeMap<&'a str, &'a str>,
    #[serde(flatten)]
    body: &'a T,
}

/// One document as YAML, beginning with kind and name.
pub fn document_to_yaml<T: Serialize>(kind: Kind, name: &str, body: &T) -> Result<String, Fault> {
    let headed = Headed { header: BTreeMap::from([(kind.word(), name)]), body };
    // long and many-line texts are quoted: folded blocks would change their white space
    let form = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(&headed, form).map_err(|error| {
        Fault::new(crate::codes::BAD_VALUE, format!("{kind} {name} cannot be written as YAML: {error}"), "report this as a bug")
    })
}

/// Every document of an estate as a file: its path below the estate's folder, and its text.
pub fn estate_to_yaml(estate: &Estate) -> Result<BTreeMap<String, String>, Fault> {
    let mut files = BTreeMap::new();
    let settings = document_to_yaml(Kind::Estate, estate.name(), &estate.settings)?;
    files.insert("estate.yaml".to_owned(), settings);
    macro_rules! each {
        ($($kind:ident in $field:ident),+ $(,)?) => {$(
            for (name, body) in &estate.$field {
                let text = document_to_yaml(Kind::$kind, name.as_str(), body)?;
                files.insert(format!("{}s/{name}.yaml", Kind::$kind), text);
            }
        )+};
    }
    each! {
        Site in sites, Tier in tiers, Group in groups, Pool in pools, BmcAgent in bmc_agents, Switch in switches, Storage in storages,
        Boot in boot_services, Pdu in pdus, Image in images, Machine in machines, Server in servers,
    }
    Ok(files)
}
