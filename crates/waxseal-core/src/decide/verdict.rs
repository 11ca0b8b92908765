//! What the organisation's rules say for one message and one recipient.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Because;
use crate::{
    channel::Floor,
    domain::Domain,
    envelope::{Recipient, ReversePath},
    org::{Exception, Mode, Org, Rule, Told},
    time::UnixTime,
};

/// What has to hold for one recipient of one message. Equal verdicts of one destination form a
/// delivery group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Verdict {
    /// The least that is accepted; in monitor mode what binds, which is `none`.
    pub floor: Floor,
    /// In monitor mode: the floor that the rules would have set.
    pub suspended: Option<Floor>,
    /// What happens when the floor cannot be met.
    pub fallback: Fallback,
    /// How long to try for the floor before the fallback.
    pub patience: Duration,
    /// Who hears of the fallback.
    pub notify: Vec<Told>,
    /// Name of the rule that decided; `default` where none matched.
    pub rule: String,
    /// All rules that matched, and the exception that was used.
    pub because: Vec<Because>,
}

/// The name of what holds where no rule demands more; no rule can have it.
const DEFAULT: &str = "default";
/// The source of the reason that an exception gives; no rule can have this name.
const EXCEPTION: &str = "exception";
/// What stands where a rule's name stands, for mail from outside.
const INBOUND: &str = "inbound";

impl Verdict {
    /// By the default rule, with nobody to tell.
    pub fn new(floor: Floor, fallback: Fallback, patience: Duration) -> Self {
        Self {
            floor,
            suspended: None,
            fallback,
            patience,
            notify: Vec::new(),
            rule: DEFAULT.to_owned(),
            because: Vec::new(),
        }
    }

    /// What the rules demand, also where the floor is only monitored.
    pub fn asked(&self) -> Floor {
        self.suspended.unwrap_or(self.floor)
    }

    /// Whether an exception lowered it.
    pub fn is_by_exception(&self) -> bool {
        self.because.iter().any(|because| because.rfc == EXCEPTION)
    }

    /// This verdict in the place of `old`, whose exception has ended. It never demands less, and
    /// says on record what has changed.
    #[must_use]
    pub fn after_exception(self, old: &Self, destination: &Domain) -> Self {
        let mut new = if self.asked() < old.asked() {
            let because = old.because.iter().filter(|because| because.rfc != EXCEPTION).cloned();
            Self { because: because.collect(), ..old.clone() }
        } else {
            self
        };
        new.because.push(Because::new(
            format!("the exception for {destination} that held when the message came has ended"),
            format!("the least is {} again instead of {}", new.asked(), old.asked()),
            "ended exception",
        ));
        new
    }
}

/// What happens to a message whose floor cannot be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Fallback {
    /// Kept, and an administrator or its sender decides; returned when the hold lifetime ends.
    Hold,
    /// Returned to its sender.
    Bounce,
}

/// What rules may look at. The shell decodes header fields (RFC 2047) and bounds their number
/// and size; findings of content inspection join here.
#[derive(Clone, Copy, Debug)]
pub struct MessageView<'a> {
    /// MAIL FROM.
    pub reverse_path: &'a ReversePath,
    /// Header fields in order: name in lower case, decoded value.
    pub headers: &'a [(String, String)],
}

impl<'a> MessageView<'a> {
    /// The values of all header fields of that name; `name` in lower case.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Whether the message was written by a machine: it never asks or tells anybody anything
    /// (RFC 3834 §5, RFC 5321 §4.5.5).
    pub fn origin(&self) -> Origin {
        let machine = |value: &str| {
            let keyword = value.split(';').next().unwrap_or_default().trim();
            !keyword.eq_ignore_ascii_case("no")
        };
        match self.reverse_path {
            ReversePath::Null => Origin::Automatic,
            ReversePath::Mailbox(_) if self.values("auto-submitted").any(machine) => {
                Origin::Automatic
            }
            ReversePath::Mailbox(_) => Origin::Person,
        }
    }
}

/// Whether anybody can be asked or told about a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Its sender.
    #[default]
    Person,
    /// Null sender or `Auto-Submitted`: nobody. Below its floor it is retried to the end of the
    /// queue's lifetime, then dropped with evidence and a notice to our postmaster.
    Automatic,
}

/// What the rules say for one message and one recipient. The highest demand of all matching rules
/// wins, ties by order; the default stands behind all rules.
pub fn verdict(
    org: &Org,
    message: &MessageView<'_>,
    recipient: &Recipient,
    now: UnixTime,
) -> Verdict {
    let to = &recipient.mailbox;
    let mut because = Vec::new();
    let mut winner: Option<&Rule> = None;
    for rule in &org.rules {
        if !rule.matches(message, to, &org.groups) {
            continue;
        }
        because.push(Because::new(
            format!("rule {} speaks of this message", rule.name),
            format!("the least is {}", rule.require),
            rule.name.clone(),
        ));
        if winner.is_none_or(|best| rule.require > best.require) {
            winner = Some(rule);
        }
    }
    let winner = winner.filter(|rule| rule.require >= org.defaults.floor);
    if winner.is_none() {
        because.push(Because::new(
            "no rule demands more than the default",
            format!("the least is {}", org.defaults.floor),
            DEFAULT,
        ));
    }
    let asked = winner.map_or(org.defaults.floor, |rule| rule.require);
    let floor = match excepted(org, recipient, asked, now) {
        Some(exception) => {
            because.push(Because::new(
                format!(
                    "an exception for {} holds until {}: {}",
                    exception.domain, exception.until, exception.reason
                ),
                format!("the least is {} instead of {asked}", exception.floor),
                EXCEPTION,
            ));
            exception.floor
        }
        None => asked,
    };
    let (floor, suspended) = match org.mode {
        Mode::Enforce => (floor, None),
        Mode::Monitor => {
            because.push(Because::new(
                "our own floors are only monitored",
                format!("{floor} would have been the least"),
                "mode",
            ));
            (Floor::None, Some(floor))
        }
    };
    let defaults = &org.defaults;
    Verdict {
        floor,
        suspended,
        fallback: winner.and_then(|rule| rule.otherwise).unwrap_or(defaults.fallback),
        patience: winner.and_then(|rule| rule.patience).unwrap_or(defaults.patience),
        notify: winner
            .and_then(|rule| rule.notify.clone())
            .unwrap_or_else(|| defaults.notify.clone()),
        rule: winner.map_or_else(|| DEFAULT.to_owned(), |rule| rule.name.clone()),
        because,
    }
}

/// What holds for mail from outside to people of ours: nothing but what `inside` has to prove.
/// The organisation's rules are about what leaves it. What cannot be handed over waits as long as
/// any mail, since who could repair it is we.
pub fn inbound(org: &Org) -> Verdict {
    Verdict {
        floor: Floor::None,
        suspended: None,
        fallback: Fallback::Bounce,
        patience: org.schedule.lifetime,
        notify: Vec::new(),
        rule: INBOUND.to_owned(),
        because: vec![Because::new(
            "the message came from outside, for one of our own domains",
            "rules about what we send say nothing of it; `inside` has to prove what was agreed",
            INBOUND,
        )],
    }
}

/// The exception that lowers this floor most.
fn excepted<'a>(
    org: &'a Org,
    recipient: &Recipient,
    asked: Floor,
    now: UnixTime,
) -> Option<&'a Exception> {
    org.exceptions
        .iter()
        .filter(|e| e.domain == recipient.mailbox.domain && e.holds(now) && e.floor < asked)
        .min_by_key(|exception| exception.floor)
}
