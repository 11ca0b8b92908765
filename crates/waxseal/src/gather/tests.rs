use std::net::IpAddr;

use waxseal_core::facts::Refused;

use super::{Own, hostile};

/// Hostile zone: addresses that lead into a network instead of the Internet, also in disguise.
#[test]
fn addresses_that_lead_inside_are_refused() {
    let table = [
        ("8.8.8.8", None),
        ("192.0.2.1", None),
        ("100.63.255.255", None),
        ("172.32.0.1", None),
        ("2001:db8::1", None),
        ("2a00:1450::1", None),
        ("64:ff9b::808:808", None),
        ("2002:808:808::1", None),
        ("0.0.0.0", Some(Refused::Special)),
        ("0.1.2.3", Some(Refused::Special)),
        ("127.0.0.1", Some(Refused::Special)),
        ("127.255.255.254", Some(Refused::Special)),
        ("169.254.169.254", Some(Refused::Special)),
        ("224.0.0.1", Some(Refused::Special)),
        ("240.0.0.1", Some(Refused::Special)),
        ("255.255.255.255", Some(Refused::Special)),
        ("::", Some(Refused::Special)),
        ("::1", Some(Refused::Special)),
        ("fe80::1", Some(Refused::Special)),
        ("ff02::1", Some(Refused::Special)),
        ("::ffff:8.8.8.8", Some(Refused::Special)),
        ("::ffff:127.0.0.1", Some(Refused::Special)),
        ("::8.8.8.8", Some(Refused::Special)),
        ("64:ff9b::7f00:1", Some(Refused::Special)),
        ("2002:7f00:1::1", Some(Refused::Special)),
        ("10.0.0.1", Some(Refused::Private)),
        ("172.16.0.1", Some(Refused::Private)),
        ("192.168.1.1", Some(Refused::Private)),
        ("100.64.0.1", Some(Refused::Private)),
        ("fc00::1", Some(Refused::Private)),
        ("fd12::1", Some(Refused::Private)),
        ("fec0::1", Some(Refused::Private)),
        ("64:ff9b::a00:1", Some(Refused::Private)),
        ("64:ff9b:1::808:808", Some(Refused::Private)),
        ("64:ff9b::808:808", None),
        ("192.0.0.1", Some(Refused::Special)),
        ("192.0.1.1", None),
        ("198.18.0.1", Some(Refused::Special)),
        ("198.19.255.255", Some(Refused::Special)),
        ("198.20.0.1", None),
        ("2002:a00:1::1", Some(Refused::Private)),
    ];
    for (text, expected) in table {
        assert_eq!(hostile(text.parse::<IpAddr>().unwrap()), expected, "{text}");
    }
}

/// Hostile zone: our own address, in the disguise of a translator, would be a loop.
#[test]
fn our_own_address_is_refused_in_disguise() {
    let own = Own { addresses: ["192.0.2.25".parse().unwrap()].into(), ..Own::default() };
    for text in ["192.0.2.25", "64:ff9b::192.0.2.25", "2002:c000:219::1"] {
        let refused = own.refuses(text.parse::<IpAddr>().unwrap());
        assert_eq!(refused, Some(Refused::Own), "{text}");
    }
    assert_eq!(own.refuses("64:ff9b::192.0.2.26".parse::<IpAddr>().unwrap()), None);
}
