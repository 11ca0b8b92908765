//! One rule: when it applies and what it demands. A closed vocabulary; content classes join it as
//! further conditions.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Groups, Told, Who};
use crate::{
    channel::Floor,
    decide::{Fallback, MessageView},
    envelope::{Mailbox, ReversePath},
};

/// One rule of `rules.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Unique; verdicts and evidence name it.
    pub name: String,
    /// All of them have to hold; none means always.
    pub when: Vec<Condition>,
    /// The least that such mail needs.
    pub require: Floor,
    /// What happens when that cannot be had; `None` takes the default.
    pub otherwise: Option<Fallback>,
    /// How long to try for it; `None` takes the default.
    pub patience: Option<Duration>,
    /// Who hears of it; `None` takes the default.
    pub notify: Option<Vec<Told>>,
}

/// One condition. Within a list, one hit is enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Condition {
    /// The recipient is one of these.
    Recipient(Vec<Who>),
    /// The envelope sender is one of these; `<>` is nobody.
    Sender(Vec<Who>),
    /// A header field of this name (in lower case) has such a value.
    Header {
        /// Field name, lower case.
        name: String,
        /// What its value has to be like.
        value: ValueMatch,
    },
    /// The subject holds one of these tags, wherever it stands; case does not matter. In lower
    /// case, brackets included: `[secure]`.
    SubjectTag(Vec<String>),
}

/// How a header value has to be. Case does not matter, texts are in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueMatch {
    /// The field is there.
    Present,
    /// The whole value, without surrounding white space.
    Equals(String),
    /// Some part of the value.
    Contains(String),
}

impl Rule {
    /// Whether the rule speaks of this message to this recipient.
    pub fn matches(&self, message: &MessageView<'_>, to: &Mailbox, groups: &Groups) -> bool {
        self.when.iter().all(|condition| condition.holds(message, to, groups))
    }
}

impl Condition {
    fn holds(&self, message: &MessageView<'_>, to: &Mailbox, groups: &Groups) -> bool {
        match self {
            Self::Recipient(whom) => whom.iter().any(|who| who.means(to, groups)),
            Self::Sender(whom) => match message.reverse_path {
                ReversePath::Mailbox(from) => whom.iter().any(|who| who.means(from, groups)),
                ReversePath::Null => false,
            },
            Self::Header { name, value } => {
                message.values(name).any(|found| value.fits(&found.to_lowercase()))
            }
            Self::SubjectTag(tags) => message.values("subject").any(|subject| {
                let subject = subject.to_lowercase();
                tags.iter().any(|tag| subject.contains(tag.as_str()))
            }),
        }
    }
}

impl ValueMatch {
    fn fits(&self, value: &str) -> bool {
        match self {
            Self::Present => true,
            Self::Equals(text) => value.trim() == text,
            Self::Contains(text) => value.contains(text.as_str()),
        }
    }
}
