//! `[checks]`: what is looked at again and again, and who hears of it.

use std::time::Duration;

use hyper::Uri;
use waxseal_core::domain::Domain;

use super::{
    SecretRef, SenderDomain,
    build::{Build, Ground},
    raw::RawChecks,
    values::Span,
};

/// `[checks]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checks {
    /// Between two looks at one of our domains; `None`: never.
    pub own: Option<Duration>,
    /// Between two looks at a domain that we send to; `None`: never.
    pub partners: Option<Duration>,
    /// The most of them, those most used.
    pub partners_max: usize,
    /// How mail hosts are asked, by `check` as well.
    pub probing: Probing,
    /// Nothing is told again within this.
    pub repeat: Duration,
    /// Where alerts are posted.
    pub webhook: Option<Webhook>,
    /// Whether the postmaster hears of alerts.
    pub mail: MailAlerts,
}

/// How mail hosts are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probing {
    /// Connections a minute to the mail hosts of one operator.
    pub pace: usize,
    /// One connection, from the first packet to the last.
    pub timeout: Duration,
    /// All connections to one address together.
    pub host_timeout: Duration,
    /// Everything about one domain together.
    pub domain_timeout: Duration,
}

impl Probing {
    /// Between two connections.
    pub fn interval(&self) -> Duration {
        let pace = u32::try_from(self.pace.max(1)).unwrap_or(u32::MAX);
        Duration::from_secs(60) / pace
    }
}

/// Whether alerts are sent as mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailAlerts {
    /// To `author.postmaster`.
    Sent,
    /// Not.
    NotSent,
}

/// Where alerts are posted: `https://host[:port]/path`.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// A name or an address.
    pub host: String,
    /// 443.
    pub port: u16,
    /// Path and query.
    pub path: String,
    /// What signs.
    pub secret: Option<SecretRef>,
    /// Whether it may be inside our own network.
    pub private: Private,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not its path: many services take that for a password.
        f.debug_struct("Webhook").field("host", &self.host).finish_non_exhaustive()
    }
}

/// Whether addresses that are none of the public Internet's are connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Private {
    /// They are.
    Allowed,
    /// They are not.
    Refused,
}

/// The most that `partners_max` can be.
pub const MOST_PARTNERS: usize = 1_000;
/// More connections a minute are an attack.
const MOST_PACE: usize = 600;
/// In a test bed nobody is a stranger: no pause that anybody notices.
const MOST_PACE_OF_A_TEST_BED: usize = 60_000;
/// Longer than this nobody waits for one address.
const MOST_HOST: Duration = Duration::from_secs(600);
/// Longer than this no domain may keep others from being looked at.
const MOST_DOMAIN: Duration = Duration::from_hours(1);
/// Looks at others more often than this are not polite.
const LEAST_PARTNERS: Duration = Duration::from_hours(1);
/// Looks at ourselves more often than this say nothing new.
const LEAST_OWN: Duration = Duration::from_secs(60);

impl Build<'_> {
    pub(super) fn checks(
        &mut self,
        raw: RawChecks,
        domains: &[SenderDomain],
        (postmaster, ground): (Option<&str>, Ground),
    ) -> Checks {
        let own = self.every(raw.own, Duration::from_hours(1), ("checks.own", LEAST_OWN));
        let day = Duration::from_hours(24);
        let partners = self.every(raw.partners, day, ("checks.partners", LEAST_PARTNERS));
        let partners_max = raw.partners_max.unwrap_or(200);
        if partners_max > MOST_PARTNERS {
            self.fault("checks.partners_max", "at most 1000: others pay for our curiosity");
        }
        let probing = self.probing(&raw, ground);
        let mail = match raw.mail.unwrap_or(false) {
            true => MailAlerts::Sent,
            false => MailAlerts::NotSent,
        };
        // The report that a domain is attacked must not travel the way that is attacked.
        let inside = postmaster.is_none_or(|address| {
            let domain = address.rsplit_once('@').and_then(|(_, name)| Domain::parse(name).ok());
            domain.is_some_and(|domain| domains.iter().any(|own| own.name == domain))
        });
        if mail == MailAlerts::Sent && !inside {
            self.fault("checks.mail", "author.postmaster has to be in one of our own domains");
        }
        let secret = self.secret(raw.webhook_secret, "checks.webhook_secret");
        let private = match raw.webhook_allow_private.unwrap_or(false) {
            true => Private::Allowed,
            false => Private::Refused,
        };
        let webhook = match raw.webhook.filter(|text| !text.is_empty()) {
            Some(text) => self.webhook(&text, secret, private),
            None => {
                if secret.is_some() {
                    self.fault("checks.webhook_secret", "its `webhook` is missing");
                }
                None
            }
        };
        let repeat = self.span(raw.repeat, 86_400, "checks.repeat");
        Checks { own, partners, partners_max, probing, repeat, webhook, mail }
    }

    fn probing(&mut self, raw: &RawChecks, ground: Ground) -> Probing {
        let pace = raw.pace.unwrap_or(240);
        let most = match ground {
            Ground::Internet => MOST_PACE,
            Ground::TestBed => MOST_PACE_OF_A_TEST_BED,
        };
        if !(1..=most).contains(&pace) {
            let what = format!("from 1 to {most} connections a minute to one operator");
            self.fault("checks.pace", what);
        }
        let timeout = self.span(raw.timeout, 20, "checks.timeout");
        let host_timeout = self.span(raw.host_timeout, 120, "checks.host_timeout");
        if host_timeout < timeout || host_timeout > MOST_HOST {
            let what =
                "at least `timeout`, and at most 10m: a slow host must not hold up all others";
            self.fault("checks.host_timeout", what);
        }
        let default = crate::survey::PATIENCE.as_secs();
        let domain_timeout = self.span(raw.domain_timeout, default, "checks.domain_timeout");
        if domain_timeout < host_timeout || domain_timeout > MOST_DOMAIN {
            let what = "at least `host_timeout`, and at most 1h: own domains wait for no longer";
            self.fault("checks.domain_timeout", what);
        }
        Probing { pace, timeout, host_timeout, domain_timeout }
    }

    /// A span, or never where it is nothing.
    fn every(
        &mut self,
        span: Option<Span>,
        default: Duration,
        (key, least): (&str, Duration),
    ) -> Option<Duration> {
        let span = span.map_or(default, |span| span.0);
        if span.is_zero() {
            return None;
        }
        if span < least {
            self.fault(key, format!("at least {}, or 0s for never", Span(least)));
        }
        Some(span)
    }

    fn webhook(
        &mut self,
        text: &str,
        secret: Option<SecretRef>,
        private: Private,
    ) -> Option<Webhook> {
        // The text is not repeated: many services put a password into the path.
        let mut refuse = |what: &str| {
            self.fault("checks.webhook", what);
            None
        };
        let Ok(url) = text.parse::<Uri>() else { return refuse("not a URL") };
        if url.scheme_str() != Some("https") {
            return refuse("has to begin with https://");
        }
        let Some(authority) = url.authority().filter(|authority| !authority.as_str().contains('@'))
        else {
            return refuse("has to name a host, and nobody's password");
        };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let is_host = host.parse::<std::net::IpAddr>().is_ok() || Domain::parse(&host).is_ok();
        if !is_host || text.len() > 2_048 {
            return refuse("not a host name or address, or longer than 2048 octets");
        }
        let path = url.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let port = url.port_u16().unwrap_or(443);
        Some(Webhook { host, port, path, secret, private })
    }
}
