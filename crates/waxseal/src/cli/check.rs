//! `waxseal check DOMAIN...`: what a domain's mail security is worth, and what to repair.

mod compare;
mod csv;
mod forms;
mod history;
mod html;
mod internet_nl;
mod json;
mod known;
mod profiles;
mod progress;
mod report;
mod slots;
mod standing;
#[cfg(test)]
mod tests;
mod text;
mod tone;
mod work;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::OpenOptions,
    net::IpAddr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use rustls_pki_types::TrustAnchor;
use tokio::task::JoinSet;
use waxseal_core::{
    assess::{
        Against, OwnKey, assess,
        profile::{Profile, judge_profile},
    },
    domain::Domain,
    org::Terms,
    time::UnixTime,
};

use self::{
    forms::Forms,
    known::{Before, Known},
    progress::Progress,
    report::{Assessed, Outcome, Report},
    slots::Slots,
    work::{Header, Journal},
};
use super::{Context, DEFAULT_CONFIG, Exit};
use crate::{
    config::Config,
    gather::{Forgetful, Ourselves, PolicyStore, RouteTarget},
    publish,
    queue::system_clock,
    serve::{Around, Parts, Routes},
    survey::{
        Depth, MOST_SELECTORS, Scope, Surveyor,
        probe::{Deliveries, Memory},
    },
};

/// How well domains protect the mail that is sent to them, and what to repair
///
/// Exit code: 0 fine, 1 something is wrong (a finding of severity `error`), 2 something could not
/// be found out. Works without a configuration file.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Domains to check
    domains: Vec<String>,
    /// A file with more of them, one a line; `-` is standard input
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// So many domains at the same time; those that wait for slow mail hosts do not count
    #[arg(short, long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=512))]
    jobs: u16,
    /// Ask only DNS: no connection to any mail host
    #[arg(long)]
    dns_only: bool,
    /// Look at the DKIM key of this selector, too; may be repeated
    #[arg(long, value_name = "NAME", value_parser = selector)]
    selector: Vec<String>,
    /// Judge by this standard: a built-in profile or a TOML file; may be repeated
    ///
    /// Built in are internet-nl, bsi-tr-03108, dsk-normal, dsk-high, nta-7516, uk-gov, nz-sge and
    /// nist-800-177. A profile that is not met counts as something wrong.
    #[arg(long, value_name = "NAME|FILE")]
    profile: Vec<String>,
    /// Group the domains by who runs their mail hosts, and compare
    #[arg(long)]
    compare: bool,
    /// Write a page that can be forwarded
    #[arg(long, value_name = "OUT")]
    html: Option<PathBuf>,
    /// Write a table for a spreadsheet
    #[arg(long, value_name = "OUT")]
    csv: Option<PathBuf>,
    /// Write results in the shape of Internet.nl's
    #[arg(long, value_name = "OUT")]
    internet_nl: Option<PathBuf>,
    /// Keep what is done in this file, and skip what it holds
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Ask nobody: show what the regular checks of `serve` saw of these domains
    #[arg(long, conflicts_with_all = ["from", "dns_only", "compare", "html", "csv", "internet_nl", "resume"])]
    history: bool,
    /// Look at everything anew: use nothing that the gateway of this configuration knows
    #[arg(long)]
    fresh: bool,
    /// EHLO name for probes; that of the configuration, or of this machine
    #[arg(long, value_name = "NAME")]
    hello: Option<String>,
}

/// What was seen of a mail host so recently is not asked again.
const RECENT: Duration = Duration::from_secs(3_600);
/// How long one of many domains may take, with the time that it waits for others.
const TURN: Duration = Duration::from_hours(1);
/// More domains than this are told in one line each.
const FEW: usize = 3;

/// One or more labels of a name below `_domainkey` (RFC 6376 §3.1). A bad one would be told as a
/// fault of each domain. Of digits alone it is no domain, and a selector all the same.
fn selector(text: &str) -> Result<String, String> {
    let whole = Domain::parse(&format!("{text}._domainkey"));
    whole.map(|_| text.to_owned()).map_err(|why| format!("no DKIM selector: {why}"))
}

