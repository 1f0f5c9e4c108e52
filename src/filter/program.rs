//! Classic BPF programs, checked as the kernel checks them before it runs one.

use super::eval::{self, Packet, TAG_AT};
use super::lift::lift;
use super::operation::{Instruction, MEMORY_WORDS, Operation};
use super::outline::Outline;
use super::simplify::simplify;
use super::steps::{Position, Steps};

/// The longest program, in instructions (BPF_MAXINSNS of the kernel).
pub const MAX_INSTRUCTIONS: usize = 4_096;

/// How much of a tagged packet is copied, in bytes: more than the headers that filters look at.
const FRONT_BYTES: usize = 96;

/// Why a program is refused. Places count from 0, as `tcpdump -d` shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("the program has no instruction")]
    Empty,
    #[error(
        "it makes {0} instructions and at most {MAX_INSTRUCTIONS} can be run; write fewer \
         alternatives, or a network or range instead"
    )]
    TooLong(usize),
    #[error("instruction {at} has the unknown code {code:#06x}")]
    UnknownCode { at: usize, code: u16 },
    #[error(
        "instruction {at} jumps back or out of the program; protochain, which makes loops, cannot \
         be used"
    )]
    Jump { at: usize },
    #[error("instruction {at} uses scratch memory out of its {MEMORY_WORDS} words")]
    Memory { at: usize },
    #[error("instruction {at} reads scratch memory that nothing has written")]
    Unwritten { at: usize },
    #[error("instruction {at} divides by zero")]
    Division { at: usize },
    #[error("instruction {at} shifts by 32 bits or more")]
    Shift { at: usize },
    #[error(
        "instruction {at} reads what is not in the packet; inbound, outbound and ifindex cannot be \
         used, nor a negative offset"
    )]
    NotInPacket { at: usize },
    #[error("the last instruction does not return")]
    NoReturn,
}

/// A checked program: it ends on every packet, and its evaluator has nothing to be afraid of.
#[derive(Clone, Debug)]
pub struct Program {
    text: String,
    instructions: Vec<Instruction>,
    operations: Vec<Operation>,
    steps: Steps,
}

impl Program {
    /// Checks a program; `text` is the expression that it was made from.
    ///
    /// # Errors
    /// The kernel would refuse it, or it reads ancillary data, which only the kernel has.
    pub fn new(instructions: Vec<Instruction>, text: String) -> Result<Self, Invalid> {
        let operations = check(&instructions)?;
        let (start, decisions) = lift(&operations);
        let steps = Steps::new(&simplify(start, &decisions));
        Ok(Self { text, instructions, operations, steps })
    }

    /// Whether the program selects a packet. A load beyond its captured bytes selects nothing.
    #[inline]
    pub fn selects(&self, packet: &Packet<'_>) -> bool {
        if packet.vlan.is_some() {
            return self.go_on_with(None, packet);
        }
        let from = self.steps.begin(packet.data);
        from.answer().unwrap_or_else(|| self.go_on_with(Some(from), packet))
    }

    /// Whether the program selects every packet with this outline, or none; `None` if it has to see
    /// the packets themselves.
    pub fn decide(&self, outline: &Outline) -> Option<bool> {
        self.steps.decide(outline)
    }

    /// Apart from what most packets need, to keep that short.
    #[inline(never)]
    fn go_on_with(&self, from: Option<Position>, packet: &Packet<'_>) -> bool {
        let known = match from {
            Some(from) => self.steps.select(from, packet.data, packet.wire_len),
            None => self.by_steps(packet),
        };
        known.unwrap_or_else(|| self.by_interpreter(packet))
    }

    /// The quick way; `None` if it cannot tell.
    pub(super) fn by_steps(&self, packet: &Packet<'_>) -> Option<bool> {
        match packet.vlan {
            None => self.select(packet.data, packet.wire_len),
            Some(tag) => self.with_tag(packet, tag),
        }
    }

    fn select(&self, data: &[u8], wire_len: u32) -> Option<bool> {
        self.steps.select(self.steps.begin(data), data, wire_len)
    }

    /// A copy of the front with the tag in its place is all that most programs read.
    #[inline(never)]
    fn with_tag(&self, packet: &Packet<'_>, tag: [u8; 4]) -> Option<bool> {
        let Some((addresses, rest)) = packet.data.split_at_checked(TAG_AT) else {
            return self.select(packet.data, packet.wire_len);
        };
        let mut front = [0; FRONT_BYTES];
        let (front_addresses, behind) = front.split_at_mut(TAG_AT);
        let (front_tag, front_rest) = behind.split_at_mut(tag.len());
        let length = rest.len().min(front_rest.len());
        front_addresses.copy_from_slice(addresses);
        front_tag.copy_from_slice(&tag);
        front_rest[..length].copy_from_slice(&rest[..length]);
        // What stands behind the copy is as unknown to the steps as what was not captured.
        self.select(&front[..TAG_AT + tag.len() + length], packet.wire_len)
    }

