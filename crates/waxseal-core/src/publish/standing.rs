//! What is wanted against what DNS says.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;

use super::{Data, Protocol, Record, record::strings};
use crate::{
    assess::mail::{
        spf::{MOST_LOOKUPS, Walk, is_spf},
        tags::Tags,
    },
    dane::{self, Tlsa},
    dns::{Answer, Authenticity},
    dnssec::Name,
    domain::Domain,
};

/// Whether a record is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "standing")]
pub enum Standing {
    /// It is there as wanted.
    Live,
    /// Something else is there: these values, as far as they may be shown.
    Differs {
        /// What stands there.
        found: Vec<String>,
    },
    /// Nothing is there.
    Missing,
    /// It could not be found out, and why.
    Unknown {
        /// What happened.
        why: String,
    },
}

/// What has to be done to a record, and so whether its line may simply be added to the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Nothing: what is wanted stands there.
    Nothing,
    /// It comes to what is there.
    Add,
    /// It takes the place of all records of its type at its name.
    Replace,
    /// It takes the place of some of them, or it is not known what stands there: a person decides.
    ByHand,
}

/// One record, or all TLSA records of a host, and how they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is for.
    pub protocol: Protocol,
    /// Whose it is.
    pub owner: Domain,
    /// What stands there when all is done: what others put into the same record stays in it. None where
    /// several contradict each other, and a person has to choose.
    pub wanted: Vec<Record>,
    /// What has to be done.
    pub act: Act,
    /// How it stands.
    pub standing: Standing,
    /// What to do, in words; empty where there is nothing to do.
    pub fix: String,
    /// What stood there when we looked, where something else did: texts, or the RDATA of TLSA records. What
    /// takes its place was made from it.
    pub seen: Vec<Vec<u8>>,
    /// Whether TLSA records stood there with signatures; `None` where none stood there, or of other records.
    pub authenticity: Option<Authenticity>,
}

/// Nothing that strangers write is shown at greater length, and no more of it.
const SHOWN: usize = 300;
const SHOWN_RECORDS: usize = 16;

/// Whether senders can use any of these TLSA records, given as RDATA (RFC 7672 §3.1).
pub fn any_usable(rdata: &[Vec<u8>]) -> bool {
    rdata.iter().any(|rdata| match rdata.split_first_chunk::<3>() {
        Some((&[usage, selector, matching], data)) => {
            Tlsa { usage, selector, matching, data: data.to_vec() }.is_usable()
        }
        None => false,
    })
}

/// A text from outside, without control characters and at bounded length: what is cut ends with three
/// points.
fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let tame = |c: char| if c.is_control() { '?' } else { c };
    match text.char_indices().nth(SHOWN) {
        None => text.chars().map(tame).collect(),
        Some(_) => text.chars().map(tame).take(SHOWN - 3).chain("...".chars()).collect(),
    }
}

impl Finding {
    /// The TLSA records that are wanted.
    pub fn tlsa(&self) -> Vec<Tlsa> {
        let data = |record: &Record| match &record.data {
            Data::Tlsa(tlsa) => Some(tlsa.clone()),
            Data::Txt(_) | Data::Cname(_) => None,
        };
        self.wanted.iter().filter_map(data).collect()
    }

    /// The TLSA records that stand there and that nobody wants, as RDATA.
    pub fn surplus(&self) -> Vec<&[u8]> {
        match self.protocol {
            Protocol::Tlsa => surplus(&self.wanted, &self.seen),
            Protocol::Tlsrpt
            | Protocol::MtaSts
            | Protocol::Spf
            | Protocol::Dkim
            | Protocol::Dmarc => Vec::new(),
        }
    }

    /// Whether TLSA records would be the first that any sender goes by: some come to what is there, and there
    /// are none, none with signatures, or none that can be used (RFC 7672 §2.2).
    pub fn is_first(&self) -> bool {
        let counts = self.authenticity == Some(Authenticity::Secure) && any_usable(&self.seen);
        let lacking = || self.wanted.iter().any(|record| !self.seen.contains(&record.rdata()));
        match &self.standing {
            Standing::Missing => true,
            Standing::Differs { .. } => !counts && lacking(),
            Standing::Live | Standing::Unknown { .. } => false,
        }
    }

