//! Tests of the HTTP service over real sockets on the loopback interface: what a booting machine may have, and when no longer.

use super::*;
use crate::config::Config;
use crate::examples;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vocabulary::MachineId;

const KERNEL_BYTES: usize = 3_000_000;

struct Lab {
    desk: Arc<Desk>,
    at: SocketAddr,
    _folder: tempfile::TempDir,
}

/// A permit whose provisioning address is this test's own.
fn local_permit(n: u8, epoch: u64, method: BootMethod) -> Permit {
    let mut permit = examples::permit(n, "web1", epoch);
    permit.method = method;
    permit.nics.values_mut().for_each(|nic| nic.address = "127.0.0.1/8".parse().ok());
    permit
}

pub(crate) fn config(folder: &Path) -> Config {
    for (name, bytes) in [("undionly.kpxe", 70_000), ("snponly.efi", 180_000)] {
        std::fs::write(folder.join(name), vec![7; bytes]).unwrap();
    }
    std::fs::create_dir_all(folder.join("images")).unwrap();
    std::fs::write(folder.join("images/vmlinuz"), vec![1; KERNEL_BYTES]).unwrap();
    std::fs::write(folder.join("images/server.cpio"), b"0123456789").unwrap();
    let text = r#"{"bundle":"none","state_dir":"state","interface":"lo","address":"127.0.0.9/8","images_dir":"images",
        "ports":{"dhcp":0,"tftp":0,"http":0},"machines":{"m9":{"provisioning_mac":"52:54:00:0c:09:01"}},
        "images":{"web-kernel":{"kernel":"vmlinuz","initrd":"server.cpio"}},"ipxe":{"bios":"undionly.kpxe","uefi":"snponly.efi"}}"#;
    std::fs::write(folder.join("boot.json"), text).unwrap();
    Config::read(&folder.join("boot.json")).unwrap()
}

impl Lab {
    fn open() -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let desk = Arc::new(Desk::open(config(folder.path())).unwrap());
        let http = Http::open(desk.clone()).unwrap();
        let at = http.local_addr().unwrap();
        tokio::spawn(http.serve());
        Lab { desk, at, _folder: folder }
    }

    async fn grant(&self, permit: &Permit) {
        self.desk.heard().await;
        self.desk.grant(permit).await.unwrap();
    }

    fn boot(&self, permit: &Permit, transaction: u32) -> String {
        self.desk.token_of_boot(permit, transaction).unwrap().expose()
    }

    async fn send(&self, request: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        answer
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.send(&format!("GET {path} HTTP/1.0\r\n\r\n")).await;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        (head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0), body.to_owned())
    }

    fn steps(&self) -> Vec<BootStep> {
        self.desk.contacts().after(0).iter().map(|contact| contact.step).collect()
    }
}

#[tokio::test]
async fn a_boot_by_kernel_gets_everything_and_its_secrets_once() {
    let lab = Lab::open();
    let permit = local_permit(1, 5, BootMethod::Kernel);
    lab.grant(&permit).await;
    let token = lab.boot(&permit, 1);
    for _ in 0..2 {
        let (status, script) = lab.get(&format!("/{token}/boot.ipxe")).await;
        assert!(status == 200 && script.contains(&format!("/{token}/kernel initrd=initrd")), "{status} {script}");
    }
    let (status, kernel) = lab.get(&format!("/{token}/kernel")).await;
    assert_eq!((status, kernel.len()), (200, KERNEL_BYTES));
    assert_eq!(lab.get(&format!("/{token}/initrd")).await, (200, "0123456789".to_owned()));
    assert_eq!(lab.get(&format!("/{token}/san.ipxe")).await.0, 404, "not this permit's method");
    let (status, claim) = lab.get(&format!("/{token}/claim")).await;
    assert!(status == 200 && claim.contains("CHAP_PASSWORD=chap-secret-0001\n"), "{claim}");
    for name in ["claim", "boot.ipxe", "kernel", "initrd"] {
        assert_eq!(lab.get(&format!("/{token}/{name}")).await, (410, String::new()), "{name}");
    }
    use BootStep::{Claim, Initrd, Kernel, Script};
    assert_eq!(lab.steps(), [Script, Script, Kernel, Initrd, Claim]);
    let next = lab.boot(&permit, 2);
    assert_eq!(lab.get(&format!("/{token}/claim")).await, (404, String::new()), "voided by the next boot");
    assert_eq!(lab.get(&format!("/{next}/claim")).await.0, 200);
}

