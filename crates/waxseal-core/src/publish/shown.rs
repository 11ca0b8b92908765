//! Which certificates our MX hosts show to strangers, whatever the configuration says that they do.

use std::net::IpAddr;

use rustls_pki_types::{CertificateDer, TrustAnchor};
use serde::Serialize;

use super::{
    gate::{Door, HostKeys, Item, Judged, Key, list},
    texts,
};
use crate::{
    assess::{Contact, KeyKind, Observed, StartTlsSeen, Tried, Unprobed},
    dane::{self, Mismatch, Tlsa},
    domain::Domain,
    pki::{self, Certificate},
    sts::Policy,
    time::UnixTime,
};

/// What is to be seen at the addresses of one MX host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostShown {
    /// Its name.
    pub host: Domain,
    /// Chains that were shown, at most one for each address and kind of key.
    pub chains: Vec<Chain>,
    /// Addresses, or kinds of keys at them, that could not be found out; in words.
    pub unknown: Vec<String>,
}

/// What one address shows to who asks for one kind of key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Where.
    pub address: IpAddr,
    /// Its key.
    pub key: Key,
    /// The certificates, end entity first.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// Why records have to stay, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// A key that is shown would have none.
    Shown(String),
    /// Which keys are shown is not known everywhere.
    Unknown(String),
}

/// What the configuration says of a key that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// It is in use.
    Current,
    /// It comes next, or has been deployed.
    Next,
    /// Nothing; an issuer in its chain is configured.
    Issuer,
    /// The key of an issuer in its chain is configured, and senders refuse the chain all the same: a
    /// certificate has expired, or names another host (RFC 7672 §3.1.2).
    Refused,
    /// Nothing at all: no TLSA record is wanted for it.
    Nowhere,
}

impl HostShown {
    /// A host of which nothing was seen yet.
    pub const fn new(host: Domain) -> Self {
        Self { host, chains: Vec::new(), unknown: Vec::new() }
    }

    /// A host whose addresses are not known, and why.
    pub fn lost(host: Domain, why: String) -> Self {
        Self { host, chains: Vec::new(), unknown: vec![why] }
    }

    /// Adds what was seen at one address. Keys of the kinds that senders ask for have to be known: RSA and
    /// ECDSA; Ed25519 counts where it is there.
    pub fn add(&mut self, address: IpAddr, observed: &Observed) {
        let probe = match observed {
            Observed::Probed(probe) => probe,
            Observed::Not(why) => return self.unknown.push(format!("{address}: {}", words(why))),
        };
        if let Some(why) = silence(&probe.contact) {
            return self.unknown.push(format!("{address}: {why}"));
        }
        for handshake in &probe.handshakes {
            let kind = handshake.key;
            let lost = match &handshake.tried {
                Tried::Session(session) => match self.chain(address, &session.chain) {
                    Ok(()) => continue,
                    Err(why) => why,
                },
                Tried::NoSuchKey => continue,
                Tried::Failed { detail, .. } | Tried::Unknown(detail) => detail.clone(),
            };
            if kind != KeyKind::Ed25519 {
                self.unknown.push(format!("{address}, {}: {lost}", kind.as_str()));
            }
        }
        if probe.handshakes.is_empty() {
            self.unknown.push(format!("{address}: TLS was not tried"));
        }
    }

    fn chain(&mut self, address: IpAddr, chain: &[Vec<u8>]) -> Result<(), String> {
        let leaf = chain.first().ok_or("it shows no certificate")?;
        let leaf = Certificate::read(leaf).map_err(|fault| fault.to_string())?;
        let spki = leaf.public_key_info();
        let key = Key::of(pki::key_kind(spki).to_owned(), spki);
        let certificates = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let chain = Chain { address, key, certificates };
        if !self.chains.contains(&chain) {
            self.chains.push(chain);
        }
        Ok(())
    }

    /// What is shown and matches none of these records: a sender that goes by them delivers nothing there
    /// (RFC 7672 §2.2). Each with the reason and what to do.
    pub fn uncovered(&self, records: &[Tlsa], now: UnixTime) -> Vec<String> {
        let fails = |chain| Some((chain, self.fault(chain, records, now)?));
        let said = together(self.chains.iter().filter_map(fails), String::clone);
        said.into_iter().map(|(title, fault)| format!("{title}: {fault}")).collect()
    }

    /// Why senders that go by these records refuse a chain, and what to do; `None` where they do not.
    pub fn fault(&self, chain: &Chain, records: &[Tlsa], now: UnixTime) -> Option<String> {
        let names = std::slice::from_ref(&self.host);
        match dane::verify(&chain.certificates, records, names, now) {
            Ok(_) => None,
            // The key of an issuer is there: a new one would not help.
            Err(Mismatch::Chain(fault)) => Some(format!(
                "the key of its issuer is configured, and senders refuse the chain all the same ({fault}): \
                 renew what has expired or names another host, or name the host's own key in `current`"
            )),
            Err(Mismatch::NoneMatches(_) | Mismatch::NothingUsable) => {
                Some("no configured key or issuer covers it: name it in `current`".to_owned())
            }
            Err(why @ Mismatch::TooMany(_)) => Some(why.to_string()),
        }
    }

    /// Why no TLSA record may be taken away so that only `left` stay; `None` where nobody is turned away by
    /// that.
    pub fn holds(&self, left: &[Tlsa], now: UnixTime) -> Option<Held> {
        let uncovered = self.uncovered(left, now);
        if !uncovered.is_empty() {
            return Some(Held::Shown(list(&uncovered)));
        }
        let why = match self.unknown.as_slice() {
            [] if self.chains.is_empty() => "it has no address".to_owned(),
            [] => return None,
            unknown => list(unknown),
        };
        let host = &self.host;
        Some(Held::Unknown(format!("which keys {host} shows could not be found out: {why}")))
    }

