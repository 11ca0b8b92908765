//! `waxseal explain RECIPIENT`: what would happen to mail now, and why.

use std::{fmt::Write as _, io::Read, path::PathBuf, sync::Arc};

use serde_json::{Value, json};
use waxseal_core::{
    channel::Demand,
    decide::{
        Ask, Because, Case, FirstSeen, HostRoute, MessageView, Plan, Route, Verdict, inbound, plan,
        verdict,
    },
    dns::Answer,
    domain::Domain,
    envelope::{Body, Charset, Direction, Mailbox, Recipient, ReversePath, TlsAsk},
    facts::{Dane, Facts, HostFacts, MxFact, StsFact},
    memory::{Alarm, Memory},
    org::Terms,
    smtp::address::is_plain,
    time::UnixTime,
};

use super::{Context, Exit, Output, Paint, queue};
use crate::{
    config::{Config, ListenKind},
    exceptions,
    gather::{Forgetful, PolicyStore},
    queue::system_clock,
    serve::{
        Around, Parts,
        path::{headers, remembered, unreadable},
    },
    store::{Access, Settings, Store, StoreError},
    survey::probe,
};

/// What would happen to mail for a recipient now, and why
///
/// Exit code: 0 it would be tried, 1 it would not, 2 it could not be found out.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The recipient, or only the domain
    recipient: String,
    /// A message to judge: its header fields, and its From as the sender
    #[arg(long, value_name = "FILE")]
    message: Option<PathBuf>,
    /// The envelope sender instead of the message's From
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// As if the message asked for REQUIRETLS
    #[arg(long)]
    require_tls: bool,
}

/// The most that is read of a message: its header.
const HEADER: u64 = 1 << 20;

/// Runs it.
pub(crate) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let recipient = recipient(&args.recipient)?;
    let headers = match &args.message {
        Some(file) => read(file)?,
        None => Vec::new(),
    };
    let config = queue::load(context)?;
    let now = system_clock()();
    let world = World::open(config, context, now).await?;
    let reverse_path = sender(args, &headers)?;
    let view = MessageView { reverse_path: &reverse_path, headers: &headers };
    let direction = direction(&world.parts.config, &reverse_path, &recipient);
    let verdict = match direction {
        Direction::Outbound => verdict(&world.parts.org, &view, &recipient, now),
        Direction::Inbound => inbound(&world.parts.org),
    };
    let ask = Ask { tls: tls_ask(args, &view), body: Body::SevenBit, charset: Charset::Ascii };
    let destination = &recipient.mailbox.domain;
    let way = world.parts.routes.to(destination);
    let target = way.map(|way| &way.target);
    let mut gathered = world.parts.gatherer.gather(destination, target, now).await;
    let terms =
        Terms { trust: world.parts.org.trust, agreement: way.map(|way| way.agreement.clone()) };
    // As `serve` does it.
    let memory = match way {
        Some(_) => Memory::default(),
        None => world.memory(destination, now).await.unwrap_or_else(|error| {
            context.say(format!("downgrade memory cannot be read, mail waits: {error}"));
            gathered.facts = Arc::new(unreadable(&gathered.facts));
            Memory::default()
        }),
    };
    let case = Case {
        terms: &terms,
        ask: &ask,
        verdict: &verdict,
        facts: &gathered.facts,
        memory: &memory,
        origin: view.origin(),
        short_since: None,
        first_seen: FirstSeen::default(),
    };
    let plan = plan(&case, 0, now);
    let alarms = memory.alarms(&gathered.facts, now);
    let told = Told { recipient: &args.recipient, verdict: &verdict, plan: &plan, alarms };
    context.show(&match context.output {
        Output::Json => format!("{}\n", told.json()),
        Output::Text => told.text(context.paint),
    })?;
    if !told.alarms.is_empty() {
        context.say(format!(
            "If the domain has really given that up: \
             waxseal exception forget {destination} --reason TEXT --owner WHO"
        ));
    }
    if direction == Direction::Inbound && !is_plain(&recipient.mailbox.local) {
        context.say("A stranger's RCPT to it is refused with 550 5.7.1 (docs/inbound.md)");
        return Ok(Exit::Negative);
    }
    let sends = plan.routes.iter().any(|route| matches!(route, Route::Host(_)));
    Ok(match sends {
        true => Exit::Ok,
        false if is_unclear(&gathered.facts) => Exit::Unknown,
        false => Exit::Negative,
    })
}

/// Whether something that the decision needs could not be found out.
fn is_unclear(facts: &Facts) -> bool {
    let host = |host: &HostFacts| {
        matches!(host.dane, Dane::LookupFailed(_)) || matches!(host.addresses, Answer::Failed(_))
    };
    matches!(facts.mx, MxFact::Failed(_))
        || matches!(facts.sts, StsFact::Unknown { .. })
        || facts.hosts.iter().any(host)
}

/// What the gateway would ask: its own settings, and what it remembers where there is a store.
struct World {
    parts: Parts,
    store: Option<Store>,
}

