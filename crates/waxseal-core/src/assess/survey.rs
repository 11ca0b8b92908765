//! Everything that was observed about a domain for an assessment. More than the gateway needs to
//! deliver, and gathered from the same places.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{DmarcPolicy, Probe, Published, Quoted};
use crate::{
    dane::Tlsa,
    dns::{Absence, LookupFailure},
    domain::Domain,
    facts::{Facts, HostFacts, StsFact, StsFailure},
    sts::{MxPattern, Policy},
    time::UnixTime,
    tlsrpt,
};

/// One domain at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// What the gateway would go by: the same `gather`.
    pub facts: Facts,
    /// Its MX records, those included that [`Facts`] leaves out.
    pub mx: MxSurvey,
    /// The zone of the domain itself.
    pub zone: ZoneSurvey,
    /// The names in its NS records.
    #[serde(default)]
    pub name_servers: NameServers,
    /// One for each host of [`Facts::hosts`] that is a name, in the same order.
    pub hosts: Vec<HostSurvey>,
    /// MTA-STS in more detail than the gateway needs.
    pub policy: PolicySurvey,
    /// `_smtp._tls` TXT at the domain (RFC 8460 §3).
    pub tlsrpt: Published<tlsrpt::Record>,
    /// Where reports about TLS are to go, the `rua` of the domain's record, each looked at.
    #[serde(default)]
    pub report_targets: Vec<ReportTarget>,
    /// What it publishes for the mail that it sends, and for people.
    pub mail: MailRecords,
    /// What was not asked, or not to its end, because the time of the survey was used up; in words,
    /// at most [`MOST_UNASKED`]. Nothing follows from what is missing for that reason.
    #[serde(default)]
    pub unasked: Vec<String>,
}

/// The most entries of [`Survey::unasked`].
pub const MOST_UNASKED: usize = 16;

/// One `rua` of a TLSRPT record (RFC 8460 §3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportTarget {
    /// `mailto:` or `https:`, made harmless.
    pub uri: Quoted,
    /// Whether reports can go there: the domain of the mailbox has mail hosts, the HTTPS host an
    /// address.
    pub reachable: Reachable,
}

/// Whether a report can go to a target, as far as DNS tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reachable {
    /// It can.
    Yes,
    /// It cannot, and why: no such domain, a null MX, no address.
    No(String),
    /// It could not be found out.
    Unknown(String),
}

/// The MX records as they stand in DNS; [`Facts::hosts`] has at most the best 20, and only names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MxSurvey {
    /// How many there are.
    pub records: usize,
    /// How many of them are `.` (RFC 7505 §3: then there is no other).
    pub null: usize,
    /// Those that are no host name, at most 8.
    pub invalid: Vec<Quoted>,
}

/// How a zone is signed, and whether its servers agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneSurvey {
    /// The apex, as far as it is known; otherwise the name that was asked for.
    pub zone: Domain,
    /// Whether and how it is signed.
    pub signing: Signing,
    /// What its authoritative servers said when they were asked one by one.
    pub servers: Servers,
    /// Whether the zone above names the same servers.
    #[serde(default)]
    pub delegation: Delegation,
}

/// The names in the NS records on both sides of a zone cut, which should be the same (RFC 1034 §4.2.2):
/// resolvers are sent to those that the zone above names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delegation {
    /// Nobody asked.
    #[default]
    NotAsked,
    /// What the zone above says could not be found out, and why.
    Failed(String),
    /// What one server of the zone above says.
    Compared {
        /// Servers that only the zone above names: it was not told that they are gone. At most 13.
        above_only: Vec<Domain>,
        /// Servers that only the zone itself names. At most 13.
        zone_only: Vec<Domain>,
    },
}

