//! What a server said, in short.

use std::{net::IpAddr, sync::Arc};

use aws_lc_rs::digest::{Context, SHA256};
use waxseal_core::{
    assess::{MOST_EXCHANGES, NameServer, Quoted, ServerAnswer},
    dnssec::{Name, RecordType, Response},
    domain::Domain,
};

use crate::resolve::{Exchange, read_mx};

/// What one address of one server said.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    /// The server's name in the NS record.
    pub(super) name: Domain,
    /// Where it was asked.
    pub(super) address: IpAddr,
    /// One for each question, in order.
    pub(super) answers: Vec<Reply>,
}

/// What was said to one question.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    /// The name.
    pub(super) owner: Domain,
    /// The type.
    pub(super) record_type: RecordType,
    /// The answer; an error in words.
    pub(super) answer: Result<Arc<Response>, String>,
    /// Why the signatures of this very answer do not hold, where they do not (RFC 4035 §5).
    pub(super) bogus: Option<String>,
}

/// All that is compared of it: answers of strangers are as long as they like.
pub(super) fn told(answered: &Answered) -> NameServer {
    let answers = answered.answers.iter().map(|said| match &said.answer {
        Ok(response) => ServerAnswer {
            bogus: said.bogus.as_deref().map(Quoted::new),
            ..read(&said.owner, said.record_type, response)
        },
        Err(why) => ServerAnswer {
            name: said.owner.clone(),
            record_type: said.record_type.to_string(),
            digest: Err(why.clone()),
            signed: false,
            bogus: None,
            records: 0,
            exchanges: Vec::new(),
        },
    });
    NameServer {
        name: answered.name.clone(),
        address: answered.address,
        answers: answers.collect(),
    }
}

fn read(name: &Domain, record_type: RecordType, response: &Response) -> ServerAnswer {
    let owner = Name::from(name);
    let is_answer = |of: RecordType| of == record_type || of == RecordType::CNAME;
    let sets: Vec<_> = response
        .sets
        .iter()
        .filter(|set| set.owner == owner && is_answer(set.record_type))
        .collect();
    let mut hash = Context::new(&SHA256);
    let mut records = 0;
    for rdata in sets.iter().flat_map(|set| &set.rdata) {
        records += 1;
        hash.update(&u32::try_from(rdata.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(rdata);
    }
    let hash = hash.finish();
    // A server that points at others instead of answering has not got the zone.
    let lame = records == 0
        && response.sets.iter().any(|set| set.record_type == RecordType::NS)
        && !response.sets.iter().any(|set| set.record_type == RecordType::SOA);
    let signed = match sets.is_empty() {
        true => response.has_signatures(),
        false => sets.iter().any(|set| !set.signatures.is_empty()),
    };
    let digest = hash.as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
    let mx = sets.iter().filter(|set| set.record_type == RecordType::MX);
    let exchanges =
        mx.flat_map(|set| &set.rdata).filter_map(|rdata| match read_mx(rdata)?.exchange {
            Exchange::Host(name) => Some(Some(name)),
            Exchange::Null => Some(None),
            Exchange::Invalid(_) => None,
        });
    // An alias leads mail to wherever it ends (RFC 5321 §5.1), which another server says.
    let alias = sets.iter().filter(|set| set.record_type == RecordType::CNAME);
    let alias = alias
        .filter(|_| record_type == RecordType::MX)
        .flat_map(|set| &set.rdata)
        .filter_map(|rdata| Name::from_octets(rdata)?.to_domain().map(Some));
    ServerAnswer {
        name: name.clone(),
        record_type: record_type.to_string(),
        digest: if lame {
            Err("a referral: it does not serve the zone".into())
        } else {
            Ok(digest)
        },
        signed,
        bogus: None,
        records,
        exchanges: exchanges.chain(alias).take(MOST_EXCHANGES).collect(),
    }
}

#[cfg(test)]
mod tests;
