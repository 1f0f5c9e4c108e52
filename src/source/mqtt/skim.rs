//! Messages that are too long are cut on their way from the socket, for MQTT 3.1.1.
//!
//! That version knows no way to tell the broker of a limit; a message may have 256 MiB, and one that the
//! client refuses comes again for ever. So the bytes of the broker pass through here: of a message that is
//! too long to be read the beginning goes on, as a shorter message, and the rest is only counted
//! and hashed. Knows of MQTT where a packet begins and ends, and no more.
//!
//! Invariant: exactly the packets of [`CUT_BYTES`] are cut ones, and each has its [`Cut`] in the queue
//! before its first byte goes on.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use rumqttc_v4::tokio_rustls::TlsConnector;
use rumqttc_v4::tokio_rustls::client::TlsStream;
use rumqttc_v4::{NetworkOptions, default_socket_connect};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::either::Either;

use crate::broker::Tls;
use crate::source::format::MAX_BODY_BYTES;

/// The longest that stands before the payload of a message: topic and packet id, with the length of the
/// topic (3.3.2).
const MAX_PREFIX_BYTES: usize = 2 + 65_535 + 2;

/// What follows the fixed header of a cut packet, in bytes: enough that its payload is too long to be
/// read, whatever its topic.
pub(super) const CUT_BYTES: usize = MAX_PREFIX_BYTES + MAX_BODY_BYTES + 1;

/// Bytes that are read from the socket at once.
const READ_BYTES: usize = 64 * 1024;

/// The longest fixed header: the kind of the packet and up to four digits of its length (2.2.3).
const MAX_HEAD_BYTES: usize = 5;

/// PUBLISH, in the upper half of the first byte of a packet.
const PUBLISH: u8 = 3;

/// What a message was before it was cut.
#[derive(Debug)]
pub(super) struct Cut {
    /// Of the payload, in bytes.
    pub(super) size: u64,
    /// Of the payload.
    pub(super) sha256: [u8; 32],
}

/// What was cut and has not been handed on, oldest first. At most as many as the client has packets in
/// its read buffer.
#[derive(Clone, Debug, Default)]
pub(super) struct Cuts(Arc<Mutex<VecDeque<Cut>>>);

