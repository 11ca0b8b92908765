//! Asks the world what an assessment of a domain needs, and judges nothing: the answers become a
//! [`Survey`]. The facts in it come from the [`Gatherer`], so that what we say of a domain is what
//! the gateway would do.
//!
//! | file | what it asks |
//! |---|---|
//! | `zone` | how a zone is signed, from the proofs of ordinary lookups |
//! | `host` | one mail host: aliases, TLSA, denials |
//! | `mail` | SPF, DMARC, DKIM, BIMI; CAA of any host |
//! | `text` | TXT records as they are published |
//! | `servers` | the names of the servers of a zone, and every server, one by one |
//! | `policy` | what the MTA-STS policy host serves now |
//! | `unused` | hosts that the policy lists and no MX record names |
//! | `probe` | addresses of mail hosts: one probe each, shared and paced |
//! | `turn` | whose turn it is: one connection at a time for each operator and address |
//! | `memory` | what is known of mail hosts already, in bounds |
//! | `span` | how long all of it may take, and what is said of what did not end in time |
//! | `smtp` | one connection up to STARTTLS |
//! | `meter` | how much one connection may send |
//! | `weak` | what a host takes that nobody should offer |
//!
//! Never a mail command: a probe says EHLO, STARTTLS and QUIT.

mod host;
mod mail;
mod memory;
mod meter;
mod policy;
pub mod probe;
mod servers;
mod smtp;
mod span;
mod text;
mod turn;
mod unused;
mod weak;
mod zone;

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{sync::Mutex, task::JoinSet};
use waxseal_core::{
    assess::{
        Delegation, HostSurvey, MailRecords, MxSurvey, NameServers, OwnKey, PolicySurvey,
        Published, Quoted, Servers, Signing, Survey, ZoneSurvey,
    },
    channel::Seen,
    dns::Answer,
    dnssec::RecordType,
    domain::Domain,
    facts::{Facts, HostFacts, MxFact, Peer, StsFact, StsFailure},
    time::UnixTime,
};

pub(crate) use self::mail::MOST_SELECTORS;
use self::{
    probe::{Deliveries, Prober},
    span::{Span, late},
};
use crate::{
    deliver::operator,
    fetch::PolicyFetcher,
    gather::{Gatherer, Ourselves},
    resolve::{Authorities, Exchange, Resolver},
};

/// How much is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    /// Only what the resolver answers: no connection to a mail host or a web server, but for an
    /// MTA-STS policy that the gateway would fetch too.
    DnsOnly,
    /// Everything: authoritative servers, mail hosts, web servers.
    Full,
}

/// What is wanted of a survey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// How much is asked.
    pub depth: Depth,
    /// DKIM selectors whose keys are looked at.
    pub selectors: Vec<String>,
    /// DKIM keys of ours whose records are looked at besides: for a domain of our own.
    pub own: Vec<OwnKey>,
    /// A mail host that was probed longer ago is probed again.
    pub oldest_probe: Duration,
    /// Whether our own deliveries count as probes.
    pub deliveries: Deliveries,
    /// Whether what DNS said before will do.
    pub answers: Answers,
    /// Whether this gateway is looked at where it takes the mail of the domain.
    pub ourselves: Ourselves,
    /// How long all of it may take. What was not seen by then is in [`Survey::unasked`].
    pub patience: Duration,
}

/// Which answers of DNS will do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Answers {
    /// Those that are kept, as for mail.
    #[default]
    Kept,
    /// Only those that are given now: whoever looks again to confirm something would confirm a cache.
    Anew,
}

/// How long a survey may take: a domain of a few hosts takes seconds, and twenty hosts that answer
/// an octet a second would take hours.
pub const PATIENCE: Duration = Duration::from_secs(600);

impl Scope {
    /// So much, without selectors; probes may be six hours old.
    pub const fn new(depth: Depth) -> Self {
        Self {
            depth,
            selectors: Vec::new(),
            own: Vec::new(),
            oldest_probe: Duration::from_secs(6 * 3_600),
            deliveries: Deliveries::DoNotCount,
            answers: Answers::Kept,
            ourselves: Ourselves::Refused,
            patience: PATIENCE,
        }
    }
}

