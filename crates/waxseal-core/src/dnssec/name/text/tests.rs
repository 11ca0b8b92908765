//! What people write for names, and what they get for it.

use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> String {
    text.parse::<Name>().unwrap().to_string()
}

#[test]
fn names_that_are_no_host_names_are_names() {
    for (text, name) in [
        (".", "."),
        ("Example.COM.", "example.com"),
        ("*.example.com", "*.example.com"),
        ("*", "*"),
        ("_25._tcp.mx.example.com", "_25._tcp.mx.example.com"),
        ("0/25.2.0.192.in-addr.arpa", "0/25.2.0.192.in-addr.arpa"),
        ("1", "1"),
        ("*.b\u{fc}cher.example", "*.xn--bcher-kva.example"),
        ("_dmarc.b\u{fc}cher.example", "_dmarc.xn--bcher-kva.example"),
        ("host\\.master.example.com", "host\\.master.example.com"),
        ("a\\032b.example", "a\\032b.example"),
        ("a\\@b.example", "a\\@b.example"),
    ] {
        assert_eq!(parsed(text), name, "{text}");
    }
    assert!(".".parse::<Name>().unwrap().is_root());
    assert!("*.example.com".parse::<Name>().unwrap().is_wildcard());
    assert_eq!("host\\.master.example.com".parse::<Name>().unwrap().label_count(), 3);
}

#[test]
fn what_is_no_name_is_refused_with_the_reason() {
    let long = "x".repeat(64);
    let wide = vec!["x".repeat(63); 4].join(".");
    for (text, words) in [
        ("", "the root is written \".\""),
        ("..", "nothing between two dots"),
        ("a..b", "nothing between two dots"),
        (".example.com", "before the first"),
        (&long, "at most 63 octets"),
        (&wide, "at most 255 octets"),
        ("192.0.2.1", "below in-addr.arpa"),
        ("[2001:db8::1]", "ip6.arpa"),
        ("bob@example.com", "behind \"@\""),
        ("https://example.com/", "web address"),
        ("two words", "cannot stand in a name"),
        ("tab\t", "cannot stand in a name"),
        ("a\\", "three digits"),
        ("a\\12", "three digits"),
        ("a\\999", "three digits"),
        ("b\u{fc}\u{0}.example", "cannot stand in a name"),
        ("\u{fffd}.example", "internationalised"),
        ("b\u{fc}\\.x.example", "internationalised"),
    ] {
        let why = text.parse::<Name>().unwrap_err().to_string();
        assert!(why.contains(words), "{text:?}: {why}");
    }
}

#[test]
fn the_longest_name_is_taken() {
    let longest = format!("{}.{}", vec!["x".repeat(63); 3].join("."), "y".repeat(61));
    assert_eq!(longest.parse::<Name>().unwrap().as_octets().len(), 255);
    assert_eq!(format!("{longest}y").parse::<Name>(), Err(NotAName::TooLong));
}

proptest! {
    /// Hostile input: whatever octets a name has, its text leads back to it.
    #[test]
    fn the_text_of_a_name_leads_back_to_it(
        labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..6),
    ) {
        let mut octets = Vec::new();
        for label in labels {
            octets.push(u8::try_from(label.len()).unwrap());
            octets.extend(label);
        }
        octets.push(0);
        let name = Name::from_octets(&octets).unwrap();
        prop_assert_eq!(name.to_string().parse::<Name>(), Ok(name));
    }

    /// Hostile input: nothing panics, and what is taken is a name.
    #[test]
    fn any_text_is_a_name_or_refused(text in "\\PC{0,40}") {
        if let Ok(name) = text.parse::<Name>() {
            prop_assert_eq!(Name::from_octets(name.as_octets()), Some(name));
        }
    }
}
