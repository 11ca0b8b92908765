//! A message as a line of a dialogue says it.

use super::{
    super::{Mail, Purpose},
    domain,
};
use crate::{
    decide::{Ask, RequireTls},
    envelope::{Body, Charset, Mailbox, Notify, Recipient, Return, ReversePath, TlsAsk},
};

/// A message in a dialogue.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    purpose: Purpose,
    reverse_path: ReversePath,
    pub(super) recipients: Vec<Recipient>,
    ask: Ask,
    require_tls: RequireTls,
    ret: Option<Return>,
    envelope_id: Option<String>,
    pub(super) content: Vec<u8>,
}

fn mailbox(text: &str) -> Mailbox {
    let (local, at) = text.rsplit_once('@').expect("an address");
    Mailbox { local: local.into(), domain: domain(at) }
}

impl Letter {
    pub(super) fn parse(line: &str) -> Self {
        let mut letter = Self {
            purpose: Purpose::Deliver,
            reverse_path: ReversePath::Mailbox(mailbox("a@example.com")),
            recipients: Vec::new(),
            ask: Ask { tls: TlsAsk::Nothing, body: Body::SevenBit, charset: Charset::Ascii },
            require_tls: RequireTls::No,
            ret: None,
            envelope_id: None,
            content: b"Subject: x\r\n\r\nhello\r\n".to_vec(),
        };
        let (mut notify, mut original) = (None, None);
        let mut to = vec!["b@example.net".to_owned()];
        for word in line.split_whitespace() {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "from" if value == "<>" => letter.reverse_path = ReversePath::Null,
                "from" => letter.reverse_path = ReversePath::Mailbox(mailbox(value)),
                "to" => to = value.split(',').map(str::to_owned).collect(),
                "body" => letter.content = unescape(value),
                "8bit" => letter.ask.body = Body::EightBit,
                "utf8" => letter.ask.charset = Charset::Utf8,
                "require-tls" => letter.require_tls = RequireTls::Yes,
                "ask" => letter.purpose = Purpose::Ask { octets: value.parse().unwrap_or(0) },
                "ret" if value == "hdrs" => letter.ret = Some(Return::Headers),
                "ret" => letter.ret = Some(Return::Full),
                "envid" => letter.envelope_id = Some(value.into()),
                "orcpt" => original = Some(value.to_owned()),
                "notify" if value == "never" => notify = Some(Notify::Never),
                "notify" => {
                    notify = Some(Notify::On {
                        success: value.contains("success"),
                        failure: value.contains("failure"),
                        delay: value.contains("delay"),
                    });
                }
                other => panic!("no such key: {other}"),
            }
        }
        letter.recipients = to
            .iter()
            .map(|to| Recipient { mailbox: mailbox(to), notify, original: original.clone() })
            .collect();
        letter
    }

    pub(super) fn mail(&self) -> Mail<'_> {
        Mail {
            purpose: self.purpose,
            reverse_path: &self.reverse_path,
            recipients: &self.recipients,
            ask: self.ask,
            require_tls: self.require_tls,
            ret: self.ret,
            envelope_id: self.envelope_id.as_deref(),
            content: &self.content,
        }
    }
}

/// What the escapes of a dialogue stand for.
pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        if c == '{'
            && let Some((inside, tail)) = after.split_once('}')
            && let Some((count, what)) = inside.split_once('*')
            && let Ok(count) = count.parse::<usize>()
        {
            out.extend(unescape(what).repeat(count));
            rest = tail;
        } else if c == '\\' {
            let (octet, used) = match after.as_bytes()[0] {
                b'r' => (b'\r', 1),
                b'n' => (b'\n', 1),
                b'0' => (0, 1),
                b's' => (b' ', 1),
                b'x' => (u8::from_str_radix(&after[1..3], 16).expect("hex"), 3),
                b'\\' => (b'\\', 1),
                other => panic!("no such escape: {other}"),
            };
            out.push(octet);
            rest = &after[used..];
        } else {
            let mut buffer = [0; 4];
            out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
            rest = after;
        }
    }
    out
}