impl From<Depth> for Scope {
    fn from(depth: Depth) -> Self {
        Self::new(depth)
    }
}

/// The most MX records that are no host name and are kept.
const MOST_INVALID: usize = 8;

/// Surveys domains. A clone is the same surveyor: what it knows of mail hosts is shared.
#[derive(Clone)]
pub struct Surveyor(Arc<Shared>);

/// What a surveyor asks with.
#[derive(Clone, Debug)]
pub struct Tools {
    /// Asks DNS.
    pub resolver: Resolver,
    /// Gathers what the gateway goes by.
    pub gatherer: Gatherer,
    /// Fetches policies and security.txt.
    pub fetcher: PolicyFetcher,
    /// Asks servers of zones one by one.
    pub authorities: Authorities,
    /// Probes mail hosts.
    pub prober: Prober,
}

struct Shared {
    tools: Tools,
}

impl fmt::Debug for Surveyor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Surveyor").finish_non_exhaustive()
    }
}

impl Surveyor {
    /// A surveyor that asks with these.
    pub fn new(tools: Tools) -> Self {
        Self(Arc::new(Shared { tools }))
    }

    /// Everything about a domain, within its time. Never fails: what could not be found out is a
    /// fact, too.
    pub async fn survey(&self, domain: &Domain, scope: &Scope, now: UnixTime) -> Survey {
        let surveyor = match scope.answers {
            Answers::Kept => self.clone(),
            Answers::Anew => self.anew(),
        };
        let surveyor = match scope.ourselves {
            Ourselves::Refused => surveyor,
            Ourselves::LookedAt => {
                let tools = &surveyor.0.tools;
                Self::new(Tools { gatherer: tools.gatherer.of_ours(), ..tools.clone() })
            }
        };
        // All questions side by side are large: not on the stack of whoever asks.
        Box::pin(surveyor.look(domain, scope, now)).await
    }

    /// The same surveyor without what DNS said before. What is known of mail hosts is another matter:
    /// [`Scope::oldest_probe`].
    fn anew(&self) -> Self {
        let Tools { resolver, gatherer, fetcher, authorities, prober } = &self.0.tools;
        let resolver = resolver.anew();
        Self::new(Tools {
            gatherer: gatherer.anew(),
            fetcher: fetcher.through(Arc::new(resolver.clone())),
            authorities: authorities.anew(),
            prober: prober.clone(),
            resolver,
        })
    }

    async fn look(&self, domain: &Domain, scope: &Scope, now: UnixTime) -> Survey {
        let errand = Errand { scope: scope.clone(), now, span: Span::of(scope.patience) };
        let span = &errand.span;
        let gathering = self.0.tools.gatherer.gather(domain, None, now);
        let facts = match span.within(format!("the mail hosts of {domain}"), gathering).await {
            Some(gathered) => Facts::clone(&gathered.facts),
            None => unknown(domain, now),
        };
        if matches!(facts.mx, MxFact::NoDomain { .. }) {
            return nothing(facts);
        }
        let wanted = vec![
            (domain.clone(), RecordType::MX),
            (domain.below("_mta-sts").unwrap_or_else(|_| domain.clone()), RecordType::TXT),
        ];
        let (mx, name_servers, zone, hosts, policy, tlsrpt, mail, security_txt) = tokio::join!(
            span.within(format!("the MX records of {domain}"), self.exchangers(domain)),
            span.within(format!("the name servers of {domain}"), self.name_servers(domain)),
            self.zone(domain, wanted, &errand),
            self.hosts(&facts, &errand),
            self.policy(domain, &errand),
            span.published("the TLSRPT record", domain, self.tls_reports(domain)),
            self.mail(domain, &errand),
            span.published("the security.txt", domain, self.security_txt(domain, &errand)),
        );
        let (mx, exchangers) = mx.unwrap_or_default();
        let late = || NameServers::Failed("they were not asked in time".into());
        let name_servers = name_servers.unwrap_or_else(late);
        // After the mail hosts: what the policy lists beside them takes no turn from any of them.
        let (report_targets, unused) = tokio::join!(
            self.report_targets(&tlsrpt, span),
            self.unused((&facts, exchangers.as_deref()), &policy, &errand),
        );
        let policy = PolicySurvey { unused, ..policy };
        let mail = MailRecords { security_txt, ..mail };
        let unasked = span.unasked();
        Survey {
            facts,
            mx,
            zone,
            name_servers,
            hosts,
            policy,
            tlsrpt,
            report_targets,
            mail,
            unasked,
        }
    }

