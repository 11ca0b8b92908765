//! What is told of mail from outside that was taken and cannot be handed inside: nothing to an
//! address that anybody may have written there (RFC 5321 §6.2), and not nothing to everybody.

use std::time::Duration;

use mail_parser::MessageParser;
use tokio::time::timeout;
use waxseal_core::{
    decide::{DelayNotice, Settled},
    envelope::{Direction, Mailbox, ReversePath},
};

use super::{dkim, parts::Parts};
use crate::{
    metrics::{self, ToldOf},
    queue::{Fate, Turn},
};

/// How long the keys of a signature are looked for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Spares whoever stands in the reverse path of a stranger's message: no word of a delay, and of a
/// failure only where the message itself proves that it is his. Otherwise it ends with a record,
/// and the postmaster is told.
pub(super) async fn spare(parts: &Parts, turn: &Turn, fates: &mut [Fate]) {
    if turn.head.direction != Direction::Inbound {
        return;
    }
    let fails = |fate: &Fate| matches!(fate.settled, Settled::Bounce { .. });
    let told = match fates.iter().any(fails) && is_proven(parts, turn).await {
        true => ToldOf::Sender,
        false => ToldOf::Postmaster,
    };
    for fate in fates {
        match &mut fate.settled {
            Settled::Retry { notice, .. } => *notice = DelayNotice::NotDue,
            Settled::Bounce { code, .. } if told == ToldOf::Sender => {
                tracing::info!(message = %turn.message, %code, "mail from outside was refused inside, and goes back to its sender");
                metrics::refused_inside(ToldOf::Sender);
            }
            Settled::Bounce { code, reason } | Settled::Drop { code, reason } => {
                tracing::info!(message = %turn.message, %code, "mail from outside was refused inside; its sender may be forged and is not told");
                metrics::refused_inside(ToldOf::Postmaster);
                fate.settled = Settled::Drop { code: *code, reason: std::mem::take(reason) };
            }
            Settled::Done | Settled::Hold { .. } | _ => {}
        }
    }
}

/// Whether the domain of the sender signed the message (RFC 6376), and its one From is the very
/// address that would be told. The latter because a signature proves a domain, not a mailbox: who
/// has an account at a large provider could send its signed mail on in the name of all others there.
async fn is_proven(parts: &Parts, turn: &Turn) -> bool {
    let ReversePath::Mailbox(sender) = &turn.head.envelope.reverse_path else { return false };
    if !is_from(&turn.content, sender) {
        return false;
    }
    // Only its own domain is asked about, and only for a message that failed.
    let signers = dkim::signers(parts, &turn.content, |domain| *domain == sender.domain);
    matches!(timeout(PATIENCE, signers).await, Ok(Ok(valid)) if !valid.is_empty())
}

/// Whether the header's only From is this mailbox. That there is one such field, the check of the
/// signature demands.
fn is_from(content: &[u8], sender: &Mailbox) -> bool {
    let Some(parsed) = MessageParser::default().parse_headers(content) else { return false };
    let Some(list) = parsed.from().and_then(|from| from.as_list()) else { return false };
    let [only] = list else { return false };
    let Some((local, domain)) = only.address.as_deref().and_then(|text| text.rsplit_once('@'))
    else {
        return false;
    };
    local == sender.local && domain.eq_ignore_ascii_case(sender.domain.as_str())
}

#[cfg(test)]
mod tests;
