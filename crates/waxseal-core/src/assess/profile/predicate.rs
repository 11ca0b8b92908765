//! What a requirement can ask. A closed set: a file names one, and nothing else.

use serde::{Deserialize, Serialize};

use super::{
    Status,
    view::{Dnssec, Old, Part, Said, View},
};
use crate::{
    assess::{Assessment, Delivery, DmarcPolicy, Id, SpfAll, Survey},
    channel::Level,
    facts::MxFact,
    guideline::{Grade, Guideline, bsi, ncsc_nl},
    sts::Mode,
};

/// What is looked at for a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Predicate {
    /// The domain names hosts that take its mail.
    TakesMail,
    /// Every mail host has an IPv6 address.
    EveryMxHasIpv6,
    /// Every IPv6 address of a mail host answers.
    Ipv6Answers,
    /// At least two name servers of the domain have an IPv6 address.
    NsHaveIpv6,
    /// Every IPv6 address of a name server answers.
    NsIpv6Answers,
    /// The domain is signed with DNSSEC, and the signatures hold.
    DomainSigned,
    /// The domain is signed with DNSSEC, whether the signatures hold or not.
    DomainDnssec,
    /// The signatures of the domain hold; `not-applicable` where there are none.
    DomainDnssecValid,
    /// The zones of all mail hosts are signed, and the signatures hold.
    MxZonesSigned,
    /// The zones of all mail hosts are signed, whether the signatures hold or not.
    MxZonesDnssec,
    /// The signatures in the zones of all mail hosts hold; `not-applicable` where there are none.
    MxZonesDnssecValid,
    /// MX records and the addresses of all mail hosts are signed.
    MxAndAddressesSigned,
    /// No DNSSEC algorithm or key that should not be used any more.
    DnssecStrong,
    /// Every mail host offers STARTTLS, and it works.
    Starttls,
    /// No TLS below 1.2 is taken (RFC 8996).
    NoOldTls,
    /// Every mail host speaks TLS 1.3.
    Tls13,
    /// No suite below `sufficient` of NCSC-NL.
    SuitesNcscNl,
    /// No suite below `phase-out` of NCSC-NL.
    SuitesNcscNlPhaseOut,
    /// Only suites that TR-02102-2 lists.
    SuitesBsi,
    /// No group below `sufficient` of NCSC-NL.
    GroupsNcscNl,
    /// No key exchange group below `phase-out` of NCSC-NL.
    GroupsNcscNlPhaseOut,
    /// Only groups that TR-02102-2 lists.
    GroupsBsi,
    /// No key in a chain below `sufficient` of NCSC-NL.
    KeysNcscNl,
    /// No key in a chain below `phase-out` of NCSC-NL.
    KeysNcscNlPhaseOut,
    /// No key in a chain that TR-02102-2 does not allow.
    KeysBsi,
    /// No signature hash in a chain below `sufficient` of NCSC-NL.
    HashesNcscNl,
    /// No signature hash in a chain below `phase-out` of NCSC-NL.
    HashesNcscNlPhaseOut,
    /// TLS 1.2 sessions have the extended master secret (RFC 7627).
    ExtendedMasterSecret,
    /// The certificate of every mail host leads to a public CA, in time.
    CertificateTrusted,
    /// The certificate of every mail host is for its name.
    CertificateName,
    /// Every mail host has usable TLSA records.
    TlsaPresent,
    /// All sessions with every mail host match a TLSA record.
    TlsaMatches,
    /// A key can be rolled without a gap.
    TlsaRollover,
    /// No delivery of ours would go without encryption.
    Encrypted,
    /// No delivery of ours would go to a peer that has not proven who it is.
    Authenticated,
    /// Deliveries of ours prove the peer with DANE or with keys agreed out of band.
    DaneOrPinned,
    /// An MTA-STS policy is published, in `testing` or `enforce`.
    StsPublished,
    /// An MTA-STS policy is enforced.
    StsEnforced,
    /// The MTA-STS policy lists every mail host, and each would pass.
    StsConsistent,
    /// The MTA-STS policy lists no pattern.
    StsNoWildcard,
    /// TLS reports are asked for (RFC 8460).
    Tlsrpt,
    /// There is an SPF record that can be evaluated.
    Spf,
    /// SPF ends with `-all` or `~all`.
    SpfStrict,
    /// SPF ends with `-all`.
    SpfHardFail,
    /// There is a DMARC record that can be used.
    Dmarc,
    /// DMARC asks for quarantine or reject.
    DmarcEnforced,
    /// DMARC asks for reject.
    DmarcReject,
    /// DMARC asks for exact alignment of SPF and DKIM.
    DmarcStrictAlignment,
    /// The DKIM selectors that were given have good keys.
    Dkim,
    /// The name `_domainkey` is there, so that keys are below it.
    Domainkey,
    /// CAA records say for every mail host who may issue its certificate.
    Caa,
    /// Nothing that can be seen from outside tells.
    ByHand,
}

/// All that a guideline calls good or sufficient.
const fn good(guideline: &'static Guideline) -> (&'static Guideline, Grade) {
    (guideline, Grade::Sufficient)
}

/// And what is to be phased out.
const fn to_go(guideline: &'static Guideline) -> (&'static Guideline, Grade) {
    (guideline, Grade::PhaseOut)
}

