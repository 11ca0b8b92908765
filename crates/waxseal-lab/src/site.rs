//! One recipient organisation: what protects it, and who attacks it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use anyhow::Result;

use crate::{
    attacker::{Attacker, Method},
    ca::{Ca, Identity, ServerKey, Validity},
    dns::{Act, Data, DnsServer, Tampering, Zone, rcode, rtype},
    mx::{MxServer, Personality, StartTls},
    policy_host::{Answer, PolicyHost, PolicyPersonality, policy_text},
    sink::Sink,
};

/// What the recipient domain has (DESIGN §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protection {
    /// No STARTTLS.
    None,
    /// STARTTLS with a self-signed certificate, nothing published.
    Opportunistic,
    /// MTA-STS `testing`.
    StsTesting,
    /// MTA-STS `enforce`, never seen before.
    StsCold,
    /// MTA-STS `enforce`, known from before the attack.
    StsCached,
    /// A signed zone and TLSA `3 1 1`.
    Dane,
    /// Both.
    DaneAndSts,
    /// Names and a private authority, agreed out of band.
    Pinned,
}

impl Protection {
    /// All, in the order of the picture.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::Opportunistic,
        Self::StsTesting,
        Self::StsCold,
        Self::StsCached,
        Self::Dane,
        Self::DaneAndSts,
        Self::Pinned,
    ];

    /// As in scenario ids.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Opportunistic => "opportunistic",
            Self::StsTesting => "sts-testing",
            Self::StsCold => "sts-cold",
            Self::StsCached => "sts-cached",
            Self::Dane => "dane",
            Self::DaneAndSts => "dane-and-sts",
            Self::Pinned => "pinned",
        }
    }

    /// Whether the zone is signed.
    pub const fn is_signed(self) -> bool {
        matches!(self, Self::Dane | Self::DaneAndSts)
    }

    /// Whether the server offers STARTTLS.
    pub const fn is_encrypted(self) -> bool {
        !matches!(self, Self::None)
    }

    /// The `mode` of the MTA-STS policy.
    pub const fn policy(self) -> Option<&'static str> {
        match self {
            Self::StsTesting => Some("testing"),
            Self::StsCold | Self::StsCached | Self::DaneAndSts => Some("enforce"),
            Self::None | Self::Opportunistic | Self::Dane | Self::Pinned => None,
        }
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the attacker on the path does, or what is broken at the peer (DESIGN §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attack {
    /// Nothing.
    Nobody,
    /// Records everything.
    Eavesdrop,
    /// Removes STARTTLS from the EHLO reply, reads what follows.
    StripStartTls,
    /// Appends plaintext after the 220.
    InjectAfterStartTls,
    /// Terminates TLS with an own certificate for the right name.
    SelfSigned,
    /// Terminates TLS with a certificate for the right name from a public authority.
    MisissuedCert,
    /// Answers MX with an own host that has a valid certificate for its own name.
    ForgedMx,
    /// Forges NXDOMAIN for the names of MTA-STS, then as `SelfSigned`.
    SuppressSts,
    /// Cuts HTTPS to the policy host, then as `SelfSigned`.
    BlockPolicyHost,
    /// Plays the policy host without a valid certificate, then as `SelfSigned`.
    PolicyWrongCert,
    /// Takes DNSSEC signatures out of the answers of this domain, then as `SelfSigned`.
    StripRrsig,
    /// Breaks them, then as `SelfSigned`.
    BogusSignature,
    /// Replaces TLSA by the digest of its own key, then as `SelfSigned`.
    ForgedTlsa,
    /// Makes TLSA lookups fail, then as `SelfSigned`.
    TlsaServfail,
    /// Nobody attacks: the certificate has expired.
    ExpiredCert,
    /// Nobody attacks: the certificate is for another name.
    WrongName,
    /// Nobody attacks: the server speaks nothing newer than TLS 1.0.
    Tls10Only,
}

impl Attack {
    /// All, in the order of the picture.
    pub const ALL: [Self; 17] = [
        Self::Nobody,
        Self::Eavesdrop,
        Self::StripStartTls,
        Self::InjectAfterStartTls,
        Self::SelfSigned,
        Self::MisissuedCert,
        Self::ForgedMx,
        Self::SuppressSts,
        Self::BlockPolicyHost,
        Self::PolicyWrongCert,
        Self::StripRrsig,
        Self::BogusSignature,
        Self::ForgedTlsa,
        Self::TlsaServfail,
        Self::ExpiredCert,
        Self::WrongName,
        Self::Tls10Only,
    ];

    /// As in scenario ids.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Eavesdrop => "eavesdrop",
            Self::StripStartTls => "strip-starttls",
            Self::InjectAfterStartTls => "inject-after-starttls",
            Self::SelfSigned => "self-signed",
            Self::MisissuedCert => "misissued-cert",
            Self::ForgedMx => "forged-mx",
            Self::SuppressSts => "suppress-sts",
            Self::BlockPolicyHost => "block-policy-host",
            Self::PolicyWrongCert => "policy-wrong-cert",
            Self::StripRrsig => "strip-rrsig",
            Self::BogusSignature => "bogus-signature",
            Self::ForgedTlsa => "forged-tlsa",
            Self::TlsaServfail => "tlsa-servfail",
            Self::ExpiredCert => "expired-cert",
            Self::WrongName => "wrong-name",
            Self::Tls10Only => "tls10-only",
        }
    }
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Host name of the attacker's own mail server.
pub const ATTACKER_HOST: &str = "mx.attacker.example";

