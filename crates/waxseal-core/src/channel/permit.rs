//! The one place that judges a connection (promise P2).

use std::{fmt, net::SocketAddr};

use rustls_pki_types::TrustAnchor;
use serde::{Deserialize, Serialize};

use super::{By, Demand, Floor, Legacy, Level, Pins, Seen, Session, TlsSeen, Voucher, strength};
use crate::{
    dane::{self, How, Mismatch, Tlsa},
    decide::HostRoute,
    domain::Domain,
    facts::Peer,
    pki::{self, Certificate, Fault},
    time::UnixTime,
};

/// That a connection was judged and may carry mail of one route. Only [`permit`] makes one, and
/// the client cannot say MAIL or AUTH without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelProof {
    peer: Peer,
    address: SocketAddr,
    level: Level,
    held: Vec<Held>,
    at: UnixTime,
}

/// What held on a channel: for the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// This TLSA record.
    Tlsa {
        /// The record.
        record: Tlsa,
        /// The end entity, or an anchor with a name.
        how: How,
    },
    /// A public CA, for this name.
    PublicCa(Domain),
    /// The administrator's key pin.
    PinnedKey,
    /// The administrator's CA, for this name.
    PinnedCa(Domain),
}

impl ChannelProof {
    /// Whom the channel leads to.
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Where it was connected to.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the channel really is.
    pub const fn level(&self) -> Level {
        self.level
    }

    /// What held; empty without authentication.
    pub fn held(&self) -> &[Held] {
        &self.held
    }

    /// When it was judged.
    pub const fn at(&self) -> UnixTime {
        self.at
    }
}

/// Why a connection may not carry mail of this route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The kind, as TLS reports tell them apart.
    pub kind: RefusalKind,
    /// What was seen and what was demanded, in words.
    pub detail: String,
    /// Whether the same route may work later.
    pub waiting: Waiting,
}

/// Kinds of refusal; the result type of RFC 8460 §4.3 in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// No STARTTLS, or refused after it was offered (`starttls-not-supported`).
    NoTls,
    /// Plaintext was injected behind the 220 (`validation-failure`).
    Injected,
    /// The handshake failed (`validation-failure`).
    Handshake,
    /// The peer speaks only what we do not (`validation-failure`).
    LegacyTls,
    /// No TLSA record matches (`validation-failure`).
    TlsaMismatch,
    /// None of the TLSA records can be used, or there are too many (`tlsa-invalid`).
    TlsaUnusable,
    /// No trusted CA (`certificate-not-trusted`).
    NotTrusted,
    /// Another name (`certificate-host-mismatch`).
    HostMismatch,
    /// Expired, or not valid yet (`certificate-expired`).
    Expired,
    /// Not the pinned key or CA (`validation-failure`).
    PinMismatch,
    /// Parameters below TR-02102-2 where the floor is `qualified` (`validation-failure`).
    WeakParameters,
    /// The channel is all that was demanded, and that is less than the floor.
    BelowFloor,
    /// The connection is not the one that the route speaks of, or the route contradicts itself.
    OtherChannel,
}

/// Whether waiting can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Waiting {
    /// An attack that ends or a repair under way: the peer published more than it keeps.
    MayHelp,
    /// The peer is like that.
    Useless,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    fn new(kind: RefusalKind, detail: impl Into<String>, waiting: Waiting) -> Self {
        Self { kind, detail: detail.into(), waiting }
    }

    fn other(detail: &str) -> Self {
        Self::new(RefusalKind::OtherChannel, detail, Waiting::Useless)
    }
}

