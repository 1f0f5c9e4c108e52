//! Classic BPF instructions, decoded: which codes there are, and what each operation needs.
//!
//! Follows `chk_code_allowed` of the kernel (net/core/filter.c) and pcap/bpf.h of libpcap.

pub use crate::libpcap::Instruction;

/// Words of scratch memory (BPF_MEMWORDS).
pub(super) const MEMORY_WORDS: usize = 16;

/// The second operand: a constant or the index register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    K(u32),
    X,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Equal,
    Greater,
    AtLeast,
    AnyBit,
}

/// How many instructions a branch skips if its test holds, and if not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ways {
    pub(super) yes: u8,
    pub(super) no: u8,
}

/// One decoded instruction. A is the accumulator, X the index register.
///
/// What nearly every packet meets, loads and tests against a constant, has a variant for each kind:
/// a second match inside costs a fifth of the whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// A = packet at a fixed offset.
    LoadWord(u32),
    LoadHalf(u32),
    LoadByte(u32),
    /// A = packet at X + offset.
    LoadWordAtX(u32),
    LoadHalfAtX(u32),
    LoadByteAtX(u32),
    LoadConstant(u32),
    LoadMemory(u32),
    LoadLength,
    LoadXConstant(u32),
    LoadXMemory(u32),
    LoadXLength,
    /// X = length of the IPv4 header whose first byte stands at the offset.
    LoadXHeaderLength(u32),
    Store(u32),
    StoreX(u32),
    Calculate(Arithmetic, Operand),
    Negate,
    Jump(u32),
    /// A against a constant.
    IfEqual(u32, Ways),
    IfGreater(u32, Ways),
    IfAtLeast(u32, Ways),
    IfAnyBit(u32, Ways),
    /// A against X.
    IfX(Test, Ways),
    Return(u32),
    ReturnA,
    CopyAToX,
    CopyXToA,
}

impl Operation {
    /// Decodes an instruction; `None` for a code that the kernel does not know either.
    pub(super) fn decode(instruction: &Instruction) -> Option<Self> {
        let Instruction { code, jt, jf, k } = *instruction;
        let ways = Ways { yes: jt, no: jf };
        Some(match code {
            0x20 => Self::LoadWord(k),
            0x28 => Self::LoadHalf(k),
            0x30 => Self::LoadByte(k),
            0x40 => Self::LoadWordAtX(k),
            0x48 => Self::LoadHalfAtX(k),
            0x50 => Self::LoadByteAtX(k),
            0x00 => Self::LoadConstant(k),
            0x60 => Self::LoadMemory(k),
            0x80 => Self::LoadLength,
            0x01 => Self::LoadXConstant(k),
            0x61 => Self::LoadXMemory(k),
            0x81 => Self::LoadXLength,
            0xb1 => Self::LoadXHeaderLength(k),
            0x02 => Self::Store(k),
            0x03 => Self::StoreX(k),
            0x84 => Self::Negate,
            0x05 => Self::Jump(k),
            0x15 => Self::IfEqual(k, ways),
            0x25 => Self::IfGreater(k, ways),
            0x35 => Self::IfAtLeast(k, ways),
            0x45 => Self::IfAnyBit(k, ways),
            0x1d => Self::IfX(Test::Equal, ways),
            0x2d => Self::IfX(Test::Greater, ways),
            0x3d => Self::IfX(Test::AtLeast, ways),
            0x4d => Self::IfX(Test::AnyBit, ways),
            0x06 => Self::Return(k),
            0x16 => Self::ReturnA,
            0x07 => Self::CopyAToX,
            0x87 => Self::CopyXToA,
            code => {
                // Arithmetic, with its second operand told by bit 3.
                let operand = if code & 0x08 == 0 { Operand::K(k) } else { Operand::X };
                Self::Calculate(arithmetic(code & !0x08)?, operand)
            }
        })
    }

    /// How many instructions it may skip; nothing for one that goes on to the next or ends.
    pub(super) fn jumps(&self) -> [Option<u32>; 2] {
        if let Self::Jump(by) = *self {
            [Some(by), None]
        } else if let Self::IfEqual(_, ways)
        | Self::IfGreater(_, ways)
        | Self::IfAtLeast(_, ways)
        | Self::IfAnyBit(_, ways)
        | Self::IfX(_, ways) = *self
        {
            [Some(ways.yes.into()), Some(ways.no.into())]
        } else {
            [None, None]
        }
    }