/// Runs it.
pub(crate) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    if args.selector.len() > MOST_SELECTORS {
        return Err(Exit::Usage.because(format!(
            "--selector was given {} times; at most {MOST_SELECTORS} are looked at",
            args.selector.len()
        )));
    }
    if args.history && !args.domains.is_empty() {
        return history::run(&args.domains, context).await;
    }
    let work = work::list(&args.domains, args.from.as_deref())?;
    if work.is_empty() {
        return Err(Exit::Usage.because(match &args.from {
            Some(path) => format!("{}: there is no domain in it", path.display()),
            None => "no domain was given; name one, or use --from FILE".to_owned(),
        }));
    }
    let checker = Checker::build(args, work.len(), context)?;
    can_be_written([&args.html, &args.csv, &args.internet_nl, &args.resume].into_iter().flatten())?;
    let (mut journal, kept) = match &args.resume {
        Some(path) => {
            let mut header = Header::new(&scope(args), args.internet_nl.as_deref());
            header.fresh = args.fresh;
            let (journal, kept) = still_done(path, &header, &work, &checker)?;
            (Some(journal), kept)
        }
        None => (None, BTreeMap::new()),
    };
    let mut forms = Forms::new(args, context, work.len());
    if let Some(journal) = &mut journal {
        for (place, at) in &kept {
            forms.take(*place, journal.read(*at)?)?;
        }
    }
    let began = checker.began;
    let ended = look(args, checker, (work, kept), journal, &mut forms).await?;
    forms.finish(began)?;
    if ended == Ended::Interrupted {
        context.say(match &args.resume {
            Some(file) => format!(
                "interrupted: {} are done and kept; the same command with --resume {} goes on",
                forms.progress(),
                file.display()
            ),
            None => format!(
                "interrupted: {} are done; with --resume FILE what is done is kept, and the same \
                 command goes on",
                forms.progress()
            ),
        });
        return Ok(Exit::Unknown);
    }
    Ok(forms.verdict())
}

/// Checks those of which no report is kept, each at its place in the list; `forms` take what comes of
/// it.
async fn look(
    args: &Args,
    checker: Checker,
    (work, kept): (Vec<String>, BTreeMap<usize, u64>),
    mut journal: Option<Journal>,
    forms: &mut Forms<'_>,
) -> anyhow::Result<Ended> {
    let mut progress = Progress::new(forms.context(), work.len(), kept.len());
    let mut running = JoinSet::new();
    let open = work.into_iter().enumerate().filter(|(place, _)| !kept.contains_key(place));
    let (slots, mut waiting) = (Slots::new(args.jobs), open.peekable());
    let mut ended = Ended::AsPlanned;
    // One for the whole run: a signal that comes while a report is written is not lost.
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    while waiting.peek().is_some() || !running.is_empty() {
        let next = tokio::select! {
            Some(slot) = slots.free(), if waiting.peek().is_some() => {
                if let Some((place, input)) = waiting.next() {
                    let checker = checker.clone();
                    let checking = async move { (place, checker.check(input).await) };
                    running.spawn(slot.hold(checking));
                }
                continue;
            }
            Some(next) = running.join_next(), if !running.is_empty() => Some(next),
            _ = &mut interrupted => {
                ended = Ended::Interrupted;
                None
            }
        };
        let Some(joined) = next else { break };
        let (place, report) = joined.context("a check broke off; this is a bug")?;
        if let Some(journal) = &mut journal {
            journal.add(&report)?;
        }
        progress.one_more();
        progress.clear();
        forms.take(place, report)?;
        progress.draw();
    }
    progress.clear();
    running.shutdown().await;
    Ok(ended)
}

/// Opens the journal; yields it with the reports in it that answer what is asked now: of these inputs,
/// as deep, judged by the same profiles, not too old, not left open, and not of our own DKIM keys; of two
/// of one input the later.
/// They are told by the place of their input in the list, and where they stand.
fn still_done(
    path: &Path,
    header: &Header,
    work: &[String],
    checker: &Checker,
) -> anyhow::Result<(Journal, BTreeMap<usize, u64>)> {
    let places: HashMap<&str, usize> =
        work.iter().enumerate().map(|(place, input)| (input.as_str(), place)).collect();
    let digests = checker.digests();
    let mut kept = BTreeMap::new();
    let journal = Journal::open(path, header, |at, report| {
        let counts = report.is_judged_by(&digests)
            && report.is_as_deep(checker.scope.depth)
            && report.is_settled(checker.began)
            && !checker.has_own_keys(&report.input);
        if let Some(place) = places.get(report.input.as_str()).filter(|_| counts) {
            kept.insert(*place, at);
        }
    })?;
    Ok((journal, kept))
}

