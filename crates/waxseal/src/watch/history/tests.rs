use std::time::Duration;

use waxseal_core::assess::change::Open;

use super::*;

const NOW: UnixTime = UnixTime(1_800_000_000);
const DAY: Duration = Duration::from_hours(24);

/// Attacker who strips STARTTLS for a month, stops, and begins again a year later: the first time
/// is told and becomes what is usual after 30 days; the second time is told too.
#[test]
fn what_became_usual_is_told_when_it_comes_back() {
    let change = Change {
        kind: Kind::Starttls,
        subject: "mx.partner.example".to_owned(),
        before: "offered".to_owned(),
        after: "not offered".to_owned(),
        class: Class::LikelyAttack,
        because: "somebody may strip it".to_owned(),
        weight: Weight::Conclusive,
    };
    let stripped = |history: &mut History, at: UnixTime| {
        let open = Open { change: change.clone(), since: at, seen: 2, gone: 0, raised: true };
        history.watch.open = vec![open];
        history.announce(&[], DAY, at).0
    };
    let mut history = History::default();
    assert_eq!(stripped(&mut history, NOW), std::slice::from_ref(&change));
    assert_eq!(stripped(&mut history, NOW + DAY), [], "told once");
    let month = NOW + TERM + DAY;
    history.advance(None, month, Sight::Whole);
    assert!(history.watch.open.is_empty());
    history.announce(&[], DAY, month + DAY);
    assert_eq!(stripped(&mut history, NOW + DAY * 365), std::slice::from_ref(&change));
}