impl Cuts {
    fn push(&self, cut: Cut) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(cut);
    }

    /// What the message with this topic and payload was, if it is a cut one.
    pub(super) fn of(&self, topic: usize, payload: usize, has_id: bool) -> Option<Cut> {
        if 2 + topic + usize::from(has_id) * 2 + payload != CUT_BYTES {
            return None;
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// A connection to a broker, through TLS where there is any.
pub(super) async fn connect(
    address: String,
    network: NetworkOptions,
    tls: Option<Tls>,
    cuts: Cuts,
) -> io::Result<Skim<Either<TcpStream, Box<TlsStream<TcpStream>>>>> {
    let tcp = default_socket_connect(address, network).await?;
    let stream = match tls {
        Some(Tls { config, server }) => {
            Either::Right(Box::new(TlsConnector::from(config).connect(server, tcp).await?))
        }
        None => Either::Left(tcp),
    };
    Ok(Skim::new(stream, cuts))
}

/// The stream of a broker, with long messages cut.
pub(super) struct Skim<S> {
    stream: S,
    cuts: Cuts,
    /// Read and not looked at.
    raw: Box<[u8]>,
    unread: std::ops::Range<usize>,
    /// What goes on before anything else.
    ready: Vec<u8>,
    ready_at: usize,
    state: State,
}

enum State {
    /// In the fixed header of a packet.
    Head(Vec<u8>),
    /// In a packet that goes on as it is.
    Pass { left: usize },
    /// In the part of a long message that is kept.
    Keep { kind: u8, length: usize, kept: Vec<u8> },
    /// In the part that is not.
    Drop { kind: u8, left: usize, size: u64, kept: Vec<u8>, hash: Sha256 },
}

impl<S> Skim<S> {
    fn new(stream: S, cuts: Cuts) -> Self {
        Self {
            stream,
            cuts,
            raw: vec![0; READ_BYTES].into_boxed_slice(),
            unread: 0..0,
            ready: Vec::new(),
            ready_at: 0,
            state: State::Head(Vec::new()),
        }
    }

    /// Moves on what can go on. False: more has to be read first.
    fn produce(&mut self, out: &mut ReadBuf<'_>) -> bool {
        loop {
            if self.ready_at < self.ready.len() {
                let take = out.remaining().min(self.ready.len() - self.ready_at);
                out.put_slice(&self.ready[self.ready_at..self.ready_at + take]);
                self.ready_at += take;
                if self.ready_at == self.ready.len() {
                    (self.ready, self.ready_at) = (Vec::new(), 0);
                }
                return true;
            }
            let news = &self.raw[self.unread.clone()];
            if news.is_empty() {
                return false;
            }
            if let State::Pass { left } = &mut self.state {
                let take = news.len().min(*left).min(out.remaining());
                out.put_slice(&news[..take]);
                self.unread.start += take;
                *left -= take;
                if *left == 0 {
                    self.state = State::Head(Vec::new());
                }
                return true;
            }
            self.consume();
        }
    }

    /// Looks at what was read, in every state but [`State::Pass`].
    fn consume(&mut self) {
        let news = &self.raw[self.unread.clone()];
        let state = std::mem::replace(&mut self.state, State::Head(Vec::new()));
        let taken;
        self.state = match state {
            State::Head(mut head) => {
                taken = 1;
                head.push(news[0]);
                match length(&head) {
                    Some(length) if head[0] >> 4 == PUBLISH && length >= CUT_BYTES => {
                        State::Keep { kind: head[0], length, kept: Vec::with_capacity(CUT_BYTES) }
                    }
                    Some(left) => {
                        self.ready = head;
                        if left == 0 { State::Head(Vec::new()) } else { State::Pass { left } }
                    }
                    // No length: the client says what is wrong with it.
                    None if head.len() == MAX_HEAD_BYTES => {
                        self.ready = head;
                        State::Pass { left: usize::MAX }
                    }
                    None => State::Head(head),
                }
            }
            State::Keep { kind, length, mut kept } => {
                taken = news.len().min(CUT_BYTES - kept.len());
                kept.extend_from_slice(&news[..taken]);
                if kept.len() < CUT_BYTES {
                    State::Keep { kind, length, kept }
                } else {
                    let prefix = prefix(kind, &kept);
                    let hash = Sha256::new_with_prefix(&kept[prefix..]);
                    let size = u64::try_from(length - prefix).unwrap_or(u64::MAX);
                    State::Drop { kind, left: length - CUT_BYTES, size, kept, hash }
                }
            }
            State::Drop { kind, left, size, kept, mut hash } => {
                taken = news.len().min(left);
                hash.update(&news[..taken]);
                State::Drop { kind, left: left - taken, size, kept, hash }
            }
            State::Pass { left } => {
                taken = 0;
                State::Pass { left }
            }
        };
        self.unread.start += taken;
        self.complete();
    }

    /// Lets a long message go on once all of it has been seen.
    fn complete(&mut self) {
        if !matches!(self.state, State::Drop { left: 0, .. }) {
            return;
        }
        let state = std::mem::replace(&mut self.state, State::Head(Vec::new()));
        if let State::Drop { kind, size, kept, hash, .. } = state {
            self.cuts.push(Cut { size, sha256: hash.finalize().into() });
            self.ready = head(kind, CUT_BYTES);
            self.ready.extend_from_slice(&kept);
        }
    }
}

/// The length that a fixed header tells, once it is whole.
fn length(head: &[u8]) -> Option<usize> {
    let digits =
        head.get(1..).filter(|digits| digits.last().is_some_and(|last| last & 0x80 == 0))?;
    Some(digits.iter().rev().fold(0, |length, digit| length << 7 | usize::from(digit & 0x7f)))
}

/// The fixed header of a packet of this kind and length.
fn head(kind: u8, length: usize) -> Vec<u8> {
    let mut head = vec![kind];
    let mut left = length;
    while left > 0x7f {
        head.push(0x80 | u8::try_from(left & 0x7f).unwrap_or_default());
        left >>= 7;
    }
    head.push(u8::try_from(left).unwrap_or_default());
    head
}

/// What stands before the payload, in bytes: the topic with its length, and with QoS the packet id.
fn prefix(kind: u8, packet: &[u8]) -> usize {
    let topic = usize::from(u16::from_be_bytes([packet[0], packet[1]]));
    let has_id = kind & 0b0110 != 0;
    2 + topic + usize::from(has_id) * 2
}

impl<S: AsyncRead + Unpin> AsyncRead for Skim<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let skim = &mut *self;
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        while !skim.produce(out) {
            let mut raw = ReadBuf::new(&mut skim.raw);
            ready!(Pin::new(&mut skim.stream).poll_read(context, &mut raw))?;
            let read = raw.filled().len();
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
            skim.unread = 0..read;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Skim<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// A PUBLISH with QoS 1, as the broker sends it.
    fn publish(topic: &str, payload: &[u8]) -> Vec<u8> {
        let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
        body.extend_from_slice(topic.as_bytes());
        body.extend_from_slice(&[0, 7]);
        body.extend_from_slice(payload);
        let mut packet = head(0x32, body.len());
        packet.extend(body);
        packet
    }

    async fn skimmed(bytes: &[u8]) -> (Vec<u8>, Cuts) {
        let cuts = Cuts::default();
        let mut out = Vec::new();
        Skim::new(bytes, cuts.clone()).read_to_end(&mut out).await.unwrap();
        (out, cuts)
    }

    #[tokio::test]
    async fn a_long_message_goes_on_cut_and_those_around_it_as_they_are() {
        let short = publish("a", b"short");
        let payload: Vec<u8> = (0..5_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let long = publish("alerts/a", &payload);
        let (out, cuts) = skimmed(&[&short[..], &long, &[0xd0, 0], &short].concat()).await;
        let cut = CUT_BYTES + head(0x32, CUT_BYTES).len();
        assert_eq!(out[..short.len()], short);
        let middle = &out[short.len()..short.len() + cut];
        assert_eq!(length(&middle[..4]), Some(CUT_BYTES));
        assert_eq!(middle[4..], long[5..][..CUT_BYTES], "the beginning, as it was");
        assert_eq!(out[short.len() + cut..], [&[0xd0, 0], &short[..]].concat());
        assert!(cuts.of(1, 5, true).is_none(), "a short one was not cut");
        let known = cuts.of("alerts/a".len(), CUT_BYTES - 12, true).unwrap();
        assert_eq!(known.size, 20_000_000);
        assert_eq!(known.sha256, <[u8; 32]>::from(Sha256::digest(&payload)));
        assert!(cuts.of("alerts/a".len(), CUT_BYTES - 12, true).is_none(), "there was one");
    }

    #[tokio::test]
    async fn the_longest_that_goes_on_whole_and_the_shortest_that_is_cut_differ_by_a_byte() {
        let whole = publish("a", &vec![b'x'; CUT_BYTES - 1 - 5]);
        let (out, cuts) = skimmed(&whole).await;
        assert!(out == whole);
        assert!(cuts.0.lock().unwrap().is_empty());
        let cut = publish("a", &vec![b'x'; CUT_BYTES - 5]);
        let (out, cuts) = skimmed(&cut).await;
        assert!(out == cut, "nothing of it had to be dropped");
        assert_eq!(cuts.of(1, CUT_BYTES - 5, true).unwrap().size, 1_114_111);
    }

    proptest! {
        #[test]
        fn all_but_a_long_message_that_has_begun_goes_on_as_it_is(bytes: Vec<u8>) {
            // However the broker's bytes are broken, the client is the one to say so.
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (out, _) = runtime.block_on(skimmed(&bytes));
            prop_assert!(bytes.starts_with(&out));
            let held = &bytes[out.len()..];
            let heads = (2..=MAX_HEAD_BYTES.min(held.len())).map(|count| &held[..count]);
            let is_long = heads.filter_map(length).any(|length| length >= CUT_BYTES);
            prop_assert!(held.len() < MAX_HEAD_BYTES || (held[0] >> 4 == PUBLISH && is_long));
        }
    }
}
