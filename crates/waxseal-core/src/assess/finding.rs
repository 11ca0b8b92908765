//! What is wrong, missing, or unknown, with an id that stays.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Should be better; nothing breaks.
    Notice,
    /// Will break, or leaves an opening.
    Warning,
    /// It could not be found out: neither good nor bad.
    Unknown,
    /// Mail fails or can be read.
    Error,
}

impl Severity {
    /// As it is written in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Unknown => "unknown",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One finding: what, where, how we know, what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which kind: stable, one page of the book each.
    pub id: Id,
    /// How bad.
    pub severity: Severity,
    /// What it is about: a domain, a host, `host [address] RSA`.
    pub subject: String,
    /// What was seen.
    pub evidence: String,
    /// What the owner of the domain can do; concrete.
    pub fix: String,
}

macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal,)+) => {
        /// Kinds of findings. Their texts are a contract: scripts filter by them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(Serialize, Deserialize)]
        pub enum Id {
            $($(#[doc = $doc])+ #[serde(rename = $text)] $variant,)+
        }

        impl Id {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// As it is written in reports.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// What it means, in one sentence: the first line of its documentation.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => first(&[$($doc),+]),)+ }
            }
        }
    };
}

fn first(lines: &'static [&'static str]) -> &'static str {
    lines.first().map_or("", |line| line.trim_start())
}

