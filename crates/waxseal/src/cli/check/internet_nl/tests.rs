//! The words and the points, without a world.

use waxseal_core::time::UnixTime;

use super::{
    super::report::{Outcome, Report},
    Cell, Cells, NOT_TESTED, PASSED, Shape, TESTS, file, score,
};

fn all(cell: Cell) -> Cells {
    TESTS.iter().map(|(id, _)| (*id, cell)).collect()
}

/// As in the specification: there is no other key of a domain that could not be tested.
#[test]
fn what_is_no_domain_is_an_error_and_nothing_else() {
    let mut report =
        Report { input: "a..b".into(), outcome: Outcome::NoDomain("empty label".into()) };
    let at = UnixTime(1_800_000_000);
    let mut shape = Shape::default();
    shape.add(&mut report);
    let told = serde_json::to_value(file(&shape, at, at)).unwrap();
    assert_eq!(told["domains"]["a..b"], serde_json::json!({ "status": "error" }));
    assert_eq!(told["request"]["status"], "done");
}

#[test]
fn points_follow_the_rule_of_internet_nl() {
    let starttls = |change: &[(&'static str, Cell)]| {
        let mut cells = all(PASSED);
        cells.extend(change.iter().copied());
        score::starttls(&cells).percent()
    };
    assert_eq!(starttls(&[]), Some(100));
    // To be phased out costs nothing, advice neither, what was not tested is left out.
    assert_eq!(starttls(&[("mail_starttls_cert_pubkey", Cell("warning", "phase-out"))]), Some(100));
    assert_eq!(starttls(&[("mail_starttls_tls_caa", Cell("warning", "bad"))]), Some(100));
    assert_eq!(starttls(&[("mail_starttls_tls_0rtt", NOT_TESTED)]), Some(100));
    // Thirteen tests count, each as much.
    assert_eq!(starttls(&[("mail_starttls_tls_version", Cell("failed", "bad"))]), Some(92));
    // Records that do not match: both tests lose their points.
    assert_eq!(starttls(&[("mail_starttls_dane_valid", Cell("failed", "bad"))]), Some(84));
    let mut none = all(NOT_TESTED);
    none.insert("mail_starttls_tls_available", Cell("failed", "bad"));
    assert_eq!(score::starttls(&none).percent(), Some(0));
    assert_eq!(score::starttls(&all(NOT_TESTED)).percent(), None, "nothing is known");

    let auth = |change: &[(&'static str, Cell)]| {
        let mut cells = all(PASSED);
        cells.extend(change.iter().copied());
        score::auth(&cells).percent()
    };
    assert_eq!(auth(&[]), Some(100));
    assert_eq!(auth(&[("mail_auth_dkim_exist", Cell("not_tested", "no-email"))]), Some(100));
    assert_eq!(auth(&[("mail_auth_dmarc_policy", Cell("failed", "policy"))]), Some(84));
    let without =
        [("mail_auth_dmarc_exist", Cell("failed", "bad")), ("mail_auth_dmarc_policy", NOT_TESTED)];
    assert_eq!(auth(&without), Some(60), "without a record there is no policy, either");
    assert_eq!(auth(&[("mail_auth_spf_exist", Cell("error", "not-tested"))]), Some(100));

    assert_eq!(score::server(&[]), Some(0));
    assert_eq!(score::server(&[Some(true), Some(true)]), Some(10));
    assert_eq!(score::server(&[Some(true), Some(false)]), Some(2));
    assert_eq!(score::server(&[Some(false)]), Some(0));
    assert_eq!(score::server(&[Some(true), None]), None, "not known");
}
