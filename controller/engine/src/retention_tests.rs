//! A core that removes old records: how much, when, and that a restart comes to the same at any moment of it.

use super::tests::core_on;
use super::*;
use journal::chain::Base;
use journal::conformance::sample;
use pipeline::ledger::Ledger;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use vocabulary::WallTime;
use vocabulary::estate::{Estate, Retention};

const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;
const OLD: u64 = 400;

/// A core with so many records, one an hour, and a clock that is set by hand; records are kept for 30 days, but 50 at least.
fn aged(folder: &std::path::Path) -> (Core, Arc<AtomicU64>, Arc<AtomicU32>) {
    let fails = Arc::new(AtomicU32::new(0));
    let mut core = core_on(folder, fails.clone());
    let wall = Arc::new(AtomicU64::new(OLD * HOUR_MS));
    let shown = wall.clone();
    core.clock = Clock::with(move || WallTime(shown.load(Ordering::Relaxed)));
    let mut estate = Estate::default();
    estate.settings.retention = Retention { history: vocabulary::Span(30 * DAY_MS), at_least: 50 };
    core.event(What::EstateLoaded(Arc::new(estate)));
    for number in 0..OLD {
        core.let_out(vec![Record { at: WallTime(number * HOUR_MS), ..sample(number) }], vec![], vec![]);
    }
    (core, wall, fails)
}

/// Lets the keeper do all that it would within a day.
async fn a_day(core: &mut Core) {
    tokio::time::advance(limits::RETENTION_EVERY_MAX).await;
    for _ in 0..40 {
        core.retain();
        tokio::time::advance(limits::RETENTION_PAUSE).await;
    }
    tokio::time::advance(limits::RETENTION_FIRST).await;
    for _ in 0..40 {
        core.retain();
        tokio::time::advance(limits::RETENTION_PAUSE).await;
    }
}

fn base(core: &Core) -> u64 {
    core.held.store.base().unwrap().map_or(0, |base| base.number)
}

/// What a restart would come to, and what this core knows.
fn ledgers(core: &Core) -> (Ledger, Ledger) {
    let mut state = State::new();
    assert_eq!(fold(core.held.store.as_ref(), &mut state, |_| {}).unwrap(), core.head);
    (state.ledger, core.state.as_ref().unwrap().ledger.clone())
}

#[tokio::test(start_paused = true)]
async fn what_is_old_goes_by_tenths_and_what_is_young_or_among_the_newest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (mut core, wall, _) = aged(folder.path());
    a_day(&mut core).await;
    assert_eq!(base(&core), 0, "all is young");
    let half = 30 * DAY_MS + OLD / 2 * HOUR_MS;
    wall.store(half, Ordering::Relaxed);
    a_day(&mut core).await;
    assert_eq!(base(&core), 40, "a tenth of what is kept");
    a_day(&mut core).await;
    assert_eq!(base(&core), 40, "and no more on the same day, however often it is looked for");
    for day in 1..10 {
        wall.store(half + day * DAY_MS, Ordering::Relaxed);
        a_day(&mut core).await;
    }
    wall.store(half, Ordering::Relaxed);
    let before = base(&core);
    assert!(before > 200, "{before}");
    a_day(&mut core).await;
    assert_eq!(base(&core), before, "what is younger than thirty days by a clock that was set back");
    // it errs by a hundred years
    let far = 36_500 * DAY_MS;
    let kept = core.head.number - before;
    wall.store(far, Ordering::Relaxed);
    a_day(&mut core).await;
    a_day(&mut core).await;
    assert_eq!(base(&core), before + kept / 10, "a day of that costs a tenth");
    for day in 1..60 {
        wall.store(far + day * DAY_MS, Ordering::Relaxed);
        a_day(&mut core).await;
    }
    let kept = core.head.number - base(&core);
    assert!((50..=60).contains(&kept), "the newest stay: {kept}");
    let mut lines = core.held.store.reader().unwrap();
    assert_eq!(lines.page(0, 1_000).unwrap().len() as u64, kept);
    let pruned = core.state.as_ref().unwrap().ledger.pruned.clone().unwrap();
    assert_eq!(pruned.entries, base(&core));
}

#[tokio::test(start_paused = true)]
async fn a_restart_comes_to_the_same_at_any_moment_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut core, wall, _) = aged(folder.path());
    wall.store(90 * DAY_MS, Ordering::Relaxed);
    for _ in 0..400 {
        core.retain();
        tokio::time::advance(Duration::from_secs(3_600)).await;
        wall.fetch_add(HOUR_MS, Ordering::Relaxed);
        core.note(sample(7).fact);
        let (again, now) = ledgers(&core);
        assert_eq!(again, now);
    }
    assert!(base(&core) > OLD / 2, "{}", base(&core));
}

#[tokio::test(start_paused = true)]
async fn a_base_whose_answer_was_lost_is_gone_on_from() {
    let folder = tempfile::tempdir().unwrap();
    let (mut core, wall, fails) = aged(folder.path());
    wall.store(90 * DAY_MS, Ordering::Relaxed);
    a_day(&mut core).await;
    let before = base(&core);
    fails.store(1, Ordering::Relaxed);
    wall.fetch_add(DAY_MS, Ordering::Relaxed);
    a_day(&mut core).await;
    assert!(base(&core) > before, "it is there");
    core.try_again();
    let (again, now) = ledgers(&core);
    assert_eq!(again, now);
}

#[tokio::test(start_paused = true)]
async fn a_base_that_was_changed_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (mut core, wall, _) = aged(folder.path());
    wall.store(90 * DAY_MS, Ordering::Relaxed);
    a_day(&mut core).await;
    let found = core.held.store.base().unwrap().unwrap();
    let other = Base { ledger: found.ledger.replacen("\"epoch\":0", "\"epoch\":7", 1), ..found };
    // as somebody would who writes to the disk: no record tells of it
    let head = core.head.clone();
    core.held.store.rebase(&head, &other, &[]).unwrap();
    let refused = fold(core.held.store.as_ref(), &mut State::new(), |_| {});
    assert!(matches!(refused, Err(Error::Broken(why)) if why.contains("not what was put there")));
}

#[tokio::test(start_paused = true)]
async fn records_of_a_clock_that_was_ahead_go_with_those_after_them_and_stop_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut core, wall, _) = aged(folder.path());
    let far = WallTime(36_500 * DAY_MS);
    for number in 0..30 {
        core.let_out(vec![Record { at: far, ..sample(number) }], vec![], vec![]);
    }
    for number in 0..100 {
        core.let_out(vec![Record { at: WallTime((OLD + number) * HOUR_MS), ..sample(number) }], vec![], vec![]);
    }
    // of the hundred, the first fifty are old
    let now = 30 * DAY_MS + (OLD + 50) * HOUR_MS;
    for day in 0..60 {
        // the days go by for the keeper, and not for the records
        wall.store(now + day % 2 * DAY_MS, Ordering::Relaxed);
        a_day(&mut core).await;
    }
    assert!((OLD + 30 + 50..=OLD + 30 + 74).contains(&base(&core)), "{}", base(&core));
    // by a clock that is behind all of it is from the future, and nothing goes
    let before = base(&core);
    wall.store(HOUR_MS, Ordering::Relaxed);
    a_day(&mut core).await;
    a_day(&mut core).await;
    assert_eq!(base(&core), before);
}
