//! The estate's documents of one lab: the product's own example, with the few lines changed in which a scenario differs.
//!
//! Changes are made in the text of the documents, as a person would make them; the product reads and checks the result.

use std::path::Path;

use vocabulary::boot::{BootMethod, Firmware};
use vocabulary::estate::ServiceDown;

use crate::script::{Outlets, Setup};
use crate::trouble::{Done, Trouble, at};

/// Memory of a machine with UEFI firmware, as its document says it.
const UEFI_MEMORY: &str = "512MiB";

/// How long a boot may take that was never recorded: emulated machines on a loaded computer are slow.
const BOOT_TIME: &str = "90s";

/// Makes the documents in `folder` fit a scenario: firmware, boot method, number of machines, settings.
pub fn adapt(folder: &Path, setup: &Setup) -> Done {
    for number in 1..=setup.machines {
        let path = folder.join(format!("machines/m{number}.yaml"));
        if !path.exists() {
            // the example has three machines; the fourth is like the third
            let third = read(&folder.join("machines/m3.yaml"))?;
            write(&path, &fourth(&third, number))?;
        }
        if setup.over_ipmi.contains(&number) {
            change(&path, over_ipmi)?;
        }
        if setup.one_rack.contains(&number) {
            let own =
                |text: String| text.replace(&format!("rack: r{number}"), "rack: r1").replace(&format!("[f{number}]"), "[f1]");
            change(&path, own)?;
        }
        if setup.outlets != Outlets::Unnamed {
            change(&path, |text| hung_up(&text, setup.outlets, number))?;
        }
        if setup.local_disks.contains(&number) {
            change(&path, |text| text.replace("hardware:", "hardware:\n  unrevocable_storage: true"))?;
        }
        if setup.firmware == Firmware::Uefi {
            change(&path, |text| text.replace("memory: 384MiB", &format!("memory: {UEFI_MEMORY}")))?;
        }
    }
    if setup.outlets != Outlets::Unnamed {
        let pdu = format!("pdu: {}\nsite: lab\ndriver: snmp\nagent: {}\n", lab::names::PDU, lab::agents::PDU_LISTEN);
        write(&folder.join("pdu.yaml"), &pdu)?;
    }
    if setup.bmcs_outside {
        bmcs_outside(folder, setup.machines)?;
    }
    let spares: Vec<String> = (lab::names::MACHINES..=setup.machines).map(|number| format!("m{number}")).collect();
    change(&folder.join("pool.yaml"), |text| text.replace("[m3]", &format!("[{}]", spares.join(", "))))?;
    if !setup.dump.is_zero() {
        let restarts = format!("panic={}", setup.dump.as_secs());
        change(&folder.join("images/web-kernel.yaml"), |text| text.replace("panic=-1", &restarts))?;
    }
    for server in ["web1", "web2"] {
        change(&folder.join(format!("servers/{server}.yaml")), |text| {
            let text = match setup.firmware {
                Firmware::Bios => text,
                Firmware::Uefi => text.replace("firmware: bios", "firmware: uefi"),
            };
            let text = match setup.method {
                BootMethod::Kernel => text,
                BootMethod::San => text.replace("method: kernel", "method: san").replace("image: web-kernel", "image: web-san"),
            };
            match setup.service_down {
                ServiceDown::Hold => text,
                ServiceDown::Restart => text.replace("checks:", "service_down: restart\nchecks:"),
            }
        })?;
    }
    if let Some(target) = setup.recovery_target {
        let line = format!("recovery_target: {}s", target.as_secs());
        change(&folder.join("group.yaml"), |text| text.replace("recovery_target: 2m", &line))?;
    }
    change(&folder.join("estate.yaml"), |text| {
        let mut text = set(&text, "detection.boot_time", BOOT_TIME);
        for (path, value) in &setup.settings {
            text = set(&text, path, value);
        }
        text
    })
}

/// A machine's document with the outlets at which it hangs, or at which it is taken to hang.
fn hung_up(text: &str, outlets: Outlets, number: u8) -> String {
    let hangs = match (outlets, number) {
        (Outlets::Swapped, 1) => 2,
        (Outlets::Swapped, 2) => 1,
        _ => number,
    };
    let all = lab::names::outlets(hangs).map(|outlet| format!("{{pdu: {}, outlet: {outlet}}}", lab::names::PDU));
    text.replace("hardware:", &format!("outlets: [{}]\nhardware:", all.join(", ")))
}

/// The BMCs belong to an agent of their own.
fn bmcs_outside(folder: &Path, machines: u8) -> Done {
    let agent = format!("bmc-agent: {}\nsite: lab\nagent: {}\n", lab::names::BMCS, lab::agents::BMCS_LISTEN);
    write(&folder.join("bmcs.yaml"), &agent)?;
    let owner = format!("bmc:\n  agent: {}", lab::names::BMCS);
    (1..=machines)
        .try_for_each(|number| change(&folder.join(format!("machines/m{number}.yaml")), |text| text.replace("bmc:", &owner)))
}

