//! `waxseal publish`: what to put in DNS, whether it is there, whether a change may go ahead.

mod gate;
mod json;
mod show;

use waxseal_core::{
    domain::Domain,
    publish::{
        Finding, Standing,
        gate::{Door, State, Verdict},
        rollout::Progress,
        shown::{Held, Place},
    },
    time::UnixTime,
};

use super::{Context, Exit, Output, queue};
use crate::{
    config::Config,
    publish::{
        Consent, Depth, DomainLook, HostLook, Looker, Reason, Refusal, Sender, Sent, StateError,
        There, Wanted,
    },
    queue::system_clock,
};

/// What to put in DNS, whether it is there, and whether a new key may be deployed
///
/// Without a sub-command: the steps of a first roll-out, and where each domain stands. Exit code: 0 it is
/// known, 2 it could not be found out.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Option<Act>,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// All records: MTA-STS, TLSRPT, DANE, SPF, DKIM, DMARC, and what DNSSEC lacks
    ///
    /// Printed as a zone file. Exit code: 0 everything is live, 1 something is missing or differs, 2 it
    /// could not be found out.
    Records(Look),
    /// TLSA records of our MX hosts: keys in use, next keys, issuers
    Tlsa(Look),
    /// The MTA-STS record and the policy file
    MtaSts(Look),
    /// The TLSRPT record
    Tlsrpt(Look),
    /// Whether a new key may be deployed, and an MTA-STS change go ahead
    ///
    /// Asks each address of each authoritative server, and counts from what it saw before (`[publish]`
    /// state). Exit code: 0 everything may go ahead, 1 something may not yet, 2 nothing forbids it and not
    /// everything could be found out.
    Gate(GateArgs),
}

#[derive(Debug, Default, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct Look {
    /// Only these domains or MX hosts
    names: Vec<Domain>,
    /// Only print, do not look
    #[arg(long, conflicts_with = "update")]
    offline: bool,
    /// Look at DNS and the policy host, and do not ask the MX hosts which keys they show
    #[arg(long, conflicts_with_all = ["update", "offline"])]
    dns_only: bool,
    /// Send what is missing to the server in [publish.update]; nothing that is there is changed. SPF is
    /// never sent: it speaks for others too
    #[arg(long)]
    update: bool,
    /// With --update: put our text in the place of one that differs (what it shows as `replace`)
    #[arg(long, requires = "update")]
    replace: bool,
    /// With --update: remove TLSA records of keys that are no longer configured, once no address of the
    /// host shows such a key
    #[arg(long, requires = "update")]
    prune: bool,
    /// With --update: send the first TLSA records of a host, and with --prune remove some, also where it
    /// cannot be found out from here which keys the host shows. Compare on the host itself before: records
    /// without the key in use turn all mail of senders with DANE away
    #[arg(long, requires = "update")]
    unseen: bool,
}

/// What happens to TLSA records of a host whose keys could not be seen, where wrong ones would turn mail away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unseen {
    /// They stay as they are.
    Holds,
    /// They are sent, or removed: the operator has compared.
    Passes,
}

impl Look {
    const fn consent(&self) -> Consent {
        let surplus = if self.prune { There::Remove } else { There::Keep };
        let differing = if self.replace { There::Remove } else { There::Keep };
        Consent { surplus, differing }
    }

    const fn unseen(&self) -> Unseen {
        if self.unseen { Unseen::Passes } else { Unseen::Holds }
    }
}

#[derive(Debug, clap::Args)]
struct GateArgs {
    /// Only these domains or MX hosts
    names: Vec<Domain>,
    /// Only this change
    #[arg(long, value_enum, value_name = "CHANGE")]
    only: Option<Change>,
}

/// A change that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Change {
    /// Deploy the next key of an MX host
    Key,
    /// Publish the id of a policy
    Id,
    /// Change the MX records
    Mx,
    /// Take MTA-STS away
    Removal,
}

impl Change {
    const fn door(self) -> Door {
        match self {
            Self::Key => Door::Key,
            Self::Id => Door::Id,
            Self::Mx => Door::Mx,
            Self::Removal => Door::Removal,
        }
    }
}

/// Which records are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    All,
    Tlsa,
    MtaSts,
    Tlsrpt,
    Plan,
}

impl Part {
    const fn has_domains(self) -> bool {
        !matches!(self, Self::Tlsa)
    }

