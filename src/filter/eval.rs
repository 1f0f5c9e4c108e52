//! The evaluator of checked programs: as libpcap's `bpf_filter`, in safe Rust, without allocation.
//!
//! Instructions are decoded once, so that what runs for each packet is one match per instruction.
//! No index can panic: each access has its answer for what the check has already ruled out.

use super::operation::{MEMORY_WORDS, Operand, Operation, Ways, calculate, holds};

/// Where a VLAN tag stands in an Ethernet frame, in bytes: behind the two addresses.
pub(super) const TAG_AT: usize = 12;
const TAG_BYTES: usize = 4;

/// A packet as the kernel's ring has it.
#[derive(Clone, Copy)]
pub struct Packet<'a> {
    /// The captured bytes, without the tag that the kernel has taken out.
    pub data: &'a [u8],
    /// The tag, to be put back at offset 12; ignored for a packet that does not reach so far.
    pub vlan: Option<[u8; 4]>,
    /// Its length on the wire in bytes, with the tag.
    pub wire_len: u32,
}

/// Lengths instead of packet bytes, which belong to the users of the network.
impl std::fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packet")
            .field("captured_len", &self.data.len())
            .field("vlan", &self.vlan)
            .field("wire_len", &self.wire_len)
            .finish()
    }
}

/// Runs a checked program; 0 does not select the packet.
pub(super) fn run(operations: &[Operation], packet: &Packet<'_>) -> u32 {
    // A packet without a tag, the usual case, gets an evaluator of its own that does not ask.
    let value = match packet.vlan {
        Some(tag) if packet.data.len() >= TAG_AT => {
            evaluate(operations, &Tagged { data: packet.data, tag }, packet.wire_len)
        }
        Some(_) | None => evaluate(operations, &Plain(packet.data), packet.wire_len),
    };
    value.unwrap_or(0)
}

/// The bytes of a packet as a program sees them.
trait Bytes {
    /// The bytes from an offset on, if all of them are there.
    fn take<const N: usize>(&self, at: usize) -> Option<[u8; N]>;
}

struct Plain<'a>(&'a [u8]);

impl Bytes for Plain<'_> {
    #[inline]
    fn take<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk().copied()
    }
}

/// A frame with its tag put back, without a copy.
struct Tagged<'a> {
    data: &'a [u8],
    tag: [u8; TAG_BYTES],
}

impl Tagged<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        match at.checked_sub(TAG_AT) {
            None => self.data.get(at),
            Some(within) if within < TAG_BYTES => self.tag.get(within),
            Some(_) => self.data.get(at - TAG_BYTES),
        }
        .copied()
    }
}

impl Bytes for Tagged<'_> {
    #[inline]
    fn take<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        if at >= TAG_AT + TAG_BYTES {
            return Plain(self.data).take(at - TAG_BYTES);
        }
        let mut bytes = [0; N];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = self.byte(at + index)?;
        }
        Some(bytes)
    }
}

/// What a program loads from an offset; `None` beyond the captured bytes.
trait Load: Bytes {
    #[inline]
    fn word(&self, at: u32) -> Option<u32> {
        self.take(usize::try_from(at).ok()?).map(u32::from_be_bytes)
    }

    #[inline]
    fn half(&self, at: u32) -> Option<u32> {
        self.take(usize::try_from(at).ok()?).map(u16::from_be_bytes).map(u32::from)
    }

    #[inline]
    fn octet(&self, at: u32) -> Option<u32> {
        self.take(usize::try_from(at).ok()?).map(u8::from_be_bytes).map(u32::from)
    }
}

impl<T: Bytes> Load for T {}

/// Runs to the return; `None` where a load is out of range or a division by zero, which both end
/// a program with 0.
fn evaluate(operations: &[Operation], packet: &impl Load, wire_len: u32) -> Option<u32> {
    let (mut a, mut x) = (0_u32, 0_u32);
    let mut memory = [0_u32; MEMORY_WORDS];
    let mut next = 0_usize;
    loop {
        let operation = operations.get(next)?;
        next += 1;
        match *operation {
            Operation::LoadWord(at) => a = packet.word(at)?,
            Operation::LoadHalf(at) => a = packet.half(at)?,
            Operation::LoadByte(at) => a = packet.octet(at)?,
            Operation::LoadWordAtX(at) => a = packet.word(x.checked_add(at)?)?,
            Operation::LoadHalfAtX(at) => a = packet.half(x.checked_add(at)?)?,
            Operation::LoadByteAtX(at) => a = packet.octet(x.checked_add(at)?)?,
            Operation::LoadConstant(k) => a = k,
            Operation::LoadMemory(place) => a = *memory.get(usize::try_from(place).ok()?)?,
            Operation::LoadLength => a = wire_len,
            Operation::LoadXConstant(k) => x = k,
            Operation::LoadXMemory(place) => x = *memory.get(usize::try_from(place).ok()?)?,
            Operation::LoadXLength => x = wire_len,
            Operation::LoadXHeaderLength(at) => x = (packet.octet(at)? & 0x0f) << 2,
            Operation::Store(place) => *memory.get_mut(usize::try_from(place).ok()?)? = a,
            Operation::StoreX(place) => *memory.get_mut(usize::try_from(place).ok()?)? = x,
            Operation::Calculate(arithmetic, operand) => {
                a = calculate(arithmetic, a, value(operand, x))?;
            }
            Operation::Negate => a = a.wrapping_neg(),
            Operation::Jump(by) => next = next.checked_add(usize::try_from(by).ok()?)?,
            Operation::IfEqual(k, ways) => next += skipped(a == k, ways),
            Operation::IfGreater(k, ways) => next += skipped(a > k, ways),
            Operation::IfAtLeast(k, ways) => next += skipped(a >= k, ways),
            Operation::IfAnyBit(k, ways) => next += skipped(a & k != 0, ways),
            Operation::IfX(test, ways) => next += skipped(holds(test, a, x), ways),
            Operation::Return(k) => return Some(k),
            Operation::ReturnA => return Some(a),
            Operation::CopyAToX => x = a,
            Operation::CopyXToA => a = x,
        }
    }
}