    /// The word of scratch memory that it uses.
    pub(super) fn memory(&self) -> Option<u32> {
        if let Self::LoadMemory(place)
        | Self::LoadXMemory(place)
        | Self::Store(place)
        | Self::StoreX(place) = *self
        {
            Some(place)
        } else {
            None
        }
    }

    pub(super) fn stores(&self) -> bool {
        matches!(self, Self::Store(_) | Self::StoreX(_))
    }

    /// The constant part of the offset in the packet that it reads.
    pub(super) fn offset(&self) -> Option<u32> {
        if let Self::LoadWord(at)
        | Self::LoadHalf(at)
        | Self::LoadByte(at)
        | Self::LoadWordAtX(at)
        | Self::LoadHalfAtX(at)
        | Self::LoadByteAtX(at)
        | Self::LoadXHeaderLength(at) = *self
        {
            Some(at)
        } else {
            None
        }
    }

    pub(super) fn divides_by_zero(&self) -> bool {
        matches!(self, Self::Calculate(Arithmetic::Divide | Arithmetic::Modulo, Operand::K(0)))
    }

    pub(super) fn shifts_too_far(&self) -> bool {
        matches!(
            self,
            Self::Calculate(Arithmetic::ShiftLeft | Arithmetic::ShiftRight, Operand::K(32..))
        )
    }
}

fn arithmetic(code: u16) -> Option<Arithmetic> {
    Some(match code {
        0x04 => Arithmetic::Add,
        0x14 => Arithmetic::Subtract,
        0x24 => Arithmetic::Multiply,
        0x34 => Arithmetic::Divide,
        0x44 => Arithmetic::Or,
        0x54 => Arithmetic::And,
        0x64 => Arithmetic::ShiftLeft,
        0x74 => Arithmetic::ShiftRight,
        0x94 => Arithmetic::Modulo,
        0xa4 => Arithmetic::Xor,
        _ => return None,
    })
}

/// Whether a branch's test holds for A and its operand.
#[inline]
pub(super) const fn holds(test: Test, a: u32, b: u32) -> bool {
    match test {
        Test::Equal => a == b,
        Test::Greater => a > b,
        Test::AtLeast => a >= b,
        Test::AnyBit => a & b != 0,
    }
}

/// A after arithmetic; `None` for a division by zero. Wraps around as in C; a shift by 32 bits or more leaves 0, as in libpcap.
#[inline]
pub(super) fn calculate(arithmetic: Arithmetic, a: u32, b: u32) -> Option<u32> {
    Some(match arithmetic {
        Arithmetic::Add => a.wrapping_add(b),
        Arithmetic::Subtract => a.wrapping_sub(b),
        Arithmetic::Multiply => a.wrapping_mul(b),
        Arithmetic::Divide => a.checked_div(b)?,
        Arithmetic::Modulo => a.checked_rem(b)?,
        Arithmetic::And => a & b,
        Arithmetic::Or => a | b,
        Arithmetic::Xor => a ^ b,
        Arithmetic::ShiftLeft => a.checked_shl(b).unwrap_or(0),
        Arithmetic::ShiftRight => a.checked_shr(b).unwrap_or(0),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Every code that there is.
    pub(in crate::filter) const CODES: [u16; 49] = [
        0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x00, 0x60, 0x80, 0x01, 0x61, 0x81, 0xb1, 0x02, 0x03,
        0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x44, 0x4c, 0x54, 0x5c, 0x64, 0x6c, 0x74,
        0x7c, 0x94, 0x9c, 0xa4, 0xac, 0x84, 0x05, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d,
        0x06, 0x16, 0x07, 0x87,
    ];

    #[test]
    fn exactly_the_codes_of_the_kernel_are_known() {
        let known = |code: &u16| {
            Operation::decode(&Instruction { code: *code, jt: 0, jf: 0, k: 1 }).is_some()
        };
        let mut expected = CODES.to_vec();
        expected.sort_unstable();
        assert_eq!((0..=u16::MAX).filter(known).collect::<Vec<_>>(), expected);
    }
}
