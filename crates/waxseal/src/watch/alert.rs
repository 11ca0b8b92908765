//! What somebody is told: one alert a look, whatever number of changes it holds.

use serde::Serialize;
use waxseal_core::{
    assess::change::{Change, Class, Kind, Weight},
    channel::Level,
    domain::Domain,
    time::UnixTime,
};

use super::Whose;

/// Changes that are listed in one alert, of each kind; the worst come first.
const MOST: usize = 16;

/// What somebody should look at, or need no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Which domain.
    pub domain: Domain,
    /// Whether it is one of ours.
    pub whose: Whose,
    /// When it was seen.
    pub at: UnixTime,
    /// What an attacker leaves now.
    pub level: Option<Level>,
    /// What that means.
    pub headline: String,
    /// What became worse.
    pub raised: Vec<Change>,
    /// What is over.
    pub cleared: Vec<Change>,
}

/// The body of a webhook call. Its keys are a contract.
#[derive(Serialize)]
struct Body<'a> {
    schema: &'static str,
    gateway: &'a str,
    domain: &'a str,
    own: bool,
    at: u64,
    class: Option<Class>,
    level: Option<Level>,
    headline: &'a str,
    raised: &'a [Change],
    cleared: &'a [Change],
}

impl Alert {
    /// The worst that it raises; `None` where it only says that something is over.
    pub fn class(&self) -> Option<Class> {
        self.raised.iter().map(|change| change.class).max()
    }

    /// As JSON: `waxseal/alert/1`. At most some 50 KiB, for each text in it is bounded.
    pub(super) fn json(&self, gateway: &Domain) -> Vec<u8> {
        let body = Body {
            schema: "waxseal/alert/1",
            gateway: gateway.as_str(),
            domain: self.domain.as_str(),
            own: self.whose == Whose::Own,
            at: self.at.0,
            class: self.class(),
            level: self.level,
            headline: &self.headline,
            raised: first(&self.raised),
            cleared: first(&self.cleared),
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }

    /// One line for a subject.
    pub(super) fn subject(&self) -> String {
        format!("{}: {}", self.title(), self.domain)
    }

    fn title(&self) -> &'static str {
        let only = |kind: Kind| self.raised.iter().all(|change| change.kind == kind);
        let strangers =
            |change: &Change| (change.kind, change.weight) == (Kind::Mx, Weight::Standing);
        match self.class() {
            Some(Class::LikelyAttack) => "Likely attack",
            Some(_) if only(Kind::View) => "The gateway cannot look",
            Some(_) if self.raised.iter().all(strangers) => "Mail hosts that are not ours",
            Some(_) if only(Kind::Found) => "Broken at the first look",
            Some(_) if only(Kind::Expiry) => "Ends soon",
            Some(_) if only(Kind::Unseen) => "Cannot be seen",
            Some(Class::Repair | Class::Drift | Class::Weakening) => "Weaker than before",
            None => "Over",
        }
    }

    /// Whether it is about this machine, and about no domain.
    fn is_of_the_gateway(&self) -> bool {
        self.raised.iter().chain(&self.cleared).any(|change| change.kind == Kind::View)
    }

    /// A letter, wrapped by lines.
    pub(super) fn text(&self) -> String {
        let whose = match self.whose {
            Whose::Own if self.is_of_the_gateway() => "this gateway",
            Whose::Own => "one of our own domains",
            Whose::Partner => "a domain that we send to",
        };
        let mut text = format!("{} is {whose}.\r\nSeen: {}\r\n", self.domain, self.at);
        if let Some(level) = self.level {
            text.push_str(&format!("Level now: {level}\r\n"));
        }
        text.push_str(&format!("{}\r\n", self.headline));
        for (title, list) in [("Raised", &self.raised), ("Over", &self.cleared)] {
            for change in first(list) {
                text.push_str(&format!(
                    "\r\n{title}: {} ({:?}, {})\r\n  before: {}\r\n  now:    {}\r\n  {}\r\n",
                    change.subject,
                    change.kind,
                    change.class,
                    change.before,
                    change.after,
                    change.because
                ));
            }
        }
        if !self.is_of_the_gateway() {
            text.push_str(&format!(
                "\r\nwaxseal check {0}\r\nwaxseal check --history {0}\r\n",
                self.domain
            ));
        }
        text
    }

    /// One line for each change, with stable fields: domain, kind, class.
    pub(super) fn log(&self) {
        for change in first(&self.raised) {
            tracing::warn!(
                event = "check-alert",
                state = "raised",
                domain = %self.domain,
                kind = ?change.kind,
                class = %change.class,
                "{}: see `waxseal check --history {}`",
                said(change.kind),
                self.domain
            );
        }
        for change in first(&self.cleared) {
            tracing::info!(
                event = "check-alert",
                state = "cleared",
                domain = %self.domain,
                kind = ?change.kind,
                class = %change.class,
                "what was raised is over"
            );
        }
    }
}

/// What a line of the log says.
fn said(kind: Kind) -> &'static str {
    if kind == Kind::View {
        "the gateway cannot look at other domains"
    } else if kind == Kind::Found {
        "a domain of ours was broken when it was looked at first"
    } else if kind == Kind::Unseen {
        "something of a domain of ours has not been seen for hours"
    } else if kind == Kind::Expiry {
        "something of a domain of ours ends soon, and was not renewed"
    } else {
        "a domain is weaker than before"
    }
}

fn first(changes: &[Change]) -> &[Change] {
    changes.get(..MOST).unwrap_or(changes)
}
