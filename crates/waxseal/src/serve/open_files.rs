//! How many files and sockets we may have open. A service is usually started with 1,024, which the
//! default limit of sessions alone exceeds, and allowed many more: one only has to ask.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// What is open beside sessions and deliveries: unused connections that are kept (1,000), questions
/// to resolvers (400), sessions with our pages (512), and databases, listeners, policy hosts.
const OTHERS: u64 = 1_000 + 400 + 512 + 256;

/// Asks for all that is allowed. Answers what we have then; `None`: no limit.
pub(super) fn raise() -> Option<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Refused: then what we have has to do.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current
}

/// What to say where the limits of the configuration could not all be used up.
pub(super) fn shortage(limit: Option<u64>, config: &Config) -> Option<String> {
    let (sessions, deliveries) = (config.limits.sessions, config.delivery.concurrency);
    // As many deliveries again may stand aside (`queue::slots`).
    let wanted = [sessions, deliveries, deliveries].into_iter().map(|count| count as u64);
    let wanted = wanted.fold(OTHERS, u64::saturating_add);
    let limit = limit.filter(|limit| *limit < wanted)?;
    Some(format!(
        "only {limit} files may be open; limits.sessions = {sessions} and delivery.concurrency = \
         {deliveries} need {wanted}: raise the hard limit (LimitNOFILE={wanted}), or lower them"
    ))
}

#[cfg(test)]
mod tests;