    /// The same where its name is an alias of `to`: nothing may stand beside an alias (RFC 1034 §3.6.2), so
    /// nothing is added there.
    #[must_use]
    pub fn behind(mut self, to: &Name) -> Self {
        match self.standing {
            Standing::Live | Standing::Unknown { .. } => {}
            Standing::Missing | Standing::Differs { .. } => {
                self.act = Act::ByHand;
                self.fix = format!(
                    "{} is an alias (CNAME) of {to}: change it there, or put it in the place of the alias; \
                     nothing may stand beside one (RFC 1034 section 3.6.2)",
                    self.owner
                );
            }
        }
        self
    }
}

/// A TXT record of tags that is alone with its version (`v=STSv1`), or alone where that is empty. Spaces
/// and a last semicolon make no difference. It may say more than ours: other tags stay, and so do other addresses for reports.
pub fn text(wanted: Record, version: &str, answer: &Answer<Vec<Vec<u8>>>) -> Finding {
    match answer {
        Answer::Found { value, .. } => beside(wanted, version, value),
        Answer::Absent { .. } => missing(wanted),
        Answer::Failed(failure) => unknown(wanted, failure.to_string()),
    }
}

/// The same beside these texts.
pub fn beside(wanted: Record, version: &str, value: &[Vec<u8>]) -> Finding {
    let Data::Txt(want) = &wanted.data else { return misuse(wanted) };
    let found: Vec<&Vec<u8>> = value.iter().filter(|one| is_of(version, one)).collect();
    let fix = match found.as_slice() {
        [] => return missing(wanted),
        [only] => match std::str::from_utf8(only).map(|live| (live, merged(live, want))) {
            Ok((live, Merged::Same)) => return live_as(wanted, live),
            Ok((_, Merged::Differs(text))) => {
                return differs(wanted.saying(text), value, &found, "put this in its place");
            }
            // What cannot be read counts for nobody, so nothing in it is worth keeping.
            Ok((_, Merged::Unreadable(why))) => {
                format!("nobody can read it ({why}): put this in its place")
            }
            Err(_) => "nobody can read it (it is no text): put this in its place".to_owned(),
        },
        [_, _, ..] => {
            let fix =
                format!("put this in the place of all {}: with several, none counts", found.len());
            let several = differs(wanted, value, &found, &fix);
            return Finding { act: Act::ByHand, ..several };
        }
    };
    differs(wanted, value, &found, &fix)
}

/// Whether a text begins with this version tag, and nothing longer; without a version every text does.
/// Spaces may stand in it (RFC 7489 §6.4).
fn is_of(version: &str, text: &[u8]) -> bool {
    let mut visible = text.iter().filter(|octet| !octet.is_ascii_whitespace()).copied();
    version.is_empty()
        || version.bytes().all(|octet| visible.next() == Some(octet))
            && matches!(visible.next(), None | Some(b';'))
}

/// A record that is there beside one that is wanted.
enum Merged {
    /// It says all that is wanted.
    Same,
    /// It does not; this does, and all that it said besides.
    Differs(String),
    /// It is no list of tags, and why.
    Unreadable(String),
}

fn merged(live: &str, want: &str) -> Merged {
    let (live, wanted) = match (Tags::read(live), Tags::read(want)) {
        (Ok(live), Ok(wanted)) => (live, wanted),
        (Err(why), _) | (_, Err(why)) => return Merged::Unreadable(why),
    };
    let mut same = true;
    let mut tags: Vec<(&str, Cow<'_, str>)> = Vec::new();
    for (name, value) in wanted.iter() {
        let there = match (live.value(name), name) {
            (Some(there), _) => there,
            // What a DKIM record means without them (RFC 6376 §3.6.1).
            (None, "k") => "rsa",
            (None, "v") if value == "DKIM1" => value,
            (None, _) => "",
        };
        let merged = match name {
            "rua" => reports(there, value),
            _ if dense(there) == dense(value) => Cow::Borrowed(there),
            _ => Cow::Borrowed(value),
        };
        same &= merged == there;
        tags.push((name, merged));
    }
    let others = live.iter().filter(|(name, _)| wanted.value(name).is_none());
    let others: Vec<_> = others.map(|(name, value)| (name, Cow::Borrowed(value))).collect();
    if same {
        return Merged::Same;
    }
    if others.is_empty() && tags.iter().all(|(name, value)| wanted.value(name) == Some(value)) {
        return Merged::Differs(want.to_owned());
    }
    tags.extend(others);
    let tags: Vec<String> = tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Merged::Differs(tags.join("; "))
}

/// All addresses for reports that are there, and ours. A limit of size may stand behind one
/// (RFC 7489 §6.2).
fn reports<'t>(there: &'t str, ours: &str) -> Cow<'t, str> {
    let bare = |uri: &str| uri.split('!').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known: Vec<String> = there.split(',').map(bare).collect();
    let lacking: Vec<&str> = ours.split(',').filter(|uri| !known.contains(&bare(uri))).collect();
    match (there, lacking.as_slice()) {
        (_, []) => Cow::Borrowed(there),
        ("", lacking) => Cow::Owned(lacking.join(",")),
        (there, lacking) => Cow::Owned(format!("{there},{}", lacking.join(","))),
    }
}

