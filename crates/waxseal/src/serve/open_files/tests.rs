use std::path::Path;

use super::*;

fn config(limits: &str) -> Config {
    let text = format!("hostname = \"gw.example.com\"\n{limits}");
    Config::parse(&text, Path::new("/etc/waxseal/waxseal.toml")).unwrap()
}

#[test]
fn all_open_files_that_are_allowed_are_asked_for() {
    let allowed = getrlimit(Resource::Nofile).maximum;
    assert_eq!(raise(), allowed);
}

#[test]
fn limits_that_cannot_be_used_up_are_said() {
    let config = config("[limits]\nsessions = 2000\n[delivery]\nconcurrency = 100\n");
    assert_eq!(shortage(None, &config), None);
    assert_eq!(shortage(Some(4_368), &config), None);
    let said = shortage(Some(4_367), &config).unwrap();
    assert!(said.contains("limits.sessions = 2000"), "{said}");
    assert!(said.contains("LimitNOFILE=4368"), "{said}");
}
