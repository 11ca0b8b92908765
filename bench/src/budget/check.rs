//! `waxseal check` over many domains of a little Internet: how many a minute where it asks DNS alone,
//! and how many probes the mail hosts see where it asks everything. The real command runs, as a
//! process of its own; DNS and the mail hosts are in this one.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use waxseal_bench::{
    cpu,
    gateway::Home,
    machine,
    report::{Budget, Report},
};
use waxseal_lab::{
    ca::{Ca, Identity, ServerKey, Validity},
    dns::{Data, DnsServer, Tree, Zone},
    mx::{MxServer, Personality, StartTls},
    sink::Sink,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Domains to check
    #[arg(long, default_value_t = 10_000)]
    domains: usize,
    /// Domains at the same time
    #[arg(long, short, default_value_t = 64)]
    jobs: u16,
    /// Only one half of the measurement
    #[arg(long)]
    only: Option<Half>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Half {
    /// Domains a minute without probes
    Dns,
    /// Probes of the mail hosts
    Probes,
}

/// Operators of mail hosts, each with two hosts of one address each.
const OPERATORS: usize = 30;
const HOSTS: usize = 2;
/// One more operator with one domain, to see what one probe is.
const REFERENCE: &str = "alone.example";

pub(crate) fn measure(report: &mut Report, args: &Args, data: &Path) -> anyhow::Result<()> {
    let home = Home::new(data)?;
    let runtime = crate::runtime()?;
    let world = runtime.block_on(World::start(&home, args.domains))?;
    let many = format!("{} domains at {OPERATORS} operators", args.domains);
    if args.only != Some(Half::Probes) {
        let run = world.check(&home, &["--dns-only"], (&world.domains, args.jobs))?;
        let minutes = run.took.as_secs_f64() / 60.0;
        let rate = args.domains as f64 / minutes;
        report.add(format!("{many}, DNS only"), (rate, "/min"), Budget::AtLeast(1_000.0));
        let each = run.cpu.as_secs_f64() * 1e3 / args.domains as f64;
        report.add("  CPU of the command, each domain", (each, "ms"), Budget::None);
        let asked = world.dns.questions().len() as f64 / args.domains as f64;
        report.add("  questions to the resolver, each domain", (asked, ""), Budget::None);
        ensure!(world.connections(0..=OPERATORS) == 0, "mail hosts were connected to");
    }
    if args.only != Some(Half::Dns) {
        world.check(&home, &[], (&[REFERENCE.to_owned()], 1))?;
        let one = world.connections(OPERATORS..=OPERATORS) / HOSTS;
        ensure!(one > 0, "the reference was not probed");
        let run = world.check(&home, &[], (&world.domains, args.jobs))?;
        let seen = world.connections(0..=OPERATORS - 1);
        report.add(format!("{many}: connections"), (seen as f64, ""), Budget::None);
        report.add("  connections of one probe", (one as f64, ""), Budget::None);
        let probes = seen as f64 / (one * OPERATORS * HOSTS) as f64;
        report.add("  probes of each MX address", (probes, ""), Budget::AtMost(1.0));
        report.add("  all of it", (run.took.as_secs_f64(), "s"), Budget::None);
    }
    Ok(())
}

/// DNS with all domains, and the mail hosts.
struct World {
    dns: DnsServer,
    /// By operator; the reference is the last.
    hosts: Vec<Vec<MxServer>>,
    domains: Vec<String>,
}

/// How a run went.
struct Run {
    took: Duration,
    cpu: Duration,
}

impl World {
    async fn start(home: &Home, count: usize) -> anyhow::Result<Self> {
        let ca = Ca::new("Public CA")?;
        let mut zones = vec![
            Zone::new("example").signed(),
            Zone::new("test").signed(),
            Zone::new(REFERENCE)
                .record("@", &Data::mx(10, &host(OPERATORS, 0)))
                .record("@", &Data::mx(20, &host(OPERATORS, 1))),
        ];
        let (mut hosts, mut map) = (Vec::new(), String::new());
        for operator in 0..=OPERATORS {
            let (zone, servers) = start_operator(operator, &ca, &mut map).await?;
            zones.push(zone);
            hosts.push(servers);
        }
        let domains: Vec<String> = (0..count).map(|n| format!("d{n}.example")).collect();
        zones.extend(domains.iter().enumerate().map(|(number, name)| domain(number, name)));
        eprintln!("check: making {} zones", zones.len());
        let dns = DnsServer::start(Tree::build(zones)?).await?;
        fs::write(home.path().join("root.ds"), dns.root_ds())?;
        fs::write(home.path().join("roots.pem"), ca.pem())?;
        let text = include_str!("../../budget/check.toml")
            .replace("{folder}", &home.path().display().to_string())
            .replace("{dns}", &dns.addr().to_string());
        fs::write(home.path().join("waxseal.toml"), text + &map)?;
        Ok(Self { dns, hosts, domains })
    }

    /// Runs the command over these domains.
    fn check(
        &self,
        home: &Home,
        more: &[&str],
        (domains, jobs): (&[String], u16),
    ) -> anyhow::Result<Run> {
        let list = home.path().join("domains");
        fs::write(&list, domains.join("\n"))?;
        let said = fs::File::create(home.path().join("stderr"))?;
        let begun = Instant::now();
        let mut process = Command::new(machine::waxseal()?)
            .arg("-c")
            .arg(home.path().join("waxseal.toml"))
            .args(["--json", "check", "--from"])
            .arg(list)
            .args(["-j", &jobs.to_string()])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(said)
            .spawn()?;
        let output = BufReader::new(process.stdout.take().context("no output")?);
        let (mut reports, mut cpu) = (0, Duration::ZERO);
        for line in output.lines() {
            ensure!(line?.contains("\"level\":"), "a domain could not be checked");
            reports += 1;
            if reports % 1_000 == 0 {
                eprintln!("check: {reports} of {} domains", domains.len());
            }
            cpu = cpu::of(process.id()).unwrap_or(cpu);
        }
        let took = begun.elapsed();
        process.wait()?;
        let words = fs::read_to_string(home.path().join("stderr")).unwrap_or_default();
        ensure!(reports == domains.len(), "{reports} reports; waxseal said:\n{words}");
        Ok(Run { took, cpu })
    }

    /// Connections that the hosts of these operators have seen.
    fn connections(&self, operators: std::ops::RangeInclusive<usize>) -> usize {
        let hosts = self.hosts.get(operators).into_iter().flatten().flatten();
        hosts.map(|host| host.transcript().sessions()).sum()
    }
}

fn host(operator: usize, number: usize) -> String {
    format!("mx{number}.operator{operator}.test")
}

/// An operator's zone and mail hosts. Every second one has a signed zone with TLSA records.
async fn start_operator(
    operator: usize,
    ca: &Ca,
    map: &mut String,
) -> anyhow::Result<(Zone, Vec<MxServer>)> {
    let mut zone = Zone::new(&format!("operator{operator}.test"))
        .record("spf", &Data::txt("v=spf1 ip4:192.0.2.0/24 -all"));
    let signed = operator.is_multiple_of(2);
    if signed {
        zone = zone.signed();
    }
    let mut servers = Vec::new();
    for number in 0..HOSTS {
        let name = host(operator, number);
        let identity: Identity = ca.issue(&ServerKey::generate()?, &[&name], Validity::Current)?;
        let label = format!("mx{number}");
        if signed {
            let data = identity.spki_sha256.clone();
            let tlsa = Data::Tlsa { usage: 3, selector: 1, matching: 1, data };
            zone.add(&format!("_25._tcp.{label}"), &tlsa);
        }
        let last = u8::try_from(operator * HOSTS + number + 10)?;
        let address = Ipv4Addr::new(192, 0, 2, last);
        zone.add(&label, &Data::A(address));
        let personality = Personality::new(&name, StartTls::Works(identity));
        let server = MxServer::start(personality, Sink::default()).await?;
        let public = SocketAddr::from((address, 25));
        map.push_str(&format!("\"{public}\" = \"{}\"\n", server.addr()));
        servers.push(server);
    }
    Ok((zone, servers))
}

/// A mail domain. Every third is signed; most say something about SPF, DMARC and TLSRPT.
fn domain(number: usize, name: &str) -> Zone {
    let operator = number % OPERATORS;
    let mut zone = Zone::new(name);
    if number.is_multiple_of(3) {
        zone = zone.signed();
    }
    for (place, preference) in (0..HOSTS).zip([10, 20]) {
        zone.add("@", &Data::mx(preference, &host(operator, place)));
    }
    if !number.is_multiple_of(10) {
        let spf = format!("v=spf1 include:spf.operator{operator}.test -all");
        zone.add("@", &Data::txt(&spf));
    }
    if number % 5 > 1 {
        zone.add("_dmarc", &Data::txt("v=DMARC1; p=quarantine"));
    }
    if number.is_multiple_of(5) {
        zone.add("_smtp._tls", &Data::txt(&format!("v=TLSRPTv1; rua=mailto:tls@{name}")));
    }
    zone
}
