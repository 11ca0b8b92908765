//! Which local parts are mailboxes and nothing else. How paths are read is tested with the commands.

use proptest::prelude::*;

use super::*;

#[test]
fn names_of_people_and_their_extensions_are_plain() {
    let plain = [
        "ann",
        "ann.smith",
        "Ann+lists",
        "o'neill",
        "ann_smith",
        "ann-smith",
        "bounces+bob=elsewhere.example",
        "SRS0=HHH=TT=elsewhere.example=bob",
        "prvs=0123abcdef=ann",
        "IMCEAEX-_o=Org_ou=Group_cn=Recipients_cn=ann",
        "sales&service",
        "c/o.ann",
        "a|b",
        "#1{x}~^*?$`",
        "\"ann smith\"",
        "\"ann.smith\"",
        "jürgen",
        "用户",
    ];
    for local in plain {
        assert!(is_plain(local), "{local}");
    }
}

/// Attacker: a stranger who wants spam sent on, or a program run, by a host that trusts us.
#[test]
fn routes_commands_files_and_options_are_not_plain() {
    let not = [
        "bob%victim.example",
        "bob%victim.example%other.example",
        "victim.example!bob",
        "a!b!bob",
        "%",
        "!",
        "\"bob@victim.example\"",
        "\"bob\\@victim.example\"",
        "\"bob%victim.example\"",
        "\"bob\\%victim.example\"",
        "\"victim.example!bob\"",
        "\"@victim.example:bob\"",
        "\"bob@victim.example,ann\"",
        "\"bob <x@victim.example>\"",
        "\"bob (there)\"",
        "\"[192.0.2.1]\"",
        "\"node::bob\"",
        "\":include:/etc/passwd\"",
        "\"\\ann\"",
        "\"ann\\\"\"",
        "|/bin/sh",
        "\"|/bin/sh -c id\"",
        "\" |/bin/sh\"",
        "/etc/passwd",
        "\"/var/mail/ann\"",
        "\"../ann\"",
        "\"..\"",
        "\".forward\"",
        "-oQ/tmp",
        "\"-f\"",
        "\" \"",
        // NFKC makes `@`, `%` and `!` of these.
        "bob\u{FF20}victim.example",
        "bob\u{FE6B}victim.example",
        "bob\u{FF05}victim.example",
        "bob\u{FE6A}victim.example",
        "victim.example\u{FF01}bob",
        "victim.example\u{FE15}bob",
        "victim.example\u{FE57}bob",
        "victim.example\u{203C}bob",
        "victim.example\u{2048}bob",
        "victim.example\u{2049}bob",
        "\u{FF5C}/bin/sh",
        "\u{FF0F}etc",
    ];
    for local in not {
        assert!(!is_plain(local), "{local}");
    }
}

proptest! {
    /// Whatever stands around it, with or without quotes or backslashes.
    #[test]
    fn nothing_with_a_route_in_it_is_plain(
        before in "[a-z.\" \\\\]{0,9}",
        route in "[@%!\u{FF20}\u{FF05}\u{FF01}]",
        after in "[a-z.\" \\\\]{0,9}",
    ) {
        for local in [format!("{before}{route}{after}"), format!("\"{before}{route}{after}\"")] {
            prop_assert!(!is_plain(&local), "{}", local);
        }
    }
}
