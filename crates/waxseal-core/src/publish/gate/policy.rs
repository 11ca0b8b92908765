//! A change of an MTA-STS policy (RFC 8461 §8.1, §8.3): the file before the `id`, all MX hosts in the
//! policy before the MX records change, and `mode: none` for as long as anybody keeps the old policy.

use std::time::Duration;

use super::{Door, Item, Seen, ServerView, State, list, title};
use crate::{
    dns::Answer,
    domain::Domain,
    publish::{PolicyMemory, memory, texts},
    sts::{self, Mode, Policy, PolicyId},
    time::UnixTime,
};

/// What is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFacts {
    /// The domain.
    pub domain: Domain,
    /// What is wanted; `None`: no MTA-STS.
    pub wanted: Option<Policy>,
    /// The policy that the policy host serves, or why there is none.
    pub served: Result<Policy, String>,
    /// TXT at `_mta-sts`, at each authoritative server.
    pub announced: Vec<ServerView<Vec<Vec<u8>>>>,
    /// The MX hosts in DNS; none for a null MX or no MX.
    pub mx: Answer<Vec<Domain>>,
}

/// Changes of the announcement are believed after so many of its TTLs (RFC 8461 §8.1 asks for one).
const TTLS: u32 = 2;
/// Times here are whole seconds: what was seen "at 10" may have come about at 10.9.
const ROUNDING: Duration = Duration::from_secs(1);

/// The doors of a domain. What was seen is noted in `memory`.
pub fn policy(facts: &PolicyFacts, memory: &mut PolicyMemory, now: UnixTime) -> Vec<Item> {
    let announced = Announced::look(&facts.announced);
    note(facts, &announced, memory, now);
    let mut items = match &facts.wanted {
        Some(wanted) => vec![id(facts, wanted, &announced), mx(facts, wanted, memory, now)],
        None => vec![removal(facts, &announced, memory, now)],
    };
    // A policy that takes another one back is on its way to removal.
    if facts.wanted.as_ref().is_some_and(|wanted| wanted.mode == Mode::None) {
        items.retain(|item| item.door != Door::Mx);
        items.push(removal(facts, &announced, memory, now));
    }
    items
}

/// What all servers announce.
enum Announced {
    /// The same id.
    Same(PolicyId, Duration),
    /// Nothing.
    Nothing,
    /// Not all the same, or nothing that can be used: in words.
    Mixed(String),
    /// Some could not be asked.
    Unknown(String),
}

impl Announced {
    fn look(views: &[ServerView<Vec<Vec<u8>>>]) -> Self {
        let (mut ids, mut longest, mut failed) = (Vec::new(), Duration::ZERO, Vec::new());
        for view in views {
            let id = match &view.seen {
                Seen::Records { value, ttl, .. } => {
                    longest = longest.max(*ttl);
                    match sts::announced(value) {
                        Ok(id) => Some(id),
                        Err(sts::NotAnnounced::None) => None,
                        Err(why) => return Self::Mixed(format!("{}: {why}", title(view))),
                    }
                }
                Seen::Absent { ttl } => {
                    longest = longest.max(*ttl);
                    None
                }
                Seen::Unusable(why) | Seen::Failed(why) => {
                    failed.push(format!("{}: {why}", title(view)));
                    continue;
                }
            };
            ids.push((id, title(view)));
        }
        if !failed.is_empty() {
            return Self::Unknown(list(&failed));
        }
        let Some((first, _)) = ids.first().cloned() else {
            return Self::Unknown("no authoritative server of its zone could be found".into());
        };
        if let Some((_, other)) = ids.iter().find(|(id, _)| *id != first) {
            return Self::Mixed(format!("{other} announces another id than the first server"));
        }
        first.map_or(Self::Nothing, |id| Self::Same(id, longest))
    }
}

fn note(facts: &PolicyFacts, announced: &Announced, memory: &mut PolicyMemory, now: UnixTime) {
    let served = facts.served.as_ref().ok();
    memory::since(&mut memory.served, served.map(texts::policy_id), now);
    match announced {
        Announced::Same(id, ttl) => {
            memory.ttl = ttl.as_secs().max(
                // What stood there before may live as long as that said.
                if memory.announced.as_ref().is_some_and(|(old, _)| old == id) {
                    0
                } else {
                    memory.ttl
                },
            );
            memory::since(&mut memory.announced, Some(id.clone()), now);
        }
        Announced::Nothing => memory.announced = None,
        // Nothing is known to have changed.
        Announced::Mixed(_) | Announced::Unknown(_) => {}
    }
    // A policy counts for senders once it is served and announced.
    if let (Some(policy), Announced::Same(..)) = (served, announced) {
        memory::since(&mut memory.mode, Some(policy.mode), now);
        if policy.mode != Mode::None {
            memory.longest_max_age = memory.longest_max_age.max(policy.max_age.as_secs());
        }
    }
}

fn item(facts: &PolicyFacts, door: Door, state: State, (what, because): (&str, String)) -> Item {
    Item { subject: facts.domain.clone(), door, what: what.to_owned(), state, because }
}

