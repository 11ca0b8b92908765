use super::*;

fn exit_of(words: &[&str]) -> Exit {
    run(words.iter().map(OsString::from))
}

#[test]
fn a_wrong_command_line_ends_with_64() {
    assert_eq!(exit_of(&["waxseal"]), Exit::Usage);
    assert_eq!(exit_of(&["waxseal", "no-such-command"]), Exit::Usage);
    assert_eq!(exit_of(&["waxseal", "--no-such-flag"]), Exit::Usage);
    assert_eq!(exit_of(&["waxseal", "--color", "sometimes"]), Exit::Usage);
}

#[test]
fn help_and_version_are_no_errors() {
    assert_eq!(exit_of(&["waxseal", "--help"]), Exit::Ok);
    assert_eq!(exit_of(&["waxseal", "--version"]), Exit::Ok);
}

#[test]
fn the_codes_are_the_ones_that_scripts_rely_on() {
    let all = [
        Exit::Ok,
        Exit::Negative,
        Exit::Unknown,
        Exit::Usage,
        Exit::Bug,
        Exit::TryAgain,
        Exit::Config,
    ];
    assert_eq!(all.map(Exit::code), [0, 1, 2, 64, 70, 75, 78]);
}

#[test]
fn an_error_carries_its_code_through_context() {
    use anyhow::Context as _;
    let error = Err::<(), _>(Exit::Config.because("no such file")).context("starting");
    assert_eq!(error.as_ref().map_err(Exit::of), Err(Exit::Config));
    assert_eq!(Exit::of(&anyhow::anyhow!("anything")), Exit::Unknown);
}

#[test]
fn the_command_line_is_well_formed() {
    use clap::CommandFactory;
    Line::command().debug_assert();
}

/// 60 columns, 80, 120: a long line is broken between words and stays recognisable as one.
#[test]
fn a_long_line_is_broken_at_spaces_and_indented_on_a_terminal() {
    let long =
        "  1. mx.example.com: \u{1b}[32mdane\u{1b}[0m or better; ".to_owned() + &"word ".repeat(40);
    for columns in [60, 80, 120] {
        let folded = fold::fold(&format!("short\n{long}\nlast\n"), columns);
        assert!(folded.starts_with("short\n  1. mx.example.com: "), "{folded}");
        assert!(folded.ends_with("\nlast\n"), "{folded}");
        for line in folded.lines() {
            let bare = line.replace("\u{1b}[32m", "").replace("\u{1b}[0m", "");
            assert!(bare.chars().count() <= columns, "{line}");
        }
        let rest = folded.lines().skip(2).filter(|line| *line != "last");
        assert!(
            rest.clone().count() >= 1 && rest.clone().all(|line| line.starts_with("      word"))
        );
        assert_eq!(folded.matches("word").count(), 40, "nothing is lost");
    }
    // A name that is longer than the terminal is left to it.
    let name = "x".repeat(253);
    assert_eq!(fold::fold(&name, 80), name);
    assert_eq!(fold::fold(&format!("✗ {name}\n"), 80), format!("✗\n    {name}\n"));
}

/// Whatever the width of the terminal, it can be pasted into the zone.
#[test]
fn a_folded_comment_of_a_zone_file_stays_a_comment_and_a_record_stays_whole() {
    let record = format!("_dmarc.own.test. 3600 IN TXT \"{}\"", "word ".repeat(40));
    let text = format!("; {}\n{record}\n; {record}\n", "word ".repeat(40).trim());
    let folded = fold::fold_zone(&text, 60);
    assert!(folded.ends_with(&format!("\n{record}\n; {record}\n")), "{folded}");
    let comments = folded.lines().filter(|line| !line.contains(" IN "));
    assert!(comments.clone().count() > 3, "{folded}");
    assert!(comments.clone().all(|line| line.starts_with("; ") && line.len() <= 60), "{folded}");
}

/// Attacker: whoever writes what a command tells as JSON: a domain's owner, a mail host, a list of domains.
#[test]
fn json_steers_no_terminal_and_says_the_same() {
    let said = "a\u{9b}31m\u{85}\u{7f}\u{202e}\u{2066}\u{2028}\u{61c}\u{1b}[2J ä 漢 \\ \"";
    let json = serde_json::json!({ "said": said }).to_string();
    let shown = harmless(&json);
    assert!(shown.contains("a\\u009b31m\\u0085\\u007f\\u202e\\u2066\\u2028\\u061c"), "{shown}");
    assert!(shown.contains("ä 漢") && !shown.contains(char::is_control), "{shown}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap()["said"], said);
}

/// As POSIX has it: the first variable that is set and not empty, and `C` without any.
#[test]
fn the_charset_of_a_terminal_is_what_its_locale_says() {
    let of = |set: &[(&str, &str)]| {
        charset::Charset::of(|name| {
            set.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        })
    };
    for set in [
        &[("LANG", "de_DE.UTF-8")][..],
        &[("LANG", "C.utf8")],
        &[("LC_CTYPE", "en_US.UTF-8"), ("LANG", "C")],
        &[("LC_ALL", "sr_RS.utf-8@latin"), ("LC_CTYPE", "C"), ("LANG", "C")],
        &[("LC_ALL", ""), ("LANG", "de_DE.UTF-8")],
    ] {
        assert_eq!(of(set), charset::Charset::Utf8, "{set:?}");
    }
    for set in [
        &[][..],
        &[("LANG", "C")],
        &[("LANG", "en_US")],
        &[("LANG", "de_DE.ISO-8859-1@euro")],
        &[("LC_ALL", "C"), ("LC_CTYPE", "C.UTF-8"), ("LANG", "C.UTF-8")],
        &[("LC_CTYPE", "POSIX"), ("LANG", "C.UTF-8")],
    ] {
        assert_eq!(of(set), charset::Charset::Other, "{set:?}");
    }
}

/// Every glyph that a command writes has one of its own, and colours stay.
#[test]
fn glyphs_are_told_apart_in_ascii() {
    let text = "\u{1b}[32m✓\u{1b}[0m ✗ ! ? · ■ → RFC 7505 §3 cut…\u{a0}bücher\n";
    let plain = charset::ascii(text);
    assert_eq!(plain, "\u{1b}[32m+\u{1b}[0m x ! ? - # > RFC 7505 s.3 cut... b?cher\n");
}
