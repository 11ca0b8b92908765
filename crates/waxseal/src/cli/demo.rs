//! `waxseal demo`: a small Internet on loopback, real messages through the real gateway, and a
//! picture of which attack fails against which protection (DESIGN §8).
//!
//! `intercepted` is read from the attackers' transcripts and `delivered` from the recipients'
//! servers: the gateway does not grade itself. What is expected stands in `demo/expected.txt`.

mod gateway;
mod picture;
mod table;
#[cfg(test)]
mod tests;

use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Semaphore,
    task::JoinSet,
};
use waxseal_core::{channel::Level, decide::Because};
use waxseal_lab::{Attack, Lab, Pinning, Protection};

use self::{
    gateway::{Attempt, Gateway, Mail, Profile},
    table::{Message, Outcome, Scenario, scenarios},
};
use super::{Context, Exit, Output, Voice};

/// Shows on a small Internet of its own which attacks fail against which protection
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Leave the little Internet running, with addresses to play with, until Ctrl-C
    #[arg(long)]
    keep: bool,
}

/// Messages under way at once.
const AT_ONCE: usize = 48;

/// For one message, from submission to the end of the first attempt.
const PATIENCE: Duration = Duration::from_secs(30);

/// Facts about a destination are kept for at least a second, whatever the TTL says.
const FACTS_KEPT: Duration = Duration::from_millis(1_100);

/// One cell, done.
struct Shown {
    scenario: Scenario,
    outcome: Outcome,
    level: Option<Level>,
    because: Vec<Because>,
    /// What the attacker could read.
    read: Vec<&'static str>,
}

impl Shown {
    fn as_expected(&self) -> bool {
        self.outcome == self.scenario.expected
    }

    /// Intercepted where that was not expected.
    fn leaked(&self) -> bool {
        self.outcome == Outcome::Intercepted && !self.as_expected()
    }
}

/// Runs the demo.
///
/// # Errors
/// The lab or the gateway cannot be started, or a message got no attempt in time.
pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit> {
    let scenarios = scenarios()?;
    let folder = Folder::new()?;
    let world = World::start(&scenarios, &folder).await?;
    let progress = Progress::new(scenarios.len(), context);
    let results = world.play(&scenarios, &progress).await?;
    progress.end();
    let unexpected = results.iter().filter(|shown| !shown.as_expected()).count();
    let leaked = results.iter().filter(|shown| shown.leaked()).count();
    match context.output {
        Output::Json => context.print(json(&results)?)?,
        Output::Text => {
            let mut text = picture::draw(&results, context.paint);
            text.push_str(&summary(&results, unexpected, leaked));
            context.print(text)?;
        }
    }
    if args.keep {
        context.say(world.guide(&folder));
        told_to_stop().await.context("waiting for a signal")?;
    }
    world.stop().await;
    Ok(if unexpected == 0 && leaked == 0 { Exit::Ok } else { Exit::Negative })
}

/// However it is ended, the folder goes: it holds keys.
async fn told_to_stop() -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

fn summary(results: &[Shown], unexpected: usize, leaked: usize) -> String {
    let mut text = format!(
        "\n{} scenarios, {} as expected, {leaked} leaked.\n",
        results.len(),
        results.len() - unexpected
    );
    for shown in results.iter().filter(|shown| !shown.as_expected()) {
        let scenario = &shown.scenario;
        text.push_str(&format!(
            "  ! {}: {} instead of {}, because {}\n",
            scenario.id(),
            shown.outcome,
            scenario.expected,
            scenario.reason
        ));
        for because in &shown.because {
            text.push_str(&format!("      {}: {} ({})\n", because.fact, because.rule, because.rfc));
        }
    }
    text
}

