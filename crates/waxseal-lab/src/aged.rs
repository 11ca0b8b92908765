//! What an old server says in the clear, octet by octet: no TLS library that is in use speaks SSL 3.0 or RC4
//! any more, and some mail hosts do.

use anyhow::{Result, bail};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What a server takes of old, beside what its TLS library speaks.
///
/// It chooses as servers do: the highest version that both speak, then the first of its own suites that is offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aged {
    /// Versions below TLS 1.3, as they stand in messages: 0x0300 is SSL 3.0 (RFC 6101).
    pub versions: Vec<u16>,
    /// Numbers of the suites that it takes in these versions, its favourite first.
    pub suites: Vec<u16>,
}

/// What it makes of a ClientHello.
pub(crate) enum Answer {
    /// These octets, in the clear.
    Octets(Vec<u8>),
    /// That is for its TLS library.
    Library,
}

/// What was offered.
struct Offered {
    version: u16,
    suites: Vec<u16>,
    /// Whether the version is only what middle boxes are to see (RFC 8446 §4.1.2).
    says_versions: bool,
}

/// TLS 1.2, the highest version that is spoken here.
const V1_2: u16 = 0x0303;
/// handshake_failure (RFC 5246 §7.2.2).
const HANDSHAKE_FAILURE: u8 = 40;
/// protocol_version (RFC 5246 §7.2.2).
const PROTOCOL_VERSION: u8 = 70;

/// Reads one record: a ClientHello is never longer.
pub(crate) async fn record(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>> {
    let mut record = vec![0; 5];
    stream.read_exact(&mut record).await?;
    let &[_, _, _, high, low] = record.as_slice() else { bail!("no header") };
    let start = record.len();
    record.resize(start + usize::from(u16::from_be_bytes([high, low])), 0);
    stream.read_exact(record.get_mut(start..).unwrap_or_default()).await?;
    Ok(record)
}

/// Says it, then waits for the client to go.
pub(crate) async fn say(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    octets: &[u8],
) -> Result<()> {
    stream.write_all(octets).await?;
    let mut rest = Vec::new();
    stream.take(1_024).read_to_end(&mut rest).await?;
    Ok(())
}

impl Aged {
    /// With a TLS library beside it, hellos that the library understands are left to it: those that list their
    /// versions, and those that offer none of the suites here.
    pub(crate) fn answer(&self, record: &[u8], library: bool) -> Result<Answer> {
        let Some(offered) = Offered::read(record) else { bail!("not a ClientHello") };
        let highest = offered.version.min(V1_2);
        let suite = self.suites.iter().copied().find(|suite| offered.suites.contains(suite));
        if library && (offered.says_versions || (highest == V1_2 && suite.is_none())) {
            return Ok(Answer::Library);
        }
        let version = self.versions.iter().copied().filter(|version| *version <= highest).max();
        Ok(Answer::Octets(match (version, suite) {
            (Some(version), Some(suite)) => server_hello(version, suite),
            (Some(version), None) => alert(version, HANDSHAKE_FAILURE),
            (None, _) => alert(offered.version.min(V1_2), PROTOCOL_VERSION),
        }))
    }
}

impl Offered {
    fn read(record: &[u8]) -> Option<Self> {
        // Record header, type and length of the message.
        let body = record.get(9..)?;
        let (version, rest) = number(body)?;
        let (_random, rest) = rest.split_at_checked(32)?;
        let (&session, rest) = rest.split_first()?;
        let (_session, rest) = rest.split_at_checked(usize::from(session))?;
        let (suites, rest) = vector(rest)?;
        let (&compressions, rest) = rest.split_first()?;
        let (_compressions, rest) = rest.split_at_checked(usize::from(compressions))?;
        let mut extensions = vector(rest).map(|(list, _)| list).unwrap_or_default();
        let mut says_versions = false;
        while let Some((kind, after)) = number(extensions) {
            let (_data, after) = vector(after)?;
            says_versions |= kind == 43;
            extensions = after;
        }
        let suites = suites.chunks_exact(2).filter_map(|pair| Some(number(pair)?.0)).collect();
        Some(Self { version, suites, says_versions })
    }
}

fn number(octets: &[u8]) -> Option<(u16, &[u8])> {
    let (&[high, low], rest) = octets.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes([high, low]), rest))
}

fn vector(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = number(octets)?;
    rest.split_at_checked(usize::from(length))
}

/// Without extensions: none of what made TLS better since, RFC 7627 among it.
fn server_hello(version: u16, suite: u16) -> Vec<u8> {
    let version = version.to_be_bytes();
    let mut octets = [&[22], version.as_slice(), &[0, 42, 2, 0, 0, 38], &version].concat();
    octets.extend([0x42; 32]);
    octets.push(0);
    octets.extend(suite.to_be_bytes());
    octets.push(0);
    octets
}

fn alert(version: u16, what: u8) -> Vec<u8> {
    [&[21], version.to_be_bytes().as_slice(), &[0, 2, 2, what]].concat()
}
