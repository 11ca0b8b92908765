//! Trust anchors: where chains of trust begin (RFC 4033 §2, RFC 7958).

use std::{collections::BTreeMap, fmt};

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::{
    Name,
    rrset::{Ds, Key},
    verify::ds_digest,
};

/// The keys of the root: KSK-2017 (20326) and its successor KSK-2024 (38696), as IANA publishes
/// them (<https://data.iana.org/root-anchors/root-anchors.xml>).
const IANA: &str = "\
. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D
. IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16
";

/// The most anchors that a file may hold.
const MOST: usize = 64;

/// One key that is trusted without a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// The digest of a key (RFC 4034 §5.1).
    Ds(Vec<u8>),
    /// A key itself (RFC 4034 §2.1).
    Key(Vec<u8>),
}

impl Anchor {
    /// Whether it stands for this key of `zone`.
    pub(super) fn names(&self, zone: &Name, key: &Key) -> bool {
        match self {
            Self::Key(rdata) => *rdata == key.rdata,
            Self::Ds(rdata) => Ds::parse(rdata).is_some_and(|ds| {
                let octets = [zone.as_octets(), key.rdata.as_slice()].concat();
                ds.tag == key.tag
                    && ds.algorithm == key.algorithm
                    && ds_digest(ds.digest_type, &octets).is_some_and(|digest| digest == ds.digest)
            }),
        }
    }
}

/// The set of trust anchors, by the zone that they are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchors(BTreeMap<Name, Vec<Anchor>>);

/// Why a text holds no usable anchors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchorError {
    /// The line, counted from 1; 0 for the text as a whole.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

impl fmt::Display for AnchorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "trust anchors: {}", self.what),
            line => write!(f, "trust anchors, line {line}: {}", self.what),
        }
    }
}

impl std::error::Error for AnchorError {}

impl Anchors {
    /// The built-in anchors of the root.
    pub fn iana() -> Self {
        // The text is a constant that a test parses; without anchors nothing would be secure.
        Self::parse(IANA).unwrap_or_else(|_| Self(BTreeMap::new()))
    }

    /// Reads anchors as one DS or DNSKEY record a line, as in a zone file:
    /// `. 172800 IN DS 20326 8 2 E06D...`. Owner and data are needed, TTL and class are not;
    /// `;` starts a comment.
    ///
    /// # Errors
    /// Names the first line that is neither empty nor an anchor, or says that there is none.
    pub fn parse(text: &str) -> Result<Self, AnchorError> {
        let mut anchors = BTreeMap::<Name, Vec<Anchor>>::new();
        let mut count = 0;
        for (line, text) in text.lines().enumerate() {
            let record = text.split(';').next().unwrap_or_default();
            let words: Vec<&str> = record.split_whitespace().collect();
            if words.is_empty() {
                continue;
            }
            let fault = |what| AnchorError { line: line + 1, what };
            let (owner, anchor) = parse_line(&words).map_err(fault)?;
            count += 1;
            if count > MOST {
                return Err(fault("more than 64 anchors"));
            }
            anchors.entry(owner).or_default().push(anchor);
        }
        if anchors.is_empty() {
            return Err(AnchorError { line: 0, what: "there is none" });
        }
        Ok(Self(anchors))
    }

    /// These anchors and `others`; both count where they are for the same zone.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        for (zone, anchors) in others.0 {
            self.0.entry(zone).or_default().extend(anchors);
        }
        self
    }

    /// The deepest zone with anchors that `name` lies in.
    pub(super) fn closest(&self, name: &Name) -> Option<(&Name, &[Anchor])> {
        let mut at = name.clone();
        loop {
            if let Some((zone, anchors)) = self.0.get_key_value(&at) {
                return Some((zone, anchors));
            }
            at = at.parent()?;
        }
    }

    /// Tags of the keys in a validated DNSKEY set that a chain of trust could begin at (SEP flag,
    /// RFC 4034 §2.1.1) and that no anchor of the zone stands for. Once such a key signs alone,
    /// nothing below the zone validates any more.
    pub fn strangers(&self, zone: &Name, keys: &[Vec<u8>]) -> Vec<u16> {
        let Some(anchors) = self.0.get(zone) else { return Vec::new() };
        let entry = |key: &Key| key.signs_zones() && key.flags & 0x0001 != 0;
        let known = |key: &Key| anchors.iter().any(|anchor| anchor.names(zone, key));
        let keys = keys.iter().filter_map(|rdata| Key::parse(rdata));
        keys.filter(|key| entry(key) && !known(key)).map(|key| key.tag).collect()
    }

    /// The zones that have anchors.
    pub fn zones(&self) -> impl Iterator<Item = &Name> {
        self.0.keys()
    }
}

fn parse_line(words: &[&str]) -> Result<(Name, Anchor), &'static str> {
    let (owner, mut rest) = words.split_first().ok_or("empty")?;
    let owner = parse_owner(owner).ok_or("does not start with a name")?;
    if let Some((first, others)) = rest.split_first()
        && first.bytes().all(|b| b.is_ascii_digit())
    {
        rest = others;
    }
    if let Some((first, others)) = rest.split_first()
        && first.eq_ignore_ascii_case("IN")
    {
        rest = others;
    }
    let (kind, data) = rest.split_first().ok_or("neither DS nor DNSKEY")?;
    if kind.eq_ignore_ascii_case("DS") {
        let [tag, algorithm, digest_type, digest @ ..] = data else {
            return Err("DS needs key tag, algorithm, digest type and digest");
        };
        let mut rdata = tag.parse::<u16>().map_err(|_| "bad key tag")?.to_be_bytes().to_vec();
        rdata.push(algorithm.parse().map_err(|_| "the algorithm is a number")?);
        rdata.push(digest_type.parse().map_err(|_| "the digest type is a number")?);
        rdata.extend(parse_hex(&digest.concat()).ok_or("the digest is not hexadecimal")?);
        Ok((owner, Anchor::Ds(rdata)))
    } else if kind.eq_ignore_ascii_case("DNSKEY") {
        let [flags, protocol, algorithm, key @ ..] = data else {
            return Err("DNSKEY needs flags, protocol, algorithm and key");
        };
        let mut rdata = flags.parse::<u16>().map_err(|_| "bad flags")?.to_be_bytes().to_vec();
        rdata.push(protocol.parse().map_err(|_| "bad protocol")?);
        rdata.push(algorithm.parse().map_err(|_| "the algorithm is a number")?);
        let key = BASE64_STANDARD.decode(key.concat()).map_err(|_| "the key is not base64")?;
        rdata.extend(key);
        Ok((owner, Anchor::Key(rdata)))
    } else {
        Err("neither DS nor DNSKEY")
    }
}

fn parse_owner(text: &str) -> Option<Name> {
    if text == "." {
        return Some(Name::root());
    }
    crate::domain::Domain::parse(text).ok().map(|domain| Name::from(&domain))
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.as_bytes().chunks(2).map(pair).collect()
}