/// Whether and how a zone is signed (RFC 4035 §5, RFC 9364).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signing {
    /// A chain of signatures leads here from the root.
    Signed {
        /// DNSSEC algorithm numbers of the keys that sign (RFC 8624), ascending, each once.
        algorithms: Vec<u8>,
        /// The smallest RSA key, in bits.
        smallest_rsa: Option<u32>,
        /// When the first signature that we relied on runs out.
        first_expiry: UnixTime,
        /// Inception of that signature: zones that sign while they answer have signatures of a
        /// day or two, and nothing is wrong when one of them runs out tomorrow.
        #[serde(default)]
        signed_at: Option<UnixTime>,
        /// Iterations of NSEC3 (RFC 9276 §3.1); `None` with NSEC, or where no denial was seen.
        nsec3_iterations: Option<u16>,
        /// Digest types of the DS records at the parent (RFC 4034 §5.1.3); empty where none was
        /// seen.
        #[serde(default)]
        ds_digests: Vec<u8>,
    },
    /// Provably not signed.
    Unsigned {
        /// In words: which parent has no DS.
        because: String,
    },
    /// It could not be validated, or not be had.
    Failed(LookupFailure),
    /// Nobody asked.
    NotAsked,
}

/// What the authoritative servers of a zone said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Servers {
    /// Nobody asked them, and why: switched off, or the zone is not known.
    NotAsked(String),
    /// None could be asked, and why: they are down, or this machine has no way to port 53.
    Unreached(String),
    /// One entry for each address.
    Asked(Vec<NameServer>),
}

/// One address of one authoritative server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameServer {
    /// Its name in the NS record.
    pub name: Domain,
    /// Where it was asked.
    pub address: IpAddr,
    /// One for each question that was put to it.
    pub answers: Vec<ServerAnswer>,
}

/// The name servers of a zone, as the resolver knows them: nobody asks them for that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameServers {
    /// Nobody asked.
    #[default]
    NotAsked,
    /// They could not be found out, and why.
    Failed(String),
    /// At most thirteen.
    Found(Vec<ServerName>),
}

/// One name in NS records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerName {
    /// The name.
    pub name: Domain,
    /// Its AAAA records, none where there are none; or why they could not be had.
    pub ipv6: Result<Vec<Ipv6Addr>, String>,
}

/// What one server said to one question. Two servers agree where `digest` is equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerAnswer {
    /// The name that was asked for.
    pub name: Domain,
    /// Its type, as a mnemonic: `TLSA`.
    pub record_type: String,
    /// SHA-256 in hexadecimal over the sorted records, or of nothing where there were none; an
    /// error in words where no answer came.
    pub digest: Result<String, String>,
    /// Whether a signature covers the answer.
    pub signed: bool,
    /// Why its signatures do not hold, where they do not.
    #[serde(default)]
    pub bogus: Option<Quoted>,
    /// How many records.
    pub records: usize,
    /// The hosts in its MX records, at most [`MOST_EXCHANGES`]; `None` for `.` (RFC 7505 §3). Names that
    /// are none are left out. Where the domain is an alias at the server, what it is an alias of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exchanges: Vec<Option<Domain>>,
}

/// The most entries of [`ServerAnswer::exchanges`].
pub const MOST_EXCHANGES: usize = 32;

/// One mail host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSurvey {
    /// Its name in the MX record.
    pub host: Domain,
    /// Where an alias of it leads: an MX must not be an alias (RFC 5321 §5.1).
    pub alias: Option<Domain>,
    /// The zone that holds its addresses.
    pub zone: ZoneSurvey,
    /// TTL of its TLSA records.
    pub tlsa_ttl: Option<Duration>,
    /// Whether the denial of its TLSA records is sane: `_25._tcp` below a name that exists must
    /// not be NXDOMAIN at `_tcp` (empty non-terminals, RFC 8020). In words what is not.
    pub denial_fault: Option<String>,
    /// Why its IPv6 addresses cannot be asked for while the IPv4 ones can, in words: a denial of
    /// AAAA that does not hold, or a server that does not answer.
    pub aaaa_fault: Option<String>,
    /// Why it is not known whether it has IPv6 addresses, in words, whoever is to blame for that.
    #[serde(default)]
    pub aaaa_open: Option<String>,
    /// TLSA records that nobody may use, because the addresses or the records themselves are in a
    /// zone that is not signed (RFC 7672 §2.2.2).
    pub orphans: Vec<Tlsa>,
    /// `_smtp._tls` TXT at the host: where reports about DANE go (RFC 8460 §3).
    pub tlsrpt: Published<tlsrpt::Record>,
    /// CAA (RFC 8659 §3) for its name, `flags tag value`: who may issue its certificate.
    #[serde(default)]
    pub caa: Published<Vec<Quoted>>,
    /// Each of its addresses, IPv6 and IPv4.
    pub addresses: Vec<AddressSurvey>,
}