    /// What would fail under a policy that binds: chain, dates or name (RFC 8461 §4.2).
    pub fn failing(
        &self,
        policy: &Policy,
        anchors: &[TrustAnchor<'_>],
        now: UnixTime,
    ) -> Vec<String> {
        if !policy.allows(&self.host) {
            return vec![format!("{} is not in the policy", self.host)];
        }
        let names = std::slice::from_ref(&self.host);
        let faults = self.chains.iter().filter_map(|chain| {
            let fault = pki::valid_for(&chain.certificates, anchors, names, now).err()?;
            Some((chain, fault.to_string()))
        });
        let said = together(faults, String::clone);
        let host = &self.host;
        said.into_iter().map(|(title, fault)| format!("{title} at {host}: {fault}")).collect()
    }

    /// Where each key stands in the configuration.
    pub fn places<'s>(
        &'s self,
        keys: &HostKeys,
        now: UnixTime,
    ) -> impl Iterator<Item = (&'s Chain, Place)> {
        let issuers = issuers(keys);
        let (current, next) = (keys.current.clone(), keys.next.clone());
        let names = std::slice::from_ref(&self.host);
        self.chains.iter().map(move |chain| {
            let is = |key: &Key| key.spki_sha256 == chain.key.spki_sha256;
            let place = if current.iter().any(is) {
                Place::Current
            } else if next.iter().any(is) {
                Place::Next
            } else {
                match dane::verify(&chain.certificates, &issuers, names, now) {
                    Ok(_) => Place::Issuer,
                    Err(Mismatch::Chain(_)) => Place::Refused,
                    Err(
                        Mismatch::NoneMatches(_) | Mismatch::NothingUsable | Mismatch::TooMany(_),
                    ) => Place::Nowhere,
                }
            };
            (chain, place)
        })
    }

    /// One door for each key that is shown and that nobody configured, or whose chain senders refuse: mail
    /// is being turned away, or will be.
    pub fn doors(&self, keys: &HostKeys, now: UnixTime) -> Vec<Item> {
        let judge = |(chain, place)| {
            let judged = match place {
                Place::Current | Place::Next | Place::Issuer => return None,
                Place::Refused => {
                    let fault = self.fault(chain, &issuers(keys), now).unwrap_or_default();
                    Judged::closed(
                        format!("no record of its own is wanted for it: {fault}"),
                        "mend the chain, or name the host's own key in `current`",
                    )
                }
                Place::Nowhere => Judged::closed(
                    "it is shown and not configured, so no TLSA record is wanted for it".to_owned(),
                    "name its certificate in `current`, or deploy the key that is named there",
                ),
            };
            Some((chain, judged))
        };
        let judged = self.places(keys, now).filter_map(judge);
        let doors = together(judged, |judged| judged.because.clone());
        let door =
            |(title, judged)| Item::new(&self.host, Door::Key, format!("cover {title}"), judged);
        doors.into_iter().map(door).collect()
    }
}

/// What is said of chains, once for each key and reason: `ECDSA P-256 key 3f5c..., which 192.0.2.25 and
/// 2001:db8::25 show`.
fn together<'c, T>(
    said: impl Iterator<Item = (&'c Chain, T)>,
    reason: impl Fn(&T) -> String,
) -> Vec<(String, T)> {
    let mut groups: Vec<(&Key, Vec<String>, T)> = Vec::new();
    for (chain, what) in said {
        let same = |group: &&mut (&Key, Vec<String>, T)| {
            *group.0 == chain.key && reason(&group.2) == reason(&what)
        };
        let address = chain.address.to_string();
        match groups.iter_mut().find(same) {
            Some((_, addresses, _)) if addresses.contains(&address) => {}
            Some((_, addresses, _)) => addresses.push(address),
            None => groups.push((&chain.key, vec![address], what)),
        }
    }
    let title = |(key, addresses, what): (&Key, Vec<String>, T)| {
        let show = if addresses.len() == 1 { "shows" } else { "show" };
        (format!("{}, which {} {show}", key.title(), addresses.join(" and ")), what)
    };
    groups.into_iter().map(title).collect()
}

/// The records of the configured issuers.
fn issuers(keys: &HostKeys) -> Vec<Tlsa> {
    keys.issuers.iter().map(|key| texts::issuer(key.spki_sha256)).collect()
}

/// Why nothing of TLS was seen; `None` where it was tried.
fn silence(contact: &Contact) -> Option<String> {
    match contact {
        Contact::Unreachable(why) | Contact::Misbehaved(why) => Some(why.clone()),
        Contact::TurnedAway(reply) => Some(format!("turned away: {reply}")),
        Contact::Spoke { starttls, .. } => match starttls {
            StartTlsSeen::Ready => None,
            StartTlsSeen::NotOffered => Some("STARTTLS is not offered".to_owned()),
            StartTlsSeen::Refused(reply) => Some(format!("STARTTLS is refused: {reply}")),
            StartTlsSeen::Injected => Some("plaintext follows the reply to STARTTLS".to_owned()),
        },
    }
}

fn words(why: &Unprobed) -> String {
    match why {
        Unprobed::DnsOnly => "only DNS was asked".to_owned(),
        Unprobed::Refused(why) => format!("not asked: {why}"),
        Unprobed::NoFamily => "there is no way to that address from here".to_owned(),
        Unprobed::OverLimit => "more addresses than are asked".to_owned(),
        Unprobed::NoTurn => "it was not our turn in time".to_owned(),
        Unprobed::OutOfTime => "the time was used up".to_owned(),
        Unprobed::TooSlow => "hosts of its operator took too long before".to_owned(),
    }
}
