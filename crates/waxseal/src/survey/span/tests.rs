use std::{
    future::{pending, ready},
    time::Duration,
};

use waxseal_core::{
    assess::{MOST_UNASKED, Published},
    dns::FailureKind,
    domain::Domain,
};

use super::Span;

/// Attacker: a domain whose servers never end. What is known already is said all the same, and what
/// is missing is a failed lookup, not an absence.
#[tokio::test]
async fn what_does_not_end_in_time_is_noted_and_what_is_there_at_once_is_taken() {
    let span = Span::of(Duration::ZERO);
    let name = Domain::parse("slow.example").unwrap();
    assert_eq!(span.within("the name servers", ready(1)).await, Some(1));
    assert_eq!(span.within("the name servers", pending::<u8>()).await, None);
    let late: Published<u8> = span.published("the SPF record", &name, pending()).await;
    let Published::Failed(failure) = late else { panic!("{late:?}") };
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert_eq!(span.unasked(), ["the SPF record of slow.example", "the name servers"]);
}

/// Past the limit: a domain with a hundred slow addresses makes no longer list than this.
#[tokio::test]
async fn what_is_noted_is_bounded() {
    let span = Span::of(Duration::ZERO);
    for number in 0..100 {
        span.within(format!("host {number:03}"), pending::<()>()).await;
    }
    let noted = span.unasked();
    assert_eq!(noted.len(), MOST_UNASKED);
    assert_eq!(noted.last().unwrap(), "and 85 more");
}

/// More time than a clock can hold is no panic.
#[tokio::test]
async fn endless_patience_ends_some_day() {
    let span = Span::of(Duration::MAX);
    assert_eq!(span.within("all", ready(())).await, Some(()));
}