/// How much is asked of each domain.
fn scope(args: &Args) -> Scope {
    let depth = if args.dns_only { Depth::DnsOnly } else { Depth::Full };
    Scope { selectors: args.selector.clone(), ..Scope::new(depth) }
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    AsPlanned,
    Interrupted,
}

/// Said before thousands of domains are looked at, not afterwards. What is there already stays as
/// it is until there is a report.
///
/// # Errors
/// One cannot be written, is `-`, which would be a file of that name, or is the file of another one.
fn can_be_written<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> anyhow::Result<()> {
    let mut files = HashSet::new();
    for path in paths {
        let refuse = |why: String| Exit::Usage.because(format!("{}: {why}", path.display()));
        if path.as_os_str() == "-" {
            return Err(refuse(
                "what is written to standard output has no name; use /dev/stdout, or a file"
                    .to_owned(),
            ));
        }
        let opened = OpenOptions::new().append(true).create(true).open(path);
        let file = opened
            .and_then(|file| file.metadata())
            .map_err(|why| refuse(format!("the report cannot be written there: {why}")))?;
        if file.is_file() && !files.insert((file.dev(), file.ino())) {
            return Err(refuse(
                "two reports cannot be written to one file; name one for each".to_owned(),
            ));
        }
    }
    Ok(())
}

/// Checks one domain after the other; clones share what they know.
#[derive(Clone)]
struct Checker {
    surveyor: Surveyor,
    roots: Arc<Vec<TrustAnchor<'static>>>,
    scope: Scope,
    profiles: Arc<Vec<Profile>>,
    /// For the JSON in the shape of Internet.nl's, where that is asked for.
    internet_nl: Option<&'static Profile>,
    /// What the gateway knows, where there is one and it may be used.
    known: Option<Known>,
    /// Our own domains, whoever repairs one wants to see how it is now; and their DKIM keys.
    own: Arc<HashMap<Domain, Vec<OwnKey>>>,
    /// Where the gateway sends mail that DNS is not asked about.
    routes: Arc<Routes>,
    /// When this run began.
    began: UnixTime,
}

impl Checker {
    fn build(args: &Args, total: usize, context: &Context) -> anyhow::Result<Self> {
        let refuse = |text: String| Exit::Config.because(text);
        let profiles = Arc::new(profiles::load(&args.profile)?);
        let mut config = config(args, context)?;
        let now = system_clock()();
        let known = if args.fresh { None } else { Known::open(&config, context) };
        let keys = |domain: &Domain| (domain.clone(), publish::own(&config, domain, None));
        let own = config.domains.iter().map(|domain| keys(&domain.name)).collect();
        // A check writes no letters: a key that cannot be read is no reason not to check.
        config.author.dkim = None;
        let policies: Arc<dyn PolicyStore> = match &known {
            Some(known) => Arc::new(known.clone()),
            None => Arc::new(Forgetful::default()),
        };
        let probes = match &known {
            Some(known) => Memory::kept_in(Arc::new(known.clone())),
            None => Memory::default(),
        };
        let around = Around { policies, probes, exceptions: Vec::new(), mark: None, now };
        let patience = config.checks.probing.domain_timeout;
        let parts = Parts::build(config, around, None).map_err(refuse)?;
        // Of many domains those of one provider wait for each other, as long as for a turn.
        let patience = if total > FEW { patience.max(TURN) } else { patience };
        let mut scope = Scope { patience, ..scope(args) };
        if known.is_some() {
            scope.oldest_probe = RECENT;
            // Whoever asks about a few wants to know everything of them.
            scope.deliveries = if total > FEW { Deliveries::Count } else { Deliveries::Refresh };
        }
        let internet_nl =
            args.internet_nl.as_ref().and_then(|_| profiles::named(profiles::INTERNET_NL));
        let (own, routes) = (Arc::new(own), Arc::new(parts.routes));
        let (surveyor, roots, began) = (parts.surveyor, parts.roots, now);
        Ok(Self { surveyor, roots, scope, profiles, internet_nl, known, own, routes, began })
    }

    /// What judges each domain, the profile of Internet.nl's shape included.
    fn digests(&self) -> Vec<String> {
        self.profiles.iter().chain(self.internet_nl).map(profiles::digest).collect()
    }

    /// Whether it is a domain of ours with DKIM keys: those may be others than when a journal was kept.
    fn has_own_keys(&self, input: &str) -> bool {
        let domain = Domain::parse(input).ok();
        domain.and_then(|domain| self.own.get(&domain)).is_some_and(|keys| !keys.is_empty())
    }

