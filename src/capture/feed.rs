//! One interface of one capture: its packets in the window, filtered, as records of the file.
//!
//! Every packet of the window ends in exactly one count: written, not selected, or lost.

use std::sync::Arc;

use crate::capture::files::{Put, Series, statistics};
use crate::capture::log::Rested;
use crate::capture::packet::{self, TAG_OFFSET};
use crate::capture::reader::{self, Loss};
use crate::capture::rest::Wish;
use crate::capture::tap::Tap;
use crate::capture::{Error, section};
use crate::clock::WallTime;
use crate::filter::Program;
use crate::model::{CapturePlan, InterfaceTotals, StopReason, Totals};
use crate::pcapng::{PacketBlock, Statistics, flags};
use crate::ring::{Direction, Frame};

/// What is taken, of all that the reader gives.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) from: WallTime,
    /// Packets at this instant are no longer part of it.
    pub(super) until: WallTime,
    pub(super) trigger_at: WallTime,
    /// The comment of the first packet at or after the trigger, until it was written.
    pub(super) trigger_comment: Option<String>,
    /// The most packets in the file.
    pub(super) packets: u64,
    /// 0 keeps packets whole.
    pub(super) bytes_per_packet: usize,
}

impl Selection {
    /// What the plan asks for.
    pub(super) fn new(plan: &CapturePlan) -> Self {
        Self {
            from: plan.from(),
            until: plan.until(),
            trigger_at: plan.trigger_at,
            trigger_comment: section::trigger_comment(plan),
            packets: plan.limits.packets.unwrap_or(u64::MAX),
            bytes_per_packet: usize::try_from(plan.limits.bytes_per_packet).unwrap_or(usize::MAX),
        }
    }

    /// The packets of a file, whenever they were: the window does not count.
    pub(super) fn whole_file(plan: &CapturePlan) -> Self {
        Self {
            from: WallTime::from_nanos(i64::MIN),
            until: WallTime::from_nanos(i64::MAX),
            trigger_comment: None,
            ..Self::new(plan)
        }
    }
}

/// How far a block was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// To its end.
    Block,
    /// To the packet that belongs into the next file.
    SegmentFull,
    /// To the packet that ends the capture.
    End(StopReason),
}

/// One interface of a capture.
#[derive(Debug)]
pub(super) struct Feed {
    /// Its place among the interfaces of the file.
    number: u32,
    name: String,
    tap: Tap,
    program: Arc<Program>,
    counts: Counts,
    /// Lost since the last packet that was written.
    untold: u64,
    /// The window that it rests in, if it does.
    rests_in: Option<(WallTime, WallTime)>,
    /// Packets that were written when it last had nothing to read.
    written_before: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// Packets of the window that were read.
    seen: u64,
    written: u64,
    /// Written, but not whole.
    truncated: u64,
    loss: Loss,
}

impl Counts {
    const fn lose(&mut self, loss: Loss) {
        self.loss.dropped_by_kernel += loss.dropped_by_kernel;
        self.loss.overrun += loss.overrun;
    }
}

impl Feed {
    pub(super) fn new(number: u32, name: String, tap: Tap, program: Program) -> Self {
        Self {
            number,
            name,
            tap,
            program: Arc::new(program),
            counts: Counts::default(),
            untold: 0,
            rests_in: None,
            written_before: 0,
        }
    }