    /// The reference.
    #[cold]
    #[inline(never)]
    pub(super) fn by_interpreter(&self, packet: &Packet<'_>) -> bool {
        eval::run(&self.operations, packet) != 0
    }

    /// The expression that it was made from, in tcpdump's language; empty: selects everything.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// For frames with their VLAN tag in place. The kernel shows a socket's filter frames without
    /// it, so a program attached there may select other packets than [`selects`](Self::selects).
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }
}

/// Checks and decodes a program. Follows `bpf_check_classic` and `check_load_and_stores` of the
/// kernel (net/core/filter.c).
fn check(instructions: &[Instruction]) -> Result<Vec<Operation>, Invalid> {
    if instructions.is_empty() {
        return Err(Invalid::Empty);
    }
    if instructions.len() > MAX_INSTRUCTIONS {
        return Err(Invalid::TooLong(instructions.len()));
    }
    let mut operations = Vec::with_capacity(instructions.len());
    for (at, instruction) in instructions.iter().enumerate() {
        let code = instruction.code;
        let operation = Operation::decode(instruction).ok_or(Invalid::UnknownCode { at, code })?;
        check_operands(&operation, at)?;
        // What is left behind it; a jump of as many is one too far.
        let left = instructions.len() - at - 1;
        if operation.jumps().into_iter().flatten().any(|by| !fits(by, left)) {
            return Err(Invalid::Jump { at });
        }
        operations.push(operation);
    }
    match operations.last() {
        Some(Operation::Return(_) | Operation::ReturnA) => {}
        Some(_) | None => return Err(Invalid::NoReturn),
    }
    check_memory(&operations)?;
    Ok(operations)
}

fn fits(by: u32, left: usize) -> bool {
    usize::try_from(by).is_ok_and(|by| by < left)
}

fn check_operands(operation: &Operation, at: usize) -> Result<(), Invalid> {
    if operation.memory().is_some_and(|place| !fits(place, MEMORY_WORDS)) {
        return Err(Invalid::Memory { at });
    }
    if operation.divides_by_zero() {
        return Err(Invalid::Division { at });
    }
    if operation.shifts_too_far() {
        return Err(Invalid::Shift { at });
    }
    if operation.offset().is_some_and(|offset| i32::try_from(offset).is_err()) {
        return Err(Invalid::NotInPacket { at });
    }
    Ok(())
}