impl HostSurvey {
    /// Why it is not known whether it has IPv6 addresses beside those that were found.
    pub fn ipv6_unknown(&self) -> Option<&str> {
        self.aaaa_open.as_deref().or(self.aaaa_fault.as_deref())
    }
}

/// One address of a mail host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressSurvey {
    /// The address.
    pub ip: IpAddr,
    /// What was seen there.
    pub observed: Observed,
}

/// What is known of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observed {
    /// It was probed; perhaps for another domain or by a delivery, a while before.
    Probed(Box<Probe>),
    /// It was not.
    Not(Unprobed),
}

/// Why an address was not probed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unprobed {
    /// Only DNS was to be asked.
    DnsOnly,
    /// A private, loopback or own address: refused.
    Refused(String),
    /// This machine has no way to that address family.
    NoFamily,
    /// More addresses than we probe for one host.
    OverLimit,
    /// Too many asked about its operator: it was not our turn in time.
    NoTurn,
    /// The survey had used up its time.
    OutOfTime,
    /// Hosts of its operator took up too much of our time shortly before.
    TooSlow,
}

/// MTA-STS in detail (RFC 8461).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySurvey {
    /// The TXT record at `_mta-sts`; its value is the id.
    pub record: Published<Quoted>,
    /// The policy that its host serves now, whatever is remembered; `None` where nobody asked.
    pub served: Option<Result<Policy, StsFailure>>,
    /// The file, made harmless and cut.
    pub file: Option<Quoted>,
    /// SHA-256 of the file in hexadecimal: a new file under an old id is a fault.
    pub digest: Option<String>,
    /// Its media type.
    pub media_type: Option<Quoted>,
    /// Whether the file ends its lines with CRLF (RFC 8461 §3.2).
    pub crlf: Option<bool>,
    /// Its `max_age` in seconds as it is written, which may be more than one may say (RFC 8461 §3.2).
    #[serde(default)]
    pub max_age: Option<u64>,
    /// Since when the certificate of the policy host is valid.
    #[serde(default)]
    pub host_certificate_from: Option<UnixTime>,
    /// When the certificate of the policy host runs out.
    pub host_certificate_expires: Option<UnixTime>,
    /// The address of the policy host at which all that was seen; `None` where nobody asked.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// What its other addresses serve: a sender takes any of them.
    #[serde(default)]
    pub elsewhere: Vec<PolicyElsewhere>,
    /// How sure the absence of a record is, where there is none.
    pub absence: Option<Absence>,
    /// CAA (RFC 8659 §3) for the policy host: who may issue the certificate that the policy is
    /// fetched with. Not asked for where there is no record.
    #[serde(default)]
    pub caa: Published<Vec<Quoted>>,
    /// What it lists beside the MX hosts.
    #[serde(default)]
    pub unused: Unused,
}

/// One of several addresses of a policy host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyElsewhere {
    /// The address.
    pub address: IpAddr,
    /// What it serves.
    pub serves: PolicyThere,
    /// Since when its certificate is valid, and until when.
    pub certificate: Option<(UnixTime, UnixTime)>,
}

/// What another address of a policy host serves, beside the one that was looked at first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyThere {
    /// The same policy.
    Same,
    /// Another one, or one where the first address has none.
    Other(Policy),
    /// None.
    Fails(StsFailure),
}