fn fourth(third: &str, number: u8) -> String {
    let mut text = third.replace("m3", &format!("m{number}")).replace("LAB0003", &format!("LAB000{number}"));
    for (from, to) in [("-000000000003", format!("-00000000000{number}")), ("10.254.0.13", format!("10.254.0.1{number}"))] {
        text = text.replace(from, &to);
    }
    text = text
        .replace("0c:03:", &format!("0c:0{number}:"))
        .replace("r3", &format!("r{number}"))
        .replace("f3", &format!("f{number}"));
    for place in 1..=3 {
        text = text.replace(&format!("port: p{},", 6 + place), &format!("port: p{},", (number - 1) * 3 + place));
    }
    text
}

/// A machine's document with another protocol. `ipmi_sim` has no suite 17.
fn over_ipmi(text: String) -> String {
    let port = format!(":{}", lab::ipmi::PORT);
    text.replace("protocol: redfish", "protocol: ipmi\n  ipmi: {weakest_suite: 3, privilege: administrator}")
        .replace(":443", &port)
}

fn read(path: &Path) -> Done<String> {
    at(path, std::fs::read_to_string(path))
}

fn write(path: &Path, text: &str) -> Done {
    at(path, std::fs::write(path, text))
}

fn change(path: &Path, how: impl FnOnce(String) -> String) -> Done {
    let text = read(path)?;
    write(path, &how(text))
}

/// Sets `section.key` of a document: replaced where it stands, with the list below it, added where it does not.
fn set(text: &str, path: &str, value: &str) -> String {
    let Some((section, key)) = path.split_once('.') else { return text.to_owned() };
    let (head, wanted) = (format!("{section}:"), format!("  {key}: {value}"));
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let Some(start) = lines.iter().position(|line| line.starts_with(&head)) else {
        lines.extend([head, wanted]);
        return lines.join("\n") + "\n";
    };
    let inside = |line: &String| line.starts_with(' ') || line.trim().is_empty();
    let end = start + 1 + lines.iter().skip(start + 1).take_while(|line| inside(line)).count();
    let own = format!("  {key}:");
    match lines.iter().take(end).skip(start).position(|line| line.starts_with(&own)) {
        Some(offset) => {
            let place = start + offset;
            let below = lines.iter().take(end).skip(place + 1).take_while(|line| line.starts_with("   ")).count();
            lines.splice(place..=place + below, [wanted]);
        }
        None => lines.insert(start + 1, wanted),
    }
    lines.join("\n") + "\n"
}

/// Writes into the machines' documents which certificates their BMCs show, as a person does who has compared them.
pub fn pin(folder: &Path, run: &Path, machines: u8) -> Done {
    for name in (1..=machines).map(|number| lab::names::Machine(number).name()) {
        let path = run.join(format!("{name}.crt"));
        let Some(pin) = fingerprint(&read(&path)?) else {
            return Err(Trouble::Wrong(format!("{} is no certificate", path.display())));
        };
        change(&folder.join(format!("machines/{name}.yaml")), |text| {
            text.replace("certificate: enrol", &format!("certificate: {pin}"))
        })?;
    }
    Ok(())
}

/// SHA-256 of a certificate in PEM, in hex.
fn fingerprint(pem: &str) -> Option<String> {
    use base64::Engine as _;
    use sha2::Digest as _;
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).map(str::trim).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body).ok().filter(|der| !der.is_empty())?;
    Some(sha2::Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Puts the BMCs' password where the machines' documents say it is; readable by the owner alone.
pub fn password(folder: &Path, from: &Path) -> Done {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    const OWNER_ONLY: u32 = 0o600;
    let secret = at(from, std::fs::read(from))?;
    let path = folder.join("secrets/bmc");
    let opened = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(OWNER_ONLY).open(&path);
    at(&path, opened.and_then(|mut file| file.write_all(&secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_replaced_or_added() {
        let text = "estate: lab\nfencing: # why\n  settle: 300ms # only a lab\n  reads: 3\nguard:\n  canaries:\n    - x\n";
        let changed = set(text, "fencing.settle", "1s");
        assert!(changed.contains("  settle: 1s\n  reads: 3\n"), "{changed}");
        let changed = set(text, "guard.server_interval", "1s");
        assert!(changed.contains("guard:\n  server_interval: 1s\n  canaries:\n"), "{changed}");
        let changed = set(text, "guard.canaries", "[y]");
        assert!(changed.ends_with("guard:\n  canaries: [y]\n"), "a list goes with its key: {changed}");
        let changed = set(text, "detection.hung_window", "3s");
        assert!(changed.ends_with("detection:\n  hung_window: 3s\n"), "{changed}");
    }

    #[test]
    fn the_fourth_machine_has_nothing_of_the_third() {
        let third = "machine: m3\nserial: LAB0003\nuuid: 00000000-0000-4000-8000-000000000003\nrack: r3\nfeeds: [f3]\n  address: 10.254.0.13:443\n\
                     - {role: storage, mac: \"52:54:00:0c:03:02\", switch: sw1, port: p8, speed: 1G}\n";
        let text = fourth(third, 4);
        assert!(text.contains("port: p11,") && text.contains("0c:04:02") && text.contains("10.254.0.14"), "{text}");
        for third in ["m3", "LAB0003", "r3", "f3", "03:", "p8", "0.13"] {
            assert!(!text.contains(third), "{third} in {text}");
        }
    }
}