#[tokio::test]
async fn a_boot_by_san_gets_its_login_once() {
    let lab = Lab::open();
    let permit = local_permit(1, 5, BootMethod::San);
    lab.grant(&permit).await;
    let token = lab.boot(&permit, 1);
    let (status, script) = lab.get(&format!("/{token}/boot.ipxe")).await;
    assert!(status == 200 && !script.contains("chap-secret"), "{script}");
    for name in ["kernel", "initrd", "claim"] {
        assert_eq!(lab.get(&format!("/{token}/{name}")).await.0, 404, "{name}");
    }
    let (status, login) = lab.get(&format!("/{token}/san.ipxe")).await;
    assert!(status == 200 && login.contains("set password chap-secret-0001\n"), "{status} {login}");
    assert_eq!(lab.get(&format!("/{token}/san.ipxe")).await, (410, String::new()));
}

#[tokio::test]
async fn heads_and_ranges_are_served_and_a_head_uses_nothing_up() {
    let lab = Lab::open();
    let permit = local_permit(1, 5, BootMethod::Kernel);
    lab.grant(&permit).await;
    let token = lab.boot(&permit, 1);
    let head = String::from_utf8(lab.send(&format!("HEAD /{token}/snponly.efi HTTP/1.0\r\n\r\n")).await).unwrap();
    assert!(
        head.starts_with("HTTP/1.0 200") && head.contains("content-length: 180000\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    let part = lab.send(&format!("GET /{token}/initrd HTTP/1.0\r\nRange: bytes=2-4\r\n\r\n")).await;
    let part = String::from_utf8(part).unwrap();
    assert!(
        part.contains(" 206 ") && part.contains("content-range: bytes 2-4/10\r\n") && part.ends_with("\r\n\r\n234"),
        "{part}"
    );
    assert!(lab.steps().is_empty(), "a part is no fetch to the end");
    lab.send(&format!("HEAD /{token}/claim HTTP/1.0\r\n\r\n")).await;
    lab.send(&format!("POST /{token}/claim HTTP/1.0\r\n\r\n")).await;
    assert_eq!(lab.get(&format!("/{token}/claim")).await.0, 200);
}

#[tokio::test]
async fn strangers_and_wrong_addresses_get_nothing() {
    let lab = Lab::open();
    assert!(lab.send("GET / HTTP/1.0\r\n\r\n").await.is_empty(), "nobody has a permit: hung up on");
    let permit = local_permit(1, 5, BootMethod::Kernel);
    lab.grant(&permit).await;
    let token = lab.boot(&permit, 1);
    for path in
        ["/", "/boot.ipxe", "//claim", "/../state/permits/m1.json", &format!("/{}/claim", "0".repeat(32)), &format!("/{token}/")]
    {
        assert_eq!(lab.get(path).await, (404, String::new()), "{path}");
    }
    for path in ["../../state/permits/m1.json", "undionly.kpxe", "kernel/..", "images/vmlinuz"] {
        assert_eq!(lab.get(&format!("/{token}/{path}")).await, (404, String::new()), "{path}");
    }
    let elsewhere: IpAddr = "127.0.0.2".parse().unwrap();
    assert!(matches!(lab.desk.visit(&token, elsewhere), Visit::Stranger), "a token is good only from its machine's address");
}

#[tokio::test]
async fn a_revocation_silences_a_boot_under_way() {
    let lab = Lab::open();
    let permit = local_permit(1, 5, BootMethod::Kernel);
    lab.grant(&permit).await;
    let token = lab.boot(&permit, 1);
    // in the middle of the kernel
    let mut stream = TcpStream::connect(lab.at).await.unwrap();
    stream.write_all(format!("GET /{token}/kernel HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
    let mut piece = vec![0; 1000];
    stream.read_exact(&mut piece).await.unwrap();
    let m1: MachineId = "m1".parse().unwrap();
    lab.desk.revoke(&m1).await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(lab.send(&format!("GET /{token}/claim HTTP/1.0\r\n\r\n")).await.is_empty(), "hung up on");
    assert!(lab.desk.token_of_boot(&permit, 2).is_none());
    assert!(lab.desk.use_up(BootToken::parse(&token).unwrap(), BootMethod::Kernel).is_none());
    // granted anew, the old boot's token stays void
    lab.grant(&local_permit(1, 6, BootMethod::Kernel)).await;
    assert_eq!(lab.get(&format!("/{token}/claim")).await.0, 404);
}

#[tokio::test]
async fn one_address_cannot_take_all_connections() {
    let lab = Lab::open();
    lab.grant(&local_permit(1, 5, BootMethod::Kernel)).await;
    let mut idle = Vec::new();
    for _ in 0..HTTP_CONNECTIONS_PER_PEER {
        idle.push(TcpStream::connect(lab.at).await.unwrap());
    }
    assert!(lab.send("GET / HTTP/1.0\r\n\r\n").await.is_empty());
    drop(idle);
    let mut status = 0;
    for _ in 0..50 {
        status = lab.get("/").await.0;
        if status == 404 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(status, 404, "the places come back");
}