/// The authorities of the lab.
pub(crate) struct Authorities {
    /// Trusted by everybody, and can be fooled.
    pub(crate) public: Ca,
    /// Known to partners only.
    pub(crate) partner: Ca,
}

/// Where the servers of a site seem to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) mx: (Ipv4Addr, Ipv6Addr),
    pub(crate) policy: Ipv4Addr,
}

/// One recipient organisation with its servers and its attacker, running.
pub struct Site {
    protection: Protection,
    attack: Attack,
    origin: String,
    domains: Vec<String>,
    mx: MxServer,
    identity: Identity,
    attacker: Attacker,
    policy: Option<PolicyHost>,
    damage: Damage,
}

/// What happens to the site when the attack begins.
struct Damage {
    method: Method,
    /// The server itself breaks.
    broken: Option<StartTls>,
    /// What a false policy host shows.
    false_policy: Option<PolicyPersonality>,
    dns: Vec<Tampering>,
}

impl Site {
    /// Starts the servers of one organisation, healthy and with an attacker who waits. `labels`
    /// are its mail domains, one label each.
    pub(crate) async fn start(
        (protection, attack): (Protection, Attack),
        labels: &[&str],
        authorities: &Authorities,
        sink: Sink,
    ) -> Result<Self> {
        let origin = format!("{attack}.{protection}.example");
        let domains: Vec<String> = labels.iter().map(|label| format!("{label}.{origin}")).collect();
        let host = format!("mx.{origin}");
        let server = Server { protection, key: ServerKey::generate()?, authorities };
        let identity = server.identity(&host, Validity::Current)?;
        let starttls = match protection.is_encrypted() {
            true => StartTls::Works(identity.clone()),
            false => StartTls::Absent,
        };
        let mx = MxServer::start(Personality::new(&host, starttls), sink).await?;
        let attacker = Attacker::start(mx.addr(), Method::Absent).await?;
        let mut policy = None;
        let mut false_policy = None;
        if let Some(mode) = protection.policy() {
            let names: Vec<String> = domains.iter().map(|d| format!("mta-sts.{d}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let key = ServerKey::generate()?;
            let identity = authorities.public.issue(&key, &names, Validity::Current)?;
            let healthy =
                PolicyPersonality { identity, answer: Answer::Policy(policy_text(mode, &[&host])) };
            false_policy = false_policy_host(attack, &healthy, &names)?;
            policy = Some(PolicyHost::start(healthy).await?);
        }
        let own = ServerKey::generate()?;
        let method = method(attack, (&own, &host), &authorities.public)?;
        let broken = server.broken(attack, &host)?;
        let own = Identity::self_signed(&own, &[&host], Validity::Current)?;
        let dns = tampering(attack, &origin, &domains, &own);
        let damage = Damage { method, broken, false_policy, dns };
        Ok(Self { protection, attack, origin, domains, mx, identity, attacker, policy, damage })
    }

    /// What protects it.
    pub const fn protection(&self) -> Protection {
        self.protection
    }

    /// Who attacks it.
    pub const fn attack(&self) -> Attack {
        self.attack
    }

    /// Its mail domains.
    pub fn domains(&self) -> &[String] {
        &self.domains
    }

    /// Its mail server's name.
    pub fn host(&self) -> String {
        format!("mx.{}", self.origin)
    }

    /// The zone that holds all its names.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Its mail server, for other personalities.
    pub const fn mx(&self) -> &MxServer {
        &self.mx
    }

    /// What its mail server shows while it is healthy.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its policy host, where it has one.
    pub const fn policy_host(&self) -> Option<&PolicyHost> {
        self.policy.as_ref()
    }

    /// Who sits on the path.
    pub const fn attacker(&self) -> &Attacker {
        &self.attacker
    }

    /// The zone with all its names.
    pub(crate) fn zone(&self, addresses: Addresses) -> Zone {
        // What was known before the attack must not hide it: nothing may come from a DNS cache.
        let ttl = if self.protection == Protection::StsCached { 0 } else { 300 };
        let mut zone = Zone::new(&self.origin).ttl(ttl);
        if self.protection.is_signed() {
            zone = zone.signed();
        }
        for domain in &self.domains {
            zone.add(&format!("{domain}."), &Data::mx(10, &self.host()));
            if self.policy.is_some() {
                let record = Data::txt("v=STSv1; id=20261122;");
                zone.add(&format!("_mta-sts.{domain}."), &record);
                zone.add(&format!("mta-sts.{domain}."), &Data::A(addresses.policy));
            }
        }
        zone.add("mx", &Data::A(addresses.mx.0));
        zone.add("mx", &Data::Aaaa(addresses.mx.1));
        if self.protection.is_signed() {
            let data = self.identity.spki_sha256.clone();
            let tlsa = Data::Tlsa { usage: 3, selector: 1, matching: 1, data };
            zone.add("_25._tcp.mx", &tlsa);
        }
        zone
    }

    /// Where connections to its addresses really go: to the attacker in front of the server.
    pub(crate) fn map(&self, addresses: Addresses) -> Vec<(SocketAddr, SocketAddr)> {
        let mut map = vec![
            (SocketAddr::new(IpAddr::V4(addresses.mx.0), 25), self.attacker.addr()),
            (SocketAddr::new(IpAddr::V6(addresses.mx.1), 25), self.attacker.addr()),
        ];
        if let Some(policy) = &self.policy {
            map.push((SocketAddr::new(IpAddr::V4(addresses.policy), 443), policy.addr()));
        }
        map
    }

    /// The attack begins, or the server breaks; connections from before are cut.
    pub fn begin(&self, dns: &DnsServer) {
        for tampering in &self.damage.dns {
            dns.tamper(tampering.clone());
        }
        if let (Some(policy), Some(personality)) = (&self.policy, &self.damage.false_policy) {
            policy.become_like(personality.clone());
        }
        if let Some(starttls) = &self.damage.broken {
            self.mx.become_like(Personality::new(&self.host(), starttls.clone()));
        }
        self.attacker.begin(self.damage.method.clone());
    }
}

/// What makes a site's identities.
struct Server<'a> {
    protection: Protection,
    key: ServerKey,
    authorities: &'a Authorities,
}

impl Server<'_> {
    /// Always the same key, so that a TLSA record of it stays right.
    fn identity(&self, name: &str, validity: Validity) -> Result<Identity> {
        match self.protection {
            Protection::None | Protection::Opportunistic | Protection::Dane => {
                Identity::self_signed(&self.key, &[name], validity)
            }
            Protection::StsTesting
            | Protection::StsCold
            | Protection::StsCached
            | Protection::DaneAndSts => self.authorities.public.issue(&self.key, &[name], validity),
            Protection::Pinned => self.authorities.partner.issue(&self.key, &[name], validity),
        }
    }