    /// What probes mail hosts for it.
    pub(crate) fn prober(&self) -> &Prober {
        &self.0.tools.prober
    }

    /// Learns from a delivery what was seen of a mail host.
    pub fn delivered(&self, seen: &Seen) {
        self.0.tools.prober.delivered(seen);
    }

    fn resolver(&self) -> &Resolver {
        &self.0.tools.resolver
    }

    /// The MX records that facts leave out, and the names in all of them; `None` where those could
    /// not be found out.
    async fn exchangers(&self, domain: &Domain) -> (MxSurvey, Option<Vec<Domain>>) {
        let value = match self.resolver().mx(domain).await.answer {
            Answer::Found { value, .. } => value,
            // The domain itself is the mail host (RFC 5321 §5.1).
            Answer::Absent { .. } => return (MxSurvey::default(), Some(vec![domain.clone()])),
            Answer::Failed(_) => return (MxSurvey::default(), None),
        };
        let mut survey = MxSurvey { records: value.len(), ..MxSurvey::default() };
        let mut names = Vec::new();
        for mx in value {
            match mx.exchange {
                Exchange::Null => survey.null += 1,
                Exchange::Invalid(name) if survey.invalid.len() < MOST_INVALID => {
                    survey.invalid.push(Quoted::new(&name));
                }
                Exchange::Host(name) => names.push(name),
                Exchange::Invalid(_) => {}
            }
        }
        (survey, Some(names))
    }

    /// Each host that is a name, side by side, in the order of the facts. Hosts of one operator take
    /// turns, so that a domain with many of them stands in a queue for that operator only once:
    /// otherwise it would keep others who ask the same operator waiting, our own domains too.
    async fn hosts(&self, facts: &Facts, errand: &Errand) -> Vec<HostSurvey> {
        let mut asking = JoinSet::new();
        let mut lines: HashMap<String, Arc<Mutex<()>>> = HashMap::new();
        for (place, host) in facts.hosts.iter().enumerate() {
            let Peer::Name(name) = &host.host else { continue };
            let line = Arc::clone(lines.entry(operator(&host.host)).or_default());
            let (surveyor, name) = (self.clone(), name.clone());
            let (host, errand) = (HostFacts::clone(host), errand.clone());
            asking.spawn(async move {
                let survey = surveyor.host(&name, &host, &errand, &line).await;
                (place, survey)
            });
        }
        let mut found = asking.join_all().await;
        found.sort_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, survey)| survey).collect()
    }
}

/// One survey while it is made.
#[derive(Clone, Debug)]
struct Errand {
    scope: Scope,
    now: UnixTime,
    span: Span,
}

/// Of a domain of which nothing was found out in time.
fn unknown(domain: &Domain, now: UnixTime) -> Facts {
    Facts {
        destination: domain.clone(),
        at: now,
        mx: MxFact::Failed(late(domain)),
        hosts: Vec::new(),
        sts: StsFact::Unknown { failure: StsFailure::Record(late(domain)), since: now },
        witnesses: Vec::new(),
    }
}

/// Of a domain that does not exist: whatever else were asked, the answer would be the same.
fn nothing(facts: Facts) -> Survey {
    let zone = ZoneSurvey {
        zone: facts.destination.clone(),
        signing: Signing::NotAsked,
        servers: Servers::NotAsked("the domain does not exist".into()),
        delegation: Delegation::NotAsked,
    };
    Survey {
        facts,
        mx: MxSurvey::default(),
        zone,
        name_servers: NameServers::NotAsked,
        hosts: Vec::new(),
        policy: PolicySurvey::default(),
        tlsrpt: Published::NotAsked,
        report_targets: Vec::new(),
        mail: MailRecords::default(),
        unasked: Vec::new(),
    }
}