impl World {
    async fn open(config: Config, context: &Context, now: UnixTime) -> anyhow::Result<Self> {
        let store = match Settings::of(&config).database.exists() {
            true => match queue::open(context, Access::Visit) {
                Ok(store) => Some(store),
                Err(error) => {
                    context.say(format!("without memory and exceptions: {error}"));
                    None
                }
            },
            false => None,
        };
        let exceptions = match &store {
            Some(store) => {
                exceptions::all(store, now).await.map_err(|error| queue::fault(&error))?
            }
            None => Vec::new(),
        };
        let policies: Arc<dyn PolicyStore> = match &store {
            Some(store) => Arc::new(store.clone()),
            None => Arc::new(Forgetful::default()),
        };
        let around =
            Around { policies, probes: probe::Memory::default(), exceptions, mark: None, now };
        let parts =
            Parts::build(config, around, None).map_err(|error| Exit::Config.because(error))?;
        Ok(Self { parts, store })
    }

    async fn memory(&self, destination: &Domain, now: UnixTime) -> Result<Memory, StoreError> {
        match &self.store {
            Some(store) => remembered(store, destination, now).await,
            None => Ok(Memory::default()),
        }
    }
}

fn recipient(text: &str) -> anyhow::Result<Recipient> {
    let (local, domain) = text.rsplit_once('@').unwrap_or(("someone", text));
    let domain =
        Domain::parse(domain).map_err(|why| Exit::Usage.because(format!("{text}: {why}")))?;
    let mailbox = Mailbox { local: local.to_owned(), domain };
    Ok(Recipient::new(mailbox))
}

/// Which way such a message would go: from a stranger to one of ours it can only come in by a
/// listener for that.
fn direction(config: &Config, sender: &ReversePath, recipient: &Recipient) -> Direction {
    let ours = |name: &Domain| config.domains.iter().any(|domain| domain.name == *name);
    let stranger = matches!(sender, ReversePath::Mailbox(sender) if !ours(&sender.domain));
    let opens = config.listeners.iter().any(|listen| listen.kind == ListenKind::Inbound);
    match opens && stranger && ours(&recipient.mailbox.domain) {
        true => Direction::Inbound,
        false => Direction::Outbound,
    }
}

fn read(file: &PathBuf) -> anyhow::Result<Vec<(String, String)>> {
    let unread = |why: std::io::Error| Exit::Usage.because(format!("{}: {why}", file.display()));
    let mut content = Vec::new();
    let open = std::fs::File::open(file).map_err(unread)?;
    open.take(HEADER).read_to_end(&mut content).map_err(unread)?;
    Ok(headers(&content))
}

/// The envelope sender: as given, or the address in From.
fn sender(args: &Args, headers: &[(String, String)]) -> anyhow::Result<ReversePath> {
    let from = headers.iter().find(|(name, _)| name == "from").map(|(_, value)| value.as_str());
    let Some(text) = args.from.as_deref().or(from) else { return Ok(ReversePath::Null) };
    let text = text.rsplit_once('<').map_or(text, |(_, rest)| rest).trim_end();
    let text = text.trim_end_matches('>').trim();
    match text.rsplit_once('@').map(|(local, domain)| (local, Domain::parse(domain))) {
        Some((local, Ok(domain))) => {
            Ok(ReversePath::Mailbox(Mailbox { local: local.to_owned(), domain }))
        }
        Some((_, Err(_))) | None if args.from.is_some() => {
            Err(Exit::Usage.because(format!("{text:?} is no mail address")))
        }
        Some((_, Err(_))) | None => Ok(ReversePath::Null),
    }
}

/// REQUIRETLS voids `TLS-Required: No` (RFC 8689 §4.1).
fn tls_ask(args: &Args, view: &MessageView<'_>) -> TlsAsk {
    let waives = |value: &str| value.trim().eq_ignore_ascii_case("no");
    if args.require_tls {
        TlsAsk::RequireTls
    } else if view.values("tls-required").any(waives) {
        TlsAsk::TlsNotRequired
    } else {
        TlsAsk::Nothing
    }
}

/// What is told.
struct Told<'a> {
    recipient: &'a str,
    verdict: &'a Verdict,
    plan: &'a Plan,
    alarms: Vec<Alarm>,
}

