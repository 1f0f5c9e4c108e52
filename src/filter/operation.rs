//! Classic BPF instructions, decoded: which codes there are, and what each operation needs.
//!
//! Follows `chk_code_allowed` of the kernel (net/core/filter.c) and pcap/bpf.h of libpcap.

use super::program::Instruction;

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
    GreaterOrEqual,
    AnyBit,
}

/// How many bytes a load takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Word,
    Half,
    Byte,
}

/// One decoded instruction. A is the accumulator, X the index register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// A = packet at a fixed offset.
    Load(Width, u32),
    /// A = packet at X + offset.
    LoadIndexed(Width, u32),
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
    Branch {
        test: Test,
        operand: Operand,
        yes: u8,
        no: u8,
    },
    Return(u32),
    ReturnA,
    CopyAToX,
    CopyXToA,
}

impl Operation {
    /// Decodes an instruction; `None` for a code that the kernel does not know either.
    pub(super) fn decode(instruction: &Instruction) -> Option<Self> {
        let Instruction { code, jt, jf, k } = *instruction;
        Some(match code {
            0x20 => Self::Load(Width::Word, k),
            0x28 => Self::Load(Width::Half, k),
            0x30 => Self::Load(Width::Byte, k),
            0x40 => Self::LoadIndexed(Width::Word, k),
            0x48 => Self::LoadIndexed(Width::Half, k),
            0x50 => Self::LoadIndexed(Width::Byte, k),
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
            0x06 => Self::Return(k),
            0x16 => Self::ReturnA,
            0x07 => Self::CopyAToX,
            0x87 => Self::CopyXToA,
            code => {
                // What is left has its second operand in bit 3.
                let operand = if code & 0x08 == 0 { Operand::K(k) } else { Operand::X };
                match (arithmetic(code & !0x08), test(code & !0x08)) {
                    (Some(arithmetic), _) => Self::Calculate(arithmetic, operand),
                    (None, Some(test)) => Self::Branch { test, operand, yes: jt, no: jf },
                    (None, None) => return None,
                }
            }
        })
    }

    /// How many instructions it may skip; nothing for one that goes on to the next or ends.
    pub(super) fn jumps(&self) -> [Option<u32>; 2] {
        if let Self::Jump(by) = *self {
            [Some(by), None]
        } else if let Self::Branch { yes, no, .. } = *self {
            [Some(yes.into()), Some(no.into())]
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
        if let Self::Load(_, at) | Self::LoadIndexed(_, at) | Self::LoadXHeaderLength(at) = *self {
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

fn test(code: u16) -> Option<Test> {
    Some(match code {
        0x15 => Test::Equal,
        0x25 => Test::Greater,
        0x35 => Test::GreaterOrEqual,
        0x45 => Test::AnyBit,
        _ => return None,
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