/// The contract of DESIGN §9.
fn json(results: &[Shown]) -> Result<String> {
    let scenarios: Vec<_> = results
        .iter()
        .map(|shown| {
            let scenario = &shown.scenario;
            serde_json::json!({
                "id": scenario.id(),
                "attack": scenario.attack.name(),
                "protection": scenario.protection.name(),
                "message": scenario.message.name(),
                "expected": scenario.expected.name(),
                "expected_because": scenario.reason,
                "outcome": shown.outcome.name(),
                "level": shown.level,
                "because": shown.because,
                "attacker_read": shown.read,
                "leaked": shown.leaked(),
            })
        })
        .collect();
    let summary = serde_json::json!({
        "total": results.len(),
        "as_expected": results.iter().filter(|shown| shown.as_expected()).count(),
        "leaked": results.iter().filter(|shown| shown.leaked()).count(),
    });
    let document = serde_json::json!({ "scenarios": scenarios, "summary": summary });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// The lab and the gateways in it.
struct World {
    lab: Arc<Lab>,
    /// With floors, honouring what is published.
    guarded: Arc<Gateway>,
    /// Plays an ordinary opportunistic MTA.
    opportunistic: Arc<Gateway>,
}

impl World {
    async fn start(scenarios: &[Scenario], folder: &Folder) -> Result<Self> {
        let mut cells: Vec<(Protection, Attack)> =
            scenarios.iter().map(|s| (s.protection, s.attack)).collect();
        cells.sort_unstable();
        cells.dedup();
        let lab = Lab::start(&cells, &Message::ALL.map(Message::name)).await?;
        let start = async |name, pinning, profile| {
            let folder = folder.below(name)?;
            let text = lab.configuration(&folder, pinning)?;
            anyhow::Ok(Arc::new(Gateway::start(&text, &folder, profile).await?))
        };
        let guarded = start("guarded", Pinning::Known, Profile::Guarded).await?;
        let opportunistic =
            start("opportunistic", Pinning::Unknown, Profile::Opportunistic).await?;
        Ok(Self { lab: Arc::new(lab), guarded, opportunistic })
    }

    /// Sends a message for each cell, and looks what became of it.
    async fn play(&self, scenarios: &[Scenario], progress: &Progress) -> Result<Vec<Shown>> {
        self.lab.begin(|site| site.protection() != Protection::StsCached);
        self.acquaint(scenarios).await?;
        self.lab.begin(|site| site.protection() == Protection::StsCached);
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let mut tasks = JoinSet::new();
        for (number, scenario) in scenarios.iter().copied().enumerate() {
            let (lab, turns) = (Arc::clone(&self.lab), Arc::clone(&turns));
            let gateway = self.gateway(scenario.message);
            tasks.spawn(async move {
                let _turn = turns.acquire().await?;
                let shown = attempt(&lab, &gateway, scenario, number).await;
                let shown = shown.with_context(|| scenario.id())?;
                anyhow::Ok((number, shown))
            });
        }
        let mut results = Vec::new();
        while let Some(done) = tasks.join_next().await {
            results.push(done??);
            progress.step();
        }
        results.sort_by_key(|(number, _)| *number);
        Ok(results.into_iter().map(|(_, shown)| shown).collect())
    }

    /// `sts-cached`: a first message, before the attack, makes the policy known.
    async fn acquaint(&self, scenarios: &[Scenario]) -> Result<()> {
        let mut tasks = JoinSet::new();
        let known = |s: &&Scenario| {
            s.protection == Protection::StsCached && s.message != Message::Unprotected
        };
        for (number, scenario) in scenarios.iter().filter(known).enumerate() {
            let gateway = Arc::clone(&self.guarded);
            let mail = mail(scenario, Message::Ordinary, &format!("first{number:03}"));
            let (lab, id) = (Arc::clone(&self.lab), scenario.id());
            tasks.spawn(async move {
                let attempt = send(&gateway, &mail).await?;
                let arrived = lab.has(&mail.to);
                anyhow::ensure!(arrived, "{id}: the first message did not arrive: {attempt:?}");
                anyhow::Ok(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        tokio::time::sleep(FACTS_KEPT).await;
        Ok(())
    }

    fn gateway(&self, message: Message) -> Arc<Gateway> {
        match message {
            Message::Unprotected => Arc::clone(&self.opportunistic),
            Message::Ordinary | Message::Sensitive | Message::Critical => Arc::clone(&self.guarded),
        }
    }

    /// What to play with after `--keep`.
    fn guide(&self, folder: &Folder) -> String {
        format!(
            "\nThe little Internet is running; Ctrl-C ends it.\n  \
             DNS            {dns}   dig @{ip} -p {port} +dnssec critical.nobody.dane.example MX\n  \
             trust anchor   {folder}/guarded/root.ds\n  \
             configuration  {folder}/guarded/waxseal.toml\n  \
             submission     {submission}   MAIL FROM:<you@sender.example>, \
             RCPT TO:<anybody@ordinary.ATTACK.PROTECTION.example>\n  \
             Put [sensitive] or [critical] into the subject to raise the floor.",
            dns = self.lab.dns_addr(),
            ip = self.lab.dns_addr().ip(),
            port = self.lab.dns_addr().port(),
            folder = folder.0.display(),
            submission = self.guarded.submission(),
        )
    }

    async fn stop(self) {
        for gateway in [self.guarded, self.opportunistic] {
            if let Some(gateway) = Arc::into_inner(gateway) {
                gateway.stop().await;
            }
        }
    }
}

async fn attempt(lab: &Lab, gateway: &Gateway, scenario: Scenario, number: usize) -> Result<Shown> {
    let mail = mail(&scenario, scenario.message, &format!("cell{number:03}"));
    let Attempt { level, because } = send(gateway, &mail).await?;
    let site = lab.site(scenario.protection, scenario.attack).context("no such site")?;
    let read: Vec<_> = [("sender", &mail.from), ("recipient", &mail.to), ("body", &mail.secret)]
        .into_iter()
        .filter(|(_, words)| lab.saw(site, words))
        .map(|(what, _)| what)
        .collect();
    let outcome = if !read.is_empty() {
        Outcome::Intercepted
    } else if lab.has(&mail.to) {
        Outcome::Delivered
    } else {
        Outcome::Held
    };
    Ok(Shown { scenario, outcome, level, because, read })
}

async fn send(gateway: &Gateway, mail: &Mail) -> Result<Attempt> {
    let attempt = tokio::time::timeout(PATIENCE, gateway.send(mail)).await;
    attempt.context("no attempt was made within 30 s")?
}

/// A message that no other one can be taken for.
fn mail(scenario: &Scenario, demand: Message, mark: &str) -> Mail {
    let tag = match demand {
        Message::Unprotected | Message::Ordinary => "",
        Message::Sensitive => "[sensitive] ",
        Message::Critical => "[critical] ",
    };
    let domain =
        format!("{}.{}.{}.example", scenario.message.name(), scenario.attack, scenario.protection);
    Mail {
        from: format!("{mark}@sender.example"),
        to: format!("anna-{mark}@{domain}"),
        domain,
        subject: format!("{tag}Figures"),
        secret: format!("the secret of {mark}"),
    }
}

/// A folder of our own, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let mut random = [0u8; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| anyhow::anyhow!("no randomness"))?;
        let name = format!("waxseal-demo-{:016x}", u64::from_be_bytes(random));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    fn below(&self, name: &str) -> Result<PathBuf> {
        let path: &Path = &self.0;
        let path = path.join(name);
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left-overs in the temporary folder hurt nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A line that counts, on terminals only.
struct Progress {
    total: usize,
    done: std::sync::atomic::AtomicUsize,
    shown: bool,
}

impl Progress {
    fn new(total: usize, context: &Context) -> Self {
        let shown = std::io::stderr().is_terminal() && context.voice != Voice::Quiet;
        Self { total, done: 0.into(), shown }
    }

    fn step(&self) {
        let done = self.done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        if self.shown {
            let filled = "━".repeat(done * 40 / self.total.max(1));
            let _ = write!(std::io::stderr(), "\r{filled:·<40} {done}/{} messages", self.total);
        }
    }

    fn end(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