    fn broken(&self, attack: Attack, host: &str) -> Result<Option<StartTls>> {
        let (name, validity) = match attack {
            Attack::ExpiredCert => (host, Validity::Expired),
            Attack::WrongName => ("mail.elsewhere.example", Validity::Current),
            Attack::Tls10Only => return Ok(Some(StartTls::Legacy)),
            Attack::Nobody
            | Attack::Eavesdrop
            | Attack::StripStartTls
            | Attack::InjectAfterStartTls
            | Attack::SelfSigned
            | Attack::MisissuedCert
            | Attack::ForgedMx
            | Attack::SuppressSts
            | Attack::BlockPolicyHost
            | Attack::PolicyWrongCert
            | Attack::StripRrsig
            | Attack::BogusSignature
            | Attack::ForgedTlsa
            | Attack::TlsaServfail => return Ok(None),
        };
        Ok(Some(StartTls::Works(self.identity(name, validity)?)))
    }
}

/// What the attacker does with connections to the mail server.
fn method(attack: Attack, (key, host): (&ServerKey, &str), fooled: &Ca) -> Result<Method> {
    Ok(match attack {
        // A forged MX leads elsewhere, so nobody needs to sit on this path.
        Attack::Nobody
        | Attack::ForgedMx
        | Attack::ExpiredCert
        | Attack::WrongName
        | Attack::Tls10Only => Method::Absent,
        Attack::Eavesdrop => Method::Eavesdrop,
        Attack::StripStartTls => Method::StripStartTls,
        Attack::InjectAfterStartTls => Method::InjectAfterStartTls,
        Attack::MisissuedCert => {
            Method::Impersonate(fooled.issue(key, &[host], Validity::Current)?)
        }
        Attack::SelfSigned
        | Attack::SuppressSts
        | Attack::BlockPolicyHost
        | Attack::PolicyWrongCert
        | Attack::StripRrsig
        | Attack::BogusSignature
        | Attack::ForgedTlsa
        | Attack::TlsaServfail => {
            Method::Impersonate(Identity::self_signed(key, &[host], Validity::Current)?)
        }
    })
}