/// Without spaces: keys are often broken into lines.
fn dense(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_whitespace()).collect()
}

/// SPF: the record may say more than ours, but has to let the gateway send. One record only (RFC 7208
/// §4.5). What is wanted keeps what stands there.
pub fn spf(wanted: Record, mechanisms: &[String], answer: &Answer<Vec<Vec<u8>>>) -> Finding {
    let value = match answer {
        Answer::Found { value, .. } => value,
        Answer::Absent { .. } => return missing(wanted),
        Answer::Failed(failure) => return unknown(wanted, failure.to_string()),
    };
    let found: Vec<&Vec<u8>> = value.iter().filter(|text| is_spf(text)).collect();
    let choose = |why: &str| {
        let mut finding = differs(wanted.clone(), value, &found, why);
        finding.wanted.clear();
        finding.act = Act::ByHand;
        finding
    };
    let text = match found.as_slice() {
        [] => return missing(wanted),
        [only] => match std::str::from_utf8(only) {
            Ok(text) if text.is_ascii() => text,
            Ok(_) | Err(_) => return choose("it is no ASCII, so nobody can read it: mend it"),
        },
        [_, _, ..] => {
            return choose(
                "leave one v=spf1 record: with several, SPF is an error (RFC 7208 section 4.5)",
            );
        }
    };
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let bare = |word: &str| word.strip_prefix(['+', '-', '~', '?']).unwrap_or(word).to_owned();
    // What stands behind `all` is never looked at (RFC 7208 §5.1).
    let tested = words.iter().take_while(|word| !bare(word).eq_ignore_ascii_case("all"));
    let tested: Vec<&str> = tested.copied().collect();
    let passes = |wanted: &str| {
        let passing =
            |word: &&str| word.strip_prefix('+').unwrap_or(word).eq_ignore_ascii_case(wanted);
        tested.iter().any(passing)
    };
    let lacking: Vec<&str> =
        mechanisms.iter().map(String::as_str).filter(|one| !passes(one)).collect();
    if lacking.is_empty() {
        return live_as(wanted, text);
    }
    let (head, rest) =
        words.split_first().map_or(("v=spf1", &[][..]), |(head, rest)| (*head, rest));
    let merged = [&[head], lacking.as_slice(), rest].concat().join(" ");
    // What is included costs more, and is not known here.
    let crowded = match Walk::new(&wanted.owner, merged.as_bytes()).finish().lookups {
        0..=MOST_LOOKUPS => "",
        _ => {
            ". NOT YET: more than 10 terms of it ask DNS, and then SPF is an error for all (RFC 7208 section \
             4.6.4): write our addresses down in [delivery] source_addresses, or take other terms out"
        }
    };
    let fix = format!(
        "put this in its place: it has {} in front, and the rest as it is{crowded}",
        lacking.join(" ")
    );
    differs(wanted.saying(merged), value, &found, &fix)
}

