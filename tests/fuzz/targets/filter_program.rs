//! Instructions of any bits: a program that is taken ends on every packet, and does not see whether
//! the VLAN tag stands in the packet or beside it.
//!
//! Input: one byte for the number of instructions, 8 bytes for each, the rest is the packet.

#![no_main]

use fuzz::filter::{Instruction, Packet, Program};
use libfuzzer_sys::fuzz_target;

/// Where a VLAN tag stands in a packet, and its size, in bytes.
const TAG: std::ops::Range<usize> = 12..16;

fuzz_target!(|bytes: &[u8]| {
    let Some((count, rest)) = bytes.split_first() else { return };
    let (instructions, _) = rest.as_chunks::<8>();
    let instructions: Vec<Instruction> = instructions
        .iter()
        .take((*count).into())
        .map(|[c0, c1, jt, jf, k @ ..]| Instruction {
            // All codes are below 256: the other byte is mostly left zero, so that programs are
            // found that are taken.
            code: u16::from_le_bytes([*c0, if *c1 < 250 { 0 } else { *c1 }]),
            jt: *jt,
            jf: *jf,
            k: u32::from_le_bytes(*k),
        })
        .collect();
    let data = rest.get(instructions.len() * 8..).unwrap_or_default();
    let Ok(program) = Program::new(instructions, String::new()) else { return };
    let wire_len = u32::try_from(data.len()).unwrap() + u32::from(*count);
    let plain = program.selects(&Packet { data, vlan: None, wire_len });
    if let Some(tag) = data.get(TAG) {
        let apart = [&data[..TAG.start], &data[TAG.end..]].concat();
        let vlan = Some(tag.try_into().unwrap());
        let tagged = program.selects(&Packet { data: &apart, vlan, wire_len });
        assert_eq!(tagged, plain, "the tag is put back for the program");
    }
});
