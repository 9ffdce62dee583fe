//! Which segments come next.

use std::collections::BTreeSet;
use std::time::Duration;

use gophership_vault::SegmentId;
use gophership_vault::SegmentInfo;
use tokio::time::Instant;

use super::super::backlog::UploadBacklog;
use super::rig::Rig;

fn sealed(rig: &Rig) -> Vec<SegmentInfo> {
    rig.log.segments().into_iter().filter(|info| 0 < info.records).collect()
}

/// The segments that a look begins, each with whether it is doubtful.
fn begun(
    backlog: &mut UploadBacklog,
    segments: &[SegmentInfo],
    passed: &BTreeSet<SegmentId>,
    now: Instant,
) -> Vec<(SegmentId, bool)> {
    let look = backlog.look(segments, |info| passed.contains(&info.id), 2, now);
    assert!(look.gone.is_empty());
    look.next.into_iter().map(|(info, is_doubtful)| (info.id, is_doubtful)).collect()
}

#[tokio::test]
async fn the_oldest_come_first_as_many_as_there_is_room_for_and_resting_ones_are_passed_by() {
    let rig = Rig::new(5);
    let all = sealed(&rig);
    let (known, all) = (&all[..4], &all[..5]);
    let ids: Vec<SegmentId> = all.iter().map(|info| info.id).collect();
    let (mut backlog, mut passed, now) =
        (UploadBacklog::default(), BTreeSet::new(), Instant::now());
    assert_eq!(begun(&mut backlog, known, &passed, now), [(ids[0], true), (ids[1], true)]);
    assert_eq!(begun(&mut backlog, known, &passed, now), [], "both are under way");
    passed.insert(ids[0]);
    backlog.passed(ids[0]);
    backlog.rest(ids[1], now + Duration::from_secs(10), true);
    assert_eq!(backlog.alarms(), 1);
    assert_eq!(begun(&mut backlog, known, &passed, now), [(ids[2], true), (ids[3], true)]);
    passed.extend([ids[2], ids[3]]);
    backlog.passed(ids[2]);
    backlog.passed(ids[3]);
    let later = now + Duration::from_secs(11);
    let next = begun(&mut backlog, all, &passed, later);
    assert_eq!(next, [(ids[1], true), (ids[4], false)], "rested, and new");
    assert_eq!(backlog.alarms(), 0);
}

#[tokio::test]
async fn what_vanishes_before_it_is_archived_is_told_once_and_what_is_passed_may_go() {
    let rig = Rig::new(3);
    let all = sealed(&rig);
    let (mut backlog, now) = (UploadBacklog::default(), Instant::now());
    let mut look = |segments: &[SegmentInfo]| {
        let look = backlog.look(segments, |_| false, 1, now);
        for (info, _) in &look.next {
            backlog.passed(info.id);
        }
        (look.gone, look.lag.segments)
    };
    assert_eq!(look(&all), (vec![], all.len() as u64));
    // The first was passed, and goes; the second goes too, and was not.
    assert_eq!(look(&all[2..]), (vec![all[1].id], all.len() as u64 - 2));
    assert_eq!(look(&all[2..]).0, []);
}
