use std::time::Duration;

use mail_parser::{MessageParser, MimeHeaders};
use waxseal_core::{
    channel::Floor,
    envelope::Return,
    facts::Peer,
    queue_id::QueueId,
    reply::{EnhancedCode, Reply},
};

use super::*;

const NOW: UnixTime = UnixTime(1_795_327_200);

const MESSAGE: &[u8] = b"Received: from a by b\r\nFrom: Ann <ann@example.com>\r\nTo: bob@example.net\r\n\
    Bcc: eve@example.net\r\nSubject: Results of\r\n your blood test\r\nThread-Topic: Results of your blood test\r\n\
    Message-ID: <1@example.com>\r\n\r\nThe body with the secret.\r\n";

fn mailbox(text: &str) -> Mailbox {
    let (local, domain) = text.rsplit_once('@').unwrap();
    Mailbox { local: local.into(), domain: Domain::parse(domain).unwrap() }
}

fn author() -> Author {
    Author {
        hostname: Domain::parse("gw.example.com").unwrap(),
        from: mailbox("postmaster@example.com"),
        postmaster: mailbox("postmaster@example.com"),
        signer: None,
    }
}

fn envelope(to: &[&str]) -> Envelope {
    let recipient = |to: &&str| Recipient::new(mailbox(to));
    Envelope::new(
        ReversePath::Mailbox(mailbox("ann@example.com")),
        to.iter().map(recipient).collect(),
    )
}

fn fate(recipient: &Recipient, action: Action) -> Fate<'_> {
    Fate {
        recipient,
        action,
        code: EnhancedCode(5, 7, 5),
        reason: "mx.example.net: the certificate matches none of the 2 TLSA records".into(),
        remote: None,
        last_attempt: Some(NOW),
    }
}

fn report<'a>(envelope: &'a Envelope, action: Action, quote: Quote) -> Report<'a> {
    Report {
        envelope,
        message: MESSAGE,
        quote,
        received: UnixTime(NOW.0 - 3_600),
        fates: envelope.recipients.iter().map(|recipient| fate(recipient, action)).collect(),
    }
}

/// Content types and decoded texts of the three parts.
fn parts(letter: &Letter) -> Vec<(String, String)> {
    let parsed = MessageParser::default().parse(&letter.message).unwrap();
    let kind = parsed.content_type().unwrap();
    assert_eq!((kind.ctype(), kind.subtype()), ("multipart", Some("report")));
    assert_eq!(kind.attribute("report-type"), Some("delivery-status"));
    let part = |part: &mail_parser::MessagePart<'_>| {
        let kind = part.content_type().unwrap();
        let name = format!("{}/{}", kind.ctype(), kind.subtype().unwrap());
        (name, String::from_utf8_lossy(part.contents()).into_owned())
    };
    parsed.parts.iter().skip(1).take(3).map(part).collect()
}