    const fn has_hosts(self) -> bool {
        matches!(self, Self::All | Self::Tlsa | Self::Tlsrpt)
    }
}

/// Runs it.
pub(crate) async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let config = queue::load(context)?;
    let wanted = Wanted::build(&config).map_err(|error| Exit::Config.because(error))?;
    let none = Look::default();
    let (part, look) = match args.act {
        Some(Act::Gate(args)) => return gate::run(&args, &config, wanted, context).await,
        Some(Act::Records(look)) => (Part::All, look),
        Some(Act::Tlsa(look)) => (Part::Tlsa, look),
        Some(Act::MtaSts(look)) => (Part::MtaSts, look),
        Some(Act::Tlsrpt(look)) => (Part::Tlsrpt, look),
        None => (Part::Plan, none),
    };
    let chosen = choose(wanted, &look.names)?;
    if look.offline {
        context.zone(&match context.output {
            Output::Text => show::offline(part, &chosen),
            Output::Json => json::offline(part, &chosen),
        })?;
        return Ok(Exit::Ok);
    }
    let sender = match (look.update, &config.publish.update) {
        (false, _) => None,
        (true, Some(update)) => {
            Some(Sender::new(update).map_err(|error| Exit::Config.because(error))?)
        }
        (true, None) => {
            let text = "--update needs [publish.update]: a primary server and a TSIG key; without --update the \
                        records are printed for pasting";
            return Err(Exit::Config.because(text));
        }
    };
    looked((part, &look), &config, (&chosen, sender), context).await
}

/// Only those that were named; a name that is none of ours is a mistake.
fn choose(wanted: Wanted, names: &[Domain]) -> anyhow::Result<Wanted> {
    if names.is_empty() {
        return Ok(wanted);
    }
    for name in names {
        let known = wanted.domains.iter().any(|domain| domain.domain == *name)
            || wanted.hosts.iter().any(|host| host.keys.host == *name);
        if !known {
            let domains = wanted.domains.iter().map(|domain| &domain.domain);
            let ours = domains.chain(wanted.hosts.iter().map(|host| &host.keys.host));
            let ours: Vec<String> = ours.take(10).map(ToString::to_string).collect();
            let text = format!(
                "{name} is no [[domain]] and no [[publish.mx]] of the configuration; it has {}",
                ours.join(", ")
            );
            return Err(Exit::Usage.because(text));
        }
    }
    let named = |name: &Domain| names.contains(name);
    Ok(Wanted {
        domains: wanted.domains.into_iter().filter(|domain| named(&domain.domain)).collect(),
        hosts: wanted.hosts.into_iter().filter(|host| named(&host.keys.host)).collect(),
    })
}

/// What was seen, and what was sent.
pub(super) struct Seen {
    pub(super) domains: Vec<DomainLook>,
    pub(super) hosts: Vec<HostLook>,
    pub(super) sent: Vec<Sent>,
    pub(super) refused: Vec<Refusal>,
}

async fn looked(
    (part, asked): (Part, &Look),
    config: &Config,
    (chosen, sender): (&Wanted, Option<Sender>),
    context: &Context,
) -> anyhow::Result<Exit> {
    let looker = Looker::new(config).map_err(|error| Exit::Config.because(error))?;
    let now = system_clock()();
    let mut state = open(config, now)?;
    let mut seen =
        Seen { domains: Vec::new(), hosts: Vec::new(), sent: Vec::new(), refused: Vec::new() };
    // Our hosts are asked for their keys where something hangs on it: TLSA records, or the next step.
    let (of_domain, of_host) = match part {
        Part::Plan => (Depth::Shown, Depth::Published),
        Part::All | Part::Tlsa if !asked.dns_only => (Depth::Published, Depth::Shown),
        Part::All | Part::Tlsa | Part::MtaSts | Part::Tlsrpt => {
            (Depth::Published, Depth::Published)
        }
    };
    if part.has_domains() {
        for domain in &chosen.domains {
            let mut look = looker.domain(domain, of_domain, &mut state.memory, now).await;
            narrow(part, &mut look);
            seen.domains.push(look);
        }
    }
    if part.has_hosts() {
        for host in &chosen.hosts {
            let memory = state.memory.hosts.entry(host.keys.host.clone()).or_default();
            let mut look = looker.host(host, of_host, memory, now).await;
            narrow_host(part, &mut look);
            if asked.unseen() == Unseen::Holds {
                look.hold_first();
            }
            seen.hosts.push(look);
        }
    }
    state.save().map_err(|error| Exit::Unknown.because(error.to_string()))?;
    if let Some(sender) = sender {
        send(&mut seen, (&sender, asked), &looker, now).await;
    }
    seen.hosts.iter().filter_map(warning).for_each(|words| context.say(words));
    let verdict = verdict((part, asked), &seen);
    match (context.output, part) {
        (Output::Text, Part::Plan) => context.show(&show::looked(part, &seen, context.paint))?,
        (Output::Text, Part::All | Part::Tlsa | Part::MtaSts | Part::Tlsrpt) => {
            context.zone(&show::looked(part, &seen, context.paint))?;
        }
        (Output::Json, _) => context.print(json::looked(part, &seen, verdict))?,
    }
    Ok(exit_of(verdict))
}

