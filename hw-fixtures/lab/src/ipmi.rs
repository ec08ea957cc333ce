//! A machine's BMC as nobody here wrote it: OpenIPMI's `ipmi_sim`, whose power is that of the machine's real process. It stands beside the
//! machine's other BMC, at the same address, and pretends nothing of its own: what it is asked for, it asks of the process's parent.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::bmc::{control_socket, password_file};
use crate::names::{BMC_USER, Machine};
use crate::packages::{PackageError, Packages};
use crate::services::Service;

/// Port of IPMI.
pub const PORT: u16 = 623;
/// Only the owner reads what holds a password.
const OWNER_ONLY: u32 = 0o600;
const OWNER_RUNS: u32 = 0o700;

/// Why it cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum IpmiError {
    /// A file.
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    /// The program.
    #[error(transparent)]
    Package(#[from] PackageError),
}

/// Writes what it needs into the run folder, and says how it is started.
pub fn service(run: &Path, packages: &Packages, bmc_sim: &Path, machine: Machine) -> Result<Service, IpmiError> {
    let name = format!("ipmi-{}", machine.name());
    let folder = run.join(&name);
    let failed = |error| IpmiError::File(folder.clone(), error);
    fs::create_dir_all(folder.join("state")).map_err(failed)?;
    let password = fs::read_to_string(password_file(run)).map_err(failed)?;
    let guid = machine.uuid().replace('-', "");
    let chassis = folder.join("chassis");
    let files = [
        ("lan.conf", lan(machine, &guid, password.trim(), &chassis), OWNER_ONLY),
        ("sim.emu", emulation(&guid), OWNER_ONLY),
        ("boot", "none".to_owned(), OWNER_ONLY),
        ("chassis", script(bmc_sim, &control_socket(run), machine), OWNER_RUNS),
    ];
    for (file, text, mode) in files {
        let opened = OpenOptions::new().create(true).truncate(true).write(true).mode(mode).open(folder.join(file));
        opened.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)?;
    }
    let word = |path: PathBuf| path.display().to_string();
    let argv = [
        word(packages.path(&["bin/ipmi_sim"])?),
        "-c".to_owned(),
        word(folder.join("lan.conf")),
        "-f".to_owned(),
        word(folder.join("sim.emu")),
        "-s".to_owned(),
        word(folder.join("state")),
        "-n".to_owned(),
    ];
    Ok(Service { name, argv: argv.to_vec(), env: packages.environment().into_iter().collect(), ..Service::default() })
}

fn lan(machine: Machine, guid: &str, password: &str, chassis: &Path) -> String {
    let levels = ["callback", "user", "operator", "admin"];
    let allowed: String = levels.map(|level| format!("allowed_auths_{level} none md2 md5 straight\n")).concat();
    format!(
        "name \"{}\"\nset_working_mc 0x20\nstartlan 1\naddr {} {PORT}\npriv_limit admin\n{allowed}guid {guid}\nendlan\n\
         chassis_control \"{} 0x20\"\nuser 2 true \"{BMC_USER}\" \"{password}\" admin 10 none md2 md5 straight\n",
        machine.name(),
        machine.bmc(),
        chassis.display(),
    )
}

fn emulation(guid: &str) -> String {
    format!(
        "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_set_guid 0x20 {guid}\n\
         sel_enable 0x20 1000 0x0a\nmc_enable 0x20\n"
    )
}

/// What `ipmi_sim` calls for its chassis: the controller's number, `get` or `set`, then what, and to what.
fn script(bmc_sim: &Path, control: &Path, machine: Machine) -> String {
    let name = machine.name();
    format!(
        r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
ask() {{ "{bmc_sim}" --control "{control}" "$1"; }}
off() {{ ask '{{"verb":"power_off","name":"{name}"}}'; }}
on() {{ ask '{{"verb":"power_on","name":"{name}"}}'; }}
case "$2 $3" in
"get power")
    all=$(ask '{{"verb":"pids"}}') || exit 1
    case "$all" in *'"{name}":null'*) echo power:0 ;; *'"{name}":'*) echo power:1 ;; *) exit 1 ;; esac ;;
"set power") if [ "$4" = 1 ]; then on; else off; fi >/dev/null ;;
"set reset") if [ "$4" = 1 ]; then off && on; fi >/dev/null ;;
"set shutdown") ask '{{"verb":"press_power_button","name":"{name}"}}' >/dev/null ;;
"get boot") echo "boot:$(cat boot)" ;;
"set boot") echo "$4" >boot ;;
*) exit 1 ;;
esac
"#,
        bmc_sim = bmc_sim.display(),
        control = control.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    /// The script against something that answers as the simulator does and notes what it is told.
    #[test]
    fn power_is_that_of_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let parent = format!(
            "#!/bin/sh\necho \"$3\" >>{0}/told\ncase \"$3\" in *pids*) cat {0}/pids ;; *) echo '{{\"ok\":true}}' ;; esac\n",
            folder.path().display()
        );
        let script = script(&at("parent"), &at("socket"), Machine(1));
        for (name, text) in [("parent", parent.as_str()), ("chassis", &script), ("boot", "none\n")] {
            fs::write(at(name), text).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o700)).unwrap();
        }
        let call = |words: &[&str]| {
            let output = Command::new(at("chassis")).arg("0x20").args(words).output().unwrap();
            (output.status.success(), String::from_utf8(output.stdout).unwrap())
        };
        fs::write(at("pids"), "{\"m1\":null,\"m2\":7,\"ok\":true}").unwrap();
        assert_eq!(call(&["get", "power"]), (true, "power:0\n".to_owned()));
        fs::write(at("pids"), "{\"m1\":42,\"m2\":null,\"ok\":true}").unwrap();
        assert_eq!(call(&["get", "power"]), (true, "power:1\n".to_owned()));
        // what knows nothing of the machine says nothing of its power
        fs::write(at("pids"), "{\"ok\":false}").unwrap();
        assert!(!call(&["get", "power"]).0);
        assert!(call(&["set", "power", "0"]).0 && call(&["set", "boot", "pxe"]).0);
        assert_eq!(call(&["get", "boot"]), (true, "boot:pxe\n".to_owned()));
        let told = fs::read_to_string(at("told")).unwrap();
        assert_eq!(told.lines().last(), Some("{\"verb\":\"power_off\",\"name\":\"m1\"}"));
    }
}
