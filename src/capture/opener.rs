//! The one place where packet sockets are opened: a description in, a recording ring or an open
//! device of libpcap out.
//!
//! Nothing else may assume that this happens in the same process.

use crate::capture::Error;
use crate::capture::interface::{self, Service};
use crate::libpcap::{DeviceSettings, Source};
use crate::ring::{Builder, Geometry, Instruction, Ring};

/// The ring that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) interface: String,
    /// Size of the ring in bytes.
    pub(super) memory_bytes: u64,
    /// How much of each packet is recorded, in bytes; 0 records the whole packet.
    pub(super) bytes_per_packet: u32,
    pub(super) promiscuous: bool,
    /// Only packets that this program selects; empty: all. Its meaning is that of the kernel, which
    /// has taken the VLAN tag out.
    pub(super) program: Vec<Instruction>,
}

impl Request {
    /// The measures of the ring.
    pub(super) fn geometry(&self) -> Geometry {
        Geometry::for_memory(self.memory_bytes)
    }
}

/// An open ring, and the index of the interface that it hears.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) ring: Ring,
    pub(super) index: i32,
}

/// Opens a ring. Takes up to a second per GiB of memory.
pub(super) fn open(request: &Request) -> Result<Opened, Error> {
    let interface = interface::find(&request.interface)?;
    let Service::Ring { index, is_loopback } = interface.service else {
        return Err(Error::LinkType { name: interface.name });
    };
    let ring = Builder::new(request.geometry())
        .filter(cut(request.program.clone(), request.bytes_per_packet))
        .ignore_outgoing(is_loopback)
        .promiscuous(request.promiscuous)
        .bind(index)
        .map_err(|source| Error::Ring { interface: interface.name.clone(), source })?;
    Ok(Opened { ring, index })
}

/// Opens a device that no ring serves.
pub(super) fn open_device(settings: &DeviceSettings) -> Result<Source, Error> {
    Ok(Source::open_device(settings)?)
}

/// The program, returning at most `bytes`: what a program returns is how much is recorded.
fn cut(mut program: Vec<Instruction>, bytes: u32) -> Vec<Instruction> {
    /// `ret #k` (BPF_RET | BPF_K).
    const RETURN: u16 = 0x06;
    if bytes == 0 {
        return program;
    }
    if program.is_empty() {
        program.push(Instruction { code: RETURN, jt: 0, jf: 0, k: u32::MAX });
    }
    for step in &mut program {
        if step.code == RETURN {
            step.k = step.k.min(bytes);
        }
    }
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snap_length_cuts_what_is_selected_and_selects_nothing_more() {
        let ret = |k| Instruction { code: 6, jt: 0, jf: 0, k };
        assert_eq!(cut(vec![ret(262_144), ret(0)], 96), [ret(96), ret(0)]);
        assert_eq!(cut(Vec::new(), 96), [ret(96)]);
        assert_eq!(cut(Vec::new(), 0), []);
    }
}
