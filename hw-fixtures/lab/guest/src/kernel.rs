//! First steps of a first process: mounts, kernel modules, children, the end of the machine.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};

/// Where an image lists its modules, one file name a line, in the order in which they are loaded.
pub const MODULE_ORDER: &str = "/lab/modules/order";

/// Mounts a kernel file system, making its folder. One that is there already is left as it is.
pub fn mount_kernel(kind: &str, at: &str) -> io::Result<()> {
    fs::create_dir_all(at)?;
    match mount(Some(kind), at, Some(kind), MsFlags::empty(), None::<&str>) {
        Ok(()) | Err(nix::errno::Errno::EBUSY) => Ok(()),
        Err(error) => Err(io::Error::other(format!("mount {kind} at {at}: {error}"))),
    }
}

/// Mounts what every first process needs: /proc, /sys, /dev, /run.
pub fn mount_all() -> io::Result<()> {
    for (kind, at) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/run")] {
        mount_kernel(kind, at)?;
    }
    Ok(())
}

/// Loads the image's modules in their order. One that has no hardware here (or is loaded already) is passed over with a line on the console.
pub fn load_modules() -> io::Result<()> {
    let folder = Path::new(MODULE_ORDER).parent().unwrap_or(Path::new("/"));
    for name in fs::read_to_string(MODULE_ORDER)?.lines() {
        let file = fs::File::open(folder.join(name))?;
        if let Err(error) = finit_module(&file, CString::default().as_c_str(), ModuleInitFlags::empty()) {
            say(&format!("module {name}: {error}"));
        }
    }
    Ok(())
}

/// Writes a line to the console, marked so that it is found among the kernel's.
pub fn say(text: &str) {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = uptime.split_whitespace().next().unwrap_or("-");
    println!("LAB {seconds} {text}");
}

/// Runs a program to its end and returns what it wrote (both streams).
pub fn run(program: &str, arguments: &[String]) -> io::Result<(ExitStatus, String)> {
    let output = Command::new(program).args(arguments).output()?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok((output.status, text))
}

/// Starts the machine again through its firmware. Returns only if the kernel refused.
pub fn restart() -> io::Error {
    match reboot(RebootMode::RB_AUTOBOOT) {
        Ok(never) => match never {},
        Err(error) => error.into(),
    }
}

/// The words of the kernel command line.
pub fn command_line() -> io::Result<String> {
    fs::read_to_string("/proc/cmdline")
}

/// Gives an interface its address by DHCP: once, or for ever with renewals by a process of its own.
pub fn dhcp(busybox: &str, interface: &str, for_ever: bool) -> io::Result<()> {
    const SCRIPT: &str = "/run/dhcp";
    let text = format!(
        "#!{busybox} sh\n[ \"$1\" = bound ] || [ \"$1\" = renew ] || exit 0\necho \"LAB dhcp $1 $ip for $lease s\" >/dev/console\n\
         exec {busybox} ip address replace \"$ip/$mask\" dev \"$interface\"\n"
    );
    fs::write(SCRIPT, text)?;
    fs::set_permissions(SCRIPT, fs::Permissions::from_mode(0o755))?;
    let words = ["udhcpc", "-f", "-t", "10", "-T", "1", "-i", interface, "-s", SCRIPT];
    if for_ever {
        return Command::new(busybox).args(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(drop);
    }
    let output = Command::new(busybox).args(words).args(["-n", "-q"]).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("DHCP on {interface}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}
