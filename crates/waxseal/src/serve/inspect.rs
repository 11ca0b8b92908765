//! What `serve` would find in a configuration, without starting anything and without asking the
//! network: every file that is named is read, and the DNS records that belong to it are listed.

use std::{fs, io, net::IpAddr};

use waxseal_core::{domain::Domain, publish::Data};

use super::{checks, parts, preload, routes::Routes, settings};
use crate::{
    config::{Config, SecretRef},
    gather, publish,
    secrets::{SecretSource, StoreKeys},
    store, tls,
    watch::webhook,
    web,
};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Why `serve` would not start, one sentence each.
    pub faults: Vec<String>,
    /// Secrets that only the service can read: systemd hands them to nobody else.
    pub unread: Vec<String>,
    /// What should stand in DNS.
    pub records: Vec<Record>,
}

/// A DNS record that receivers look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its owner.
    pub name: Domain,
    /// `A`, `PTR`, `TXT`.
    pub kind: &'static str,
    /// Its data, not split and without quotes; `None` where only the administrator knows it.
    pub value: Option<String>,
    /// What it is for.
    pub why: &'static str,
}

/// Looks at everything that a configuration names.
pub fn inspect(config: &Config) -> Inspection {
    let mut found = Inspection::default();
    let config = readable(config, &mut found.unread);
    if config.domains.is_empty() {
        found.faults.push("there is no [[domain]]: no mail could be taken".into());
    }
    if config.listeners.is_empty() {
        found.faults.push("there is no [[listen]]: no mail could come in".into());
    }
    let mut note = |fault: Option<String>| found.faults.extend(fault);
    note(parts::organisation(&config, Vec::new()).err());
    note(Routes::build(&config).err());
    note(settings::resolver(&config).err());
    note(settings::certificate(&config).err());
    note(stored(&config).err());
    note(config.web.policy.as_ref().and_then(|_| web::PolicyHost::new(&config).err()));
    note(config.checks.webhook.as_ref().and_then(|hook| webhook::secret(hook).err()));
    note(tls::load_roots(&settings::roots(&config)).err().map(|error| error.to_string()));
    note(config.sts.preload.as_ref().and_then(|path| preload::read(path).err()));
    let hostname = match parts::hostname(&config) {
        Ok(hostname) => hostname,
        Err(fault) => {
            found.faults.push(fault);
            return found;
        }
    };
    note(settings::deliverer(&config, &hostname).err());
    for listen in &config.listeners {
        note(settings::listener(&config, listen, &hostname).err());
    }
    addresses(&config, &hostname, &mut found.records);
    for domain in &config.domains {
        let (spf, _) = publish::spf(&config, domain, &hostname);
        found.records.push(Record {
            name: domain.name.clone(),
            kind: "TXT",
            value: match spf.data {
                Data::Txt(text) => Some(text),
                Data::Tlsa(_) | Data::Cname(_) => None,
            },
            why: "SPF: these mechanisms have to be in it, beside what else sends for this domain",
        });
    }
    match settings::author(&config, &hostname) {
        Ok(author) => found.records.extend(author.signer.iter().map(|signer| Record {
            name: signer.name().clone(),
            kind: "TXT",
            value: Some(signer.record()),
            why: "DKIM: our reports and notices are signed with this key",
        })),
        Err(fault) => found.faults.push(fault),
    }
    // The same file may be named twice.
    let mut seen = std::collections::BTreeSet::new();
    found.faults.retain(|fault| seen.insert(fault.clone()));
    found
}

/// Whether the data directory and the store key can be what they are said to be.
fn stored(config: &Config) -> Result<(), String> {
    let store = store::Settings::of(config);
    let dir = store.data_dir.display();
    match fs::read_dir(&store.data_dir) {
        Ok(_) => {}
        // The first start makes it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(format!("data_dir {dir} cannot be used: {error}")),
    }
    if matches!(&config.store.key, SecretRef::Credential(_)) && !credentials() {
        return Ok(());
    }
    let source = SecretSource::from(&config.store.key);
    let keys = StoreKeys::existing(&source, &store.data_dir, &store.database);
    keys.map(|_| ()).map_err(|error| error.to_string())
}

/// Whether systemd hands us secrets.
fn credentials() -> bool {
    std::env::var_os("CREDENTIALS_DIRECTORY").is_some()
}

/// Our name, and the addresses that we are known to send from.
fn addresses(config: &Config, hostname: &Domain, records: &mut Vec<Record>) {
    let own = settings::own(config);
    let public = |address: &&IpAddr| gather::hostile(**address).is_none();
    let public: Vec<IpAddr> = own.addresses.iter().filter(public).copied().collect();
    let why = "our name in EHLO leads to the address that we send from";
    if public.is_empty() {
        records.push(Record { name: hostname.clone(), kind: "A", value: None, why });
    }
    for address in public {
        let kind = if address.is_ipv4() { "A" } else { "AAAA" };
        let value = Some(address.to_string());
        records.push(Record { name: hostname.clone(), kind, value, why });
        if let Some(name) = checks::reverse(address) {
            records.push(Record {
                name,
                kind: "PTR",
                value: Some(format!("{hostname}.")),
                why: "and back: large receivers refuse mail without it",
            });
        }
    }
}

/// The configuration without the secrets that systemd hands to the service only.
fn readable(config: &Config, unread: &mut Vec<String>) -> Config {
    let mut config = config.clone();
    if credentials() {
        return config;
    }
    let mut hidden = |secret: &SecretRef, key: &str| match secret {
        SecretRef::Credential(_) => {
            unread.push(format!("{secret} ({key})"));
            true
        }
        SecretRef::File(_) => false,
    };
    hidden(&config.store.key, "[store] key");
    for route in &mut config.routes {
        if route.auth.as_ref().is_some_and(|auth| hidden(&auth.secret, "[[route]] auth_secret")) {
            route.auth = None;
        }
    }
    if config.author.dkim.as_ref().is_some_and(|dkim| hidden(&dkim.key, "[author] dkim_key")) {
        config.author.dkim = None;
    }
    let hook = config.checks.webhook.as_mut();
    if let Some(hook) = hook
        && hook.secret.as_ref().is_some_and(|secret| hidden(secret, "[checks] webhook_secret"))
    {
        hook.secret = None;
    }
    config
}