    async fn check(&self, input: String) -> Report {
        let domain = match Domain::parse(&input) {
            Ok(domain) => domain,
            Err(why) => {
                let why = format!("{why}{}", hint(&input));
                return Report { input, outcome: Outcome::NoDomain(why) };
            }
        };
        let now = system_clock()();
        let mut scope = self.scope.clone();
        if let Some(keys) = self.own.get(&domain) {
            scope.own.clone_from(keys);
            scope.oldest_probe = now.since(self.began) + Duration::from_secs(1);
            scope.deliveries = Deliveries::DoNotCount;
            // No mail is sent, and others see us where this gateway takes the mail of it.
            scope.ourselves = Ourselves::LookedAt;
        } else if self.known.is_some() {
            // A run of hours asks nobody twice.
            scope.oldest_probe += now.since(self.began);
        }
        let before = match &self.known {
            Some(known) => known.before(&domain, now).await,
            None => Before::default(),
        };
        let survey = self.surveyor.survey(&domain, &scope, now).await;
        let terms = Terms::default();
        let against = Against {
            roots: &self.roots,
            terms: &terms,
            before: before.survey.as_ref(),
            testing_since: before.testing_since,
            now,
        };
        let assessment = assess(&survey, &against);
        let judge = |profile: &Profile| judge_profile(profile, &survey, &assessment);
        let judged = self.profiles.iter().map(judge).collect();
        let internet_nl = self
            .internet_nl
            .map(|profile| internet_nl::result(&survey, &assessment, &judge(profile)));
        let outcome = Outcome::Assessed(Box::new(Assessed {
            judged_by: self.digests(),
            profiles: judged,
            internet_nl,
            elsewhere: self.elsewhere(&domain),
            ..Assessed::of(&survey, assessment, self.scope.depth)
        }));
        Report { input, outcome }
    }
}

impl Checker {
    /// Where our mail for a domain goes instead, in a sentence: what is told about its mail hosts is what
    /// others meet.
    fn elsewhere(&self, domain: &Domain) -> Option<String> {
        let way = self.routes.to(domain).filter(|way| way.route.is_some())?;
        let RouteTarget { host, port, .. } = &way.target;
        Some(format!(
            "This gateway does not send there: a [[route]] of its configuration leads mail for {domain} to \
             {host}, port {port}. `waxseal explain anybody@{domain}` says how that is protected"
        ))
    }
}

/// Lists of domains come with addresses of mailboxes and of pages in them.
fn hint(input: &str) -> String {
    let literal = input.trim_start_matches('[').trim_end_matches(']');
    if literal.parse::<IpAddr>().is_ok() {
        return "; this is an address: name the domain that mail is addressed to".to_owned();
    }
    let rest = input.split_once("://").map_or(input, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let host = rest.split(['/', ':', '?']).next().unwrap_or_default();
    match Domain::parse(host) {
        Ok(domain) if host != input => format!("; did you mean {domain}?"),
        Ok(_) | Err(_) => String::new(),
    }
}

/// The configuration, or the defaults where there is none at its usual place: whoever has not
/// installed anything can check a domain.
fn config(args: &Args, context: &Context) -> anyhow::Result<Config> {
    let no_file = context.config.as_os_str() == DEFAULT_CONFIG && !context.config.exists();
    let mut config = if no_file {
        Config::parse("", DEFAULT_CONFIG.as_ref())
    } else {
        Config::load(&context.config)
    }
    .map_err(|error| Exit::Config.because(error.to_string()))?;
    if let Some(name) = &args.hello {
        let name = Domain::parse(name)
            .map_err(|why| Exit::Usage.because(format!("--hello {name}: {why}")))?;
        config.hostname = Some(name);
    }
    if config.hostname.is_none() {
        let system = rustix::system::uname();
        let name = system.nodename().to_string_lossy().into_owned();
        let name = if name.contains('.') { name } else { format!("{name}.invalid") };
        config.hostname = Domain::parse(&name).ok();
    }
    // A check writes no mail, so that nobody has to be configured who would.
    if config.domains.is_empty() {
        let nobody = config.hostname.as_ref().map(|name| format!("postmaster@{name}"));
        config.author.from = config.author.from.take().or(nobody.clone());
        config.author.postmaster = config.author.postmaster.take().or(nobody);
    }
    Ok(config)
}