#[test]
fn a_failure_says_what_why_and_what_to_do() {
    let envelope = envelope(&["bob@example.net"]);
    let letter = author().report(&report(&envelope, Action::Failed, Quote::Headers), NOW).unwrap();
    assert_eq!(letter.envelope.reverse_path, ReversePath::Null);
    assert_eq!(letter.envelope.recipients[0].mailbox, mailbox("ann@example.com"));
    let parts = parts(&letter);
    let text = &parts[0].1;
    let flowed = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "Your message was NOT delivered to: bob@example.net",
        "not as safe as this message needs",
        "Nothing of the message was sent over it.",
        "What you can do: If it is urgent",
        "5.7.5 mx.example.net: the certificate matches",
        "Your postmaster is postmaster@example.com.",
    ] {
        assert!(flowed.contains(words), "{words}\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 76), "{text}");
    let header = String::from_utf8_lossy(&letter.message);
    assert!(header.contains("Auto-Submitted: auto-replied\r\n"));
    assert!(header.contains("Subject: Not delivered: your message to bob@example.net\r\n"));
}

#[test]
fn machines_read_every_recipient() {
    let mut envelope = envelope(&["bob@example.net", "carol@example.net"]);
    envelope.envelope_id = Some("QQ+2B1".into());
    envelope.recipients[0].original = Some("rfc822;bob+2Bx@example.org".into());
    let mut report = report(&envelope, Action::Failed, Quote::Headers);
    let reply = Reply::new(550, Some(EnhancedCode(5, 1, 1)), "no such user");
    let peer = Peer::Name(Domain::parse("mx.example.net").unwrap());
    report.fates[1].remote = Some((peer, reply));
    report.fates[1].code = EnhancedCode(5, 1, 1);
    let letter = author().report(&report, NOW).unwrap();
    let (kind, text) = parts(&letter).swap_remove(1);
    assert_eq!(kind, "message/delivery-status");
    assert_eq!(
        text.replace("\r\n", "\n"),
        "Reporting-MTA: dns; gw.example.com\n\
         Original-Envelope-Id: QQ+1\n\
         Arrival-Date: Sun, 22 Nov 2026 05:00:00 +0000\n\
         \n\
         Original-Recipient: rfc822;bob+x@example.org\n\
         Final-Recipient: rfc822; bob@example.net\n\
         Action: failed\n\
         Status: 5.7.5\n\
         Diagnostic-Code: X-Waxseal; mx.example.net: the certificate matches none of the \
         2 TLSA records\n\
         Last-Attempt-Date: Sun, 22 Nov 2026 06:00:00 +0000\n\
         \n\
         Final-Recipient: rfc822; carol@example.net\n\
         Action: failed\n\
         Status: 5.1.1\n\
         Remote-MTA: dns; mx.example.net\n\
         Diagnostic-Code: smtp; 550 5.1.1 no such user\n\
         Last-Attempt-Date: Sun, 22 Nov 2026 06:00:00 +0000\n"
    );
}

#[test]
fn the_class_follows_from_the_action() {
    let envelope = envelope(&["bob@example.net"]);
    let until = UnixTime(NOW.0 + 7_200);
    for (action, status, words) in [
        (Action::Delayed { until }, "Status: 4.7.5\r\n", "You need not do anything"),
        (Action::Held { until }, "Status: 4.7.5\r\n", "It goes out by itself"),
    ] {
        let letter = author().report(&report(&envelope, action, Quote::Headers), NOW).unwrap();
        let parts = parts(&letter);
        assert!(parts[0].1.contains(words), "{}", parts[0].1);
        assert!(parts[1].1.contains(status), "{}", parts[1].1);
        assert!(parts[1].1.contains("Action: delayed\r\nStatus"), "{}", parts[1].1);
    }
}

/// Against whoever reads the report on its way: it says nothing that the message was to protect.
#[test]
fn a_report_on_protected_mail_has_neither_body_nor_subject() {
    let envelope = envelope(&["bob@example.net"]);
    for quote in [Quote::Skeleton, Quote::Headers] {
        let letter = author().report(&report(&envelope, Action::Failed, quote), NOW).unwrap();
        let all = String::from_utf8_lossy(&letter.message).into_owned();
        assert!(!all.contains("secret"), "{all}");
        assert!(!all.contains("eve@"), "Bcc: {all}");
        assert_eq!(all.contains("blood"), quote == Quote::Headers, "{all}");
        assert!(all.contains("Message-ID: <1@example.com>"), "{all}");
    }
}

#[test]
fn what_is_quoted_follows_from_floor_and_demand() {
    let full = Some(Return::Full);
    assert_eq!(quote(TlsAsk::Nothing, full, Floor::Encrypted), Quote::Full);
    assert_eq!(quote(TlsAsk::Nothing, None, Floor::None), Quote::Headers);
    for floor in [Floor::Authenticated, Floor::Qualified, Floor::Sealed] {
        assert_eq!(quote(TlsAsk::Nothing, full, floor), Quote::Skeleton);
    }
    // RFC 8689 §5
    assert_eq!(quote(TlsAsk::RequireTls, full, Floor::None), Quote::Skeleton);
}

#[test]
fn ret_full_gives_the_message_back_unless_it_is_huge() {
    let envelope = envelope(&["bob@example.net"]);
    let mut report = report(&envelope, Action::Failed, Quote::Full);
    let letter = author().report(&report, NOW).unwrap();
    let (kind, text) = parts(&letter).swap_remove(2);
    assert_eq!((kind.as_str(), text.as_bytes()), ("message/rfc822", MESSAGE));
    let huge = [MESSAGE, &vec![b'a'; 300 * 1024]].concat();
    report.message = &huge;
    let letter = author().report(&report, NOW).unwrap();
    assert_eq!(parts(&letter)[2].0, "text/rfc822-headers");
    assert!(letter.message.len() < 10_000);
}

/// Mail loops end: nothing is said about mail from the null reverse path, or where nobody asked.
#[test]
fn nobody_is_answered_who_must_not_be() {
    let mut null = envelope(&["bob@example.net"]);
    null.reverse_path = ReversePath::Null;
    assert_eq!(author().report(&report(&null, Action::Failed, Quote::Headers), NOW), None);
    let mut never = envelope(&["bob@example.net"]);
    never.recipients[0].notify = Some(Notify::Never);
    assert_eq!(author().report(&report(&never, Action::Failed, Quote::Headers), NOW), None);
    let default = envelope(&["bob@example.net"]);
    assert_eq!(author().report(&report(&default, Action::Relayed, Quote::Headers), NOW), None);
    let mut success = envelope(&["bob@example.net"]);
    success.recipients[0].notify = Some(Notify::On { success: true, failure: false, delay: false });
    assert!(author().report(&report(&success, Action::Delivered, Quote::Headers), NOW).is_some());
    assert_eq!(author().report(&report(&success, Action::Failed, Quote::Headers), NOW), None);
}

#[test]
fn a_report_keeps_the_demands_of_its_message() {
    let mut tagged = envelope(&["bob@example.net"]);
    tagged.tls = TlsAsk::RequireTls;
    let letter = author().report(&report(&tagged, Action::Failed, Quote::Skeleton), NOW).unwrap();
    assert_eq!(letter.envelope.tls, TlsAsk::RequireTls);
    let plain = envelope(&["bob@example.net"]);
    let message = [b"TLS-Required: No\r\n", MESSAGE].concat();
    let mut optional = report(&plain, Action::Failed, Quote::Headers);
    optional.message = &message;
    let letter = author().report(&optional, NOW).unwrap();
    assert_eq!(letter.envelope.tls, TlsAsk::TlsNotRequired);
    let header = String::from_utf8_lossy(&letter.message).into_owned();
    let header = header.split("\r\n\r\n").next().unwrap();
    assert!(header.contains("TLS-Required: No"), "{header}");
}

/// A hostile sender or receiver cannot write fields into our report.
#[test]
fn nothing_from_outside_adds_a_field() {
    let mut envelope = envelope(&["bob@example.net"]);
    envelope.envelope_id = Some("a+0D+0ABcc:+20x@y".into());
    envelope.recipients[0].original = Some("rfc822;a+0D+0AAction:+20delivered".into());
    let mut report = report(&envelope, Action::Failed, Quote::Headers);
    report.fates[0].reason = "bad\r\nAction: delivered\r\n\r\nStatus: 2.0.0 \u{e9}".into();
    let letter = author().report(&report, NOW).unwrap();
    let status = &parts(&letter)[1].1;
    assert_eq!(status.matches("\r\nAction:").count(), 1, "{status}");
    assert_eq!(status.matches("\r\nStatus:").count(), 1, "{status}");
    assert!(!status.contains("Original-") && status.is_ascii(), "{status}");
    let long = "x".repeat(1_000_000);
    report.fates[0].reason = long;
    let letter = author().report(&report, NOW).unwrap();
    assert!(letter.message.len() < 50_000);
    assert!(letter.message.split(|octet| *octet == b'\n').all(|line| line.len() <= 999));
}

#[test]
fn international_addresses_get_the_international_form() {
    let envelope = envelope(&["bob@example.net", "\u{14d}ta@example.net"]);
    let letter = author().report(&report(&envelope, Action::Failed, Quote::Headers), NOW).unwrap();
    assert_eq!(letter.envelope.charset, Charset::Utf8);
    assert_eq!(letter.envelope.body, Body::EightBit);
    let parts = parts(&letter);
    assert_eq!(parts[1].0, "message/global-delivery-status");
    assert!(parts[1].1.contains("Final-Recipient: utf-8; \u{14d}ta@example.net\r\n"));
    assert_eq!(parts[2].0, "message/global-headers");
}

fn notice(event: Event) -> (Letter, String) {
    let to = mailbox("postmaster@example.com");
    let destination = Domain::parse("example.net").unwrap();
    let notice = Notice {
        to: &to,
        event,
        message: QueueId::new(77_777_777).unwrap(),
        destination: &destination,
        rule: "board",
        code: EnhancedCode(5, 7, 10),
        reason: "no host offered\r\nBcc: eve@example.org what it needs",
    };
    let letter = author().notice(&notice, NOW);
    let text = String::from_utf8(letter.message.clone()).unwrap();
    (letter, text)
}

#[test]
fn a_notice_goes_to_the_postmaster_and_is_never_answered() {
    let (letter, text) = notice(Event::Dropped);
    assert_eq!(letter.envelope.reverse_path, ReversePath::Null);
    assert_eq!(letter.envelope.recipients[0].notify, Some(Notify::Never));
    assert!(text.contains("Auto-Submitted: auto-generated\r\n"), "{text}");
}

/// Whoever reads it need know nothing of mail servers; a hostile server adds no line to it.
#[test]
fn a_notice_says_what_happened_and_what_follows_in_whole_sentences() {
    let (_, text) = notice(Event::Held { until: NOW + Duration::from_hours(48) });
    let flowed = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "A message to somebody at example.net is held and has not been sent.",
        "it is returned to its sender on Tue, 24 Nov 2026",
        "Why: The connection to the recipient's server was not as safe",
        "rule board, 5.7.10",
    ] {
        assert!(flowed.contains(words), "{words}\n{text}");
    }
    assert!(!text.contains("\nBcc:"), "{text}");
}

/// RFC 8689 §5. Against whoever reads it on the unprotected way back: nothing but the Message-ID.
#[test]
fn a_redacted_report_names_the_message_and_nobody() {
    let mut tagged = envelope(&["bob@example.net"]);
    tagged.tls = TlsAsk::RequireTls;
    let mut report = report(&tagged, Action::Failed, Quote::Skeleton);
    report.fates[0].code = EnhancedCode(5, 7, 30);
    let report = author().report(&report, NOW).unwrap();
    assert!(is_report(&report.message));
    let to = mailbox("postmaster@example.com");
    let redacted = Redacted { to: &to, report: &report.message, why: EnhancedCode(5, 7, 30) };
    let letter = author().redacted(&redacted, NOW);
    assert_eq!(letter.envelope.tls, TlsAsk::Nothing);
    let text = String::from_utf8(letter.message).unwrap();
    assert!(text.contains("Message-ID: <1@example.com>"), "{text}");
    assert!(text.contains("5.7.30"), "{text}");
    for hidden in ["ann@", "bob@", "example.net", "secret", "From: ann"] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
}