/// Follows which words of scratch memory are written on every way to an instruction.
fn check_memory(operations: &[Operation]) -> Result<(), Invalid> {
    // One bit a word; all are set for an instruction that no way has led to so far.
    let mut written_before = vec![u16::MAX; operations.len()];
    let mut written: u16 = 0;
    for (at, operation) in operations.iter().enumerate() {
        written &= written_before[at];
        let bit = operation.memory().map_or(0, |place| 1_u16 << place);
        if operation.stores() {
            written |= bit;
        } else if written & bit != bit {
            return Err(Invalid::Unwritten { at });
        }
        let jumps = operation.jumps();
        for by in jumps.into_iter().flatten() {
            let target = usize::try_from(by).map_or(usize::MAX, |by| at + 1 + by);
            if let Some(before) = written_before.get_mut(target) {
                *before &= written;
            }
        }
        if jumps != [None, None] {
            written = u16::MAX;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn op(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
        Instruction { code, jt, jf, k }
    }

    const LOAD_BYTE: u16 = 0x30;
    const JUMP: u16 = 0x05;
    const JUMP_EQUAL: u16 = 0x15;
    const STORE: u16 = 0x02;
    const LOAD_MEMORY: u16 = 0x60;
    const RETURN: Instruction = op(0x06, 0, 0, 1);

    #[test]
    fn bad_programs_are_refused_for_what_is_bad() {
        for (program, expected) in [
            (vec![], Invalid::Empty),
            (vec![RETURN; MAX_INSTRUCTIONS + 1], Invalid::TooLong(MAX_INSTRUCTIONS + 1)),
            (vec![op(0xffff, 0, 0, 0), RETURN], Invalid::UnknownCode { at: 0, code: 0xffff }),
            (vec![op(0x0e, 0, 0, 0)], Invalid::UnknownCode { at: 0, code: 0x0e }),
            (vec![op(0x38, 0, 0, 0), RETURN], Invalid::UnknownCode { at: 0, code: 0x38 }),
            (vec![op(LOAD_BYTE, 0, 0, 0)], Invalid::NoReturn),
            (vec![op(JUMP, 0, 0, 0)], Invalid::Jump { at: 0 }),
            (vec![op(JUMP, 0, 0, 1), RETURN], Invalid::Jump { at: 0 }),
            (vec![op(JUMP, 0, 0, u32::MAX), RETURN], Invalid::Jump { at: 0 }),
            (vec![RETURN, op(JUMP, 0, 0, u32::MAX - 1), RETURN], Invalid::Jump { at: 1 }),
            (vec![op(JUMP_EQUAL, 1, 0, 0), RETURN], Invalid::Jump { at: 0 }),
            (vec![op(JUMP_EQUAL, 0, 1, 0), RETURN], Invalid::Jump { at: 0 }),
            (vec![op(JUMP_EQUAL, 255, 255, 0), RETURN], Invalid::Jump { at: 0 }),
            (vec![op(STORE, 0, 0, 16), RETURN], Invalid::Memory { at: 0 }),
            (vec![op(0x03, 0, 0, u32::MAX), RETURN], Invalid::Memory { at: 0 }),
            (vec![op(LOAD_MEMORY, 0, 0, 16), RETURN], Invalid::Memory { at: 0 }),
            (vec![op(LOAD_MEMORY, 0, 0, 3), RETURN], Invalid::Unwritten { at: 0 }),
            (vec![op(0x61, 0, 0, 0), RETURN], Invalid::Unwritten { at: 0 }),
            (
                // Only one of two ways writes the word.
                vec![op(JUMP_EQUAL, 0, 1, 7), op(STORE, 0, 0, 2), op(LOAD_MEMORY, 0, 0, 2), RETURN],
                Invalid::Unwritten { at: 2 },
            ),
            (vec![op(0x34, 0, 0, 0), RETURN], Invalid::Division { at: 0 }),
            (vec![op(0x94, 0, 0, 0), RETURN], Invalid::Division { at: 0 }),
            (vec![op(0x64, 0, 0, 32), RETURN], Invalid::Shift { at: 0 }),
            (vec![op(0x74, 0, 0, 33), RETURN], Invalid::Shift { at: 0 }),
            // SKF_AD_OFF + SKF_AD_VLAN_TAG, SKF_NET_OFF and SKF_LL_OFF.
            (vec![op(0x20, 0, 0, 0xffff_f02c), RETURN], Invalid::NotInPacket { at: 0 }),
            (vec![op(0x28, 0, 0, 0xfff0_0000), RETURN], Invalid::NotInPacket { at: 0 }),
            (vec![op(0x50, 0, 0, 0xffe0_0000), RETURN], Invalid::NotInPacket { at: 0 }),
            (vec![op(0xb1, 0, 0, 0x8000_0000), RETURN], Invalid::NotInPacket { at: 0 }),
        ] {
            let refused = Program::new(program, String::new()).unwrap_err();
            assert_eq!(refused, expected);
        }
    }

    #[test]
    fn good_programs_at_the_bounds_pass() {
        let both_ways = [
            op(JUMP_EQUAL, 0, 2, 7),
            op(STORE, 0, 0, 15),
            op(JUMP, 0, 0, 1),
            op(STORE, 0, 0, 15),
            op(LOAD_MEMORY, 0, 0, 15),
            RETURN,
        ];
        for program in [
            vec![RETURN],
            vec![RETURN; MAX_INSTRUCTIONS],
            both_ways.to_vec(),
            vec![op(0x20, 0, 0, i32::MAX.unsigned_abs()), op(0x64, 0, 0, 31), RETURN],
            vec![op(JUMP_EQUAL, 0, 0, 0), op(0x16, 0, 0, 0)],
        ] {
            assert!(Program::new(program, String::new()).is_ok());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn whatever_passes_the_check_runs_to_its_end(
            raw in prop::collection::vec(
                (prop::sample::select(crate::filter::operation::tests::CODES.to_vec()), 0u8..6, 0u8..6,
                 prop_oneof![0u32..40, any::<u32>()]), 1..24),
            data in prop::collection::vec(any::<u8>(), 0..64),
            vlan: Option<[u8; 4]>,
            wire_len: u32,
        ) {
            let mut program: Vec<_> =
                raw.into_iter().map(|(code, jt, jf, k)| op(code, jt, jf, k)).collect();
            program.push(op(0x16, 0, 0, 0));
            if let Ok(program) = Program::new(program, String::new()) {
                program.selects(&Packet { data: &data, vlan, wire_len });
            }
        }

        #[test]
        fn no_bytes_make_the_check_panic(
            raw in prop::collection::vec(any::<(u16, u8, u8, u32)>(), 0..40),
        ) {
            let program = raw.into_iter().map(|(code, jt, jf, k)| op(code, jt, jf, k)).collect();
            drop(Program::new(program, String::new()));
        }
    }
}
