//! A connection that is plain or under TLS, and costs little memory while nobody speaks.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Poll, ready},
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// What one read takes at most: a TLS record.
const READ: usize = 16 * 1024;

/// A client's connection.
pub(super) enum Stream {
    /// In the clear.
    Plain(TcpStream),
    /// Under TLS; boxed, for a TLS session is large.
    Tls(Box<TlsStream<TcpStream>>),
    /// A handshake failed: there is nothing more to say.
    Gone,
}

impl Stream {
    /// Reads what there is into `inbox`; 0 is the end. The space that a read needs is on the stack
    /// of the worker, so an idle session holds none.
    pub(super) async fn read(&mut self, inbox: &mut Vec<u8>) -> io::Result<usize> {
        poll_fn(|context| {
            let mut space = [const { MaybeUninit::<u8>::uninit() }; READ];
            let mut read = ReadBuf::uninit(&mut space);
            match self {
                Self::Plain(stream) => ready!(Pin::new(stream).poll_read(context, &mut read))?,
                Self::Tls(stream) => ready!(Pin::new(stream).poll_read(context, &mut read))?,
                Self::Gone => {}
            }
            inbox.extend_from_slice(read.filled());
            Poll::Ready(Ok(read.filled().len()))
        })
        .await
    }

    /// Writes all of it and flushes.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Ends the connection in order (close_notify, FIN).
    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown().await,
            Self::Tls(stream) => stream.shutdown().await,
            Self::Gone => Ok(()),
        }
    }

    /// The handshake (RFC 3207 §4, RFC 8314 §3.3).
    pub(super) async fn secure(self, config: Arc<ServerConfig>) -> io::Result<Self> {
        match self {
            Self::Plain(stream) => {
                let session = Box::pin(TlsAcceptor::from(config).accept(stream)).await?;
                Ok(Self::Tls(Box::new(session)))
            }
            Self::Tls(_) | Self::Gone => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// The TLS session, if there is one.
    pub(super) fn tls(&self) -> Option<&rustls::ServerConnection> {
        match self {
            Self::Tls(stream) => Some(stream.get_ref().1),
            Self::Plain(_) | Self::Gone => None,
        }
    }
}
