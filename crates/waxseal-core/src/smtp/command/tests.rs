//! The grammar of commands: what is read, what is refused, and with which code.

use proptest::prelude::*;

use super::*;
use crate::envelope::Mailbox;

fn ok(line: &str) -> Command {
    parse(line.as_bytes(), Charset::Ascii).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn refused(line: &str) -> String {
    match parse(line.as_bytes(), Charset::Ascii) {
        Ok(command) => panic!("{line}: {command}"),
        Err(error) => format!("{} {}", error.code(), error.enhanced()),
    }
}

/// What is written is what was meant.
#[test]
fn commands_are_read_and_printed_again() {
    for line in [
        "EHLO mail.example.com",
        "EHLO [192.0.2.1]",
        "EHLO [IPv6:2001:db8::1]",
        "HELO odd_name",
        "MAIL FROM:<>",
        "MAIL FROM:<a@example.com>",
        "MAIL FROM:<a+b=c!#$%&'*/?^_`{|}~-@example.com>",
        "MAIL FROM:<\"a b\\\"c>@\"@example.com>",
        "MAIL FROM:<a@example.com> SIZE=1000 BODY=8BITMIME SMTPUTF8 REQUIRETLS RET=HDRS ENVID=q+2B1 AUTH=<>",
        "MAIL FROM:<jürgen@example.com> SMTPUTF8",
        "MAIL FROM:<a@example.com> AUTH=e+3Dmc2@example.com",
        "RCPT TO:<b@example.net>",
        "RCPT TO:<b@example.net> NOTIFY=NEVER",
        "RCPT TO:<b@example.net> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;Bob+20B@example.net",
        "RCPT TO:<Postmaster>",
        "DATA",
        "BDAT 0 LAST",
        "BDAT 18446744073709551615",
        "AUTH PLAIN",
        "AUTH LOGIN YQ==",
        "AUTH PLAIN =",
        "STARTTLS",
        "RSET",
        "QUIT",
    ] {
        assert_eq!(ok(line).to_string(), line);
    }
}

#[test]
fn case_trailing_spaces_and_source_routes_do_not_matter() {
    assert_eq!(ok("mail from:<a@EXAMPLE.com> size=7  "), ok("MAIL FROM:<a@example.com> SIZE=7"));
    assert_eq!(ok("quit "), Command::Quit);
    assert_eq!(ok("RCPT TO:<@a.example,@b.example:c@d.example>"), ok("RCPT TO:<c@d.example>"));
    assert_eq!(ok("rcpt to:<pOSTMASTER>"), ok("RCPT TO:<Postmaster>"));
}

/// The hostile client: whatever two hosts could read differently is refused.
#[test]
fn malformed_commands_are_refused_with_their_code() {
    let long_local = format!("RCPT TO:<{}@example.com>", "a".repeat(65));
    let long_domain = format!("RCPT TO:<a@{}com>", "abcdefg.".repeat(32));
    let many = format!("MAIL FROM:<a@b.example>{}", " X=1".repeat(17));
    for (line, code) in [
        ("", "500 5.5.1"),
        ("FOO", "500 5.5.1"),
        ("MAILX FROM:<a@b.example>", "500 5.5.1"),
        ("NOOP \u{7}", "500 5.5.2"),
        ("NOOP a\rb", "500 5.5.2"),
        ("NOOP a\0b", "500 5.5.2"),
        ("EHLO", "501 5.5.4"),
        ("EHLO a b", "501 5.5.4"),
        ("EHLO a)(b", "501 5.5.4"),
        ("EHLO bücher.example", "501 5.5.4"),
        ("DATA now", "501 5.5.4"),
        ("MAIL", "501 5.5.4"),
        ("MAIL FROM <a@b.example>", "501 5.5.4"),
        ("MAIL FROM: <a@b.example>", "501 5.1.7"),
        ("MAIL FROM:a@b.example", "501 5.1.7"),
        ("MAIL FROM:<a@b.example", "501 5.1.7"),
        ("MAIL FROM:<a@b.example>SIZE=1", "501 5.5.4"),
        ("MAIL FROM:<a>", "501 5.1.7"),
        ("MAIL FROM:<Postmaster>", "501 5.1.7"),
        ("MAIL FROM:<a@b@c.example>", "501 5.1.7"),
        ("MAIL FROM:<.a@b.example>", "501 5.1.7"),
        ("MAIL FROM:<a..b@b.example>", "501 5.1.7"),
        ("MAIL FROM:<a b@b.example>", "501 5.1.7"),
        ("MAIL FROM:<\"\"@b.example>", "501 5.1.7"),
        ("MAIL FROM:<\"a@b.example>", "501 5.1.7"),
        ("MAIL FROM:<a@b.example.>", "501 5.1.7"),
        ("MAIL FROM:<a@-b.example>", "501 5.1.7"),
        ("MAIL FROM:<a@b_c.example>", "501 5.1.7"),
        ("MAIL FROM:<a@192.0.2.1>", "501 5.1.7"),
        ("MAIL FROM:<a@[192.0.2.1]>", "553 5.1.7"),
        ("MAIL FROM:<ü@b.example>", "553 5.6.7"),
        ("MAIL FROM:<a@bücher.example>", "553 5.6.7"),
        ("RCPT TO:<ü@b.example>", "553 5.6.7"),
        ("RCPT TO:<>", "501 5.1.3"),
        ("RCPT TO:<a@[192.0.2.1]>", "553 5.1.2"),
        ("RCPT TO:<a@[IPv6:2001:db8::1]>", "553 5.1.2"),
        ("RCPT TO:<a@[nonsense]>", "501 5.1.3"),
        ("RCPT TO:<@a.example:>", "501 5.1.3"),
        ("RCPT TO:<a@b.example:c@d.example>", "501 5.1.3"),
        ("RCPT TO:<user%host@b.example>x", "501 5.5.4"),
        (&long_local, "501 5.1.3"),
        (&long_domain, "501 5.1.3"),
        (&many, "501 5.5.4"),
        ("MAIL FROM:<a@b.example> SIZE=1 SIZE=2", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> SIZE=-1", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> SIZE=99999999999999999999", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> SIZE", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> BODY=9BIT", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> BODY=BINARYMIME", "555 5.6.1"),
        ("MAIL FROM:<a@b.example> REQUIRETLS=1", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> RET=SOME", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> ENVID=a+0Ab", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> ENVID=a+2", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> ENVID=a=b", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> AUTH=nobody", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> FUTURERELEASE=1", "555 5.5.4"),
        ("RCPT TO:<a@b.example> SIZE=1", "555 5.5.4"),
        ("RCPT TO:<a@b.example> NOTIFY=NEVER,DELAY", "501 5.5.4"),
        ("RCPT TO:<a@b.example> NOTIFY=DELAY,DELAY", "501 5.5.4"),
        ("RCPT TO:<a@b.example> NOTIFY=", "501 5.5.4"),
        ("RCPT TO:<a@b.example> ORCPT=b@c.example", "501 5.5.4"),
        ("RCPT TO:<a@b.example> ORCPT=rfc822;a+0D+0Ab", "501 5.5.4"),
        ("BDAT", "501 5.5.4"),
        ("BDAT x", "501 5.5.4"),
        ("BDAT 1 FIRST", "501 5.5.4"),
        ("BDAT 1 LAST LAST", "501 5.5.4"),
        ("AUTH", "501 5.5.4"),
        ("AUTH CRAM-MD5", "504 5.5.4"),
        ("AUTH PLAIN a b", "501 5.5.4"),
    ] {
        assert_eq!(refused(line), code, "{line:?}");
    }
    assert_eq!(parse(b"NOOP \xff", Charset::Ascii), Err(CommandError::Characters));
}

#[test]
fn addresses_beyond_ascii_need_the_parameter_and_become_a_labels() {
    let Command::Mail(mail) = ok("MAIL FROM:<ü@bücher.example> SMTPUTF8") else { panic!() };
    assert_eq!(mail.reverse_path.to_string(), "ü@xn--bcher-kva.example");
    let line = "RCPT TO:<ü@b.example> ORCPT=utf-8;ü@b.example";
    assert!(parse(line.as_bytes(), Charset::Utf8).is_ok());
}

#[test]
fn lengths_of_rfc_5321_are_accepted_to_the_octet() {
    ok(&format!("RCPT TO:<{}@example.com>", "a".repeat(64)));
    let label = "a".repeat(63);
    let domain = format!("{label}.{label}.{label}.{}", "b".repeat(50));
    ok(&format!("RCPT TO:<x@{domain}>"));
    assert_eq!(refused(&format!("RCPT TO:<{}@{domain}>", "x".repeat(60))), "501 5.1.3");
}

fn local() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]{1,10}(\\.[a-z0-9]{1,5}){0,3}",
        "\"([ !#-\\[\\]-~]|\\\\[ -~]){1,20}\"",
    ]
}