/// All TLSA records of one host. Records that nobody configured are named: they may be of a key
/// that somebody still uses, so nothing is said about removing them before that is known.
pub fn tlsa(host: &Domain, wanted: Vec<Record>, answer: &Answer<Vec<Tlsa>>) -> Finding {
    let owner = wanted.first().map_or_else(|| host.clone(), |record| record.owner.clone());
    let finding = |act, standing, fix: String| Finding {
        protocol: Protocol::Tlsa,
        owner,
        wanted: wanted.clone(),
        act,
        standing,
        fix,
        seen: Vec::new(),
        authenticity: None,
    };
    let (value, authenticity) = match answer {
        Answer::Found { value, authenticity, .. } => (value, *authenticity),
        Answer::Absent { .. } => {
            let fix = "add these; keep the key that is in use until then".to_owned();
            return finding(Act::Add, Standing::Missing, fix);
        }
        Answer::Failed(failure) => {
            let standing = Standing::Unknown { why: failure.to_string() };
            return finding(Act::ByHand, standing, "look again".to_owned());
        }
    };
    let is =
        |record: &Record, tlsa: &Tlsa| matches!(&record.data, Data::Tlsa(data) if data == tlsa);
    let lacking = wanted.iter().filter(|w| !value.iter().any(|tlsa| is(w, tlsa))).count();
    let rdata =
        |tlsa: &Tlsa| [&[tlsa.usage, tlsa.selector, tlsa.matching], tlsa.data.as_slice()].concat();
    let seen: Vec<Vec<u8>> = value.iter().map(rdata).collect();
    let surplus = surplus(&wanted, &seen).len();
    let found = value
        .iter()
        .take(SHOWN_RECORDS)
        .map(|tlsa| {
            let hex: String = tlsa.data.iter().take(64).map(|o| format!("{o:02x}")).collect();
            format!("{} {} {} {hex}", tlsa.usage, tlsa.selector, tlsa.matching)
        })
        .collect();
    let (act, fix) = if lacking > 0 {
        let fix = match value.iter().filter(|tlsa| wanted.iter().any(|w| is(w, tlsa))).count() {
            0 => "add these".to_owned(),
            _ => format!("add the {lacking} of these that are not there"),
        };
        (Act::Add, fix + outdone(&wanted, value))
    } else if authenticity == Authenticity::Insecure {
        // RFC 7672 §2.2: insecure TLSA records count for nobody.
        let fix = "sign the zone with DNSSEC: unsigned TLSA records count for nobody".to_owned();
        (Act::Nothing, fix)
    } else if surplus > 0 {
        let fix = format!(
            "{surplus} of the records there are of no key in the configuration: once nobody uses those keys, remove \
             them{}",
            outdone(&wanted, value)
        );
        (Act::Nothing, fix)
    } else {
        return finding(Act::Nothing, Standing::Live, String::new());
    };
    let authenticity = Some(authenticity);
    Finding { seen, authenticity, ..finding(act, Standing::Differs { found }, fix) }
}

/// Those of `seen` that nobody wants, as RDATA.
fn surplus<'s>(wanted: &[Record], seen: &'s [Vec<u8>]) -> Vec<&'s [u8]> {
    let wanted: Vec<Vec<u8>> = wanted.iter().map(Record::rdata).collect();
    seen.iter().filter(|one| !wanted.contains(one)).map(Vec::as_slice).collect()
}

/// What to say where stronger digests stand beside ours: senders go by those alone (RFC 7671 §9).
fn outdone(wanted: &[Record], value: &[Tlsa]) -> &'static str {
    let ours = wanted.iter().filter_map(|record| match &record.data {
        Data::Tlsa(tlsa) => Some(tlsa.clone()),
        Data::Txt(_) | Data::Cname(_) => None,
    });
    let all: Vec<Tlsa> = ours.clone().chain(value.iter().cloned()).collect();
    let counts = |tlsa: &Tlsa| dane::effective(&all).any(|(_, one)| one == tlsa);
    if ours.clone().all(|tlsa| counts(&tlsa)) {
        return "";
    }
    "; while records with SHA-512 stand there, senders go by those alone (RFC 7671 section 9)"
}

/// A DMARC record that asks for more than reports is not to be published before anything that the gateway
/// sends would pass: SPF with the gateway in it, or one of our DKIM keys, is `Live` (RFC 7489 §6.3). Where the
/// record that stands there asks for the same, no mail is newly turned away.
pub fn hold_dmarc(dmarc: &mut Finding, spf: &Finding, dkim: &[Finding]) {
    // A key that is taken back is live as well, and nothing passes by it (RFC 6376 §3.6.1).
    let signs = |finding: &&Finding| !finding.wanted.iter().any(is_revoked);
    let passing = [spf].into_iter().chain(dkim.iter().filter(signs));
    let passes = passing.into_iter().any(|finding| finding.standing == Standing::Live);
    let goes = matches!(dmarc.act, Act::Add | Act::Replace);
    if passes || !goes || !dmarc.wanted.iter().any(turns_mail_away) || asks_the_same(dmarc) {
        return;
    }
    dmarc.act = Act::ByHand;
    dmarc.fix = "NOT YET: neither an SPF record with this gateway in it nor a DKIM key of ours is live, so \
                 that receivers would turn all mail of the domain away; publish one of them first, or \
                 dmarc = \"none\""
        .to_owned();
}

