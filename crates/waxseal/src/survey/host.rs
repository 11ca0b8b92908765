//! One mail host.

use std::{net::IpAddr, time::Duration};

use tokio::sync::Mutex;
use waxseal_core::{
    assess::{AddressSurvey, HostSurvey, Observed, Unprobed},
    dane::{self, Tlsa},
    dns::{Answer, Denial, FailureKind},
    dnssec::{Name, RecordType, signed_ttl},
    domain::Domain,
    facts::{Dane, HostFacts, NoTlsa, Refused},
};

use super::{
    Depth, Errand, Surveyor,
    probe::{Enough, Target},
    span::USED_UP,
};

/// The most addresses of one host that are probed.
const MOST_PROBED: usize = 8;

impl Surveyor {
    /// One host; `line` is where hosts of its operator take turns.
    pub(super) async fn host(
        &self,
        name: &Domain,
        facts: &HostFacts,
        errand: &Errand,
        line: &Mutex<()>,
    ) -> HostSurvey {
        let span = &errand.span;
        let owner = dane::owner(name, facts.port).ok();
        let own = [RecordType::A, RecordType::AAAA].map(|of| (name.clone(), of));
        let wanted = owner.map(|owner| (owner, RecordType::TLSA)).into_iter().chain(own).collect();
        let (alias, zone, tlsa, orphans, aaaa, tlsrpt, caa, addresses) = tokio::join!(
            span.within(format!("whether {name} is an alias"), self.alias(name)),
            self.zone(name, wanted, errand),
            span.within(format!("the TLSA records of {name}"), self.tlsa(facts)),
            span.within(format!("the TLSA records of {name}"), self.orphans(name, facts)),
            span.within(format!("the IPv6 addresses of {name}"), self.aaaa(name)),
            span.published("the TLSRPT record", name, self.tls_reports(name)),
            span.published("the CAA records", name, self.caa(name)),
            self.addresses(name, facts, errand, line),
        );
        let (tlsa_ttl, denial_fault) = tlsa.unwrap_or_default();
        let Aaaa { fault, open } = aaaa.unwrap_or_else(Aaaa::late);
        let alias = alias.flatten();
        let orphans = orphans.unwrap_or_default();
        HostSurvey {
            host: name.clone(),
            alias,
            zone,
            tlsa_ttl,
            denial_fault,
            aaaa_fault: fault,
            aaaa_open: open,
            orphans,
            tlsrpt,
            caa,
            addresses,
        }
    }

    async fn alias(&self, name: &Domain) -> Option<Domain> {
        self.resolver().addresses(name).await.expansion()
    }

    /// The TTL of the TLSA records, and whether the name above them is denied.
    async fn tlsa(&self, facts: &HostFacts) -> (Option<Duration>, Option<String>) {
        let base = match &facts.dane {
            Dane::Usable { base, .. } | Dane::Unusable { base, .. } => base,
            Dane::Absent(_) | Dane::LookupFailed(_) => return (None, None),
        };
        let Ok(owner) = dane::owner(base, facts.port) else { return (None, None) };
        let lookup = self.resolver().tlsa(&owner).await;
        let proof = lookup.chain.unwrap_or_default();
        let ttl = signed_ttl(&Name::from(&owner), RecordType::TLSA, &proof)
            .map(|seconds| Duration::from_secs(u64::from(seconds)));
        (ttl, self.denial_fault(base).await)
    }

    /// A resolver that minimises what it asks (RFC 9156) asks for `_tcp` first, and takes an
    /// NXDOMAIN there for everything below (RFC 8020 §2).
    async fn denial_fault(&self, base: &Domain) -> Option<String> {
        let above = base.below("_tcp").ok()?;
        let lookup = self.resolver().lookup(&above, RecordType::A).await;
        match lookup.answer {
            Answer::Absent { denial: Denial::NxDomain, .. } => Some(format!(
                "{above} is denied as if it did not exist, and TLSA records lie below it"
            )),
            Answer::Failed(failure) if is_theirs(failure.kind) => {
                Some(format!("asking for {above}: {}", failure.detail))
            }
            Answer::Failed(_)
            | Answer::Found { .. }
            | Answer::Absent { denial: Denial::NoData, .. } => None,
        }
    }

