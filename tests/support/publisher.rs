//! Many messages fast: the little of MQTT 3.1.1 that a QoS 1 publisher speaks, with many messages
//! under way at once. `mosquitto_pub` waits for each process to start, or for each line.

use std::io::{BufReader, BufWriter, Read, Write};
use std::net::TcpStream;

/// Publishes not acknowledged yet: enough to keep the broker busy, far below the 65,535 identifiers.
const UNDER_WAY: u64 = 1000;

/// What the broker does with a message beside handing it on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kept {
    No,
    ForLaterSubscribers,
}

/// A connection that publishes with QoS 1.
#[derive(Debug)]
pub(crate) struct Publisher {
    answers: BufReader<TcpStream>,
    requests: BufWriter<TcpStream>,
    sent: u64,
    acknowledged: u64,
}

impl Publisher {
    pub(crate) fn connect(stream: TcpStream) -> std::io::Result<Self> {
        // A message must not wait for the acknowledgement of the one before it.
        stream.set_nodelay(true)?;
        let mut answers = BufReader::new(stream.try_clone()?);
        let mut requests = BufWriter::new(stream);
        let client = format!("publisher-{:x}", hindsight::random::seed());
        // CONNECT (3.1): protocol MQTT level 4, clean session, no keep alive.
        let mut connect = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0];
        connect.extend(text(&client));
        requests.write_all(&packet(0x10, &connect))?;
        requests.flush()?;
        let mut connack = [0; 4];
        answers.read_exact(&mut connack)?;
        assert_eq!(connack, [0x20, 2, 0, 0], "the broker accepts the connection");
        Ok(Self { answers, requests, sent: 0, acknowledged: 0 })
    }

    /// Hands a message over; it leaves with the next [`flush`](Self::flush) at the latest.
    pub(crate) fn publish(
        &mut self,
        kept: Kept,
        topic: &str,
        payload: &[u8],
    ) -> std::io::Result<()> {
        // PUBLISH (3.3) with QoS 1, and RETAIN in the lowest bit.
        let kind = match kept {
            Kept::No => 0x32,
            Kept::ForLaterSubscribers => 0x33,
        };
        // Identifiers go round from 1 to 65,535.
        let identifier = u16::try_from(self.sent % 65_535 + 1).expect("below 65,536");
        let mut publish = text(topic);
        publish.extend(identifier.to_be_bytes());
        publish.extend(payload);
        self.requests.write_all(&packet(kind, &publish))?;
        self.sent += 1;
        if self.sent - self.acknowledged >= UNDER_WAY {
            self.requests.flush()?;
            self.take_one()?;
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> std::io::Result<()> {
        self.requests.flush()
    }

    /// Waits until the broker has acknowledged all that was published; returns how much that is.
    pub(crate) fn settle(&mut self) -> std::io::Result<u64> {
        self.flush()?;
        while self.acknowledged < self.sent {
            self.take_one()?;
        }
        Ok(self.acknowledged)
    }

    fn take_one(&mut self) -> std::io::Result<()> {
        puback(&mut self.answers)?;
        self.acknowledged += 1;
        Ok(())
    }
}

/// Publishes every payload with QoS 1; returns how many the broker acknowledged, which is all.
pub(crate) fn publish_all(
    stream: TcpStream,
    kept: Kept,
    topic: &str,
    payloads: impl Iterator<Item = impl AsRef<[u8]>>,
) -> std::io::Result<u64> {
    let mut publisher = Publisher::connect(stream)?;
    for payload in payloads {
        publisher.publish(kept, topic, payload.as_ref())?;
    }
    let acknowledged = publisher.settle()?;
    publisher.requests.write_all(&[0xe0, 0])?;
    publisher.flush()?;
    Ok(acknowledged)
}

/// PUBACK (3.4) is four bytes.
fn puback(answers: &mut impl Read) -> std::io::Result<()> {
    let mut puback = [0; 4];
    answers.read_exact(&mut puback)?;
    assert_eq!(puback[..2], [0x40, 2], "a publisher hears acknowledgements only");
    Ok(())
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("topics and names are short");
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

/// A packet with its length in seven bits a byte (2.2.3).
fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind];
    let mut left = body.len();
    loop {
        let digit = u8::try_from(left % 128).expect("below 128");
        left /= 128;
        packet.push(if left > 0 { digit | 0x80 } else { digit });
        if left == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}
