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
