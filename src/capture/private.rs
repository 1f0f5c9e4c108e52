//! The ring of an interface that no recorder watches: made for one capture, filtered in the kernel.

use crate::capture::PrivateSettings;
use crate::capture::opener::Request;
use crate::filter::{MAX_INSTRUCTIONS, Program};
use crate::ring::Instruction;

/// The ring for this interface and filter.
pub(super) fn request(interface: &str, program: &Program, settings: PrivateSettings) -> Request {
    Request {
        interface: interface.to_owned(),
        memory_bytes: settings.memory_bytes,
        // The filter is evaluated again on what the ring holds, so nothing is cut here.
        bytes_per_packet: 0,
        promiscuous: settings.promiscuous,
        program: kernel_program(program),
    }
}

/// What the kernel shall let through: every packet that the program selects, and maybe more. The
/// kernel has taken the VLAN tag out of a tagged packet, so there the program could refuse what it
/// selects in the file; such packets all pass and are judged later.
fn kernel_program(program: &Program) -> Vec<Instruction> {
    let own = program.instructions().iter().map(|step| Instruction {
        code: step.code,
        jt: step.jt,
        jf: step.jf,
        k: step.k,
    });
    let whole: Vec<_> = tagged_passes().into_iter().chain(own).collect();
    // No filter is the widest filter there is.
    if whole.len() > MAX_INSTRUCTIONS { Vec::new() } else { whole }
}

/// Three instructions: is there a tag beside the packet? Then return all of it, else go on.
fn tagged_passes() -> [Instruction; 3] {
    /// `ld [k]`, `jeq #k`, `ret #k` (linux/bpf_common.h).
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    /// SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT (linux/filter.h).
    const TAG_PRESENT: u32 = (-0x1000_i32 + 48).cast_unsigned();
    [
        Instruction { code: LOAD_WORD, jt: 0, jf: 0, k: TAG_PRESENT },
        Instruction { code: JUMP_IF_EQUAL, jt: 1, jf: 0, k: 0 },
        Instruction { code: RETURN, jt: 0, jf: 0, k: u32::MAX },
    ]
}
