//! Whose address it is.

use waxseal_core::domain::Domain;

use super::*;

fn is_bobs(header: &str) -> bool {
    let domain = Domain::parse("provider.example").unwrap();
    let bob = Mailbox { local: "bob".to_owned(), domain };
    is_from(
        format!("{header}\r\nSubject: x\r\n\r\nFrom: bob@provider.example\r\n").as_bytes(),
        &bob,
    )
}

/// Attacker: a customer of a large provider sends its signed mail on in the name of another one.
#[test]
fn a_signature_proves_nothing_for_another_mailbox_of_its_domain() {
    assert!(is_bobs("From: Bob <bob@Provider.example>"));
    for header in [
        "From: Eve <eve@provider.example>",
        "From: bob@provider.example, eve@provider.example",
        "From: \"bob@provider.example\" <eve@provider.example>",
        "From: bob@provider.example.attacker.example",
        "From: team: bob@provider.example;",
        "From: ",
        "Sender: bob@provider.example",
    ] {
        assert!(!is_bobs(header), "{header}");
    }
}
