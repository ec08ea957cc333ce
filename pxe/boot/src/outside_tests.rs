//! Tests of the desk in a world that is not there: no file, no socket, no time but the runtime's, no chance but what is given.

use super::*;
use crate::desk::Desk;
use crate::device::BootDevice;
use crate::dhcp_wire;
use crate::disk::Kept;
use crate::examples::permit;
use crate::http;
use crate::shelf::Reader;
use async_trait::async_trait;
use bytes::Bytes;
use contract::agent::Device as _;
use http_body_util::BodyExt as _;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;
use vocabulary::boot::{BootContact, BootStep, Permit};

/// A disk that keeps all that was ever written, the newest last.
#[derive(Default)]
struct Paper(Mutex<BTreeMap<Kept, Vec<Vec<u8>>>>);

#[async_trait]
impl Disk for Paper {
    fn machines(&self) -> io::Result<Vec<String>> {
        let kept = self.0.lock().unwrap();
        Ok(kept.keys().filter_map(|what| if let Kept::Machine(name) = what { Some(name.clone()) } else { None }).collect())
    }
    fn read(&self, what: &Kept) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap().get(what).and_then(|written| written.last().cloned()))
    }
    async fn replace(self: Arc<Self>, what: Kept, bytes: Vec<u8>) -> io::Result<()> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.0.lock().unwrap().entry(what).or_default().push(bytes);
        Ok(())
    }
    fn place(&self, what: &Kept) -> PathBuf {
        format!("{what:?}").into()
    }
}

/// Every file is there, and as long as its path.
struct Names;

struct Name(Bytes);

#[async_trait]
impl Shelf for Names {
    async fn length(&self, path: &Path) -> io::Result<u64> {
        Ok(path.as_os_str().len() as u64)
    }
    async fn open(&self, path: &Path) -> io::Result<Box<dyn Reader>> {
        Ok(Box::new(Name(path.to_str().unwrap().to_owned().into())))
    }
}

#[async_trait]
impl Reader for Name {
    fn length(&self) -> u64 {
        self.0.len() as u64
    }
    async fn seek(&mut self, to: u64) -> io::Result<()> {
        drop(self.0.split_to(usize::try_from(to).unwrap()));
        Ok(())
    }
    async fn read(&mut self, most: usize) -> io::Result<Bytes> {
        Ok(self.0.split_to(most.min(self.0.len()).min(7)))
    }
}

fn outside(disk: &Arc<Paper>) -> Outside {
    let begun = tokio::time::Instant::now();
    let elapsed = move || u64::try_from(begun.elapsed().as_millis()).unwrap();
    Outside {
        disk: disk.clone(),
        shelf: Arc::new(Names),
        since_boot: Arc::new(move || 1_000 + elapsed()),
        host_boot: "first".to_owned(),
        wall: Arc::new(move || WallTime(1_700_000_000_000 + elapsed())),
        random: Arc::new(|bytes: &mut [u8]| bytes.fill(0xab)),
    }
}

fn config() -> Config {
    let text = r#"{"bundle":"none","state_dir":"none","interface":"none","address":"10.10.0.1/24","images_dir":"images",
        "ipxe":{"bios":"undionly.kpxe","uefi":"snponly.efi"}}"#;
    serde_json::from_str(text).unwrap()
}

fn desk(disk: &Arc<Paper>) -> Arc<Desk> {
    Arc::new(Desk::open_with(config(), outside(disk)).unwrap())
}

/// iPXE's DISCOVER; the answer, if there is one.
fn discovers(desk: &Desk, permit: &Permit) -> Option<Vec<u8>> {
    let mut packet = vec![1, 1, 6, 0, 1, 2, 3, 4];
    packet.resize(28, 0);
    packet.extend(crate::permits::provisioning(permit).unwrap().mac.0);
    packet.resize(236, 0);
    packet.extend(*b"\x63\x82\x53\x63\x35\x01\x01\x4d\x04iPXE\xff");
    dhcp_wire::answer(desk, &dhcp_wire::site(desk.config()), &packet).map(|reply| reply.bytes)
}

async fn got(desk: &Arc<Desk>, name: &str, from: &str) -> Option<(u16, String)> {
    let request = ::http::Request::get(format!("/{}/{name}", "ab".repeat(16))).body(()).unwrap();
    let response = http::served(desk, &request, from.parse().unwrap()).await?;
    let status = response.status().as_u16();
    Some((status, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()))
}

#[tokio::test(start_paused = true)]
async fn a_boot_and_a_lease_of_days_pass_without_a_machine() {
    let (disk, given) = (Arc::new(Paper::default()), permit(1, "web1", 5));
    let desk = desk(&disk);
    desk.heard().await;
    desk.grant(&given).await.unwrap();
    let offer = discovers(&desk, &given).unwrap();
    assert!(offer.windows(64).any(|part| part.starts_with(b"http://10.10.0.1/abababab")), "the token is the world's chance");
    let here = "10.10.0.11";
    assert_eq!(got(&desk, "boot.ipxe", "10.10.0.12").await, None, "hung up on");
    assert!(got(&desk, "boot.ipxe", here).await.unwrap().1.contains("kernel http://10.10.0.1/abab"));
    assert_eq!(got(&desk, "kernel", here).await, Some((200, "images/web-kernel/kernel".to_owned())));
    assert!(got(&desk, "claim", here).await.unwrap().1.contains("CHAP_PASSWORD=chap-secret-0001\n"));
    assert_eq!(got(&desk, "claim", here).await, Some((410, String::new())));
    let steps: Vec<BootContact> = desk.contacts().after(0);
    use BootStep::{Claim, Dhcp, Kernel, Script};
    assert_eq!(steps.iter().map(|contact| contact.step).collect::<Vec<_>>(), [Dhcp, Script, Kernel, Claim]);
    assert!(steps.iter().all(|contact| (1_700_000_000_000..1_700_000_000_100).contains(&contact.at.0)), "{steps:?}");

    tokio::time::sleep(Duration::from_secs(6 * 86_400)).await;
    assert!(discovers(&desk, &given).is_some());
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    assert_eq!(discovers(&desk, &given), None, "seven days without a controller");
    desk.heard().await;
    assert!(discovers(&desk, &given).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_went_back_revives_no_permit_that_the_gate_knows_revoked() {
    let (disk, given) = (Arc::new(Paper::default()), permit(1, "web1", 5));
    {
        let desk = desk(&disk);
        desk.heard().await;
        desk.grant(&given).await.unwrap();
        desk.revoke(&given.machine).await.unwrap();
        assert_eq!(discovers(&desk, &given), None);
    }
    disk.0.lock().unwrap().get_mut(&Kept::Machine("m1".to_owned())).unwrap().pop();
    let desk = desk(&disk);
    assert!(discovers(&desk, &given).is_some(), "the disk alone cannot know");
    BootDevice::new(desk.clone()).restore(&[]).await.unwrap();
    assert_eq!(discovers(&desk, &given), None, "the gate does");
}
