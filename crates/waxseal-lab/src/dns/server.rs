//! The server on loopback: UDP and TCP on one free port.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, RwLock},
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
};

use super::{Name, Reply, Rr, Tampering, Tree, answer::rcode, record::rtype};

/// A question that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name, lower case, with a final dot.
    pub name: String,
    /// The record type.
    pub rtype: u16,
}

struct Shared {
    tree: RwLock<Arc<Tree>>,
    tampering: RwLock<Vec<Tampering>>,
    questions: Mutex<Vec<Question>>,
}

/// A running DNS server. Dropping it stops it.
pub struct DnsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl DnsServer {
    /// Serves the tree on 127.0.0.1.
    ///
    /// # Errors
    /// No socket on loopback can be had.
    pub async fn start(tree: Tree) -> Result<Self> {
        Self::serving(Arc::new(tree)).await
    }

    /// Another server with the same zones and keys, undamaged.
    ///
    /// # Errors
    /// No socket on loopback can be had.
    pub async fn twin(&self) -> Result<Self> {
        let tree = self.shared.tree.read().map(|tree| Arc::clone(&tree));
        Self::serving(tree.map_err(|_| anyhow::anyhow!("the tree is lost"))?).await
    }

    async fn serving(tree: Arc<Tree>) -> Result<Self> {
        let (udp, tcp) = bind().await?;
        let address = udp.local_addr()?;
        let shared = Arc::new(Shared {
            tree: RwLock::new(tree),
            tampering: RwLock::default(),
            questions: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, Arc::clone(&shared)));
        tasks.spawn(serve_tcp(tcp, Arc::clone(&shared)));
        Ok(Self { address, shared, _tasks: tasks })
    }

    /// Where it listens, UDP and TCP.
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The trust anchor: DS records of the root as in a zone file.
    pub fn root_ds(&self) -> String {
        self.shared.tree.read().map(|tree| tree.root_ds().to_owned()).unwrap_or_default()
    }

    /// Damages answers from now on; the first rule that meets a question counts.
    pub fn tamper(&self, tampering: Tampering) {
        if let Ok(mut rules) = self.shared.tampering.write() {
            rules.push(tampering);
        }
    }

    /// Ends all damage.
    pub fn restore(&self) {
        if let Ok(mut rules) = self.shared.tampering.write() {
            rules.clear();
        }
    }

    /// Serves another tree from now on: with other keys, so also with another anchor.
    pub fn replace(&self, tree: Tree) {
        if let Ok(mut current) = self.shared.tree.write() {
            *current = Arc::new(tree);
        }
    }

    /// What was asked so far, in order.
    pub fn questions(&self) -> Vec<Question> {
        self.shared.questions.lock().map(|log| log.clone()).unwrap_or_default()
    }
}

/// A port that is free for both protocols.
async fn bind() -> Result<(UdpSocket, TcpListener)> {
    for _ in 0..16 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        if let Ok(tcp) = TcpListener::bind(udp.local_addr()?).await {
            return Ok((udp, tcp));
        }
    }
    anyhow::bail!("no port of 127.0.0.1 is free for both UDP and TCP")
}

async fn serve_udp(socket: UdpSocket, shared: Arc<Shared>) {
    let mut buffer = vec![0; 4_096];
    loop {
        let Ok((len, from)) = socket.recv_from(&mut buffer).await else { continue };
        let Some(query) = buffer.get(..len).and_then(Query::read) else { continue };
        let Some(mut message) = shared.respond(&query) else { continue };
        if message.len() > query.largest {
            message = query.truncated();
        }
        // A client that is gone is its own affair.
        let _sent = socket.send_to(&message, from).await;
    }
}

async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    let mut sessions = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = Arc::clone(&shared);
        sessions.spawn(async move {
            let _ended = tcp_session(stream, &shared).await;
        });
        while sessions.try_join_next().is_some() {}
    }
}

async fn tcp_session(mut stream: TcpStream, shared: &Shared) -> Result<()> {
    loop {
        let len = stream.read_u16().await?;
        let mut buffer = vec![0; usize::from(len)];
        stream.read_exact(&mut buffer).await?;
        let query = Query::read(&buffer).context("not a question")?;
        let Some(message) = shared.respond(&query) else { continue };
        let framed = [&u16::try_from(message.len())?.to_be_bytes(), message.as_slice()].concat();
        stream.write_all(&framed).await?;
    }
}