ids! {
    /// The domain does not exist.
    DomainMissing = "DOMAIN-MISSING",
    /// A DNS lookup that the assessment needs failed.
    DnsFailed = "DNS-FAILED",
    /// The time for the domain was used up before all was asked.
    CutShort = "CUT-SHORT",
    /// The domain says that it takes no mail (RFC 7505).
    MxNull = "MX-NULL",
    /// A null MX stands beside other MX records (RFC 7505 §3).
    MxNullConflict = "MX-NULL-CONFLICT",
    /// There is no MX record; the domain itself is the mail host (RFC 5321 §5.1).
    MxImplicit = "MX-IMPLICIT",
    /// An MX record names an alias (RFC 5321 §5.1, RFC 2181 §10.3).
    MxCname = "MX-CNAME",
    /// An MX host has no usable address.
    MxNoAddress = "MX-NO-ADDRESS",
    /// An MX host has a private, loopback or otherwise unusable address.
    MxPrivateAddress = "MX-PRIVATE-ADDRESS",
    /// More MX hosts or addresses than any sender will try.
    MxTooMany = "MX-TOO-MANY",
    /// The zone of an MX host is not signed, so DANE cannot protect it.
    MxZoneUnsigned = "MX-ZONE-UNSIGNED",
    /// No mail host can be reached over IPv6.
    MxNoIpv6 = "MX-NO-IPV6",
    /// An address of a mail host does not answer.
    MxUnreachable = "MX-UNREACHABLE",
    /// A mail host turned us away; nothing follows from that.
    MxTurnedAway = "MX-TURNED-AWAY",
    /// A mail host does not keep to SMTP.
    MxMisbehaved = "MX-MISBEHAVED",
    /// Other resolvers see what ours does not: somebody may hide it from us (RFC 8461 §10.2).
    DnsHidden = "DNS-HIDDEN",
    /// The resolvers that should confirm an absence could not all be asked.
    DnsUnconfirmed = "DNS-UNCONFIRMED",
    /// The domain is not signed with DNSSEC.
    ZoneUnsigned = "ZONE-UNSIGNED",
    /// Signatures are there and do not hold.
    ZoneBogus = "ZONE-BOGUS",
    /// A DNSSEC algorithm or key that should not be used any more (RFC 8624).
    ZoneWeakAlgorithm = "ZONE-WEAK-ALGORITHM",
    /// NSEC3 with iterations (RFC 9276).
    ZoneNsec3Iterations = "ZONE-NSEC3-ITERATIONS",
    /// Signatures run out soon.
    RrsigExpires = "RRSIG-EXPIRES",
    /// The authoritative servers give different answers.
    NsDiverges = "NS-DIVERGES",
    /// Signatures that one of several authoritative servers gives do not hold (RFC 4035 §5).
    NsBogus = "NS-BOGUS",
    /// Whether the authoritative servers agree could not be found out: none answered us.
    NsUnreached = "NS-UNREACHED",
    /// The zone and the zone above name different servers (RFC 1034 §4.2.2).
    NsDelegation = "NS-DELEGATION",
    /// The denial of an AAAA record is broken.
    AaaaDoeBroken = "AAAA-DOE-BROKEN",
    /// Names below an existing name are denied as if it did not exist (empty non-terminal).
    TlsaEntNxdomain = "TLSA-ENT-NXDOMAIN",
    /// No TLSA record: DANE does not protect this host.
    TlsaMissing = "TLSA-MISSING",
    /// TLSA could not be looked up: senders with DANE do not deliver here.
    TlsaFailed = "TLSA-FAILED",
    /// TLSA records in a zone that is not signed: nobody may use them.
    TlsaOrphan = "TLSA-ORPHAN",
    /// No TLSA record matches the certificate: senders with DANE do not deliver here.
    TlsaNomatch = "TLSA-NOMATCH",
    /// One kind of key matches and another that the host also uses does not.
    TlsaOneAlgOnly = "TLSA-ONE-ALG-ONLY",
    /// One address matches and another of the same host does not.
    TlsaAddrDiverges = "TLSA-ADDR-DIVERGES",
    /// A usage 2 record matches no certificate of the chain that is sent.
    TlsaStaleIssuer = "TLSA-STALE-ISSUER",
    /// More than 12 TLSA records: large senders have not coped with that.
    TlsaTooMany = "TLSA-TOO-MANY",
    /// Usages 0 and 1 are not for SMTP (RFC 7672 §3.1.3).
    TlsaPkixUsage = "TLSA-PKIX-USAGE",
    /// A record over the whole certificate breaks at every renewal (RFC 7671 §5.1).
    TlsaCertSelector = "TLSA-CERT-SELECTOR",
    /// Matching type 0 makes large answers (RFC 7671 §10.1).
    TlsaFullData = "TLSA-FULL-DATA",
    /// No record for a next key: a key roll will break delivery.
    TlsaNoNext = "TLSA-NO-NEXT",
    /// The TTL of TLSA records makes a roll slow or lookups many.
    TlsaTtl = "TLSA-TTL",
    /// The servers of the zone give different TLSA records.
    TlsaNsDiverges = "TLSA-NS-DIVERGES",
    /// All TLSA records are unusable.
    TlsaUnusable = "TLSA-UNUSABLE",
    /// No MTA-STS policy.
    StsMissing = "STS-MISSING",
    /// The `_mta-sts` record cannot be used.
    StsRecordBroken = "STS-RECORD-BROKEN",
    /// The policy cannot be fetched.
    StsFetch = "STS-FETCH",
    /// The certificate of the policy host does not hold.
    StsHostCertificate = "STS-HOST-CERTIFICATE",
    /// What is served is not a policy.
    StsInvalid = "STS-INVALID",
    /// The policy is served with another media type than `text/plain`.
    StsMediaType = "STS-MEDIA-TYPE",
    /// The lines of the policy do not end with CRLF.
    StsCrlf = "STS-CRLF",
    /// An MX host is not in the policy: senders with MTA-STS do not deliver there.
    StsMxMismatch = "STS-MX-MISMATCH",
    /// The policy lists what is no MX host.
    StsMxUnused = "STS-MX-UNUSED",
    /// A host that only the policy lists would not pass it.
    StsMxUnready = "STS-MX-UNREADY",
    /// The policy allows any host below a domain.
    StsWildcard = "STS-WILDCARD",
    /// The policy changed and its `id` did not: senders keep the old one.
    StsIdStale = "STS-ID-STALE",
    /// Mode `testing`: nothing is enforced.
    StsTesting = "STS-TESTING",
    /// Mode `testing` for months.
    StsTestingTooLong = "STS-TESTING-TOO-LONG",
    /// Mode `none`: as if there were no policy.
    StsNone = "STS-NONE",
    /// `max_age` is too short to protect.
    StsMaxAge = "STS-MAXAGE",
    /// `max_age` is more than a policy may say.
    StsMaxAgeTooLong = "STS-MAXAGE-TOO-LONG",
    /// The record is gone while senders still enforce the policy.
    StsRemovedHot = "STS-REMOVED-HOT",
    /// The policy is enforced, and a host that it lists has no certificate that holds.
    StsCertVsMx = "STS-CERT-VS-MX",
    /// DANE and MTA-STS contradict each other.
    StsDaneConflict = "STS-DANE-CONFLICT",
    /// No TLSRPT record: nobody hears of failures.
    RptMissing = "RPT-MISSING",
    /// The TLSRPT record cannot be used.
    RptBroken = "RPT-BROKEN",
    /// No TLSRPT record at the mail host, where reports about DANE go.
    RptHostMissing = "RPT-HOST-MISSING",
    /// A TLSRPT address that takes no mail.
    RptRuaUnreachable = "RPT-RUA-UNREACHABLE",
    /// No STARTTLS: everybody on the way can read along.
    TlsMissing = "TLS-MISSING",
    /// STARTTLS is offered and does not work.
    TlsFailed = "TLS-FAILED",
    /// STARTTLS is offered at some addresses or times only: strangers may be served differently.
    StartTlsReputation = "STARTTLS-REPUTATION",
    /// Plaintext follows the answer to STARTTLS.
    TlsInjected = "TLS-INJECTED",
    /// TLS 1.1 or older is still taken (RFC 8996).
    TlsOldVersion = "TLS-OLD-VERSION",
    /// TLS 1.3 is not spoken.
    TlsNo13 = "TLS-NO-1-3",
    /// Suites that no guideline calls good.
    TlsWeakSuite = "TLS-WEAK-SUITE",
    /// Groups that no guideline calls good.
    TlsWeakGroup = "TLS-WEAK-GROUP",
    /// No extended master secret with TLS 1.2 (RFC 7627).
    TlsNoEms = "TLS-NO-EMS",
    /// No hybrid post-quantum key exchange: what is recorded today can be read one day.
    PqNone = "PQ-NONE",
    /// The certificate runs out soon, or has.
    CertExpires = "CERT-EXPIRES",
    /// The certificate is for another name.
    CertName = "CERT-NAME",
    /// The certificate does not lead to a public CA.
    CertUntrusted = "CERT-UNTRUSTED",
    /// A key in the chain is too short.
    CertWeakKey = "CERT-WEAK-KEY",
    /// A signature in the chain uses a broken hash.
    CertWeakHash = "CERT-WEAK-HASH",
    /// REQUIRETLS is not offered (RFC 8689).
    RequireTlsMissing = "REQUIRETLS-MISSING",
    /// No SPF record.
    SpfMissing = "SPF-MISSING",
    /// The SPF record cannot be used.
    SpfBroken = "SPF-BROKEN",
    /// SPF lets anybody pass, or ends without `-all` or `~all`.
    SpfWeak = "SPF-WEAK",
    /// SPF uses `ptr`, which is slow, unreliable and should not be used (RFC 7208 §5.5).
    SpfPtr = "SPF-PTR",
    /// Terms of SPF stand behind `all`, where nobody evaluates them (RFC 7208 §5.1).
    SpfUnreached = "SPF-UNREACHED",
    /// No DMARC record.
    DmarcMissing = "DMARC-MISSING",
    /// The DMARC record cannot be used.
    DmarcBroken = "DMARC-BROKEN",
    /// DMARC asks for nothing to be done.
    DmarcWeak = "DMARC-WEAK",
    /// DMARC reports are asked for where nobody can send any.
    DmarcRua = "DMARC-RUA",
    /// DMARC reports are to go to somebody who has not said that he takes them (RFC 7489 §7.1).
    DmarcRuaConsent = "DMARC-RUA-CONSENT",
    /// A DKIM key that was asked for is missing, revoked or broken.
    DkimKey = "DKIM-KEY",
    /// At a selector of ours stands another key than the one that we sign with.
    DkimOtherKey = "DKIM-OTHER-KEY",
    /// Whether the key at a selector of ours is ours could not be found out.
    DkimKeyUnknown = "DKIM-KEY-UNKNOWN",
    /// A DKIM key that is too short.
    DkimWeakKey = "DKIM-WEAK-KEY",
    /// No CAA record: any CA may issue.
    CaaMissing = "CAA-MISSING",
    /// The CAA records cannot be used.
    CaaBroken = "CAA-BROKEN",
    /// BIMI is published.
    BimiPresent = "BIMI-PRESENT",
    /// No security.txt.
    SecurityTxtMissing = "SECURITY-TXT-MISSING",
    /// The security.txt has expired.
    SecurityTxtExpired = "SECURITY-TXT-EXPIRED",
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
