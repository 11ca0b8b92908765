//! What the organisation demands: rules, exceptions, defaults.
//!
//! These are the parsed words of `rules.toml` and of the `[delivery]` settings; the shell reads
//! the files. Names of rules and groups are kept because every verdict names what decided it.

mod exception;
mod group;
mod rule;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use exception::{Exception, ExceptionError};
pub use group::{Group, Groups, Who};
pub use rule::{Condition, Rule, ValueMatch};

use crate::{
    channel::{Floor, Pins, TrustFirst},
    decide::Fallback,
    domain::Domain,
    envelope::Mailbox,
    evidence::BlobId,
    time::UnixTime,
};

/// All that the organisation demands of its outgoing mail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Org {
    /// Whether our own floors bind.
    pub mode: Mode,
    /// What holds where no rule says otherwise.
    pub defaults: Defaults,
    /// In the order of the file.
    pub rules: Vec<Rule>,
    /// Names for many domains or senders.
    pub groups: Groups,
    /// Lower floors for single domains, for a while.
    pub exceptions: Vec<Exception>,
    /// How facts about a destination are taken.
    pub trust: Trust,
    /// What was agreed with destinations out of band. The nearest scope counts.
    pub agreements: Vec<(Scope, Agreement)>,
    /// When to try again, and for how long.
    pub schedule: Schedule,
}

/// Whether our own floors bind. DANE and MTA-STS bind in both modes (promises P1, P3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// They bind.
    #[default]
    Enforce,
    /// They are evaluated and recorded, and bind nobody.
    Monitor,
}

/// What holds where no rule says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defaults {
    /// The least that is accepted.
    pub floor: Floor,
    /// What happens when it cannot be met.
    pub fallback: Fallback,
    /// How long to try for it before that.
    pub patience: Duration,
    /// Who hears of it.
    pub notify: Vec<Told>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            floor: Floor::Encrypted,
            fallback: Fallback::Hold,
            patience: Duration::from_hours(4),
            notify: vec![Told::Sender],
        }
    }
}

/// Who hears that a message falls back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// Its sender.
    Sender,
    /// Our postmaster.
    Postmaster,
    /// Somebody else.
    Mailbox(Mailbox),
}

/// How facts about a destination are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Trust {
    /// Whether a policy that was first fetched in this attempt authenticates.
    pub first_policy: TrustFirst,
    /// How long mail waits while MTA-STS discovery fails with nothing cached (RFC 8461 §3.3).
    pub sts_patience: Duration,
    /// What a lost level means.
    pub on_loss: OnLoss,
    /// Whether published demands count.
    pub honour: Honour,
    /// Which addresses are used, and in which order.
    pub families: Families,
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            first_policy: TrustFirst::Yes,
            sts_patience: Duration::from_hours(1),
            on_loss: OnLoss::Hold,
            honour: Honour::Published,
            families: Families::SixThenFour,
        }
    }
}

/// What it means that a destination no longer offers what it offered before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLoss {
    /// An alarm, and mail waits up to its patience, then falls back.
    #[default]
    Hold,
    /// An alarm only.
    Alarm,
}

/// Whether DANE, MTA-STS and memory raise demands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Honour {
    /// They do, always, in every configuration of `serve`.
    #[default]
    Published,
    /// Only in the lab: plays an ordinary opportunistic MTA, for contrast.
    Nothing,
}

/// Which address families are used, and in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Families {
    /// IPv6 first, the families in turn.
    #[default]
    SixThenFour,
    /// IPv4 first, the families in turn.
    FourThenSix,
    /// IPv6 only.
    OnlySix,
    /// IPv4 only.
    OnlyFour,
}

/// Which destinations an agreement is for, as a `[[route]]` says it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Exactly this recipient domain.
    Exactly(Domain),
    /// This one and all below it.
    Within(Domain),
    /// All others: a smarthost.
    Everything,
}

