//! A scenario's steps, each done in a world by the hand it needs. It mirrors the lab's [`crate::steps`]; there is no step that only a lab can
//! do.

use ::world::machine::Accident;
use pipeline::event::Intent;
use pipeline::record::{Found, Subject};
use vocabulary::estate::Mode;
use vocabulary::{MachineId, ServerId, Span};

use crate::limits::{COMMAND, REASON, TARGET_AWAY};
use crate::script::{Numbered, Step};
use crate::steps::{NO_PROOF_WAITS, NOTHING_WAITS, refused};
use crate::trouble::{Done, Trouble};
use crate::world::agents;
use crate::world::expect;
use crate::world::network;
use crate::world::rivals;
use crate::world::run::{Act, Run};
use crate::world::storage;
use crate::world::wait::until;

/// Does one step of a scenario.
pub async fn step(run: &mut Run, numbered: &Numbered, tell: &mut dyn FnMut(&str)) -> Done {
    match &numbered.step {
        Step::Up => run.start(tell).await,
        Step::Pause(time) => {
            tokio::time::sleep(*time).await;
            Ok(())
        }
        Step::WaitServes(server, within) => run.wait_serves(server, *within).await,
        Step::WaitRecords(count, server, within) => run.wait_records(*count, server, *within).await,
        Step::WaitControllerDies(within) => {
            until("the controller's death", *within, async || {
                Ok(if run.rig.controller_runs() { Err("it runs".to_owned()) } else { Ok(()) })
            })
            .await
        }
        Step::Kill(machine) => run.act(machine, Act::Kill).await,
        Step::Freeze(machine) => run.act(machine, Act::Freeze).await,
        Step::Thaw(machine) => run.act(machine, Act::Thaw).await,
        Step::PressPower(machine) => run.press_power(machine).await,
        Step::Bmc(machine, manner) => run.behave(machine, *manner),
        Step::Part(machine, what) => run.fail_part(machine, *what),
        Step::Feed(machine, back) => run.feed(machine, *back).await,
        Step::FeedAll(back) => feed_all(run, *back).await,
        Step::StartSite => start_site(run).await,
        Step::RestartTarget => {
            run.rig.site.target.restart(TARGET_AWAY);
            Ok(())
        }
        Step::Target(what) => storage::befall(run, what),
        Step::Agent(agent, mishap) => agents::befall(&mut run.rig, agent, *mishap).await,
        Step::Readopt(agent) => run.rig.readopt(agent).await,
        Step::Release(machine) => release(run, machine).await,
        Step::Hold(server) => run.rig.command(Intent::Hold { server: server.clone(), reason: REASON.to_owned() }).await.map(drop),
        Step::Resume(server) => {
            run.rig.command(Intent::Resume { server: server.clone(), reason: REASON.to_owned() }).await.map(drop)
        }
        Step::Maintain(machine, time) => {
            let (subject, lasts) =
                (Subject::Machine(machine.clone()), Span::ms(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)));
            run.rig.command(Intent::Maintain { subject, lasts, reason: REASON.to_owned() }).await.map(drop)
        }
        Step::EndMaintenance(machine) => {
            run.rig.command(Intent::EndMaintenance { subject: Subject::Machine(machine.clone()) }).await.map(drop)
        }
        Step::Mode(mode) => go_so_far(run, *mode).await,
        Step::Approve(server, in_vain) => approve(run, server, *in_vain).await,
        Step::ConfirmOff(machine, found, in_vain) => confirm_off(run, machine, *found, *in_vain).await,
        Step::LetGo(domain) => {
            run.rig.command(Intent::ResumeGuard { domain: domain.clone(), reason: REASON.to_owned() }).await.map(drop)
        }
        Step::KillController => {
            run.rig.kill_controller();
            Ok(())
        }
        Step::RestartController(stage) => run.restart_controller(*stage).await,
        Step::BackUp => {
            run.rig.back_up();
            Ok(())
        }
        Step::RestoreController => run.rig.restore_controller().await,
        Step::Rival(what) => rivals::befall(run, *what).await,
        Step::Adopt => run.rig.adopt().await,
        Step::Reboot(server) => run.befall(server, Accident::Reboot),
        Step::Crash(server) => run.befall(server, Accident::Crash),
        Step::Panic(server) => run.befall(server, Accident::Panic(run.rig.setup.dump)),
        Step::Network(what) => network::befall(run, what).await,
        Step::ByHand { server, to } => run.by_hand(server, to).await,
        Step::Expect(expectation) => expect::check(run, expectation).await,
    }
}

/// A person reads the number off the box, and says how it is.
async fn confirm_off(run: &Run, machine: &MachineId, found: Found, in_vain: bool) -> Done {
    let document = run.rig.site.estate.machines.get(machine);
    let serial = document.map(|document| document.serial.clone()).unwrap_or_default();
    let intent = Intent::ConfirmOff { machine: machine.clone(), serial, found, reason: REASON.to_owned() };
    let said = run.rig.command(intent).await;
    if in_vain { refused(said, NO_PROOF_WAITS) } else { said.map(drop) }
}

async fn feed_all(run: &mut Run, back: bool) -> Done {
    for machine in run.rig.site.estate.machines.keys().cloned().collect::<Vec<_>>() {
        run.feed(&machine, back).await?;
    }
    Ok(())
}

/// A person has every site started, in the order that he is shown.
async fn start_site(run: &Run) -> Done {
    for site in run.rig.site.estate.sites.keys().cloned().collect::<Vec<_>>() {
        let (handle, asked) = (run.rig.handle()?, site.clone());
        let now = handle.clock().now();
        let shown = handle.query(move |state| pipeline::cold_start::propose(state, &asked, now).0.hash());
        let hash = shown.await.map_err(|fault| Trouble::Api(fault.to_string()))?;
        run.rig.command(Intent::StartSite { site, hash, reason: REASON.to_owned() }).await?;
    }
    Ok(())
}

async fn release(run: &Run, machine: &MachineId) -> Done {
    match run.rig.command(Intent::ReleaseMachine { machine: machine.clone() }).await? {
        Some(plan) => run.rig.ends(plan, &format!("machine release {machine}"), COMMAND).await,
        None => Ok(()),
    }
}

/// How far the controller may go by itself, in every tier.
async fn go_so_far(run: &Run, mode: Mode) -> Done {
    for tier in run.rig.site.estate.tiers.keys().cloned().collect::<Vec<_>>() {
        run.rig.command(Intent::SetTierMode { tier, mode }).await?;
    }
    Ok(())
}

/// A person agrees to what waits for the server.
async fn approve(run: &Run, server: &ServerId, in_vain: bool) -> Done {
    let (asked, handle) = (server.clone(), run.rig.handle()?);
    let now = (handle.clock().now(), handle.clock().wall());
    let waiting = move |state: &pipeline::State| api::present::proposed(state, &asked, now).map(|plan| plan.hash);
    let hash = handle.query(waiting).await.map_err(|fault| Trouble::Api(fault.to_string()))?;
    // who agrees to what nobody has shown him is refused as well
    let hash = hash.unwrap_or_default();
    let intent = Intent::ApproveFailover { server: server.clone(), hash, reason: REASON.to_owned() };
    let said = run.rig.command(intent).await;
    if in_vain { refused(said, NOTHING_WAITS) } else { said.map(drop) }
}
