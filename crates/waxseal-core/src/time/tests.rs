use super::*;

#[test]
fn a_time_is_shown_as_people_write_it() {
    for (seconds, shown) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_399, "2000-02-28T23:59:59Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (1_795_331_750, "2026-11-22T07:15:50Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
        (253_402_207_200, "9999-12-30T22:00:00Z"),
    ] {
        assert_eq!(UnixTime(seconds).to_string(), shown);
    }
}

#[test]
fn a_time_beyond_all_calendars_is_still_shown() {
    assert_eq!(UnixTime(u64::MAX).to_string(), format!("@{}", u64::MAX));
    assert_eq!(UnixTime(1 << 40).to_string(), "@1099511627776");
}

/// A clock that was ahead and was set right: what it noted holds up nothing for longer than twice the span.
#[test]
fn what_began_in_the_future_is_over() {
    let (now, span) = (UnixTime(1_795_331_750), Duration::from_secs(60));
    let second = Duration::from_secs(1);
    for (began, lapsed) in [
        (now.before(span), true),
        (now.before(span) + second, false),
        (now, false),
        (now + span, false),
        (now + span + second, true),
        (UnixTime(u64::MAX), true),
    ] {
        assert_eq!(began.has_lapsed(span, now), lapsed, "{began}");
    }
}

/// Records that were written before can still be read and replayed.
#[test]
fn a_record_holds_seconds() {
    assert_eq!(serde_json::to_string(&UnixTime(1_795_331_750)).unwrap(), "1795331750");
}