/// Whether the one DMARC record that stands there asks for as much as the wanted one: all but addresses for
/// reports is the same, said or not.
fn asks_the_same(dmarc: &Finding) -> bool {
    let asked = |text: &str| {
        let tags = Tags::read(text).ok()?;
        let tags = tags.iter().filter(|(name, _)| !matches!(*name, "rua" | "ruf"));
        let tags = tags.map(|(name, value)| (name.to_owned(), dense(value).to_ascii_lowercase()));
        Some(tags.collect::<BTreeMap<_, _>>())
    };
    let live: Vec<&[u8]> =
        dmarc.seen.iter().filter(|one| is_of("v=DMARC1", one)).map(Vec::as_slice).collect();
    let ([live], [Record { data: Data::Txt(wanted), .. }]) =
        (live.as_slice(), dmarc.wanted.as_slice())
    else {
        return false;
    };
    let live = std::str::from_utf8(live).ok().and_then(asked);
    live.is_some() && live == asked(wanted)
}

/// Whether a record is that of a DKIM key that was taken back: its `p` is empty.
fn is_revoked(record: &Record) -> bool {
    let Data::Txt(text) = &record.data else { return false };
    let key = Tags::read(text).ok().and_then(|tags| tags.value("p"));
    record.protocol == Protocol::Dkim && key.is_some_and(str::is_empty)
}

/// Whether a record is a DMARC record that asks for more than reports.
pub fn turns_mail_away(record: &Record) -> bool {
    let Data::Txt(text) = &record.data else { return false };
    let policy = Tags::read(text).ok().and_then(|tags| tags.value("p"));
    record.protocol == Protocol::Dmarc
        && policy.is_some_and(|policy| !policy.eq_ignore_ascii_case("none"))
}

/// `mta-sts.DOMAIN` may be an alias or have addresses of its own: it has to lead somewhere.
pub fn policy_host<T>(wanted: Record, addresses: &Answer<T>) -> Finding {
    match addresses {
        Answer::Found { .. } => one(wanted, Act::Nothing, Standing::Live, String::new()),
        Answer::Absent { .. } => {
            let fix = format!(
                "add this, or A and AAAA records of {} that lead to the host of the policy",
                wanted.owner
            );
            one(wanted, Act::Add, Standing::Missing, fix)
        }
        Answer::Failed(failure) => unknown(wanted, failure.to_string()),
    }
}

fn one(wanted: Record, act: Act, standing: Standing, fix: String) -> Finding {
    let (protocol, owner) = (wanted.protocol, wanted.owner.clone());
    let (wanted, seen) = (vec![wanted], Vec::new());
    Finding { protocol, owner, wanted, act, standing, fix, seen, authenticity: None }
}

/// It is there, and says what is wanted in its own words.
fn live_as(wanted: Record, text: &str) -> Finding {
    one(wanted.saying(text.to_owned()), Act::Nothing, Standing::Live, String::new())
}

/// Something else is there: `found`, of all that stands at the name.
fn differs(wanted: Record, all: &[Vec<u8>], found: &[&Vec<u8>], fix: &str) -> Finding {
    // An update replaces whole sets: with texts of others at the same name that is not for us.
    let act = if found.len() == all.len() { Act::Replace } else { Act::ByHand };
    let found = found.iter().take(SHOWN_RECORDS).map(|text| shown(text)).collect();
    let finding = one(wanted, act, Standing::Differs { found }, fix.to_owned());
    Finding { seen: all.to_vec(), ..finding }
}

fn missing(wanted: Record) -> Finding {
    let long = matches!(&wanted.data, Data::Txt(text) if strings(text).len() > 1);
    let fix = if long {
        // Web forms of DNS hosters often take one string only.
        "add this; its strings belong to one record".to_owned()
    } else {
        "add this".to_owned()
    };
    one(wanted, Act::Add, Standing::Missing, fix)
}

fn unknown(wanted: Record, why: String) -> Finding {
    one(wanted, Act::ByHand, Standing::Unknown { why }, "look again".to_owned())
}

/// A record of another type than the comparison is for: nothing can be said.
fn misuse(wanted: Record) -> Finding {
    unknown(wanted, "not a TXT record".to_owned())
}