impl Predicate {
    /// What it comes to, with what was seen.
    pub(super) fn judge(self, survey: &Survey, assessment: &Assessment) -> Said {
        let view = View { survey, assessment };
        // A name that does not exist is probably not the one that was meant.
        if let (MxFact::NoDomain { .. }, false) = (&survey.facts.mx, self == Self::ByHand) {
            return (Status::Unknown, "the domain does not exist".into());
        }
        if self.is_about_hosts() {
            if assessment.delivery == Delivery::TakesNoMail && self != Self::TakesMail {
                return (Status::NotApplicable, "the domain takes no mail".into());
            }
            if let MxFact::Failed(failure) = &survey.facts.mx {
                return (Status::Unknown, failure.to_string());
            }
        }
        self.look(&view)
    }

    fn look(self, view: &View<'_>) -> Said {
        match self {
            Self::ByHand => (Status::ByHand, "cannot be seen from outside".into()),
            Self::TakesMail => view.takes_mail(),
            Self::EveryMxHasIpv6 => view.ipv6(),
            Self::Ipv6Answers => view.ipv6_answers(),
            Self::NsHaveIpv6 => view.name_servers_have_ipv6(),
            Self::NsIpv6Answers => view.name_servers_answer(),
            Self::DomainSigned => view.domain_signed(Dnssec::Holds),
            Self::DomainDnssec => view.domain_signed(Dnssec::IsThere),
            Self::DomainDnssecValid => view.domain_signed(Dnssec::HoldsWhereItIs),
            Self::MxZonesSigned => view.all_signed(Dnssec::Holds),
            Self::MxZonesDnssec => view.all_signed(Dnssec::IsThere),
            Self::MxZonesDnssecValid => view.all_signed(Dnssec::HoldsWhereItIs),
            Self::MxAndAddressesSigned => view.names_and_addresses_signed(),
            Self::DnssecStrong => view.dnssec_strong(),
            Self::Starttls => {
                view.seen(|| view.none_of(&[Id::TlsMissing, Id::TlsFailed, Id::TlsInjected]))
            }
            Self::NoOldTls => view.tried(Old::Versions, || view.none_of(&[Id::TlsOldVersion])),
            Self::Tls13 => view.sessions(|| view.tls13()),
            Self::SuitesNcscNl => view.parameters(good(ncsc_nl()), Part::Suite),
            Self::SuitesNcscNlPhaseOut => view.parameters(to_go(ncsc_nl()), Part::Suite),
            Self::SuitesBsi => view.parameters(good(bsi()), Part::Suite),
            Self::GroupsNcscNl => view.parameters(good(ncsc_nl()), Part::Group),
            Self::GroupsNcscNlPhaseOut => view.parameters(to_go(ncsc_nl()), Part::Group),
            Self::GroupsBsi => view.parameters(good(bsi()), Part::Group),
            Self::KeysNcscNl => view.parameters(good(ncsc_nl()), Part::Key),
            Self::KeysNcscNlPhaseOut => view.parameters(to_go(ncsc_nl()), Part::Key),
            Self::KeysBsi => view.parameters(good(bsi()), Part::Key),
            Self::HashesNcscNl => view.parameters(good(ncsc_nl()), Part::Hash),
            Self::HashesNcscNlPhaseOut => view.parameters(to_go(ncsc_nl()), Part::Hash),
            Self::ExtendedMasterSecret => view.extended_master_secret(),
            Self::CertificateTrusted => view.sessions(|| view.certificates_trusted()),
            Self::CertificateName => view.sessions(|| view.none_of(&[Id::CertName])),
            Self::TlsaPresent => view.tlsa(),
            Self::TlsaMatches => view.sessions(|| view.tlsa_matches()),
            Self::TlsaRollover => view.tlsa_rollover(),
            Self::Encrypted => view.level(|level| level != Level::Cleartext),
            Self::Authenticated => view.level(|level| match level {
                Level::Cleartext | Level::Encrypted | Level::Named => false,
                Level::StsFirst | Level::Sts | Level::Anchored | Level::Dane | Level::Pinned => {
                    true
                }
            }),
            Self::DaneOrPinned => view.level(|level| matches!(level, Level::Dane | Level::Pinned)),
            Self::StsPublished => view.policy(|mode| mode != Mode::None),
            Self::StsEnforced => view.policy(|mode| mode == Mode::Enforce),
            Self::StsConsistent => view.sts_consistent(),
            Self::StsNoWildcard => view.sts_without_wildcard(),
            Self::Tlsrpt => view.tlsrpt(),
            Self::Spf => view.spf(|_| true),
            Self::SpfStrict => view.spf(|all| matches!(all, SpfAll::Fail | SpfAll::SoftFail)),
            Self::SpfHardFail => view.spf(|all| all == SpfAll::Fail),
            Self::Dmarc => view.dmarc(|_| true),
            Self::DmarcEnforced => {
                view.dmarc(|dmarc| dmarc.policy != DmarcPolicy::None && !dmarc.testing)
            }
            Self::DmarcReject => {
                view.dmarc(|dmarc| dmarc.policy == DmarcPolicy::Reject && !dmarc.testing)
            }
            Self::DmarcStrictAlignment => view.dmarc(|dmarc| dmarc.strict_spf && dmarc.strict_dkim),
            Self::Dkim => view.dkim(),
            Self::Domainkey => view.domainkey(),
            Self::Caa => view.caa(),
        }
    }

    const fn is_about_hosts(self) -> bool {
        !matches!(
            self,
            Self::NsHaveIpv6
                | Self::NsIpv6Answers
                | Self::DomainSigned
                | Self::DomainDnssec
                | Self::DomainDnssecValid
                | Self::Spf
                | Self::SpfStrict
                | Self::SpfHardFail
                | Self::Dmarc
                | Self::DmarcEnforced
                | Self::DmarcReject
                | Self::DmarcStrictAlignment
                | Self::Dkim
                | Self::Domainkey
                | Self::ByHand
        )
    }
}
