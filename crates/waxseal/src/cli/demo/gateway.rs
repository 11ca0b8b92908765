//! The gateway in the lab: the same parts that `serve` runs, from the text of a configuration.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use waxseal_core::{
    channel::{Floor, Level, Pins},
    decide::{Ask, Because, Case, MessageView, Plan, Route, plan, verdict},
    dnssec::Anchors,
    domain::Domain,
    envelope::{Mailbox, Notify, Recipient, ReversePath},
    facts::Peer,
    memory::Memory,
    org::{Agreement, Condition, Honour, Org, Reach, RouteTls, Rule, Terms},
};

use crate::{
    config::{Config, RouteDomain},
    deliver::{AlreadyDurable, Deliverer, Delivery, Job, Settings as DeliverSettings},
    dial::{Dialler, Settings as DialSettings},
    fetch::{PolicyFetcher, Settings as FetchSettings},
    gather::{Dns, Forgetful, Gatherer, RouteTarget, Settings as GatherSettings},
    resolve::{Clock, Resolver, Settings as ResolveSettings, Transport, Upstream},
    tls::{Roots, load_roots},
};

/// How the gateway behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    /// As in any installation, with floors for tagged subjects.
    Guarded,
    /// For contrast: floor `none`, publications not honoured. No configuration can say this.
    Opportunistic,
}

/// A message to send.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) domain: String,
    pub(super) subject: String,
    /// In the body: whoever can read this has read the message.
    pub(super) secret: String,
}

/// What the gateway says about its first attempt.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) level: Option<Level>,
    pub(super) because: Vec<Because>,
}

/// A running gateway.
pub(super) struct Gateway {
    org: Org,
    routes: Vec<(Domain, RouteTarget, Agreement)>,
    gatherer: Gatherer,
    deliverer: Deliverer,
}

impl Gateway {
    /// Starts it from the text of a configuration.
    pub(super) async fn start(text: &str, folder: &Path, profile: Profile) -> Result<Self> {
        let file = folder.join("waxseal.toml");
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        let config = Config::load(&file)?;
        let roots = match &config.tls.roots {
            crate::config::Roots::System => Roots::System,
            crate::config::Roots::File(path) => Roots::File(path.clone()),
        };
        let roots = Arc::new(load_roots(&roots)?);
        let upstreams = config.dns.upstream.iter();
        let upstreams =
            upstreams.map(|u| Upstream { address: u.address, transport: Transport::Udp });
        let anchors = config.dns.trust_anchors.clone().context("an anchor")?;
        let anchors = Anchors::parse(&std::fs::read_to_string(anchors)?)
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        let settings = ResolveSettings { anchors, ..ResolveSettings::new(upstreams.collect()) };
        let dns: Arc<dyn Dns> = Arc::new(Resolver::new(settings));
        let map = config.network.clone().into_iter().collect();
        let dialler = Dialler::new(DialSettings { map, ..DialSettings::default() });
        let fetch = FetchSettings { timeout: Duration::from_secs(5), ..FetchSettings::default() };
        let fetcher = PolicyFetcher::new(fetch, Arc::clone(&dns), dialler.clone(), &roots)?;
        let settings = GatherSettings::default();
        let store = Arc::new(Forgetful::default());
        let gatherer = Gatherer::new(settings, dns, Arc::new(fetcher), store);
        let hello = config.hostname.as_ref().context("a name")?.as_str().to_owned();
        let settings = DeliverSettings { hello, ..DeliverSettings::default() };
        let deliverer = Deliverer::new(settings, dialler, roots)?;
        Ok(Self { org: org(profile), routes: routes(&config)?, gatherer, deliverer })
    }

    /// Where mail is handed in.
    pub(super) const fn submission(&self) -> Option<SocketAddr> {
        None
    }