/// What a script sees: whether all is as it should be.
const fn exit_of(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Open => Exit::Ok,
        Verdict::Closed => Exit::Negative,
        Verdict::Unknown => Exit::Unknown,
    }
}

/// What nobody may miss of a host whose keys could not be seen.
fn warning(look: &HostLook) -> Option<String> {
    if !look.is_unseen() {
        return None;
    }
    let host = &look.host;
    let danger = match look.blind() {
        Some(_) => {
            "DO NOT PUBLISH its first TLSA records before you have compared: without the key in use they \
             turn all mail of senders with DANE away"
        }
        None => "its TLSA records may lack the key in use (--dns-only: do not ask)",
    };
    Some(format!("waxseal: warning: which keys {host} shows could not be found out: {danger}"))
}

/// Only what was asked for.
fn narrow(part: Part, look: &mut DomainLook) {
    match part {
        Part::All | Part::Plan | Part::Tlsa => {}
        Part::MtaSts => {
            look.tlsrpt = None;
            look.dkim.clear();
            look.dmarc = None;
        }
        Part::Tlsrpt => {
            look.sts.clear();
            look.policy = None;
            look.dkim.clear();
            look.dmarc = None;
        }
    }
}

/// The same for a host.
fn narrow_host(part: Part, look: &mut HostLook) {
    match part {
        Part::All => {}
        Part::Tlsa => look.tlsrpt = None,
        Part::Tlsrpt | Part::MtaSts | Part::Plan => {
            look.tlsa = None;
            look.zone = None;
        }
    }
}

/// All findings that a part shows.
pub(super) fn findings(part: Part, seen: &Seen) -> Vec<&Finding> {
    let mut all: Vec<&Finding> = Vec::new();
    for look in &seen.domains {
        all.extend(&look.tlsrpt);
        all.extend(&look.sts);
        if part == Part::All {
            all.push(&look.spf);
        }
        all.extend(&look.dkim);
        all.extend(&look.dmarc);
    }
    all.extend(seen.hosts.iter().flat_map(|look| look.tlsa.iter().chain(&look.tlsrpt)));
    all
}

/// What all findings together say.
fn verdict((part, asked): (Part, &Look), seen: &Seen) -> Verdict {
    if part == Part::Plan {
        let mut stages = seen.domains.iter().flat_map(|look| &look.plan);
        return match stages.any(|stage| stage.progress == Progress::Unknown) {
            true => Verdict::Unknown,
            false => Verdict::Open,
        };
    }
    let policies = seen.domains.iter().filter_map(|look| look.policy.as_ref());
    // What was sent a moment ago is there, as the server said with its signature.
    let sent = |finding: &&Finding| {
        let is = |sent: &Sent| {
            !finding.wanted.is_empty()
                && finding.wanted.iter().all(|record| sent.records.contains(record))
        };
        seen.sent.iter().any(is)
    };
    // What was left for want of knowledge is not known to be wrong.
    let held = |finding: &&Finding| {
        let is = |one: &Refusal| one.reason.is_ignorance() && one.owner == finding.owner;
        seen.refused.iter().any(is)
    };
    let all = findings(part, seen).into_iter();
    let standings =
        all.filter(|finding| !sent(finding) && !held(finding)).map(|finding| &finding.standing);
    let standings: Vec<&Standing> =
        standings.chain(policies.map(|policy| &policy.standing)).collect();
    let wrong =
        |standing: &&Standing| matches!(standing, Standing::Missing | Standing::Differs { .. });
    let strays = seen
        .hosts
        .iter()
        .any(|look| look.places.iter().any(|one| matches!(one.1, Place::Nowhere | Place::Refused)));
    let refused = seen.refused.iter().any(|one| !one.reason.is_ignorance());
    if refused || strays || standings.iter().any(wrong) {
        Verdict::Closed
    } else if seen.refused.iter().any(|one| one.reason.is_ignorance())
        || standings.iter().any(|standing| matches!(standing, Standing::Unknown { .. }))
        // Who sends records is warned, and asks whether they were sent.
        || (!asked.update && seen.hosts.iter().any(HostLook::is_unseen))
    {
        Verdict::Unknown
    } else {
        Verdict::Open
    }
}