/// The file before the `id`: a sender that sees the new id and fetches the old file keeps the old one
/// under the new id (RFC 8461 §8.1).
fn id(facts: &PolicyFacts, wanted: &Policy, announced: &Announced) -> Item {
    let want = texts::policy_id(wanted);
    let what = format!("announce the id {want} of the policy");
    let waiting = State::Waiting { until: None };
    let (state, because) = match (&facts.served, announced) {
        (Ok(served), Announced::Same(id, _)) if served == wanted && *id == want => (
            State::Open,
            "the policy is served, and its id is announced by every server".to_owned(),
        ),
        (Ok(served), _) if served == wanted => {
            let because = match announced {
                Announced::Mixed(why) | Announced::Unknown(why) => {
                    format!("the policy is served, so its id may be published ({why})")
                }
                Announced::Same(..) | Announced::Nothing => {
                    "the policy is served, so its id may be published now".to_owned()
                }
            };
            (State::Open, because)
        }
        (served, Announced::Same(id, _)) if *id == want => {
            let now = match served {
                Ok(_) => "another policy is served".to_owned(),
                Err(why) => format!("the policy cannot be fetched: {why}"),
            };
            let because = format!(
                "the id was published before its policy, and {now}: senders may keep the wrong one; \
                 serve the policy at once"
            );
            (waiting, because)
        }
        (Ok(_), _) => (waiting, "another policy is still served: serve the new file first".into()),
        (Err(why), _) => (waiting, format!("the policy cannot be fetched, serve it first: {why}")),
    };
    item(facts, Door::Id, state, (&what, because))
}

/// All hosts of before and after have to be in the policy that senders know, before MX changes.
fn mx(facts: &PolicyFacts, wanted: &Policy, memory: &PolicyMemory, now: UnixTime) -> Item {
    let waiting = State::Waiting { until: None };
    let live = match &facts.mx {
        Answer::Found { value, .. } => value.as_slice(),
        Answer::Absent { .. } => &[],
        Answer::Failed(failure) => {
            let because = format!("the MX records could not be looked up: {failure}");
            return item(facts, Door::Mx, State::Unknown, ("change the MX records", because));
        }
    };
    let outside: Vec<String> =
        live.iter().filter(|host| !wanted.allows(host)).map(ToString::to_string).collect();
    if !outside.is_empty() {
        let because = format!(
            "{} has MX records and is not in the policy: mail for it would be turned away; add it to \
             `mx` first",
            list(&outside)
        );
        return item(facts, Door::Mx, waiting, ("change the MX records", because));
    }
    let id = texts::policy_id(wanted);
    let is_current = |known: &Option<(PolicyId, UnixTime)>| {
        known.as_ref().filter(|(k, _)| *k == id).map(|k| k.1)
    };
    let (Some(served), Some(announced)) =
        (is_current(&memory.served), is_current(&memory.announced))
    else {
        let because =
            "the policy with all hosts of `mx` is not served and announced yet".to_owned();
        return item(facts, Door::Mx, waiting, ("change the MX records", because));
    };
    let until = served.max(announced) + Duration::from_secs(memory.ttl) * TTLS + ROUNDING;
    let (state, because) = if now < until {
        let because = format!(
            "the policy with all hosts of `mx` is announced since {announced}; senders know it at \
             {until} ({TTLS} x TTL {} s)",
            memory.ttl
        );
        (State::Waiting { until: Some(until) }, because)
    } else {
        let because = "senders know a policy with all hosts of `mx`: MX records may change among \
                       them"
            .to_owned();
        (State::Open, because)
    };
    item(facts, Door::Mx, state, ("change the MX records", because))
}

/// A policy that is just taken away goes on in the caches of senders, until `max_age` (RFC 8461 §8.3).
fn removal(
    facts: &PolicyFacts,
    announced: &Announced,
    memory: &PolicyMemory,
    now: UnixTime,
) -> Item {
    let what = "take MTA-STS away";
    let gone = matches!(announced, Announced::Nothing);
    if let Announced::Mixed(why) | Announced::Unknown(why) = announced {
        let state = match announced {
            Announced::Unknown(_) => State::Unknown,
            Announced::Mixed(_) | Announced::Same(..) | Announced::Nothing => {
                State::Waiting { until: None }
            }
        };
        return item(facts, Door::Removal, state, (what, why.clone()));
    }
    let kept = Duration::from_secs(memory.longest_max_age);
    if kept.is_zero() && gone {
        let because = "no policy is announced, and none was seen before".to_owned();
        return item(facts, Door::Removal, State::Open, (what, because));
    }
    let since = match memory.mode {
        Some((Mode::None, since)) => since,
        Some((Mode::Enforce | Mode::Testing, _)) | None if gone => {
            let because =
                "the record is gone before `mode: none` was kept: senders still follow the \
                           old policy; serve and announce `mta_sts = \"none\"`"
                    .to_owned();
            return item(facts, Door::Removal, State::Waiting { until: None }, (what, because));
        }
        Some((Mode::Enforce | Mode::Testing, _)) | None => {
            let because = "a policy is announced: publish `mta_sts = \"none\"` first".to_owned();
            return item(facts, Door::Removal, State::Waiting { until: None }, (what, because));
        }
    };
    let until = since + kept;
    if now < until {
        let because = format!(
            "`mode: none` is served since {since}; the old policy lives in caches until {until} \
             (max_age {} s)",
            kept.as_secs()
        );
        let state = State::Waiting { until: Some(until) };
        return item(facts, Door::Removal, state, (what, because));
    }
    let because =
        format!("`mode: none` was served since {since}, as long as the old policy could live");
    item(facts, Door::Removal, State::Open, (what, because))
}
