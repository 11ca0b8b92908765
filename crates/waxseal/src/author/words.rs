//! What a person reads in a report: what happened, why, and what to do. The words follow from
//! the enhanced status code (RFC 3463, RFC 7505, RFC 8689), so that they cannot disagree with it.

use waxseal_core::reply::EnhancedCode;

/// What it means, for somebody who knows nothing of mail servers.
pub(super) const fn meaning(code: EnhancedCode) -> &'static str {
    match (code.1, code.2) {
        (1, 1 | 2 | 3 | 6) => "There is no such address there.",
        (1, 10) => "This domain takes no mail at all.",
        (1, _) => "The address was not accepted.",
        (2, 2) => "The mailbox is full.",
        (2, 3) | (3, 4) => "The message is too large for the recipient's server.",
        (2, _) => "The mailbox takes no mail at the moment.",
        (3, _) => "The recipient's server could not take the message.",
        (4, 6) => "The message ran in a circle between servers.",
        (4, 7) => "The recipient's server could not be reached in all that time.",
        (4, _) => "The recipient's server could not be reached.",
        (5, _) => "The recipient's server did not follow the mail protocol.",
        (6, 7) => "The recipient's server cannot take international addresses.",
        (6, _) => "The recipient's server cannot take this kind of content.",
        (7, 30) => {
            "You asked that this message travel protected all the way (REQUIRETLS), and the \
             recipient's server cannot promise that."
        }
        (7, 5 | 10) => {
            "The connection to the recipient's server was not as safe as this message needs. \
             Nothing of the message was sent over it."
        }
        (7, _) => "The recipient's server, or a rule, does not allow it.",
        (_, _) => "The message was not accepted.",
    }
}

/// What the reader can do about it.
pub(super) const fn advice(code: EnhancedCode) -> &'static str {
    match (code.1, code.2) {
        (1, 10) => "Ask the recipient for another address.",
        (1, _) => "Look at the address for a spelling mistake, and send it again.",
        (2, 3) | (3, 4) => {
            "Send a smaller message, or give the files to the recipient another way."
        }
        (2 | 3, _) => "Try again later, or ask the recipient in another way.",
        (4, 6) => "Tell your postmaster; sending it again will not help.",
        (4 | 5, _) => "Try again later. If it goes on, reach the recipient in another way.",
        (6, _) => "Send it as plain text, to an address with plain letters.",
        (7, 30) => {
            "Send it again without that demand if it may travel with ordinary protection, or \
             reach the recipient in another way."
        }
        (7, 5 | 10) => {
            "If it is urgent, reach the recipient in another way. Your postmaster can see what \
             is wrong with that server, and can allow a weaker protection for it for a while."
        }
        (7, _) => "Ask the recipient, or your postmaster.",
        (_, _) => "Ask your postmaster.",
    }
}