    /// Sends a message and waits for the end of its first attempt.
    pub(super) async fn send(&self, mail: &Mail) -> Result<Attempt> {
        let now = Clock::system().now();
        let mailbox = |text: &str| {
            let (local, domain) = text.split_once('@').context("an address")?;
            anyhow::Ok(Mailbox { local: local.to_owned(), domain: Domain::parse(domain)? })
        };
        let reverse_path = ReversePath::Mailbox(mailbox(&mail.from)?);
        let mailbox = mailbox(&mail.to)?;
        let recipient = Recipient { mailbox, notify: Notify::default(), original: None };
        let headers = [("subject".to_owned(), mail.subject.clone())];
        let view = MessageView { reverse_path: &reverse_path, headers: &headers };
        let verdict = verdict(&self.org, &view, &recipient, now);
        let destination = Domain::parse(&mail.domain)?;
        let route = self.routes.iter().find(|(within, ..)| destination.is_within(within));
        let target = route.map(|(_, target, _)| target);
        let agreement = route.map(|(.., agreement)| agreement.clone());
        let gathered = self.gatherer.gather(&destination, target, now).await;
        let case = Case {
            terms: &Terms { trust: self.org.trust, agreement },
            ask: &Ask::default(),
            verdict: &verdict,
            facts: &gathered.facts,
            memory: &Memory::default(),
            origin: view.origin(),
            first_tried: None,
        };
        let plan = plan(&case, 0, now);
        let content = content(mail);
        let job = Job {
            plan: &plan,
            reverse_path: &reverse_path,
            recipients: &[recipient],
            ask: Ask::default(),
            ret: None,
            envelope_id: None,
            content: content.as_bytes(),
            now,
        };
        let delivery = self.deliverer.deliver(job, &AlreadyDurable).await;
        Ok(report(&plan, &delivery))
    }

    /// Stops it in an orderly way.
    pub(super) async fn stop(self) {
        self.deliverer.close().await;
    }
}

fn content(mail: &Mail) -> String {
    format!(
        "From: <{}>\r\nTo: <{}>\r\nSubject: {}\r\nDate: Sun, 22 Nov 2026 09:00:00 +0000\r\n\
         Message-ID: <{}>\r\n\r\nHello,\r\nhere is {}.\r\n",
        mail.from, mail.to, mail.subject, mail.from, mail.secret
    )
}

fn report(plan: &Plan, delivery: &Delivery) -> Attempt {
    let mut because = plan.because.clone();
    for route in &plan.routes {
        if let Route::Host(host) = route {
            because.extend(host.because.iter().cloned());
        }
    }
    for attempt in &delivery.tries {
        let cause = attempt.refusal().map(ToString::to_string);
        if let Some(cause) = cause.or_else(|| attempt.cause.as_ref().map(|c| format!("{c:?}"))) {
            because.push(Because::new(
                cause,
                "the channel may not carry this message",
                "DESIGN P2",
            ));
        }
    }
    Attempt { level: delivery.tries.iter().find_map(|attempt| attempt.level()), because }
}

fn org(profile: Profile) -> Org {
    let mut org = Org::default();
    match profile {
        Profile::Guarded => {
            for (name, require) in
                [("sensitive", Floor::Authenticated), ("critical", Floor::Qualified)]
            {
                org.rules.push(Rule {
                    name: name.to_owned(),
                    when: vec![Condition::SubjectTag(vec![format!("[{name}]")])],
                    require,
                    otherwise: None,
                    patience: None,
                    notify: None,
                });
            }
        }
        Profile::Opportunistic => {
            org.defaults.floor = Floor::None;
            org.trust.honour = Honour::Nothing;
        }
    }
    org
}

fn routes(config: &Config) -> Result<Vec<(Domain, RouteTarget, Agreement)>> {
    let mut routes = Vec::new();
    for route in &config.routes {
        let RouteDomain::Within(domain) = &route.domain else { continue };
        let ca = route.tls.ca.as_ref().context("an authority")?;
        let authorities = CertificateDer::pem_file_iter(ca)?
            .map(|certificate| Ok(certificate?.as_ref().to_vec()))
            .collect::<Result<_>>()?;
        let Peer::Name(name) = &route.host else { continue };
        let agreement = Agreement {
            names: vec![name.clone()],
            pins: Some(Pins { keys: Vec::new(), authorities }),
            demand: RouteTls::Authenticated,
            reach: Reach::Destination,
        };
        let target = RouteTarget { host: route.host.clone(), port: route.port };
        routes.push((domain.clone(), target, agreement));
    }
    Ok(routes)
}
