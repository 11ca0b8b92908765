//! What a DKIM-Signature claims, and whether it holds (RFC 6376 §3.5, §6.1).

use aws_lc_rs::digest::{SHA256, digest};

use super::{
    MOST_SIGNATURES,
    canon::{self, Form},
    fault::Fault,
    key::{Algorithm, Key, Strict, base64, tag, tags},
};
use crate::{domain::Domain, time::UnixTime};

/// A signature that is well-formed; nothing is known of it yet.
#[derive(Clone, Debug)]
pub struct Claim {
    /// `d=`: who vouches.
    pub domain: Domain,
    /// Where the key is (§3.6.2.1).
    pub key_name: Domain,
    algorithm: Algorithm,
    forms: (Form, Form),
    signed: Vec<String>,
    body_hash: Vec<u8>,
    signature: Vec<u8>,
    expires: Option<UnixTime>,
    identity: Option<Domain>,
    /// The field itself with `b=` emptied (§3.7).
    unsigned: Vec<u8>,
}

/// The well-formed signatures of a message that could vouch for all of it, from the top.
pub fn claims(message: &[u8]) -> Vec<Claim> {
    let (fields, _) = canon::split(message);
    let signatures = fields.into_iter().filter(|field| {
        canon::name_and_value(field).is_some_and(|(name, _)| name == "dkim-signature")
    });
    signatures.take(MOST_SIGNATURES).filter_map(Claim::parse).collect()
}

impl Claim {
    fn parse(field: &[u8]) -> Option<Self> {
        let (_, value) = canon::name_and_value(field)?;
        let text = std::str::from_utf8(value).ok().filter(|text| text.len() <= 16_384)?;
        let tags = tags(text)?;
        // A body that was signed in part may have grown (§8.2).
        if tag(&tags, "v")? != "1" || tag(&tags, "l").is_some() {
            return None;
        }
        if tag(&tags, "q").is_some_and(|query| !query.split(':').any(|q| q.trim() == "dns/txt")) {
            return None;
        }
        let algorithm = match tag(&tags, "a")? {
            "rsa-sha256" => Algorithm::Rsa,
            "ed25519-sha256" => Algorithm::Ed25519,
            _ => return None,
        };
        let domain = Domain::parse(tag(&tags, "d")?).ok()?;
        let selector = tag(&tags, "s")?;
        let key_name = domain.below(&format!("{selector}._domainkey")).ok()?;
        let fold = |name: &str| name.trim().to_ascii_lowercase();
        let signed: Vec<String> = tag(&tags, "h")?.split(':').map(fold).collect();
        if signed.len() > 200 || !signed.iter().any(|name| name == "from") {
            return None;
        }
        let identity = match tag(&tags, "i") {
            Some(identity) => Some(Domain::parse(identity.rsplit_once('@')?.1).ok()?),
            None => None,
        };
        if identity.as_ref().is_some_and(|identity| !identity.is_within(&domain)) {
            return None;
        }
        let expires = match tag(&tags, "x") {
            Some(seconds) => Some(UnixTime(seconds.parse().ok()?)),
            None => None,
        };
        Some(Self {
            forms: forms(tag(&tags, "c").unwrap_or("simple/simple"))?,
            body_hash: base64(tag(&tags, "bh")?)?,
            signature: base64(tag(&tags, "b")?)?,
            unsigned: emptied(field)?,
            domain,
            key_name,
            algorithm,
            signed,
            expires,
            identity,
        })
    }

    /// Whether the signature holds under this key record.
    ///
    /// # Errors
    /// Why it proves nothing.
    pub fn check(&self, message: &[u8], record: &[u8], now: UnixTime) -> Result<(), Fault> {
        let key = Key::parse(record)?;
        let outside = self.identity.as_ref().is_some_and(|identity| *identity != self.domain);
        if key.strict == Strict::Yes && outside {
            return Err(Fault::Key("is not for subdomains"));
        }
        if self.expires.is_some_and(|expires| now >= expires) {
            return Err(Fault::Expired);
        }
        let (fields, body) = canon::split(message);
        let named = |wanted: &str| {
            let is = |field: &&&[u8]| {
                canon::name_and_value(field).is_some_and(|(name, _)| name == wanted)
            };
            fields.iter().rev().filter(is).copied().collect::<Vec<_>>()
        };
        if named("from").len() != 1 {
            return Err(Fault::From);
        }
        let (header_form, body_form) = self.forms;
        if digest(&SHA256, &canon::body(body, body_form)).as_ref() != self.body_hash {
            return Err(Fault::Body);
        }
        let mut octets = Vec::new();
        for (nth, name) in self.signed.iter().enumerate() {
            // The same name again means the next one from below (§5.4.2).
            let before = self.signed.iter().take(nth).filter(|other| *other == name).count();
            if let Some(field) = named(name).get(before) {
                octets.extend(canon::header(field, header_form));
            }
        }
        let own = canon::header(&self.unsigned, header_form);
        octets.extend(own.strip_suffix(b"\r\n").unwrap_or(&own));
        let holds = key.verifies(self.algorithm, &octets, &self.signature);
        if holds { Ok(()) } else { Err(Fault::Signature) }
    }
}

/// `c=`: header, then body; body is simple where it is left out (§3.5).
fn forms(text: &str) -> Option<(Form, Form)> {
    let form = |name: &str| match name {
        "simple" => Some(Form::Simple),
        "relaxed" => Some(Form::Relaxed),
        _ => None,
    };
    let (header, body) = text.split_once('/').unwrap_or((text, "simple"));
    Some((form(header)?, form(body)?))
}

/// The field with the value of `b=` taken out and everything else left as it is.
fn emptied(field: &[u8]) -> Option<Vec<u8>> {
    let colon = field.iter().position(|octet| *octet == b':')? + 1;
    let mut text = field.get(..colon)?.to_vec();
    let tags = field.get(colon..)?.split(|octet| *octet == b';');
    for (nth, tag) in tags.enumerate() {
        if nth > 0 {
            text.push(b';');
        }
        let equals = tag.iter().position(|octet| *octet == b'=');
        match equals {
            Some(at) if tag.get(..at)?.trim_ascii() == b"b" => {
                text.extend(tag.get(..=at)?);
                if tag.ends_with(b"\r\n") {
                    text.extend(b"\r\n");
                }
            }
            Some(_) | None => text.extend(tag),
        }
    }
    Some(text)
}
