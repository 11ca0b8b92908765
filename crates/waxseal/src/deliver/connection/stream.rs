//! The socket under a connection.

use std::{
    borrow::Cow,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    task::Poll,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// The socket with or without TLS.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer).await,
            Self::Tls(stream) => stream.read(buffer).await,
        }
    }

    /// What can be read without waiting; `None` where that is nothing.
    pub(super) async fn read_now(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        let mut filled = ReadBuf::new(buffer);
        poll_fn(|cx| {
            let polled = match self {
                Self::Plain(stream) => Pin::new(stream).poll_read(cx, &mut filled),
                Self::Tls(stream) => Pin::new(stream).poll_read(cx, &mut filled),
            };
            Poll::Ready(match polled {
                Poll::Pending => None,
                Poll::Ready(result) => Some(result.map(|()| filled.filled().len())),
            })
        })
        .await
    }

    /// Writes all pieces: one system call where they fit, and no copy of the content.
    pub(super) async fn write(&mut self, pieces: &[Cow<'_, [u8]>]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut rest = slices.as_mut_slice();
        // Takes empty pieces off the front, which no write would.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let written = match self {
                Self::Plain(stream) => stream.write_vectored(rest).await?,
                Self::Tls(stream) => stream.write_vectored(rest).await?,
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut rest, written);
        }
        match self {
            Self::Plain(stream) => stream.flush().await,
            Self::Tls(stream) => stream.flush().await,
        }
    }

    pub(super) async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown().await,
            Self::Tls(stream) => stream.shutdown().await,
        }
    }
}
