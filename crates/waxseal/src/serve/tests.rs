use super::path::headers;

/// An insider puts a line that is no field, and a great many fields, before the one that a rule
/// looks for.
#[test]
fn rules_see_every_field() {
    let many = "X-Filler: x\r\n".repeat(499);
    let long = "y".repeat(100_000);
    for before in ["", "this is no field\r\n", "\u{fc}: odd\r\n", ": no name\r\n"] {
        let text = format!(
            "{before}{many}Subject: =?utf-8?q?secret?= {long} [tag]\r\n\
             Auto-Submitted : auto-generated\r\n\r\nTo: not@a.field\r\n"
        );
        let found = headers(text.as_bytes());
        let value = |name: &str| found.iter().find(|(field, _)| field == name).map(|(_, v)| v);
        let subject = value("subject").unwrap();
        assert!(subject.starts_with("secret") && subject.ends_with("[tag]"), "{before}");
        assert_eq!(value("auto-submitted").map(String::as_str), Some("auto-generated"), "{before}");
        assert!(value("to").is_none(), "{before}");
    }
}
