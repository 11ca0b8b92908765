// SMTP dialogues as text: anybody who reads RFC 5321 can write a test. Included by the tests of
// the machine (in memory, at several chunk sizes) and by those of the listener (over TCP).
//
//     # a comment            ! name = value     a setting, before the first step
//     C: a line              c: octets without CRLF at their end
//     S: the beginning of a reply line          S* 250   lines up to one that begins "250 "
//     X: tls | closed | stop | timeout          what happens beside the lines
//     D: accepted | full | internal | too-many | unproven | unproven-now   for the next message
//     R: taken | too-often | a reply      for the next recipient that inside is asked about
//     E: envelope of the message that was handed in     M: its octets (may be repeated)
//
// Octets: \r \n \t \0 \\ \xHH, and \{text*count} for repetitions. C lines in a row are one write.

use std::{collections::BTreeMap, fs, path::Path};

use super::{Answer, Body, Charset, EnhancedCode, Envelope, Notify, Reply, Return, TlsAsk};

#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Client(Vec<u8>),
    Server(String),
    ServerUpTo(String),
    Tls,
    Closed,
    Stop,
    Timeout,
    Decide(String),
    Recipient(String),
    Envelope(String),
    Message(Vec<u8>),
}

pub(crate) fn load(folder: &Path) -> Vec<Script> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "smtp"))
        .collect();
    paths.sort();
    paths.iter().map(|path| parse(path)).collect()
}

fn parse(path: &Path) -> Script {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let mut script = Script { name, settings: BTreeMap::new(), steps: Vec::new() };
    for line in fs::read_to_string(path).unwrap().lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(setting) = line.strip_prefix("! ") {
            let (key, value) = setting.split_once(" = ").expect(line);
            script.settings.insert(key.to_owned(), value.to_owned());
            continue;
        }
        let (mark, text) = line.split_at(2);
        let text = text.strip_prefix(' ').unwrap_or(text);
        let step = match mark {
            "C:" => Step::Client([&octets(text)[..], b"\r\n"].concat()),
            "c:" => Step::Client(octets(text)),
            "S:" => Step::Server(text.to_owned()),
            "S*" => Step::ServerUpTo(format!("{text} ")),
            "D:" => Step::Decide(text.to_owned()),
            "R:" => Step::Recipient(text.to_owned()),
            "E:" => Step::Envelope(text.to_owned()),
            "M:" => Step::Message(octets(text)),
            "X:" => match text {
                "tls" => Step::Tls,
                "closed" => Step::Closed,
                "stop" => Step::Stop,
                "timeout" => Step::Timeout,
                other => panic!("{}: {other}", script.name),
            },
            other => panic!("{}: {other}", script.name),
        };
        match (script.steps.last_mut(), step) {
            (Some(Step::Client(written)), Step::Client(more)) => written.extend(more),
            (Some(Step::Message(octets)), Step::Message(more)) => octets.extend(more),
            (_, step) => script.steps.push(step),
        }
    }
    script
}

fn octets(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = rest.as_bytes()[at + 1];
        rest = &rest[at + 2..];
        match escape {
            b'r' => out.push(b'\r'),
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'0' => out.push(0),
            b'\\' => out.push(b'\\'),
            b'x' => {
                out.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                rest = &rest[2..];
            }
            b'{' => {
                let (repeated, behind) = rest.split_once('}').expect(text);
                let (piece, count) = repeated.rsplit_once('*').expect(text);
                out.extend(octets(piece).repeat(count.parse().expect(text)));
                rest = behind;
            }
            other => panic!("{text}: \\{}", char::from(other)),
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// An envelope as the E lines write it.
pub(crate) fn describe(envelope: &Envelope) -> String {
    let recipients = envelope.recipients.iter().map(|recipient| {
        let mut text = recipient.mailbox.to_string();
        match recipient.notify {
            None => {}
            Some(Notify::Never) => text.push_str(" NOTIFY=NEVER"),
            Some(Notify::On { success, failure, delay }) => {
                let words = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
                let said: Vec<_> = words.iter().filter(|w| w.0).map(|w| w.1).collect();
                text.push_str(&format!(" NOTIFY={}", said.join(",")));
            }
        }
        if let Some(original) = &recipient.original {
            text.push_str(&format!(" ORCPT={original}"));
        }
        text
    });
    let recipients: Vec<_> = recipients.collect();
    let body = match envelope.body {
        Body::SevenBit => "sevenbit",
        Body::EightBit => "eightbit",
    };
    let charset = match envelope.charset {
        Charset::Ascii => "ascii",
        Charset::Utf8 => "utf8",
    };
    let tls = match envelope.tls {
        TlsAsk::Nothing => "nothing",
        TlsAsk::RequireTls => "require",
        TlsAsk::TlsNotRequired => "not-required",
    };
    let ret = match envelope.ret {
        None => "",
        Some(Return::Full) => " RET=FULL",
        Some(Return::Headers) => " RET=HDRS",
    };
    let id = envelope.envelope_id.as_ref().map(|id| format!(" ENVID={id}")).unwrap_or_default();
    let (from, to) = (&envelope.reverse_path, recipients.join(", "));
    format!("{from} -> {to}; body={body} charset={charset} tls={tls}{ret}{id}")
}

/// What inside says of a recipient.
pub(crate) fn answer(text: &str) -> Answer {
    if let "taken" | "too-often" = text {
        return if text == "taken" { Answer::Taken } else { Answer::TooOften };
    }
    let (code, rest) = text.split_once(' ').expect(text);
    let (enhanced, words) = match EnhancedCode::leading(rest) {
        Some((enhanced, words)) => (Some(enhanced), words),
        None => (None, rest),
    };
    let reply = Reply::new(code.parse().expect(text), enhanced, words);
    if text.starts_with('5') { Answer::Refused(reply) } else { Answer::Later(reply) }
}

/// The size of a limit, or what the dialogues take for it.
pub(crate) fn limit<T: std::str::FromStr>(script: &Script, name: &str, otherwise: T) -> T {
    match script.settings.get(name) {
        Some(text) => text.parse().unwrap_or_else(|_| panic!("{}: {name}", script.name)),
        None => otherwise,
    }
}