impl Scope {
    /// How near the scope is to a destination; `None` where it is not in it. More is nearer.
    fn nearness(&self, destination: &Domain) -> Option<usize> {
        match self {
            Self::Exactly(domain) => (domain == destination).then_some(usize::MAX),
            Self::Within(domain) => {
                destination.is_within(domain).then(|| domain.as_str().len().saturating_add(1))
            }
            Self::Everything => Some(0),
        }
    }
}

/// What was agreed with a destination out of band: a pinned partner, an internal route, a
/// smarthost. It raises what is demanded there, and it vouches for names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// Names that the certificate may carry; no attacker could choose them. With pins and no
    /// names, the names of the hosts themselves.
    pub names: Vec<Domain>,
    /// Keys or named CAs.
    pub pins: Option<Pins>,
    /// The least that this route asks of TLS.
    pub demand: RouteTls,
    /// Whether the host is the recipient's own.
    pub reach: Reach,
}

/// The least that a `[[route]]` asks of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteTls {
    /// TLS is tried. The floor of the message decides.
    Opportunistic,
    /// TLS or nothing.
    Encrypted,
    /// A certificate of a public CA, or the pins.
    #[default]
    Authenticated,
}

/// How far the level of a channel speaks for the way of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// To a host that the destination itself names.
    #[default]
    Destination,
    /// To a smarthost: nobody knows what it does next.
    FirstHopOnly,
}

impl Reach {
    /// What has to stand beside a level, so that nobody takes it for the whole way.
    pub const fn caveat(self) -> Option<&'static str> {
        match self {
            Self::Destination => None,
            Self::FirstHopOnly => Some("first hop only"),
        }
    }
}

/// When to try again, and for how long (RFC 5321 §4.5.4.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Waits between attempts; the last one repeats. Each at least a minute.
    pub retry: Vec<Duration>,
    /// After this a message that could not be delivered is returned.
    pub lifetime: Duration,
    /// After this its sender hears that it is late, once.
    pub delay_notice: Duration,
    /// How long a held message waits for a decision before it is returned.
    pub hold_lifetime: Duration,
}

impl Default for Schedule {
    /// At least 30 minutes before the first retry, give up after 4 to 5 days (§4.5.4.1).
    fn default() -> Self {
        let minutes = Duration::from_mins;
        Self {
            retry: [30, 30, 60, 120, 180].map(minutes).to_vec(),
            lifetime: Duration::from_hours(5 * 24),
            delay_notice: Duration::from_hours(4),
            hold_lifetime: Duration::from_hours(48),
        }
    }
}

/// What of the organisation's settings bears on one destination: with the verdict, all that a
/// plan takes from them. Small, so that it is recorded and a record can be decided again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// How facts are taken.
    pub trust: Trust,
    /// What was agreed with this destination.
    pub agreement: Option<Agreement>,
}

impl Org {
    /// Whether an exception holds for a destination that lets mail go with as little as `floor`.
    pub fn excepts(&self, destination: &Domain, floor: Floor, now: UnixTime) -> bool {
        let lets = |exception: &Exception| {
            exception.domain == *destination && exception.holds(now) && exception.floor <= floor
        };
        self.exceptions.iter().any(lets)
    }

    /// What bears on the transport to one destination.
    pub fn terms(&self, destination: &Domain) -> Terms {
        let nearest = self
            .agreements
            .iter()
            .filter_map(|(scope, agreed)| Some((scope.nearness(destination)?, agreed)))
            .max_by_key(|(nearness, _)| *nearness);
        Terms { trust: self.trust, agreement: nearest.map(|(_, agreed)| agreed.clone()) }
    }

    /// Canonical bytes: kept once as a blob, named in every verdict and record.
    ///
    /// # Errors
    /// Never for values that this crate can make; serialisation could in principle fail.
    pub fn canonical(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// The digest of [`Self::canonical`].
    ///
    /// # Errors
    /// As there.
    pub fn digest(&self) -> Result<BlobId, serde_json::Error> {
        Ok(BlobId::of(&self.canonical()?))
    }
}
