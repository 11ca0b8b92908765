//! What a lookup gives back: the answer as a fact, the way to it, and the proof.

use std::sync::Arc;

use domain::{
    base::{
        ParsedName,
        rdata::ParseAnyRecordData as _,
        zonefile_fmt::{DisplayKind, ZonefileFmt as _},
    },
    dep::octseq::Parser,
    rdata::AllRecordData,
};

use waxseal_core::{
    dns::{Answer, Authenticity, Proof},
    dnssec::{Name, RecordType},
    domain::Domain,
};

/// One step of an alias chain (CNAME, or DNAME synthesised to a CNAME; RFC 6672 §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The name that is an alias.
    pub from: Name,
    /// What it stands for.
    pub to: Name,
    /// Whether this step was validated; a step that is bogus makes the lookup a failure.
    pub authenticity: Authenticity,
}

/// The result of one lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup<T> {
    /// What was asked for.
    pub name: Name,
    /// Which type.
    pub record_type: RecordType,
    /// The fact: records, their absence, or the failure to find out.
    pub answer: Answer<T>,
    /// The state of RFC 4035 §4.3; `None` where no answer came that could be judged.
    pub proof: Option<Proof>,
    /// The steps from `name` to the owner of the records, in order. Steps before a failure
    /// included.
    pub aliases: Vec<Alias>,
    /// RCODE of the last answer, as the upstream said it; not authenticated.
    pub rcode: Option<u16>,
    /// One sentence: why the answer has the state that it has.
    pub because: String,
    /// The RRsets that prove it (RFC 9102 form); `answer` names them by `BlobId::of`.
    pub chain: Option<Arc<[u8]>>,
}

impl<T> Lookup<T> {
    /// Where a chain of aliases ends, if every step of it is secure (RFC 7672 §2.2.2);
    /// `None` where there is no alias or a step is not.
    pub fn secure_expansion(&self) -> Option<Domain> {
        if self.aliases.iter().any(|step| step.authenticity != Authenticity::Secure) {
            return None;
        }
        self.aliases.last().and_then(|step| step.to.to_domain())
    }

    /// Where a chain of aliases ends, secure or not.
    pub fn expansion(&self) -> Option<Domain> {
        self.aliases.last().and_then(|step| step.to.to_domain())
    }

    /// The same lookup with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Lookup<U> {
        let answer = match self.answer {
            Answer::Found { value, authenticity, expires, chain } => {
                Answer::Found { value: change(value), authenticity, expires, chain }
            }
            Answer::Absent { denial, absence, expires, chain } => {
                Answer::Absent { denial, absence, expires, chain }
            }
            Answer::Failed(failure) => Answer::Failed(failure),
        };
        Lookup {
            name: self.name,
            record_type: self.record_type,
            answer,
            proof: self.proof,
            aliases: self.aliases,
            rcode: self.rcode,
            because: self.because,
            chain: self.chain,
        }
    }
}

/// One record as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its type.
    pub record_type: RecordType,
    /// Its RDATA, without compression, names in lower case.
    pub rdata: Vec<u8>,
}

impl Record {
    /// The data in presentation form; that of RFC 3597 §5 where the type is not known.
    pub fn text(&self) -> String {
        let mut parser = Parser::from_ref(self.rdata.as_slice());
        let parsed = AllRecordData::<&[u8], ParsedName<&[u8]>>::parse_any_rdata(
            self.record_type,
            &mut parser,
        );
        match parsed {
            Ok(data) => data.display_zonefile(DisplayKind::Simple).to_string(),
            Err(_) => {
                let hex: String = self.rdata.iter().map(|octet| format!("{octet:02x}")).collect();
                format!("\\# {} {hex}", self.rdata.len())
            }
        }
    }
}

/// One MX record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mx {
    /// Smaller is tried first (RFC 5321 §5.1).
    pub preference: u16,
    /// Who takes the mail.
    pub exchange: Exchange,
}

/// The host in an MX record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exchange {
    /// A host name.
    Host(Domain),
    /// `.`: takes no mail (RFC 7505 §3).
    Null,
    /// A name that cannot be a host's, as it was written.
    Invalid(String),
}