impl Shared {
    fn respond(&self, query: &Query) -> Option<Vec<u8>> {
        let rtype = query.rtype;
        if let Ok(mut log) = self.questions.lock() {
            log.push(Question { name: query.name.to_string(), rtype });
        }
        let tree = self.tree.read().map(|tree| Arc::clone(&tree)).ok()?;
        let mut reply = tree.answer(&query.name, rtype);
        let rule =
            self.tampering.read().ok().and_then(|rules| {
                rules.iter().find(|rule| rule.meets(&query.name, rtype)).cloned()
            });
        if let Some(rule) = rule {
            reply = rule.apply(&query.name, rtype, reply)?;
        }
        Some(query.message(&reply))
    }
}

/// A question as it came in.
struct Query {
    id: [u8; 2],
    /// RD and CD, which come back as they were (RFC 4035 §3.1.6).
    flags: [u8; 2],
    question: Vec<u8>,
    name: Name,
    rtype: u16,
    edns: Option<DnssecOk>,
    largest: usize,
}

/// The DO bit (RFC 3225).
#[derive(Clone, Copy, PartialEq, Eq)]
enum DnssecOk {
    No,
    Yes,
}

impl Query {
    fn read(message: &[u8]) -> Option<Self> {
        let header: [u8; 12] = message.get(..12)?.try_into().ok()?;
        let [id0, id1, high, low, 0, 1, _, _, _, _, extra0, extra1] = header else { return None };
        let body = message.get(12..)?;
        let (name, used) = Name::read(body)?;
        let question = body.get(..used + 4)?.to_vec();
        let [t0, t1, _, _] = body.get(used..used + 4)?.try_into().ok()?;
        let mut query = Self {
            id: [id0, id1],
            flags: [high & 1, low & 0x10],
            question,
            name,
            rtype: u16::from_be_bytes([t0, t1]),
            edns: None,
            largest: 512,
        };
        // The OPT record is the only other thing that clients send us (RFC 6891 §6.1.2).
        if u16::from_be_bytes([extra0, extra1]) > 0
            && let Some([0, 0, 41, size0, size1, _, _, flags0, ..]) = body.get(used + 4..)
        {
            query.largest = usize::from(u16::from_be_bytes([*size0, *size1])).max(512);
            let dnssec = if flags0 & 0x80 == 0 { DnssecOk::No } else { DnssecOk::Yes };
            query.edns = Some(dnssec);
        }
        Some(query)
    }

    fn head(&self, rcode: u8, truncated: u8, counts: [usize; 2]) -> Vec<u8> {
        let [rd, cd] = self.flags;
        let [answers, authority] = counts.map(|n| u16::try_from(n).unwrap_or(u16::MAX));
        let mut out = self.id.to_vec();
        // Who asks without RD asks an authoritative server: AA, and nothing about recursion (RFC 1035
        // §4.1.1). To all others this is a forwarder.
        let role = if rd == 0 { [0x04, 0] } else { [0, 0x80] };
        out.extend([0x80 | role[0] | rd | truncated, role[1] | cd | (rcode & 0x0f)]);
        out.extend(1u16.to_be_bytes());
        out.extend(answers.to_be_bytes());
        out.extend(authority.to_be_bytes());
        out.extend(u16::from(self.edns.is_some()).to_be_bytes());
        out.extend(&self.question);
        out
    }

    fn opt(&self, out: &mut Vec<u8>) {
        if let Some(dnssec) = self.edns {
            let flags = if dnssec == DnssecOk::Yes { 0x80 } else { 0 };
            out.extend([0, 0, 41, 0x10, 0, 0, 0, flags, 0, 0, 0]);
        }
    }

    fn truncated(&self) -> Vec<u8> {
        let mut out = self.head(rcode::NOERROR, 2, [0, 0]);
        self.opt(&mut out);
        out
    }

    fn message(&self, reply: &Reply) -> Vec<u8> {
        let keep = |rr: &&Rr| {
            self.edns == Some(DnssecOk::Yes)
                || rr.rtype == self.rtype
                || !matches!(rr.rtype, rtype::RRSIG | rtype::NSEC | rtype::NSEC3)
        };
        let answer: Vec<&Rr> = reply.answer.iter().filter(keep).collect();
        let authority: Vec<&Rr> = reply.authority.iter().filter(keep).collect();
        let mut out = self.head(reply.rcode, 0, [answer.len(), authority.len()]);
        for rr in answer.into_iter().chain(authority) {
            out.extend(rr.owner.wire());
            out.extend(rr.rtype.to_be_bytes());
            out.extend(1u16.to_be_bytes());
            out.extend(rr.ttl.to_be_bytes());
            out.extend(u16::try_from(rr.rdata.len()).unwrap_or(u16::MAX).to_be_bytes());
            out.extend(&rr.rdata);
        }
        self.opt(&mut out);
        out
    }
}