/// Judges a connection before the first mail command, and again for each message that reuses it.
///
/// `roots` are the public CAs. A proof never has a level that misses the route's floor, and never
/// one that no voucher of the demand brought.
///
/// # Errors
/// What is missing.
pub fn permit(
    route: &HostRoute,
    seen: &Seen,
    roots: &[TrustAnchor<'static>],
    now: UnixTime,
) -> Result<ChannelProof, Refusal> {
    if seen.peer != route.peer || !route.addresses.contains(&seen.address) {
        return Err(Refusal::other("this is a connection to somebody else"));
    }
    let (level, held) = match session(route, seen)? {
        None => (Level::Cleartext, Vec::new()),
        Some(session) => judge(route, session, roots, now)?,
    };
    if !level.meets(route.floor, route.trust_first) {
        let detail = format!("the channel is {level}, and the floor is {}", route.floor);
        return Err(Refusal::new(RefusalKind::BelowFloor, detail, Waiting::Useless));
    }
    if route.floor == Floor::Qualified {
        let weak = match &seen.tls {
            TlsSeen::Established(session) => strength::qualifies(session).err(),
            TlsSeen::NotOffered
            | TlsSeen::Refused(_)
            | TlsSeen::Injected
            | TlsSeen::HandshakeFailed { .. } => Some("there is no TLS".into()),
        };
        if let Some(detail) = weak {
            return Err(Refusal::new(RefusalKind::WeakParameters, detail, Waiting::Useless));
        }
    }
    Ok(ChannelProof { peer: seen.peer.clone(), address: seen.address, level, held, at: now })
}

/// The TLS session, `None` where there is none and none is demanded.
fn session<'s>(route: &HostRoute, seen: &'s Seen) -> Result<Option<&'s Session>, Refusal> {
    // A peer that authenticates has TLS, so that its absence is an attack or a fault; a peer of
    // which nothing is known may just not have it.
    let waiting = match route.demand {
        Demand::Authenticate(_) => Waiting::MayHelp,
        Demand::Opportunistic | Demand::Encrypt => Waiting::Useless,
    };
    let refusal = match &seen.tls {
        TlsSeen::Established(session) => return Ok(Some(session)),
        // Whatever is demanded: somebody else speaks on this connection (CVE-2011-0411).
        TlsSeen::Injected => {
            let detail = "bytes followed the reply to STARTTLS before the handshake: an attack";
            return Err(Refusal::new(RefusalKind::Injected, detail, Waiting::MayHelp));
        }
        TlsSeen::NotOffered => {
            Refusal::new(RefusalKind::NoTls, "the server does not offer STARTTLS", waiting)
        }
        TlsSeen::Refused(reply) => Refusal::new(
            RefusalKind::NoTls,
            format!("the server refused STARTTLS: {reply}"),
            Waiting::MayHelp,
        ),
        TlsSeen::HandshakeFailed { legacy: Legacy::TooOld, detail } => {
            Refusal::new(RefusalKind::LegacyTls, format!("legacy-tls: {detail}"), waiting)
        }
        TlsSeen::HandshakeFailed { legacy: Legacy::No, detail } => Refusal::new(
            RefusalKind::Handshake,
            format!("the TLS handshake failed: {detail}"),
            Waiting::MayHelp,
        ),
    };
    match route.demand {
        Demand::Opportunistic => Ok(None),
        Demand::Encrypt | Demand::Authenticate(_) => Err(refusal),
    }
}