/// What the attacker does to the DNS of this domain.
fn tampering(attack: Attack, origin: &str, domains: &[String], own: &Identity) -> Vec<Tampering> {
    match attack {
        Attack::Nobody
        | Attack::Eavesdrop
        | Attack::StripStartTls
        | Attack::InjectAfterStartTls
        | Attack::SelfSigned
        | Attack::MisissuedCert
        | Attack::BlockPolicyHost
        | Attack::PolicyWrongCert
        | Attack::ExpiredCert
        | Attack::WrongName
        | Attack::Tls10Only => Vec::new(),
        Attack::ForgedMx => {
            let forged = Act::Replace(vec![Data::mx(10, ATTACKER_HOST)]);
            vec![Tampering::only(origin, rtype::MX, forged)]
        }
        Attack::SuppressSts => {
            let names =
                domains.iter().flat_map(|d| [format!("_mta-sts.{d}"), format!("mta-sts.{d}")]);
            names.map(|name| Tampering::all(&name, Act::NxDomain)).collect()
        }
        Attack::StripRrsig => vec![Tampering::all(origin, Act::StripSignatures)],
        Attack::BogusSignature => vec![Tampering::all(origin, Act::BreakSignatures)],
        Attack::ForgedTlsa => {
            let data = own.spki_sha256.clone();
            let forged = Data::Tlsa { usage: 3, selector: 1, matching: 1, data };
            vec![Tampering::only(origin, rtype::TLSA, Act::Replace(vec![forged]))]
        }
        Attack::TlsaServfail => {
            vec![Tampering::only(origin, rtype::TLSA, Act::Fail(rcode::SERVFAIL))]
        }
    }
}

/// What the attacker does to HTTPS.
fn false_policy_host(
    attack: Attack,
    healthy: &PolicyPersonality,
    names: &[&str],
) -> Result<Option<PolicyPersonality>> {
    Ok(match attack {
        Attack::BlockPolicyHost => {
            Some(PolicyPersonality { answer: Answer::Blocked, ..healthy.clone() })
        }
        Attack::PolicyWrongCert => {
            let key = ServerKey::generate()?;
            let identity = Identity::self_signed(&key, names, Validity::Current)?;
            Some(PolicyPersonality { identity, answer: Answer::Policy(policy_text("none", &[])) })
        }
        Attack::Nobody
        | Attack::Eavesdrop
        | Attack::StripStartTls
        | Attack::InjectAfterStartTls
        | Attack::SelfSigned
        | Attack::MisissuedCert
        | Attack::ForgedMx
        | Attack::SuppressSts
        | Attack::StripRrsig
        | Attack::BogusSignature
        | Attack::ForgedTlsa
        | Attack::TlsaServfail
        | Attack::ExpiredCert
        | Attack::WrongName
        | Attack::Tls10Only => None,
    })
}
