//! The whole little Internet.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use anyhow::{Context, Result, ensure};

use crate::{
    ca::{Ca, ServerKey, Validity},
    dns::{Data, DnsServer, Tree, Zone},
    mx::{MxServer, Personality, StartTls},
    sink::{Received, Sink},
    site::{ATTACKER_HOST, Addresses, Attack, Authorities, Protection, Site},
};

/// Our own organisation's mail domain.
pub const SENDER_DOMAIN: &str = "sender.example";
/// The mail server behind the gateway, which DSNs go to.
pub const INSIDE_HOST: &str = "mail.sender.example";

const ATTACKER_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 254);
const INSIDE_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);

/// A running lab. Dropping it stops everything.
pub struct Lab {
    dns: DnsServer,
    authorities: Authorities,
    sites: Vec<Site>,
    evil: MxServer,
    evil_sink: Sink,
    sink: Sink,
    inside: MxServer,
    inside_sink: Sink,
    map: BTreeMap<SocketAddr, SocketAddr>,
}

/// What the administrator of the gateway knows about partners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinning {
    /// Host, names and authority of each pinned site.
    Known,
    /// Nothing: they look like everybody else.
    Unknown,
}

impl Lab {
    /// Starts one site for each pair, with these mail domains (one label each) in each. All are
    /// healthy: [`Self::begin`] lets the attacks begin.
    ///
    /// # Errors
    /// More than 250 sites, or loopback has no sockets left.
    pub async fn start(cells: &[(Protection, Attack)], labels: &[&str]) -> Result<Self> {
        ensure!(cells.len() <= 250, "the lab has addresses for 250 sites, not for {}", cells.len());
        let authorities =
            Authorities { public: Ca::new("Lab Public CA")?, partner: Ca::new("Partner CA")? };
        let (sink, evil_sink, inside_sink) = (Sink::default(), Sink::default(), Sink::default());
        let host = |ca: &Ca, name: &str| {
            let identity = ca.issue(&ServerKey::generate()?, &[name], Validity::Current)?;
            anyhow::Ok(Personality::new(name, StartTls::Works(identity)))
        };
        let evil = host(&authorities.public, ATTACKER_HOST)?;
        let evil = MxServer::start(evil, evil_sink.clone()).await?;
        let inside = host(&authorities.partner, INSIDE_HOST)?;
        let inside = MxServer::start(inside, inside_sink.clone()).await?;
        let at = |address, port| SocketAddr::new(IpAddr::V4(address), port);
        let mut map = BTreeMap::from([
            (at(ATTACKER_ADDRESS, 25), evil.addr()),
            (at(INSIDE_ADDRESS, 25), inside.addr()),
        ]);
        let mut zones = vec![
            Zone::new("example").signed(),
            Zone::new("attacker.example").record("mx", &Data::A(ATTACKER_ADDRESS)),
            Zone::new(SENDER_DOMAIN).signed().record("mail", &Data::A(INSIDE_ADDRESS)),
        ];
        let mut sites = Vec::new();
        for (index, cell) in (1u8..).zip(cells) {
            let site = Site::start(*cell, labels, &authorities, sink.clone()).await?;
            let addresses = Addresses {
                mx: (
                    Ipv4Addr::new(192, 0, 2, index),
                    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(index)),
                ),
                policy: Ipv4Addr::new(198, 51, 100, index),
            };
            map.extend(site.map(addresses));
            zones.push(site.zone(addresses));
            sites.push(site);
        }
        let dns = DnsServer::start(Tree::build(zones)?).await?;
        Ok(Self { dns, authorities, sites, evil, evil_sink, sink, inside, inside_sink, map })
    }

    /// The attacks of these sites begin, or their servers break.
    pub fn begin(&self, which: impl Fn(&Site) -> bool) {
        for site in self.sites.iter().filter(|site| which(site)) {
            site.begin(&self.dns);
        }
    }

    /// All sites.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// One site.
    pub fn site(&self, protection: Protection, attack: Attack) -> Option<&Site> {
        let is = |site: &&Site| site.protection() == protection && site.attack() == attack;
        self.sites.iter().find(is)
    }

    /// The DNS server.
    pub const fn dns(&self) -> &DnsServer {
        &self.dns
    }

    /// Where DNS is, UDP and TCP.
    pub const fn dns_addr(&self) -> SocketAddr {
        self.dns.addr()
    }

    /// DS records of the lab's root, as in a zone file.
    pub fn root_anchor(&self) -> String {
        self.dns.root_ds()
    }

    /// The public authority that everybody trusts.
    pub fn ca_pem(&self) -> String {
        self.authorities.public.pem()
    }

    /// The authority that partners have agreed on; also the mail server behind the gateway.
    pub fn partner_ca_pem(&self) -> String {
        self.authorities.partner.pem()
    }

    /// From the documentation addresses that names resolve to, to sockets on loopback: for the
    /// gateway's one dialler.
    pub const fn map(&self) -> &BTreeMap<SocketAddr, SocketAddr> {
        &self.map
    }

    /// What the receiving servers of all sites took.
    pub const fn sink(&self) -> &Sink {
        &self.sink
    }

    /// What came back to the mail server behind the gateway.
    pub const fn inside_sink(&self) -> &Sink {
        &self.inside_sink
    }

    /// The mail server behind the gateway.
    pub const fn inside(&self) -> &MxServer {
        &self.inside
    }

    /// What the attacker's own mail server took.
    pub const fn evil_sink(&self) -> &Sink {
        &self.evil_sink
    }

    /// Whether an attacker could read these words: on the path to this site, or at the host that
    /// a forged MX leads to.
    pub fn saw(&self, site: &Site, words: &str) -> bool {
        site.attacker().transcript().saw(words) || self.evil.transcript().saw(words)
    }

    /// Whether the recipient's own server has it: `recipient` is an address.
    pub fn has(&self, recipient: &str) -> bool {
        self.sink.has(|message| is_for(message, recipient))
    }

    /// A configuration for a gateway that lives in this Internet. Writes what it names (anchor,
    /// authorities, certificate, store key) into `folder`.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn configuration(&self, folder: &Path, pinning: Pinning) -> Result<String> {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        write("root.ds", &self.root_anchor())?;
        write("roots.pem", &self.ca_pem())?;
        write("partner.pem", &self.partner_ca_pem())?;
        // A secret's file is always named with its whole path.
        let key = std::path::absolute(folder)?.join("store.key");
        let mut text = format!(
            "hostname = \"gw.{SENDER_DOMAIN}\"\n\
             data_dir = \"data\"\n\n\
             [dns]\nupstream = [\"{}\"]\ntrust_anchors = \"root.ds\"\n\n\
             [tls]\nroots = \"roots.pem\"\n\n\
             [store]\nurl = \"sqlite:waxseal.db\"\nkey = \"file:{}\"\n\n\
             [[domain]]\nname = \"{SENDER_DOMAIN}\"\ninside = \"{INSIDE_HOST}:25\"\n\
             inside_tls = \"pinned\"\ninside_ca = \"partner.pem\"\n\n\
             [[listen]]\naddress = \"127.0.0.1:0\"\ntls = \"none\"\nrelay_from = [\"127.0.0.0/8\"]\n",
            self.dns_addr(),
            key.display()
        );
        let pinned = |site: &&Site| site.protection() == Protection::Pinned;
        if pinning == Pinning::Known {
            for site in self.sites.iter().filter(pinned) {
                text.push_str(&format!(
                    "\n[[route]]\ndomain = \".{}\"\nhost = \"{}\"\ntls = \"pinned\"\n\
                     ca = \"partner.pem\"\n",
                    site.origin(),
                    site.host()
                ));
            }
        }
        // Nobody in the lab has to be spared.
        text.push_str("\n[checks]\npace = 60000\n\n[network.map]\n");
        for (from, to) in &self.map {
            text.push_str(&format!("\"{from}\" = \"{to}\"\n"));
        }
        Ok(text)
    }
}

/// Whether one of a message's recipients is this address.
pub fn is_for(message: &Received, recipient: &str) -> bool {
    let wanted = format!("<{recipient}>");
    message.recipients.iter().any(|argument| argument.starts_with(&wanted))
}