    /// TLSA records that nobody may use. Where the addresses are secure, [`HostFacts`] has what
    /// counts.
    async fn orphans(&self, name: &Domain, facts: &HostFacts) -> Vec<Tlsa> {
        match &facts.dane {
            Dane::Absent(NoTlsa::InsecureAddress | NoTlsa::InsecureAnswer) => {}
            Dane::Absent(NoTlsa::Denied | NoTlsa::Literal | NoTlsa::NoAddress)
            | Dane::Usable { .. }
            | Dane::Unusable { .. }
            | Dane::LookupFailed(_) => return Vec::new(),
        }
        let Ok(owner) = dane::owner(name, facts.port) else { return Vec::new() };
        match self.resolver().tlsa(&owner).await.answer {
            Answer::Found { value, .. } => value,
            Answer::Absent { .. } | Answer::Failed(_) => Vec::new(),
        }
    }

    /// The facts leave out a family that failed where the other has addresses.
    async fn aaaa(&self, name: &Domain) -> Aaaa {
        let v4 = self.resolver().lookup(name, RecordType::A).await;
        let v6 = self.resolver().lookup(name, RecordType::AAAA).await;
        let Answer::Failed(failure) = v6.answer else { return Aaaa::default() };
        let is_fault = matches!(v4.answer, Answer::Found { .. }) && is_theirs(failure.kind);
        Aaaa { fault: is_fault.then(|| failure.detail.clone()), open: Some(failure.detail) }
    }

    /// Each address, one after the other: all belong to one operator.
    pub(super) async fn addresses(
        &self,
        name: &Domain,
        facts: &HostFacts,
        errand: &Errand,
        line: &Mutex<()>,
    ) -> Vec<AddressSurvey> {
        let refused = facts.refused.iter().map(|(ip, why)| AddressSurvey {
            ip: *ip,
            observed: Observed::Not(Unprobed::Refused(refusal(*why).to_owned())),
        });
        let mut found: Vec<AddressSurvey> = refused.collect();
        let Errand { scope, now, span } = errand;
        let enough = Enough { oldest: scope.oldest_probe, deliveries: scope.deliveries };
        let good: &[IpAddr] = facts.addresses.value().map_or(&[], Vec::as_slice);
        for (place, ip) in good.iter().copied().enumerate() {
            let observed = match scope.depth {
                Depth::DnsOnly => Observed::Not(Unprobed::DnsOnly),
                Depth::Full if place >= MOST_PROBED => Observed::Not(Unprobed::OverLimit),
                Depth::Full => {
                    let target = Target {
                        host: name.clone(),
                        sni: server_name(name, facts),
                        address: (ip, facts.port).into(),
                    };
                    let probing = async {
                        let _turn = line.lock().await;
                        self.0.tools.prober.probe(&target, enough, *now).await
                    };
                    let seen = span.within(format!("{name} [{ip}]"), probing).await;
                    seen.unwrap_or(Observed::Not(Unprobed::OutOfTime))
                }
            };
            found.push(AddressSurvey { ip, observed });
        }
        found
    }
}

/// Why the IPv6 addresses of a host are not known.
#[derive(Default)]
struct Aaaa {
    /// As [`HostSurvey::aaaa_fault`].
    fault: Option<String>,
    /// As [`HostSurvey::aaaa_open`].
    open: Option<String>,
}

impl Aaaa {
    fn late() -> Self {
        Self { fault: None, open: Some(USED_UP.to_owned()) }
    }
}

/// Whether a look-up failed for what the servers of the zone do. Everything else may be ours, and no
/// fault of theirs follows from it.
const fn is_theirs(kind: FailureKind) -> bool {
    matches!(
        kind,
        FailureKind::Bogus
            | FailureKind::ServFail
            | FailureKind::Refused
            | FailureKind::Timeout
            | FailureKind::Malformed
            | FailureKind::Limit
    )
}

/// What the gateway sends (RFC 7672 §8.1): the TLSA base domain, or the name in the MX record.
fn server_name(name: &Domain, facts: &HostFacts) -> Domain {
    match &facts.dane {
        Dane::Usable { base, .. } => base.clone(),
        Dane::Unusable { .. } | Dane::Absent(_) | Dane::LookupFailed(_) => name.clone(),
    }
}

const fn refusal(why: Refused) -> &'static str {
    match why {
        Refused::Special => "a loopback, link-local, multicast or reserved address",
        Refused::Private => "a private address",
        Refused::Own => "an address of this gateway",
    }
}