    pub(super) const fn tap(&self) -> &Tap {
        &self.tap
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn filter(&self) -> &str {
        self.program.text()
    }

    /// Takes the next block, if there is one. The series must have room.
    pub(super) fn take_block(&mut self, selection: &mut Selection, series: &mut Series) -> Taken {
        let mut desk = Desk {
            number: self.number,
            program: &self.program,
            counts: &mut self.counts,
            untold: &mut self.untold,
        };
        match &mut self.tap {
            Tap::Ring { reader, .. } => {
                let Some(reader::Step { block, taken, loss }) = reader.step() else {
                    return Taken::Block;
                };
                desk.lose(loss);
                let mut frames = block.frames();
                let already = usize::try_from(taken).unwrap_or(usize::MAX);
                let (end, taken) = desk.take_from(frames.by_ref(), already, selection, series);
                // What cannot be read of a block is as lost as if it had been overwritten.
                let unread = if end == Taken::Block { frames.left() } else { 0 };
                desk.lose(Loss { dropped_by_kernel: 0, overrun: unread.into() });
                drop(block);
                if end == Taken::SegmentFull {
                    reader.put_back(u32::try_from(taken).unwrap_or(u32::MAX));
                }
                end
            }
            Tap::Device(device) => {
                let Some(step) = device.step() else { return Taken::Block };
                desk.lose(step.loss);
                let frames = step.chunk.frames();
                let (end, taken) = desk.take_from(frames, step.taken, selection, series);
                if end == Taken::SegmentFull {
                    device.put_back(step.chunk, taken);
                }
                end
            }
        }
    }

    /// Rests, if there is nothing to read, nothing was written since that was last so, and others
    /// read the same ring. False if there is something to read.
    pub(super) fn rest(&mut self, selection: &Selection) -> bool {
        let is_quiet = self.counts.written == self.written_before;
        self.written_before = self.counts.written;
        let Tap::Ring { reader, private: None } = &mut self.tap else { return true };
        if !is_quiet || self.rests_in.is_some() {
            return true;
        }
        let Selection { from, until, .. } = *selection;
        match reader.rest(&Wish { from, until, program: Arc::clone(&self.program) }) {
            Rested::Yes => self.rests_in = Some((from, until)),
            Rested::No => {}
            Rested::News => return false,
        }
        true
    }

    pub(super) const fn is_resting(&self) -> bool {
        self.rests_in.is_some()
    }

    /// Counts what came by while it rested. Gets up where it was called, or where the window is
    /// another one or closes.
    pub(super) fn attend(&mut self, selection: &Selection, is_closing: bool) {
        let (Some(window), Tap::Ring { reader, .. }) = (self.rests_in, &mut self.tap) else {
            return;
        };
        let asked = reader.ask();
        let is_called = asked.is_none_or(|passed| passed.is_called);
        let is_another = window != (selection.from, selection.until);
        let gets_up = is_called || is_closing || is_another;
        let last = if gets_up { reader.get_up() } else { None };
        if gets_up {
            self.rests_in = None;
        }
        for passed in [asked, last].into_iter().flatten() {
            self.counts.seen += passed.seen;
            self.counts.lose(passed.loss);
            self.untold += passed.loss.dropped_by_kernel;
        }
    }

    /// Counts what was lost after the last block that was read.
    pub(super) fn close(&mut self) {
        let loss = self.tap.last_loss();
        self.counts.lose(loss);
    }

    /// Ends what ran for this capture alone.
    pub(super) fn stop(self) {
        self.tap.stop();
    }

    pub(super) fn totals(&self) -> InterfaceTotals {
        InterfaceTotals {
            interface: self.name.clone(),
            received: self.counts.seen + self.counts.loss.overrun,
            written: self.counts.written,
            dropped_by_kernel: self.counts.loss.dropped_by_kernel,
            overrun: self.counts.loss.overrun,
            truncated: self.counts.truncated,
            filter: self.program.text().to_owned(),
        }
    }

    /// Its counts for the end of the file, of a window that closed at `end`.
    pub(super) fn statistics(&self, at: WallTime, end: WallTime) -> Statistics<'static> {
        let totals = self.totals();
        let counts = [totals.received, totals.dropped_by_kernel, totals.overrun, totals.written];
        statistics(self.number, at, (self.tap.held_from(), end), counts)
    }

    /// The error of an interface that went away, or of a file that cannot be read on.
    pub(super) fn lost(&self) -> Option<Error> {
        let why = self.tap.lost()?;
        let name = self.name.clone();
        Some(match &self.tap {
            Tap::Device(device) if device.is_file() => Error::Cut { name, why },
            Tap::Device(_) | Tap::Ring { .. } => Error::Away { interface: name, why },
        })
    }
}

/// What a capture took so far, over all its interfaces, into files of `bytes` together.
pub(super) fn totals(feeds: &[Feed], bytes: u64) -> Totals {
    let start = Totals { bytes, ..Totals::default() };
    feeds.iter().map(Feed::totals).fold(start, |sum, one| Totals {
        packets: sum.packets + one.written,
        bytes: sum.bytes,
        dropped_by_kernel: sum.dropped_by_kernel + one.dropped_by_kernel,
        overrun: sum.overrun + one.overrun,
    })
}

/// The parts of a feed that packets pass while one of its blocks is pinned.
struct Desk<'f> {
    number: u32,
    program: &'f Program,
    counts: &'f mut Counts,
    untold: &'f mut u64,
}

