//! The hall of a scenario: as many machines, the same protocols, firmware and settings as its lab has. The settings are those of the lab's
//! own documents, changed by the same hand.

use std::time::Duration;

use ::world::machine::Times;
use catalogue::Flavor;
use lab::names::SERVERS;
use simulator::hall::Hall;
use vocabulary::Span;
use vocabulary::boot::Firmware;
use vocabulary::estate::{ServiceDown, Settings};

use crate::estate;
use crate::script::{Outlets, Setup};
use crate::trouble::{Done, Trouble, at};

/// The hall that a scenario asks for.
pub fn hall(setup: &Setup) -> Done<Hall> {
    let bearing = SERVERS.len();
    let machines = usize::from(setup.machines);
    let mut hall = Hall::with(bearing, machines.saturating_sub(bearing));
    hall.over_ipmi = (1..=setup.machines).map(|number| setup.over_ipmi.contains(&number)).collect();
    hall.one_rack = setup.one_rack.iter().copied().map(usize::from).collect();
    hall.bmcs_outside = setup.bmcs_outside;
    hall.outlets = setup.outlets != Outlets::Unnamed;
    hall.swapped = (setup.outlets == Outlets::Swapped).then_some(1);
    hall.local_disks = setup.local_disks.iter().copied().map(usize::from).collect();
    hall.restarted = (1..=bearing).filter(|_| setup.service_down == ServiceDown::Restart).collect();
    hall.recovery_target = setup.recovery_target.map(|target| Span::seconds(target.as_secs()));
    hall.pages = true;
    hall.method = setup.method;
    hall.firmware = setup.firmware;
    hall.times = times(setup.firmware, setup.post);
    hall.settings = settings(setup)?;
    hall.address_lease = setup.address_lease.map(|lease| Span::seconds(lease.as_secs()));
    Ok(hall)
}

/// The settings of the lab's documents, as the product reads them.
fn settings(setup: &Setup) -> Done<Settings> {
    let folder = tempfile::tempdir().map_err(|error| Trouble::Wrong(format!("no folder for the estate: {error}")))?;
    let (estate, password) = (folder.path().join("estate"), folder.path().join("password"));
    catalogue::init(&estate, Flavor::Lab).map_err(|fault| Trouble::Wrong(fault.to_string()))?;
    estate::adapt(&estate, setup)?;
    at(&password, std::fs::write(&password, "secret"))?;
    estate::password(&estate, &password)?;
    let loaded = catalogue::load_for(&estate, Some(Flavor::Lab));
    let complaints: Vec<String> = loaded.complaints.iter().map(|complaint| complaint.to_string()).collect();
    let mut settings = loaded.estate.ok_or_else(|| Trouble::Wrong(format!("the estate: {}", complaints.join("; "))))?.settings;
    settings.guard.canaries = vec![simulator::hall::gateway()];
    Ok(settings)
}

/// How long the lab's emulated machines take, as its recorded runs tell.
fn times(firmware: Firmware, longer: Duration) -> Times {
    let longer_ms = u64::try_from(longer.as_millis()).unwrap_or(u64::MAX);
    let between = |least, most| (Duration::from_millis(least), Duration::from_millis(most));
    Times {
        post: match firmware {
            Firmware::Bios => between(1_500 + longer_ms, 4_000 + longer_ms),
            Firmware::Uefi => between(6_000 + longer_ms, 15_000 + longer_ms),
        },
        falls: between(0, 300),
        between_boots: between(1_000, 5_000),
        kernel: between(1_500, 5_000),
        system: between(300, 3_000),
        stop: between(200, 2_000),
        ..Times::default()
    }
}