#[inline]
const fn value(operand: Operand, x: u32) -> u32 {
    match operand {
        Operand::K(k) => k,
        Operand::X => x,
    }
}

#[inline]
fn skipped(holds: bool, ways: Ways) -> usize {
    usize::from(if holds { ways.yes } else { ways.no })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{Instruction, Program};
    use proptest::prelude::*;

    /// What a program of these instructions and `ret a` returns.
    fn result(instructions: &[(u16, u32)], packet: &Packet<'_>) -> u32 {
        let operations: Vec<_> = instructions
            .iter()
            .chain(&[(0x16, 0)])
            .map(|(code, k)| {
                Operation::decode(&Instruction { code: *code, jt: 0, jf: 0, k: *k }).unwrap()
            })
            .collect();
        run(&operations, packet)
    }

    fn plain(data: &[u8]) -> Packet<'_> {
        Packet { data, vlan: None, wire_len: 1500 }
    }

    #[test]
    fn loads_are_big_endian_and_end_with_the_packet() {
        let data = [1, 2, 3, 4, 5];
        assert_eq!(result(&[(0x20, 1)], &plain(&data)), 0x0203_0405);
        assert_eq!(result(&[(0x28, 3)], &plain(&data)), 0x0405);
        assert_eq!(result(&[(0x30, 4)], &plain(&data)), 5);
        assert_eq!(result(&[(0x01, 1), (0x48, 2)], &plain(&data)), 0x0405);
        assert_eq!(result(&[(0xb1, 4), (0x87, 0)], &plain(&data)), 20);
        assert_eq!(result(&[(0x80, 0)], &plain(&data)), 1500);
        for beyond in [[(0x20, 2)], [(0x28, 4)], [(0x30, 5)], [(0x30, u32::MAX)], [(0xb1, 5)]] {
            assert_eq!(result(&[(0x00, 7), beyond[0]], &plain(&data)), 0, "{beyond:?}");
        }
        assert_eq!(result(&[(0x01, u32::MAX), (0x50, 2)], &plain(&data)), 0, "wraps around");
    }

    #[test]
    fn arithmetic_is_that_of_libpcap() {
        for (code, a, x, expected) in [
            (0x0c, u32::MAX, 2, 1),
            (0x1c, 1, 2, u32::MAX),
            (0x2c, 1 << 31, 2, 0),
            (0x3c, 7, 2, 3),
            (0x3c, 7, 0, 0),
            (0x9c, 7, 4, 3),
            (0x9c, 7, 0, 0),
            (0x4c, 5, 2, 7),
            (0x5c, 7, 2, 2),
            (0xac, 7, 2, 5),
            (0x6c, 1, 31, 1 << 31),
            (0x6c, 1, 32, 0),
            (0x7c, u32::MAX, 33, 0),
            (0x84, 1, 0, u32::MAX),
        ] {
            let program = [(0x00, a), (0x01, x), (code, 0)];
            assert_eq!(result(&program, &plain(&[])), expected, "{code:#x} {a} {x}");
        }
    }

    #[test]
    fn the_tag_of_a_packet_that_ends_before_it_is_ignored() {
        let packet = Packet { data: &[9; 11], vlan: Some([1, 2, 3, 4]), wire_len: 64 };
        assert_eq!(result(&[(0x30, 11)], &packet), 0);
        let packet = Packet { data: &[9; 12], vlan: Some([1, 2, 3, 4]), wire_len: 64 };
        assert_eq!(result(&[(0x20, 12)], &packet), 0x0102_0304);
    }

    proptest! {
        #[test]
        fn a_tag_put_back_is_as_one_that_was_never_taken_out(
            data in prop::collection::vec(any::<u8>(), 12..40),
            tag: [u8; 4],
            code in prop::sample::select(vec![0x20_u16, 0x28, 0x30]),
            at in 0u32..48,
        ) {
            let whole = [&data[..12], &tag, &data[12..]].concat();
            let stripped = Packet { data: &data, vlan: Some(tag), wire_len: 1500 };
            prop_assert_eq!(result(&[(code, at)], &stripped), result(&[(code, at)], &plain(&whole)));
        }
    }

    #[test]
    fn a_program_says_what_it_was_made_from() {
        let all = Instruction { code: 0x06, jt: 0, jf: 0, k: 1 };
        let program = Program::new(vec![all], "tcp".to_owned()).unwrap();
        assert_eq!((program.text(), program.instructions()), ("tcp", &[all][..]));
        assert!(program.selects(&plain(&[])));
    }
}