impl Desk<'_> {
    fn lose(&mut self, loss: Loss) {
        self.counts.lose(loss);
        *self.untold += loss.dropped_by_kernel + loss.overrun;
    }

    /// Takes the frames of a block that were not taken already. Returns how many were taken in the
    /// end.
    #[inline]
    fn take_from<'a>(
        &mut self,
        frames: impl Iterator<Item = Frame<'a>>,
        already: usize,
        selection: &mut Selection,
        series: &mut Series,
    ) -> (Taken, usize) {
        let mut taken = 0;
        for frame in frames {
            if taken >= already {
                match self.take(&frame, selection, series) {
                    Taken::Block => {}
                    end @ (Taken::SegmentFull | Taken::End(_)) => return (end, taken),
                }
            }
            taken += 1;
        }
        (Taken::Block, taken)
    }

    #[inline]
    fn take(&mut self, frame: &Frame<'_>, selection: &mut Selection, series: &mut Series) -> Taken {
        if frame.at < selection.from || frame.at >= selection.until {
            return Taken::Block;
        }
        let packet = packet::of(frame);
        if !self.program.selects(&packet) {
            self.counts.seen += 1;
            return Taken::Block;
        }
        match packet.vlan {
            None => self.write(frame, (frame.data, packet.wire_len), selection, series),
            Some(tag) => self.write_tagged(frame, (tag, packet.wire_len), selection, series),
        }
    }

    /// The packet as it was on the wire: the tag goes back to its place, at the price of a copy.
    #[cold]
    fn write_tagged(
        &mut self,
        frame: &Frame<'_>,
        (tag, wire_len): ([u8; 4], u32),
        selection: &mut Selection,
        series: &mut Series,
    ) -> Taken {
        let whole = with_tag(frame.data, tag);
        let data = whole.as_deref().unwrap_or(frame.data);
        self.write(frame, (data, wire_len), selection, series)
    }

    /// Writes a packet that was selected.
    #[inline]
    fn write(
        &mut self,
        frame: &Frame<'_>,
        (data, wire_len): (&[u8], u32),
        selection: &mut Selection,
        series: &mut Series,
    ) -> Taken {
        if series.packets() >= selection.packets {
            return Taken::End(StopReason::PacketsExceeded);
        }
        let is_trigger = selection.trigger_comment.is_some() && frame.at >= selection.trigger_at;
        let block = PacketBlock {
            interface: self.number,
            at: frame.at,
            data: cut(data, selection.bytes_per_packet),
            wire_len,
            flags: Some(flags_of(frame)),
            drop_count: (*self.untold > 0).then_some(*self.untold),
            comment: selection.trigger_comment.as_deref().filter(|_comment| is_trigger),
        };
        match series.put(&block) {
            Put::Written => {}
            Put::SegmentFull => return Taken::SegmentFull,
            Put::LimitReached => return Taken::End(StopReason::BytesExceeded),
        }
        self.counts.seen += 1;
        self.counts.written += 1;
        let whole = usize::try_from(wire_len).unwrap_or(usize::MAX);
        self.counts.truncated += u64::from(block.captured_len() < whole);
        *self.untold = 0;
        if is_trigger {
            selection.trigger_comment = None;
        }
        if series.packets() >= selection.packets {
            return Taken::End(StopReason::PacketsExceeded);
        }
        Taken::Block
    }
}

/// The bytes with the tag behind both addresses; none where they end before it.
fn with_tag(data: &[u8], tag: [u8; 4]) -> Option<Vec<u8>> {
    let (addresses, rest) = data.split_at_checked(TAG_OFFSET)?;
    Some([addresses, &tag, rest].concat())
}

/// The first `bytes` of the packet; 0: all of it.
#[inline]
fn cut(data: &[u8], bytes: usize) -> &[u8] {
    if bytes == 0 || data.len() <= bytes { data } else { &data[..bytes] }
}

const fn flags_of(frame: &Frame<'_>) -> u32 {
    let direction = match frame.direction() {
        Direction::Host => flags::INBOUND | flags::UNICAST,
        Direction::Broadcast => flags::INBOUND | flags::BROADCAST,
        Direction::Multicast => flags::INBOUND | flags::MULTICAST,
        Direction::OtherHost => flags::INBOUND | flags::PROMISCUOUS,
        Direction::Outgoing => flags::OUTBOUND,
        Direction::Unknown => 0,
    };
    let not_ready = if frame.checksum_not_ready() { flags::CHECKSUM_NOT_READY } else { 0 };
    let valid = if frame.checksum_valid() { flags::CHECKSUM_VALID } else { 0 };
    let coalesced = if frame.is_coalesced() { flags::SEGMENTATION_OFFLOADED } else { 0 };
    direction | not_ready | valid | coalesced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_goes_back_after_the_addresses() {
        let data: Vec<u8> = (0..20).collect();
        let tag = [0x81, 0, 0, 5];
        let whole = with_tag(&data, tag).unwrap();
        assert_eq!(whole[..12], data[..12]);
        assert_eq!(whole[12..16], tag);
        assert_eq!(whole[16..], data[12..]);
        assert_eq!(with_tag(&data[..11], tag), None);
    }

    #[test]
    fn a_cut_keeps_the_first_bytes() {
        let data: Vec<u8> = (0..20).collect();
        for bytes in 1..30 {
            assert_eq!(cut(&data, bytes), &data[..bytes.min(data.len())]);
        }
        assert_eq!(cut(&data, 0), data);
    }
}