proptest! {
    /// parse o print = id
    #[test]
    fn a_printed_mailbox_is_read_as_the_same(local in local(), domain in "[a-z0-9]{1,9}(\\.[a-z]{2,5}){1,3}") {
        let text = format!("{local}@{domain}");
        let mailbox = address::mailbox(&text, Charset::Ascii).unwrap();
        prop_assert_eq!(mailbox.to_string(), text.clone());
        let again: Mailbox = address::mailbox(&mailbox.to_string(), Charset::Ascii).unwrap();
        prop_assert_eq!(&again, &mailbox);
        let rcpt = parse(format!("RCPT TO:<{text}> NOTIFY=DELAY").as_bytes(), Charset::Ascii).unwrap();
        let printed = rcpt.to_string();
        prop_assert_eq!(parse(printed.as_bytes(), Charset::Ascii).unwrap(), rcpt);
    }

    /// Any octets: an answer, never a panic; and what is accepted is read the same when printed.
    #[test]
    fn what_is_accepted_is_stable(line in "(MAIL FROM:|RCPT TO:|BDAT |EHLO )[<>@a\".\\\\ :,0-9=+;ü-]{0,40}") {
        if let Ok(command) = parse(line.as_bytes(), Charset::Utf8) {
            let printed = command.to_string();
            prop_assert_eq!(parse(printed.as_bytes(), Charset::Utf8), Ok(command), "{}", printed);
        }
    }
}
