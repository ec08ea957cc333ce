//! Tests of iPXE's language: what a script comes to, over pages that are there or not.

use super::*;
use crate::dice::Dice;
use crate::machine::cables::{Cables, LoginError, Lost, Page, Root};
use crate::machine::{BootDevice, Build, Machine, Times};
use async_trait::async_trait;
use std::sync::{Arc, Mutex};

/// Pages by path; nothing else answers. It keeps what was asked for.
#[derive(Default)]
struct Pages {
    texts: BTreeMap<&'static str, String>,
    asked: Mutex<Vec<(Source, String)>>,
}

#[async_trait]
impl Cables for Pages {
    fn link(&self, _: Mac, _: bool) {}
    fn send(&self, _: Mac, _: Vec<u8>) {}
    async fn receive(&self, _: Mac) -> Vec<u8> {
        std::future::pending().await
    }
    async fn get(&self, from: Source, _: SocketAddrV4, path: &str) -> Result<Page, Lost> {
        self.asked.lock().unwrap().push((from, path.to_owned()));
        let text = self.texts.get(path).ok_or(Lost)?;
        Ok(Page { status: if text.is_empty() { 410 } else { 200 }, body: text.clone().into_bytes() })
    }
    async fn log_in(&self, _: Source, _: SocketAddrV4, login: &Login) -> Result<Session, LoginError> {
        self.asked.lock().unwrap().push((Source { nic: [0; 6], address: Ipv4Addr::UNSPECIFIED }, format!("{login:?}")));
        Err(LoginError::Denied)
    }
    async fn root(&self, _: Session) -> Result<Option<Root>, Lost> {
        Err(Lost)
    }
    async fn read(&self, _: Session, _: u64) -> Result<u64, Lost> {
        Err(Lost)
    }
    async fn write(&self, _: Session, _: u64, _: u64) -> Result<(), Lost> {
        Err(Lost)
    }
    async fn log_out(&self, _: Session) {}
}

const NICS: [Mac; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

/// What the script comes to, in words, and what was asked for.
async fn ran(script: &str, pages: &[(&'static str, &str)]) -> (String, Vec<String>) {
    let mut texts: BTreeMap<&'static str, String> = pages.iter().map(|(path, text)| (*path, (*text).to_owned())).collect();
    texts.insert("/s", format!("#!ipxe\n{script}\n"));
    let cables = Arc::new(Pages { texts, ..Pages::default() });
    let (order, times) = (vec![BootDevice::Network], Times::default());
    let build = Build { name: "m1".to_owned(), nics: NICS.to_vec(), order, local_disk: false, times };
    let run = Run { shared: Machine::new(build, Dice::of(1, "m1"), cables.clone()).0, console: Arc::new(()) };
    let open = Interface {
        address: Some([10, 0, 0, 9].into()),
        mask: [255, 255, 255, 0].into(),
        open: true,
        ..Interface::closed(NICS[0])
    };
    let outcome = Shell::new(&run, vec![open, Interface::closed(NICS[1])]).script("http://10.0.0.1/s").await;
    let told = match outcome {
        Ok(outcome) => format!("{outcome:?}"),
        Err(Fault::Failed(why)) => format!("failed: {why}"),
        Err(Fault::Unknown(what)) => format!("unknown: {what}"),
    };
    let asked = cables.asked.lock().unwrap().iter().map(|(_, path)| path.clone()).skip(1).collect();
    (told, asked)
}

#[tokio::test(start_paused = true)]
async fn lines_succeed_fail_and_catch() {
    for (script, expected) in [
        ("reboot", "Reboot"),
        ("echo a && reboot", "Reboot"),
        ("iseq a b && echo x ||\nreboot", "Reboot"),
        ("iseq a b && echo x\nreboot", "failed: not equal"),
        ("iseq a b || iseq c d || reboot", "Reboot"),
        ("iseq a a || goto nowhere\nreboot", "Reboot"),
        ("goto there\necho x\n:there\nreboot", "Reboot"),
        ("goto nowhere", "failed: no label nowhere"),
        ("echo the end", "failed: the script ends"),
        ("# echo\n\nboot || reboot", "Reboot"),
        ("set a:int32 8\ninc a\ninc a\niseq ${a} 10 && reboot", "Reboot"),
        ("isset ${absent} || reboot", "Reboot"),
        ("set n 1\niseq ${net${n}/mac} 02:00:00:00:00:02 && reboot", "Reboot"),
        ("isset ${net2/mac} || reboot", "Reboot"),
        ("ifopen net2 || reboot", "Reboot"),
        (":again\ngoto again", "unknown: a script without end"),
        ("dance || reboot", "unknown: dance"),
        ("kernel --name x http://10.0.0.1/k || reboot", "unknown: --name"),
        ("set net0/gateway 10.0.0.1 || reboot", "unknown: set net0/gateway 10.0.0.1"),
        ("echo ${net0/dhcp-server} || reboot", "unknown: net0/dhcp-server"),
        ("chain https://10.0.0.1/x || reboot", "unknown: https://10.0.0.1/x"),
        ("sanboot http://10.0.0.1/x || reboot", "unknown: http://10.0.0.1/x"),
    ] {
        assert_eq!(ran(script, &[]).await.0, expected, "{script}");
    }
}

#[tokio::test(start_paused = true)]
async fn files_are_fetched_and_scripts_chained() {
    let kernel = "kernel http://10.0.0.1/k a=${net0/ip} b || reboot\ninitrd http://10.0.0.1/i || reboot\nboot";
    let (told, asked) = ran(kernel, &[("/k", "vmlinuz"), ("/i", "cpio")]).await;
    assert_eq!((told.as_str(), asked), ("Kernel(\"a=10.0.0.9 b\")", vec!["/k".to_owned(), "/i".to_owned()]));
    assert_eq!(ran(kernel, &[("/k", "vmlinuz"), ("/i", "")]).await.0, "Reboot", "status 410");
    assert_eq!(ran(kernel, &[]).await.0, "Reboot", "hung up on");
    let chain = "chain --autofree http://10.0.0.1/next || goto failed\n:failed\nreboot";
    assert_eq!(ran(chain, &[("/next", "#!ipxe\nboot\n")]).await.0, "Reboot", "a chained script that fails is caught");
    assert_eq!(ran(chain, &[("/next", "#!ipxe\ndance\n")]).await.0, "unknown: dance", "what is not known is not");
    assert_eq!(ran("chain http://10.0.0.1/next", &[("/next", "MZ")]).await.0, "failed: http://10.0.0.1/next is no script");
    assert_eq!(ran("chain http://10.0.0.1/s", &[]).await.0, "failed: too many scripts");
    assert_eq!(ran("initrd http://10.1.0.1/i", &[("/i", "x")]).await.0, "failed: network unreachable");
}

#[tokio::test(start_paused = true)]
async fn a_disk_is_logged_in_to_with_what_was_set() {
    let login = "set initiator-iqn iqn.x:a\nset username u\nset password p\nset net1/ip 10.3.0.9\nset net1/netmask 255.255.255.0\n\
        ifopen net1\nsanboot iscsi:10.3.0.1::3260:a:iqn.x:y:z";
    let (told, asked) = ran(login, &[]).await;
    assert_eq!(told, "failed: login: Denied");
    assert_eq!(
        asked,
        ["Login { initiator: \"iqn.x:a\", target: \"iqn.x:y:z\", lun: 10, user: Some(\"u\") }"],
        "no secret is printed"
    );
    assert_eq!(ran(&login.replace("ifopen net1\n", ""), &[]).await.0, "failed: network unreachable", "the NIC is closed");
}