fn judge(
    route: &HostRoute,
    session: &Session,
    roots: &[TrustAnchor<'static>],
    now: UnixTime,
) -> Result<(Level, Vec<Held>), Refusal> {
    if session.sni != route.sni {
        return Err(Refusal::other("the handshake was made with another server name"));
    }
    let vouchers = match &route.demand {
        Demand::Opportunistic | Demand::Encrypt => return Ok(unasked(route, session, roots, now)),
        Demand::Authenticate(vouchers) => vouchers,
    };
    if !vouchers.iter().any(|voucher| brings(&voucher.by, route.level)) {
        return Err(Refusal::other("nobody in the demand vouches for the level of the route"));
    }
    let held = vouchers.iter().map(|voucher| hold(voucher, session, roots, now));
    Ok((route.level, held.collect::<Result<_, _>>()?))
}

/// Nobody has to vouch. Where a public CA does all the same, that is recorded: `named`, because
/// nothing is known of where the name came from.
fn unasked(
    route: &HostRoute,
    session: &Session,
    roots: &[TrustAnchor<'static>],
    now: UnixTime,
) -> (Level, Vec<Held>) {
    let Peer::Name(name) = &route.peer else { return (Level::Encrypted, Vec::new()) };
    match pki::valid_for(&session.chain, roots, std::slice::from_ref(name), now) {
        Ok(name) => (Level::Named, vec![Held::PublicCa(name.clone())]),
        Err(_) => (Level::Encrypted, Vec::new()),
    }
}

/// Whether such a voucher can bring such a level (DESIGN §2). TLSA records and CAs both bring
/// `named` where the name of the host came from insecure DNS (RFC 7672 §2.2.1).
const fn brings(by: &By, level: Level) -> bool {
    match level {
        Level::Cleartext | Level::Encrypted => false,
        Level::Named => matches!(by, By::Dane { .. } | By::Anchor),
        Level::StsFirst | Level::Sts => matches!(by, By::Sts),
        Level::Anchored => matches!(by, By::Anchor),
        Level::Dane => matches!(by, By::Dane { .. }),
        Level::Pinned => matches!(by, By::Pin(_)),
    }
}

fn hold(
    voucher: &Voucher,
    session: &Session,
    roots: &[TrustAnchor<'static>],
    now: UnixTime,
) -> Result<Held, Refusal> {
    match &voucher.by {
        By::Dane { records } => dane::verify(&session.chain, records, &voucher.names, now)
            .map(|held| Held::Tlsa { record: held.record, how: held.how })
            .map_err(|mismatch| tlsa(&mismatch)),
        By::Sts => pki::valid_for(&session.chain, roots, &voucher.names, now)
            .map(|name| Held::PublicCa(name.clone()))
            .map_err(|fault| certificate(&fault, Waiting::MayHelp)),
        By::Anchor => pki::valid_for(&session.chain, roots, &voucher.names, now)
            .map(|name| Held::PublicCa(name.clone()))
            // Nobody promised a public CA's certificate here, so none may ever come.
            .map_err(|fault| certificate(&fault, Waiting::Useless)),
        By::Pin(pins) => pinned(pins, &voucher.names, session, now),
    }
}

fn pinned(
    pins: &Pins,
    names: &[Domain],
    session: &Session,
    now: UnixTime,
) -> Result<Held, Refusal> {
    let mismatch =
        |detail: String| Refusal::new(RefusalKind::PinMismatch, detail, Waiting::MayHelp);
    let Some(leaf) = session.chain.first() else {
        return Err(certificate(&Fault::Missing, Waiting::MayHelp));
    };
    let digest = Certificate::read(leaf).map(|leaf| leaf.key_digest());
    if digest.is_ok_and(|digest| pins.keys.contains(&digest)) {
        return Ok(Held::PinnedKey);
    }
    let authorities: Vec<_> = pins.authorities.iter().map(|der| der.as_slice().into()).collect();
    let anchors: Vec<_> =
        authorities.iter().filter_map(|der| webpki::anchor_from_trusted_cert(der).ok()).collect();
    if anchors.is_empty() {
        return Err(mismatch("the server's key is not one of the pinned keys".into()));
    }
    match pki::valid_for(&session.chain, &anchors, names, now) {
        Ok(name) => Ok(Held::PinnedCa(name.clone())),
        Err(Fault::Untrusted(_)) => {
            Err(mismatch("the certificate comes from none of the pinned CAs".into()))
        }
        Err(fault) => Err(certificate(&fault, Waiting::MayHelp)),
    }
}

fn tlsa(mismatch: &Mismatch) -> Refusal {
    let kind = match mismatch {
        Mismatch::NothingUsable | Mismatch::TooMany(_) => RefusalKind::TlsaUnusable,
        Mismatch::NoneMatches(_) => RefusalKind::TlsaMismatch,
        Mismatch::Chain(fault) => kind(fault),
    };
    Refusal::new(kind, mismatch.to_string(), Waiting::MayHelp)
}

fn certificate(fault: &Fault, waiting: Waiting) -> Refusal {
    let waiting = match fault {
        Fault::Expired | Fault::NotYetValid => Waiting::MayHelp,
        Fault::Missing
        | Fault::TooLong
        | Fault::Unreadable(_)
        | Fault::WrongName(_)
        | Fault::Untrusted(_) => waiting,
    };
    Refusal::new(kind(fault), fault.to_string(), waiting)
}

const fn kind(fault: &Fault) -> RefusalKind {
    match fault {
        Fault::Expired | Fault::NotYetValid => RefusalKind::Expired,
        Fault::WrongName(_) => RefusalKind::HostMismatch,
        Fault::Missing | Fault::TooLong | Fault::Unreadable(_) | Fault::Untrusted(_) => {
            RefusalKind::NotTrusted
        }
    }
}
