//! Initiators that never give up: servers of every placement, older ones too, and a stranger. Must never be told what the agent does.

use crate::judge::Known;
use crate::support::pause;
use crate::{FOREIGN, SECOND, STRANGER, UNIT, VOLUMES, initiator_name, machine, target_name};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use world::Dice;
use world::clock::now;
use world::target::{Initiator, LoginError, SessionId, Target};

/// A block for each write: none hides another.
pub fn block(epoch: u64, number: u64) -> u64 {
    epoch << 24 | number
}

/// A server that was given this placement's names and never gives up: it logs in, writes, freezes, dies and comes back.
pub async fn server(target: Target, dice: Dice, volume: String, epoch: u64, known: Arc<Mutex<Known>>) {
    let (name, secret) = (initiator_name(epoch), format!("secret-of-e{epoch}"));
    let user = format!("web1.e{epoch}");
    let (mut isid, mut number) = (1, 0);
    loop {
        let door = if dice.in_a_million(200_000) { SECOND.to_owned() } else { target_name(&volume) };
        let entered = enter(&target, &dice, &door, &machine(&name, isid), &user, &secret).await;
        match entered {
            Ok(session) => {
                while number < 1 << 20 {
                    number += 1;
                    // what goes through the second door goes to another volume, perhaps
                    let known = (door != SECOND).then_some(&*known);
                    if !write(&target, &dice, &volume, block(epoch, number), session, known).await {
                        break;
                    }
                    if dice.in_a_million(30_000) {
                        pause(dice.duration(Duration::from_secs(1), Duration::from_secs(20))).await;
                    }
                    if dice.in_a_million(20_000) {
                        // dies without a word: its session stays
                        isid += 1;
                        break;
                    }
                }
            }
            Err(LoginError::Gone) => {}
            Err(_) => {
                let mut known = known.lock().unwrap();
                let old = known.revoked.get(&volume).is_some_and(|all| all.iter().any(|(_, at, _)| *at > epoch));
                known.tally.refused += u32::from(old);
            }
        }
        pause(dice.duration(Duration::from_millis(200), Duration::from_secs(2))).await;
    }
}

pub async fn enter(
    target: &Target,
    dice: &Dice,
    door: &str,
    who: &Initiator,
    user: &str,
    secret: &str,
) -> Result<SessionId, LoginError> {
    let pending = target.begin_login(door, who, Some((user, secret))).await?;
    if dice.in_a_million(300_000) {
        // frozen in the middle of its login
        pause(dice.duration(Duration::from_millis(10), Duration::from_secs(8))).await;
    }
    target.finish_login(pending).await
}

pub async fn write(
    target: &Target,
    dice: &Dice,
    volume: &str,
    place: u64,
    session: SessionId,
    known: Option<&Mutex<Known>>,
) -> bool {
    let most = if dice.in_a_million(50_000) { 4_000 } else { 20 };
    let takes = dice.duration(Duration::from_millis(1), Duration::from_millis(most));
    let done = target.write(session, UNIT, place, place, takes).await;
    if let (Ok(()), Some(known)) = (done, known) {
        known.lock().unwrap().acknowledged.push((now(), volume.to_owned(), place >> 24, place));
    }
    pause(dice.duration(Duration::from_millis(20), Duration::from_millis(600))).await;
    done.is_ok()
}

/// Somebody who was never admitted by us, and tries every door.
pub async fn stranger(target: Target, dice: Dice) {
    let who = machine(STRANGER, 7);
    loop {
        for door in VOLUMES.iter().map(|volume| target_name(volume)).chain([SECOND.to_owned()]) {
            for chap in [None, Some(FOREIGN)] {
                if let Ok(session) = target.log_in(&door, &who, chap).await {
                    for number in 0..20 {
                        if target.write(session, UNIT, number, number, Duration::from_millis(2)).await.is_err() {
                            break;
                        }
                        pause(Duration::from_millis(300)).await;
                    }
                }
            }
        }
        pause(dice.duration(Duration::from_millis(100), Duration::from_secs(1))).await;
    }
}
