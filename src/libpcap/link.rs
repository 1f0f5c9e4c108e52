//! What the frames of an interface begin with, as files number it and as libpcap does.

use pcap::Linktype;

/// Where the two numberings differ on Linux (pcap/dlt.h, tcpdump.org/linktypes.html): libpcap's
/// DLT_ value, then the LINKTYPE_ value of files. All others are the same.
const DIFFERENT: [(i32, u16); 5] = [
    // Classical IP over ATM, in LLC.
    (11, 100),
    (12, RAW_IP),
    // SLIP and PPP of BSD/OS.
    (15, 102),
    (16, 103),
    // Classical IP over ATM, without it.
    (19, 106),
];

const ETHERNET: u16 = 1;
const RAW_IP: u16 = 101;

/// What the frames of an interface begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// Ethernet, the loopback interface included.
    Ethernet,
    /// IPv4 or IPv6 at once, as tunnels have it.
    RawIp,
    /// Any other by its LINKTYPE_ value.
    Other(u16),
}

impl LinkType {
    /// Of the LINKTYPE_ value of a capture file.
    pub const fn of_files(number: u16) -> Self {
        match number {
            ETHERNET => Self::Ethernet,
            RAW_IP => Self::RawIp,
            other => Self::Other(other),
        }
    }

    /// The LINKTYPE_ value for capture files (tcpdump.org/linktypes.html).
    pub const fn in_files(self) -> u16 {
        match self {
            Self::Ethernet => ETHERNET,
            Self::RawIp => RAW_IP,
            Self::Other(number) => number,
        }
    }

    /// Of a DLT_ value; none where files have no number for it.
    pub(super) fn of_libpcap(Linktype(number): Linktype) -> Option<Self> {
        let different = DIFFERENT.iter().find(|(own, _)| *own == number);
        let in_files = different.map_or_else(|| u16::try_from(number), |(_, files)| Ok(*files));
        in_files.ok().map(Self::of_files)
    }

    /// The DLT_ value.
    pub(super) fn for_libpcap(self) -> Linktype {
        let number = self.in_files();
        let different = DIFFERENT.iter().find(|(_, files)| *files == number);
        Linktype(different.map_or_else(|| number.into(), |(own, _)| *own))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::libpcap::Source;

    #[test]
    fn every_number_of_files_is_told_as_libpcap_maps_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("link.pcap");
        // Those below 104 that files do not use are taken by libpcap as its own.
        for number in (0..=10).chain([50, 51, 100, 101, 102, 103]).chain(104..=290) {
            let mut head = Vec::new();
            head.extend(0xa1b2_c3d4_u32.to_le_bytes());
            head.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            head.extend(1_000_u32.to_le_bytes());
            head.extend(u32::from(number).to_le_bytes());
            fs::write(&file, head).unwrap();
            let link = Source::open_file(&file).unwrap().link_type();
            assert_eq!(link.in_files(), number);
            assert_eq!(LinkType::of_libpcap(link.for_libpcap()), Some(link));
        }
    }

    #[test]
    fn one_number_has_one_form() {
        assert_eq!(LinkType::of_files(1), LinkType::Ethernet);
        assert_eq!(LinkType::of_libpcap(Linktype(12)), Some(LinkType::RawIp));
        assert_eq!(LinkType::of_libpcap(Linktype(113)), Some(LinkType::Other(113)));
        assert_eq!(LinkType::of_libpcap(Linktype(-1)), None);
    }
}