/// Sends what is missing. The announcement of a policy waits until the policy is served; SPF, and the
/// alias of the policy host, are left to people: others use those names.
async fn send(seen: &mut Seen, (sender, asked): (&Sender, &Look), looker: &Looker, now: UnixTime) {
    let mut findings: Vec<Finding> = Vec::new();
    for look in &seen.domains {
        findings.extend(look.tlsrpt.clone());
        findings.extend(look.dkim.iter().cloned());
        findings.extend(look.dmarc.clone());
        let Some(announcement) = look.sts.last() else { continue };
        if announcement.standing == Standing::Live {
            continue;
        }
        match look.doors.iter().find(|door| door.door == Door::Id) {
            Some(door) if door.is_open() => findings.push(announcement.clone()),
            Some(door) => {
                let reason = match door.state {
                    State::Unknown => Reason::Unknown,
                    State::Open | State::Closed { .. } => Reason::NotYet,
                };
                let text = format!("not yet: {}", door.reason());
                seen.refused.push(Refusal::new(&announcement.owner, reason, text));
            }
            None => {}
        }
    }
    let mut work: Vec<(Finding, Consent)> =
        findings.into_iter().map(|finding| (finding, asked.consent())).collect();
    for look in &seen.hosts {
        work.extend(look.tlsrpt.iter().map(|finding| (finding.clone(), asked.consent())));
        let Some(tlsa) = &look.tlsa else { continue };
        if let (Some(why), Unseen::Holds) = (look.blind(), asked.unseen()) {
            let text = format!(
                "the first TLSA records of a host, and {why}: without the key in use they turn all mail of \
                 senders with DANE away; compare on {} itself, then --unseen sends them all the same",
                look.host
            );
            seen.refused.push(Refusal::new(&tlsa.owner, Reason::Unseen, text));
            continue;
        }
        let mut consent = asked.consent();
        if let Some((reason, why)) = pruned(look, tlsa, asked, now) {
            consent.surplus = There::Keep;
            seen.refused.push(Refusal::new(&tlsa.owner, reason, why));
        }
        work.push((tlsa.clone(), consent));
    }
    for (finding, consent) in work {
        match sender.settle(&finding, consent, looker).await {
            Ok(Some(sent)) => seen.sent.push(sent),
            Ok(None) => {}
            Err(why) => seen.refused.push(why),
        }
    }
}

/// Why no TLSA record of a host may be removed; `None` where that was not asked for, where there is none too
/// many, or where it turns nobody away.
fn pruned(
    look: &HostLook,
    tlsa: &Finding,
    asked: &Look,
    now: UnixTime,
) -> Option<(Reason, String)> {
    if !asked.prune || tlsa.surplus().is_empty() {
        return None;
    }
    match (look.shown.as_ref()?.holds(&tlsa.tlsa(), now)?, asked.unseen()) {
        (Held::Shown(why), _) => Some((Reason::RemovalShown, why)),
        (Held::Unknown(_), Unseen::Passes) => None,
        (Held::Unknown(why), Unseen::Holds) => {
            Some((Reason::RemovalUnseen, format!("{why} (--unseen removes all the same)")))
        }
    }
}

fn open(config: &Config, now: UnixTime) -> anyhow::Result<crate::publish::State> {
    crate::publish::State::open(&config.publish.state, now).map_err(|error| {
        let exit = match error {
            StateError::Busy(_) => Exit::TryAgain,
            StateError::File { .. } | StateError::Open { .. } | StateError::Foreign { .. } => {
                Exit::Config
            }
            StateError::Content { .. } => Exit::Unknown,
        };
        exit.because(error.to_string())
    })
}
