//! Drafts of what BMCs tell: parsed by the catalogue's own reader, and never more certain than what was told.

use super::*;
use bmc::discover::{Account, Greeting, Targets};
use vocabulary::Secret;
use vocabulary::estate::IpmiPrivilege;

fn search() -> Search {
    Search {
        targets: Targets::default(),
        rate: 1,
        redfish_port: 443,
        ipmi_port: 623,
        account: Some(Account { user: "u".into(), password: Secret::new("p"), key: None, privilege: IpmiPrivilege::User }),
        patience: bmc::Patience::default(),
    }
}

fn found(redfish: bool) -> Bmc {
    let greeting = Greeting {
        certificate: "ab".repeat(32),
        version: "1.15.0".into(),
        vendor: "Acme".into(),
        product: "Box".into(),
        uuid: String::new(),
    };
    Bmc {
        address: "10.2.1.7".parse().unwrap(),
        also: BTreeSet::new(),
        redfish: redfish.then_some(greeting),
        ipmi: true,
        inspection: None,
        trouble: None,
    }
}

fn neighbour(system: &str, port: &str) -> Neighbour {
    Neighbour { system: system.into(), port: port.into(), ..Neighbour::default() }
}

#[test]
fn a_bmc_that_told_nothing_has_a_draft_that_the_catalogue_reads() {
    let credential = Credential { user: "understudy".into(), password: SecretReference("file:secrets/bmc".into()), key: None };
    let mut names = BTreeSet::new();
    for redfish in [true, false] {
        let bmc = found(redfish);
        let name = name(&bmc, &mut names).unwrap();
        let draft = of(name, &bmc, &search(), Some(&credential), &BTreeSet::new());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("draft.yaml"), draft.to_yaml().unwrap()).unwrap();
        let read = catalogue::machines(folder.path());
        let read = &read.machines[0].draft.bmc;
        assert_eq!(read.address.value.unwrap().port(), if redfish { 443 } else { 623 });
        assert_eq!(read.certificate.is_some(), redfish, "IPMI has none");
        assert_eq!(read.password.value.as_ref().unwrap().0, "file:secrets/bmc");
        let gaps = ["serial", "uuid", "site", "rack", "feeds", "nics"];
        let hardware = ["architecture", "level", "memory", "threads", "firmware", "unrevocable_storage"];
        let gaps: Vec<String> =
            gaps.iter().map(|gap| (*gap).to_owned()).chain(hardware.map(|gap| format!("hardware.{gap}"))).collect();
        assert_eq!(draft.gaps(), gaps);
    }
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["bmc-10-2-1-7", "bmc-10-2-1-7-2"]);
}

#[test]
fn an_account_that_was_refused_or_not_given_is_a_gap() {
    let credential = Credential { user: "understudy".into(), password: SecretReference("env:BMC".into()), key: None };
    let user = |bmc: &Bmc, credential| of("m".parse().unwrap(), bmc, &search(), credential, &BTreeSet::new()).bmc.user.value;
    let mut bmc = found(true);
    assert_eq!(user(&bmc, None), None);
    bmc.trouble = Some(Kind::Silent.fault("x", "y"));
    assert_eq!(user(&bmc, Some(&credential)).as_deref(), Some("understudy"), "it may well be right");
    bmc.trouble = Some(Kind::WrongPassword.fault("x", "y"));
    assert_eq!(user(&bmc, Some(&credential)), None);
}

#[test]
fn switch_and_port_are_entered_only_where_they_are_names_of_the_estate() {
    let tor = BTreeSet::from(["tor1".to_owned()]);
    let named = |system: &str, switches: &BTreeSet<String>| switch(&neighbour(system, "p1"), switches).value.map(String::from);
    assert_eq!(named("TOR1.example.net", &tor).as_deref(), Some("tor1"));
    assert_eq!(named("tor2", &tor), None, "no switch of the estate");
    assert_eq!(named("tor2", &BTreeSet::new()).as_deref(), Some("tor2"), "there is no estate to ask");
    assert_eq!((named("", &tor), named("a b", &BTreeSet::new())), (None, None));
    let told = |text: &str| port(&neighbour("tor1", text)).value.map(String::from);
    assert_eq!((told("Swp5").as_deref(), told("Ethernet1/5"), told("")), (Some("swp5"), None, None));
    assert!(port(&neighbour("tor1", "Ethernet1/5")).remark.contains("Ethernet1/5"));
}

#[test]
fn names_are_legal_and_nobody_elses() {
    assert_eq!(slug("  MXQ_302/099S "), "mxq-302-099s");
    assert_eq!(slug("--"), "");
    assert_eq!(slug(&"x".repeat(100)).len(), NAME_MAX);
    let mut taken = BTreeSet::from(["bmc-10-2-1-7".to_owned()]);
    assert_eq!(name(&found(true), &mut taken).unwrap().as_str(), "bmc-10-2-1-7-2");
}

#[test]
fn a_password_file_is_named_as_the_estate_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    let estate = folder.path().join("estate");
    std::fs::create_dir_all(estate.join("secrets")).unwrap();
    std::fs::write(estate.join("secrets/bmc"), "x").unwrap();
    let path = estate.join("secrets/bmc");
    let reference = SecretReference(format!("file:{}", path.display()));
    assert_eq!(from_estate(&reference, Some(&estate)).0, "file:secrets/bmc");
    let whole = std::fs::canonicalize(&path).unwrap();
    assert_eq!(from_estate(&reference, None).0, format!("file:{}", whole.display()));
    assert_eq!(from_estate(&SecretReference("env:BMC".into()), Some(&estate)).0, "env:BMC");
}