impl Told<'_> {
    /// The contract of DESIGN §9, and the level of each route beside it.
    fn json(&self) -> Value {
        let Self { recipient, verdict, plan, alarms } = self;
        let because: Vec<_> = verdict.because.iter().chain(&plan.because).collect();
        json!({
            "recipient": recipient,
            "verdict": {
                "floor": verdict.floor,
                "suspended": verdict.suspended,
                "fallback": verdict.fallback,
                "rule": verdict.rule,
            },
            "routes": plan.routes.iter().map(route_json).collect::<Vec<_>>(),
            "because": because,
            "why_not_higher": plan.why_not_higher,
            "reach": plan.reach,
            "alarms": alarms.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }

    fn text(&self, paint: Paint) -> String {
        let Self { recipient, verdict, plan, alarms } = self;
        let bold = |text: &str| paint.bold(text);
        let mut text = format!("{}\n", bold(recipient));
        for alarm in alarms {
            let _ = writeln!(text, "  {} {alarm}", bold("ALARM"));
        }
        let floor = verdict.suspended.unwrap_or(verdict.floor);
        let mode = verdict.suspended.map_or("", |_| ", only monitored");
        let _ = writeln!(text, "  floor {floor}{mode}, by rule {}", verdict.rule);
        reasons(&verdict.because, "    ", &mut text);
        for (nth, route) in (1..).zip(&plan.routes) {
            let first = nth == 1;
            let _ = match route {
                Route::Host(host) => {
                    host_text(nth, host, &bold, &mut text);
                    Ok(())
                }
                Route::Wait { code, reason, until } => {
                    let until = until.map_or_else(String::new, |at| format!(" until {at}"));
                    let act = bold(if first { "wait" } else { "otherwise wait" });
                    writeln!(text, "  {act}{until}: {reason} ({code})")
                }
                Route::Hold { code, reason } => {
                    let act = bold(if first { "hold" } else { "otherwise hold" });
                    writeln!(text, "  {act}: {reason} ({code})")
                }
                Route::GiveUp { code, reason, doubt } => {
                    let act = bold(if first { "return" } else { "otherwise return" });
                    let doubt = doubt.map_or_else(String::new, |at| format!(" from {at} on"));
                    writeln!(text, "  {act}{doubt}: {reason} ({code})")
                }
                _ => writeln!(text, "  otherwise: see --json"),
            };
        }
        if !plan.because.is_empty() {
            let _ = writeln!(text, "  {}", bold("why"));
        }
        reasons(&plan.because, "    ", &mut text);
        if let Some(caveat) = plan.reach.caveat() {
            let what = "levels speak for the way to the smarthost; what it does next is not known";
            let _ = writeln!(text, "  {}\n    {what}", bold(caveat));
        }
        if let Some(why) = &plan.why_not_higher {
            let _ = writeln!(text, "  {}\n    {why}", bold("why not higher"));
        }
        text
    }
}

fn host_text(nth: usize, host: &HostRoute, bold: &dyn Fn(&str) -> String, text: &mut String) {
    let peer = bold(&host.peer.to_string());
    let _ = writeln!(text, "  {nth}. {peer}: {} or better; {}", host.level, demand(host));
    reasons(&host.because, "    ", text);
}

/// One line each; where it comes from is said where that is a document to look into.
pub(super) fn reasons(because: &[Because], indent: &str, text: &mut String) {
    for Because { fact, rule, rfc } in because {
        let source = if rfc.starts_with("RFC") { format!(" [{rfc}]") } else { String::new() };
        let _ = writeln!(text, "{indent}{fact}: {rule}{source}");
    }
}

/// The demand in words.
fn demand(host: &HostRoute) -> String {
    use waxseal_core::channel::By;
    let vouchers = match &host.demand {
        Demand::Opportunistic => return "TLS is tried".to_owned(),
        Demand::Encrypt => return "TLS or nothing".to_owned(),
        Demand::Authenticate(vouchers) => vouchers,
    };
    let told = vouchers.iter().map(|voucher| {
        let names: Vec<_> = voucher.names.iter().map(Domain::as_str).collect();
        let names = names.join(" or ");
        match &voucher.by {
            By::Dane { records } => match records.len() {
                1 => "its TLSA record must match".to_owned(),
                more => format!("one of its {more} TLSA records must match"),
            },
            By::Sts | By::Anchor => format!("a public CA must vouch for {names}"),
            By::Pin(_) => "a pinned key or CA must match".to_owned(),
        }
    });
    told.collect::<Vec<_>>().join(", and ")
}

fn route_json(route: &Route) -> Value {
    match route {
        Route::Host(host) => {
            let (kind, names): (_, Vec<&Domain>) = match &host.demand {
                Demand::Opportunistic => ("opportunistic", Vec::new()),
                Demand::Encrypt => ("encrypt", Vec::new()),
                Demand::Authenticate(vouchers) => {
                    ("authenticate", vouchers.iter().flat_map(|v| &v.names).collect())
                }
            };
            json!({
                "mx": host.peer.to_string(), "demand": kind, "names": names, "level": host.level,
                "because": host.because,
            })
        }
        Route::Wait { until, code, reason } => {
            json!({ "wait": { "until": until, "code": code.to_string(), "reason": reason } })
        }
        Route::Hold { code, reason } => {
            json!({ "hold": { "code": code.to_string(), "reason": reason } })
        }
        Route::GiveUp { code, reason, doubt } => {
            json!({ "give_up": { "code": code.to_string(), "reason": reason, "doubt": doubt } })
        }
        _ => Value::Null,
    }
}