impl PolicySurvey {
    /// When the first of the certificates ends that the policy host has at its addresses.
    pub fn host_certificate_ends(&self) -> Option<UnixTime> {
        let elsewhere = self.elsewhere.iter().filter_map(|there| there.certificate);
        self.host_certificate_expires.into_iter().chain(elsewhere.map(|(_, until)| until)).min()
    }

    /// The policy that senders read now; the one that is remembered where its host does not serve
    /// any (RFC 8461 §3.3).
    pub fn in_force<'a>(&'a self, facts: &'a Facts, now: UnixTime) -> Option<&'a Policy> {
        let remembered = match &facts.sts {
            StsFact::Policy { policy, expires, .. } if *expires > now => Some(policy),
            StsFact::Policy { .. }
            | StsFact::Absent { .. }
            | StsFact::Unknown { .. }
            | StsFact::NotAsked => None,
        };
        match &self.served {
            Some(Ok(policy)) => Some(policy),
            Some(Err(_)) | None => remembered,
        }
    }
}

/// What a policy lists and no MX record calls for: no mail goes there now, and senders believe it as
/// soon as an MX record names it, whoever wrote that (RFC 8461 §4.1). None of this is in
/// [`Survey::hosts`]: these are no mail hosts of the domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unused {
    /// Names that are no MX host, in the order of the policy; at most [`MOST_UNUSED`].
    pub hosts: Vec<UnusedHost>,
    /// How many there are beyond those; nobody looked at them.
    pub more_hosts: usize,
    /// Patterns that no MX host matches, at most [`MOST_UNUSED`].
    pub patterns: Vec<MxPattern>,
    /// How many there are beyond those.
    pub more_patterns: usize,
}

/// The most names of a policy that are looked at beside the MX hosts: whoever writes a policy must
/// not send us to everybody. It is also the most patterns that are kept.
pub const MOST_UNUSED: usize = 8;

/// A host that a policy lists and no MX record names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnusedHost {
    /// Its name.
    pub host: Domain,
    /// Where it leads, as it would be if an MX record named it.
    pub facts: HostFacts,
    /// The domain that would have to be registered for the name to be there, where that is none.
    pub unregistered: Option<Domain>,
    /// Each of its addresses.
    pub addresses: Vec<AddressSurvey>,
}

/// What a domain publishes about the mail that it sends, and for people who find a fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailRecords {
    /// SPF (RFC 7208), evaluated as far as its syntax and its lookups go.
    pub spf: Published<super::Spf>,
    /// DMARC, found by the tree walk of RFC 9989.
    pub dmarc: Published<super::Dmarc>,
    /// DKIM keys (RFC 6376 §3.6.1) at the selectors that were given.
    pub dkim: Vec<(String, Published<super::DkimKey>)>,
    /// Which of those selectors are ours, and with which key: only of a domain of our own.
    #[serde(default)]
    pub own: Vec<super::OwnKey>,
    /// Whether the name `_domainkey` is there, with records of its own or only with keys below it
    /// (RFC 6376 §3.6.2.1): a server that keeps to RFC 8020 denies it where there is no key.
    #[serde(default)]
    pub domainkey: Published<Quoted>,
    /// BIMI, presence only.
    pub bimi: Published<Quoted>,
    /// security.txt (RFC 9116): its `Expires`, where it is there and readable.
    pub security_txt: Published<UnixTime>,
}

impl MailRecords {
    /// Whether they say that nobody sends mail from the domain: an SPF record of nothing but `-all`,
    /// and DMARC `reject`. Then there is nothing that DKIM could sign.
    pub fn sends_nothing(&self) -> bool {
        let Published::Found { text, .. } = &self.spf else { return false };
        let mut words = text.as_str().split_ascii_whitespace();
        let is_spf = words.next() == Some("v=spf1");
        let mut words = words.filter(|word| !word.starts_with("exp="));
        let refuses = words.next() == Some("-all") && words.next().is_none();
        let reject = |dmarc: &super::Dmarc| dmarc.policy == DmarcPolicy::Reject && !dmarc.testing;
        is_spf && refuses && self.dmarc.value().is_some_and(reject)
    }
}
