//! Records as they are found in the world.

use super::{NoReports, ReportTo, record};

#[test]
fn mail_and_https_addresses_are_read_and_unknown_tags_skipped() {
    let texts =
        ["other=1", "v=TLSRPTv1; rua=mailto:tls@example.com, https://r.example.net/v1?x=1; new=x;"];
    let (found, text) = record(&texts).unwrap();
    assert_eq!(found.rua.len(), 2);
    assert!(
        matches!(&found.rua[0], ReportTo::Mailto { domain, .. } if domain.as_str() == "example.com")
    );
    assert!(matches!(
        &found.rua[1],
        ReportTo::Https { host: Some(host), .. } if host.as_str() == "r.example.net"
    ));
    assert!(text.as_str().starts_with("v=TLSRPTv1"));
}

#[test]
fn two_records_count_as_none_and_a_broken_one_says_why() {
    let two = ["v=TLSRPTv1;rua=mailto:a@example.com", "v=TLSRPTv1;rua=mailto:b@example.com"];
    assert_eq!(record(&two), Err(NoReports::Several(2)));
    assert_eq!(record(&["v=TLSRPTv2; rua=mailto:a@b.example"]), Err(NoReports::None));
    for (broken, why) in [
        ("v=TLSRPTv1; rua=http://example.com/", "neither mailto nor https"),
        ("v=TLSRPTv1; rua=mailto:nobody", "no domain"),
        ("v=TLSRPTv1; rua=https:///x", "no host"),
        ("v=TLSRPTv1;", "names no `rua`"),
    ] {
        let error = record(&[broken]).unwrap_err().to_string();
        assert!(error.contains(why), "{broken}: {error}");
    }
}

/// The attacker is a domain owner.
#[test]
fn a_record_past_the_limit_is_refused() {
    let long = format!("v=TLSRPTv1; rua=mailto:{}@example.com", "a".repeat(5_000));
    assert!(matches!(record(&[long]), Err(NoReports::Malformed(why)) if why.contains("longer")));
}
