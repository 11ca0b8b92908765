use super::*;

fn operator(name: &str) -> String {
    Domain::parse(name).unwrap().operator()
}

/// Two names of one company are one operator: one connection at a time, and one row of a comparison.
#[test]
fn a_short_name_below_a_country_code_is_one_operator() {
    for (host, who) in [
        ("mx1.t2.nl", "t2.nl"),
        ("mx2.t2.nl", "t2.nl"),
        ("a.b.o2.de", "o2.de"),
        ("mx.ox.io", "ox.io"),
        ("mx.web.de", "web.de"),
        ("mx.me.nl", "me.nl"),
        ("mx1.mail.example.com", "example.com"),
        ("t2.nl", "t2.nl"),
        ("localhost", "localhost"),
    ] {
        assert_eq!(operator(host), who, "{host}");
    }
}

/// Two companies below what belongs to a registry are two.
#[test]
fn names_below_a_registrys_second_level_are_operators_of_their_own() {
    for (host, who) in [
        ("mx1.example.co.uk", "example.co.uk"),
        ("mx.example.me.uk", "example.me.uk"),
        ("mx.example.ne.jp", "example.ne.jp"),
        ("mx.example.lg.jp", "example.lg.jp"),
        ("mx.example.com.au", "example.com.au"),
        ("mx.example.gv.at", "example.gv.at"),
        ("mx.example.govt.nz", "example.govt.nz"),
        ("mx.example.gob.mx", "example.gob.mx"),
        ("mx.example.or.kr", "example.or.kr"),
        ("example.co.uk", "example.co.uk"),
        ("co.uk", "co.uk"),
    ] {
        assert_eq!(operator(host), who, "{host}");
    }
    // Below a generic domain there is no such level.
    assert_eq!(operator("mx.example.co.com"), "co.com");
}

#[test]
fn a_name_is_shown_as_people_write_it() {
    for text in
        ["b\u{fc}cher.example", "\u{4f8b}\u{3048}.jp", "mx.\u{440}\u{444}", "stra\u{df}e.de"]
    {
        let name = Domain::parse(text).unwrap();
        assert!(name.as_str().contains("xn--"), "{name}");
        assert_eq!(name.u_labels().as_deref(), Some(text), "{name}");
    }
    for text in ["example.com", "xn--", "xn--a", "xn--example-.com"] {
        assert_eq!(Domain::parse(text).ok().and_then(|name| name.u_labels()), None, "{text}");
    }
}

/// Attacker: the owner of a hostile domain, who writes names that look like others, turn what stands around
/// them, steer a terminal, or cannot be seen. What is shown is letters and digits from left to right.
#[test]
fn a_name_that_steers_or_hides_is_shown_as_it_is_in_dns() {
    let hostile = [
        "\u{5d0}\u{5d1}.example",
        "\u{645}\u{62b}\u{627}\u{644}.example",
        "a\u{202e}b.example",
        "a\u{200d}b.example",
        "a\u{200b}b.example",
        "a\u{3164}b.example",
        "a\u{1b}[2Jb.example",
        "a\u{9b}31mb.example",
        "a\u{2028}b.example",
        "\u{1f4a9}.example",
        "a\u{e0041}b.example",
        "a(b).example",
        "a\u{ff08}b.example",
    ];
    for text in hostile {
        // As its owner would have to write it to come this far.
        let label = text.strip_suffix(".example").unwrap();
        let encoded = format!("xn--{}.example", idna::punycode::encode_str(label).unwrap());
        for text in [text, &encoded] {
            let shown = Domain::parse(text).ok().and_then(|name| name.u_labels());
            assert_eq!(shown, None, "{text:?}");
        }
    }
}
