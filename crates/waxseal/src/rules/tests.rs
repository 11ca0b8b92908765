//! What a rules file may say, and how mistakes in it are told.

use std::{io::Write, time::Duration};

use waxseal_core::{
    channel::Floor,
    decide::Fallback,
    domain::Domain,
    org::{Condition, Defaults, OnLoss, Org, Told, ValueMatch, Who},
};

use super::{EXAMPLE, Ruleset};

fn ours() -> Vec<Domain> {
    vec![Domain::parse("example.com").unwrap()]
}

fn faults(text: &str) -> Vec<String> {
    Ruleset::parse(text, "rules.toml", &ours()).unwrap_err().lines
}

#[test]
fn the_example_means_what_it_says() {
    let rules = Ruleset::parse(EXAMPLE, "rules.example.toml", &ours()).unwrap();
    assert_eq!(rules.defaults, Defaults::default(), "the example shows the defaults");
    assert_eq!(rules.on_loss, OnLoss::Hold);
    let names: Vec<_> = rules.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["clinics", "personnel", "tagged", "labelled"]);
    assert_eq!(rules.rules[0].when, [Condition::Recipient(vec![Who::Group("clinics".into())])]);
    assert_eq!(rules.rules[1].patience, Some(Duration::from_secs(3_600)));
    assert_eq!(rules.rules[2].require, Floor::Qualified);
    assert_eq!(rules.rules[2].otherwise, Some(Fallback::Bounce));
    assert_eq!(rules.rules[2].notify, Some(vec![Told::Sender, Told::Postmaster]));
    let value = ValueMatch::Contains("confidential".into());
    assert_eq!(rules.rules[3].when, [Condition::Header { name: "x-classification".into(), value }]);
}

#[test]
fn an_empty_file_is_the_default() {
    let rules = Ruleset::parse("", "rules.toml", &[]).unwrap();
    assert_eq!(rules, Ruleset::default());
    let mut org = Org::default();
    rules.apply(&mut org);
    assert_eq!(org, Org::default());
}

#[test]
fn a_wrong_key_is_told_with_file_line_and_the_nearest_one() {
    let text = "[default]\nrequire = \"none\"\n\n[[rule]]\nname = \"a\"\nrequir = \"sealed\"\n";
    assert_eq!(
        faults(text),
        ["rules.toml:6: rule[0].requir: there is no such key; did you mean \"require\"?"]
    );
    let text = "[[rule]]\nname = \"a\"\nrequire = \"none\"\nwhen = { sendr = [\"a.example\"] }\n";
    assert_eq!(
        faults(text),
        ["rules.toml:4: rule[0].when.sendr: there is no such key; did you mean \"sender\"?"]
    );
    let text = "[group.x]\nmembers = []\nfrom_ldap = \"x\"\n";
    assert_eq!(
        faults(text),
        ["rules.toml:3: group.x.from_ldap: there is no such key here; known are members"]
    );
}

#[test]
fn wrong_values_are_told_with_their_line() {
    let rule = |line: &str| faults(&format!("[[rule]]\nname = \"a\"\n{line}\n")).join("\n");
    let told = rule("require = \"authentic\"");
    assert!(told.starts_with("rules.toml:3: rule[0].require: unknown variant"), "{told}");
    let told = rule("require = \"none\"\npatience = \"soon\"");
    assert!(told.contains("rules.toml:4: rule[0].patience") && told.contains("4h"), "{told}");
    let told = rule("require = \"none\"\nwhen = { recipient = [\"@nobody\"] }");
    assert_eq!(told, "rules.toml:4: rule[0].when.recipient: there is no group \"nobody\"");
    let told = rule("require = \"none\"\nwhen = { recipient = [\"not a domain\"] }");
    assert!(told.contains("cannot stand in a domain name"), "{told}");
    let told = rule("require = \"none\"\nwhen = { recipient = [] }");
    assert!(told.contains("an empty list matches nothing"), "{told}");
    let told = rule("require = \"none\"\nwhen = { subject_tag = [\" \"] }");
    assert!(told.contains("every subject"), "{told}");
    let told = rule("require = \"none\"\nnotify = [\"everyone\"]");
    assert!(told.contains("\"postmaster\""), "{told}");
    let told = rule("require = \"none\"\nwhen = { header = [{ name = \"a b\" }] }");
    assert!(told.contains("no name of a header field"), "{told}");
    assert!(rule("").contains("missing field `require`"));
    assert!(rule("require = ").starts_with("rules.toml:3:"));
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = "[group.g]\nmembers = [\"@other\", \"not a domain\"]\n\
                [[rule]]\nname = \"default\"\nrequire = \"none\"\n\
                [[rule]]\nname = \"a\"\nrequire = \"none\"\n\
                [[rule]]\nname = \"a\"\nrequire = \"none\"\n";
    let lines = faults(text);
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert!(lines[0].contains("a group cannot hold a group"));
    assert!(lines[2].contains("cannot be the name of a rule"));
    assert!(lines[3].contains("another rule is called"));
}

/// A hostile or mistaken file: a disk image, too many rules, no UTF-8.
#[test]
fn files_over_the_limits_are_refused() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&vec![b'#'; (4 << 20) + 1]).unwrap();
    let refused = Ruleset::load(file.path(), &[]).unwrap_err().to_string();
    assert!(refused.ends_with("larger than 4 MiB"), "{refused}");

    let mut binary = tempfile::NamedTempFile::new().unwrap();
    binary.write_all(&[0xff, 0xfe]).unwrap();
    assert!(Ruleset::load(binary.path(), &[]).is_err());
    assert!(Ruleset::load(std::path::Path::new("/nonexistent/rules.toml"), &[]).is_err());

    let rule = |n| format!("[[rule]]\nname = \"r{n}\"\nrequire = \"none\"\n");
    let many: String = (0..=10_000).map(rule).collect();
    assert!(faults(&many).join("").contains("more than 10000 rules"));
}

/// Whoever reads mail on its way out, or has a mailbox outside, must not learn which messages were
/// not safe to send: notices stay in the house.
#[test]
fn whoever_is_told_is_one_of_us() {
    let text = "[default]\nnotify = [\"sender\", \"dpo@example.com\"]\n\
                [[rule]]\nname = \"a\"\nrequire = \"none\"\nnotify = [\"ciso@example.org\"]\n";
    assert_eq!(
        faults(text),
        ["rules.toml:6: rule[0].notify: ciso@example.org: notices go only to addresses in a \
          [[domain]] of ours"]
    );
    let inside = text.replace("example.org", "example.com");
    assert!(Ruleset::parse(&inside, "rules.toml", &ours()).is_ok());
}
