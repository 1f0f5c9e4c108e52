//! Where packets come from: a live device or a file, one packet after the other.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use pcap::{Activated, Capture, Device, Linktype, Precision};

use super::error::reason;
use super::{Error, LinkType};
use crate::clock::WallTime;

/// The longest packet that a source gives, in bytes: libpcap's own limit for most links
/// (MAXIMUM_SNAPLEN), and what tcpdump keeps of one. A longer one is cut.
pub const MAX_PACKET_BYTES: usize = 262_144;

/// The device that stands for all interfaces.
const ANY: &str = "any";

/// Devices that packets come to by netlink, which asks for another capability.
const NETLINK: [&str; 2] = ["nflog", "nfqueue"];

/// Linux cooked frames: those that libpcap offers first, and those that name the interface as well.
const COOKED: Linktype = Linktype::LINUX_SLL;
const COOKED_WITH_INTERFACE: Linktype = Linktype(276);

/// How the C library says EAGAIN, as some devices of libpcap do where nothing has come.
const NOTHING_YET: &str = "Resource temporarily unavailable";

/// The live device that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSettings {
    pub name: String,
    pub promiscuous: bool,
    /// How much of each packet is taken, in bytes; 0 takes the whole packet.
    pub bytes_per_packet: u32,
    /// Size of the kernel's buffer in bytes.
    pub buffer_bytes: u64,
    /// How long the kernel may gather packets before it hands them over.
    pub retire: Duration,
}

/// An open device or file.
pub struct Source {
    handle: Capture<dyn Activated>,
    name: String,
    link: LinkType,
    /// Nanoseconds in the smaller unit of its time stamps.
    stamp_unit: i64,
    is_file: bool,
    counts: Counts,
}

/// What came since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that passed the filter, those dropped included.
    pub received: u64,
    /// Packets that the kernel had no room for.
    pub dropped: u64,
}

/// What stands next.
#[derive(Debug)]
pub enum Next<'s> {
    Packet(Packet<'s>),
    /// Nothing has come; more may. Never of a file.
    Idle,
    /// The file was read to its end.
    End,
}

/// One packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Packet<'s> {
    pub at: WallTime,
    /// From the header of its link type on, at most [`MAX_PACKET_BYTES`].
    pub data: &'s [u8],
    /// Its length on the wire in bytes.
    pub wire_len: u32,
}

/// Whether the name stands for all interfaces at once.
pub fn is_any_device(name: &str) -> bool {
    name == ANY
}

/// Whether libpcap has a device of this name that is no interface, as `any`, `nflog` (`nflog:5` as
/// well) or `usbmon1`.
pub fn knows(name: &str) -> bool {
    let kind = name.split_once(':').map_or(name, |(kind, _group)| kind);
    Device::list().is_ok_and(|all| all.iter().any(|device| device.name == kind))
}

impl Source {
    /// Opens a live device. From then on it gathers packets.
    ///
    /// # Errors
    /// The privilege is missing, or libpcap cannot open it, or there is no such device.
    pub fn open_device(settings: &DeviceSettings) -> Result<Self, Error> {
        let name = settings.name.clone();
        if name.contains('\0') {
            return Err(Error::Name { device: name.replace('\0', "\u{fffd}") });
        }
        let failed = |error| refused(&settings.name, reason(error));
        // The crate takes a warning for an error, and a device without this mode warns.
        let promiscuous = settings.promiscuous && !is_any_device(&name);
        let mut opened = activate(settings, promiscuous);
        if promiscuous && opened.as_ref().is_err_and(is_about_promiscuity) {
            opened = activate(settings, false);
        }
        let handle = opened.map_err(failed)?.setnonblock().map_err(failed)?;
        let mut handle = Capture::<dyn Activated>::from(handle);
        prefer_cooked_with_interface(&mut handle);
        // Only packet sockets stamp in nanoseconds: they serve what the kernel has an index for.
        let in_nanos = is_any_device(&name) || nix::net::if_::if_nametoindex(&*name).is_ok();
        Self::new(handle, name, if in_nanos { 1 } else { 1_000 }, false)
    }

    /// Opens a file of packets, pcap or pcapng, with stamps in nanoseconds. Of pcapng libpcap
    /// reads only files whose interfaces have one link type. `-` is the standard input.
    ///
    /// # Errors
    /// There is no such file, or it is none that libpcap reads.
    pub fn open_file(path: &Path) -> Result<Self, Error> {
        let Some(text) = path.to_str() else {
            return Err(Error::Path { path: path.to_owned() });
        };
        let handle = Capture::from_file_with_precision(text, Precision::Nano);
        let failed = |error| Error::File { path: path.to_owned(), reason: reason(error) };
        Self::new(handle.map_err(failed)?.into(), text.to_owned(), 1, true)
    }

    fn new(
        handle: Capture<dyn Activated>,
        name: String,
        stamp_unit: i64,
        is_file: bool,
    ) -> Result<Self, Error> {
        let number = handle.get_datalink();
        let Some(link) = LinkType::of_libpcap(number) else {
            return Err(Error::LinkType { of: name, number: number.0 });
        };
        Ok(Self { handle, name, link, stamp_unit, is_file, counts: Counts::default() })
    }

    pub const fn link_type(&self) -> LinkType {
        self.link
    }

    /// Lets only those packets through that the expression selects. A device asks the kernel, which
    /// has taken VLAN tags out of frames; on cooked frames that may refuse what the same expression
    /// selects in a file.
    ///
    /// # Errors
    /// libpcap does not take the expression.
    pub fn filter(&mut self, expression: &str) -> Result<(), Error> {
        self.handle.filter(expression, true).map_err(|error| Error::Filter {
            device: self.name.clone(),
            expression: expression.to_owned(),
            reason: reason(error),
        })
    }

    /// The next packet, without waiting for one.
    ///
    /// # Errors
    /// Nothing more comes: the device is gone or down, or the file is cut or damaged.
    pub fn take(&mut self) -> Result<Next<'_>, Error> {
        let (unit, is_file) = (self.stamp_unit, self.is_file);
        match self.handle.next_packet() {
            Ok(packet) => Ok(Next::Packet(Packet::new(&packet, unit))),
            Err(pcap::Error::TimeoutExpired) => Ok(Next::Idle),
            Err(pcap::Error::NoMorePackets) => Ok(Next::End),
            Err(error) => {
                let reason = reason(error);
                let is_idle = !is_file && reason.ends_with(NOTHING_YET);
                if is_idle { Ok(Next::Idle) } else { Err(Error::Read { reason }) }
            }
        }
    }

    /// The running counts of a device; those of a file stay zero.
    ///
    /// # Errors
    /// libpcap cannot read them.
    pub fn counts(&mut self) -> Result<Counts, Error> {
        if self.is_file {
            return Ok(self.counts);
        }
        let told = self.handle.stats();
        let told = told.map_err(|error| Error::Counts { reason: reason(error) })?;
        self.counts.received = carried_on(self.counts.received, told.received);
        self.counts.dropped = carried_on(self.counts.dropped, told.dropped);
        Ok(self.counts)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .field("link", &self.link)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl<'s> Packet<'s> {
    fn new(packet: &pcap::Packet<'s>, stamp_unit: i64) -> Self {
        let stamp = packet.header.ts;
        let nanos = stamp.tv_sec.saturating_mul(1_000_000_000);
        let nanos = nanos.saturating_add(stamp.tv_usec.saturating_mul(stamp_unit));
        let whole = packet.data.len();
        Self {
            at: WallTime::from_nanos(nanos),
            data: packet.data.get(..MAX_PACKET_BYTES).unwrap_or(packet.data),
            wire_len: packet.header.len.max(u32::try_from(whole).unwrap_or(u32::MAX)),
        }
    }
}

/// Lengths instead of packet bytes, which belong to the users of the network.
impl fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet")
            .field("at", &self.at)
            .field("captured_len", &self.data.len())
            .field("wire_len", &self.wire_len)
            .finish()
    }
}

fn activate(
    settings: &DeviceSettings,
    promiscuous: bool,
) -> Result<Capture<pcap::Active>, pcap::Error> {
    let bytes = match usize::try_from(settings.bytes_per_packet) {
        Ok(bytes) if bytes > 0 => bytes.min(MAX_PACKET_BYTES),
        Ok(_) | Err(_) => MAX_PACKET_BYTES,
    };
    let retire = i32::try_from(settings.retire.as_millis()).unwrap_or(i32::MAX);
    Capture::from_device(settings.name.as_str())?
        .promisc(promiscuous)
        .snaplen(i32::try_from(bytes).unwrap_or(i32::MAX))
        .buffer_size(i32::try_from(settings.buffer_bytes).unwrap_or(i32::MAX))
        .timeout(retire)
        .precision(Precision::Nano)
        .open()
}

/// As tcpdump does: of all interfaces at once it should be told which one a packet passed.
fn prefer_cooked_with_interface(handle: &mut Capture<dyn Activated>) {
    if handle.get_datalink() != COOKED {
        return;
    }
    let offers = handle.list_datalinks().is_ok_and(|all| all.contains(&COOKED_WITH_INTERFACE));
    if offers {
        // Where this is refused after all, the first kind stays, and the source says so.
        drop(handle.set_datalink(COOKED_WITH_INTERFACE));
    }
}

fn is_about_promiscuity(error: &pcap::Error) -> bool {
    matches!(error, pcap::Error::PcapError(text) if text.contains("romiscuous mode"))
}

fn refused(device: &str, reason: String) -> Error {
    let denied = ["CAP_NET_RAW", "don't have permission", "Operation not permitted"];
    if !denied.iter().any(|words| reason.contains(words)) {
        return Error::Device { device: device.to_owned(), reason };
    }
    let by_netlink = NETLINK.iter().any(|kind| device.starts_with(kind));
    let capability = if by_netlink { "CAP_NET_ADMIN" } else { "CAP_NET_RAW" };
    Error::Privilege { device: device.to_owned(), capability }
}

/// A running total out of a counter of 32 bits that wraps.
fn carried_on(total: u64, counter: u32) -> u64 {
    let low = u32::try_from(total & u64::from(u32::MAX)).unwrap_or(0);
    total + u64::from(counter.wrapping_sub(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_wraps_goes_on() {
        let mut total = 0;
        for counter in [5, 5, u32::MAX, 3, 4] {
            total = carried_on(total, counter);
        }
        assert_eq!(total, (1 << 32) + 4);
    }

    #[test]
    fn a_missing_privilege_is_told_with_its_remedy() {
        let told = "Attempt to create packet socket failed - CAP_NET_RAW may be required";
        let error = refused("tun0", told.to_owned()).to_string();
        assert!(error.contains("'tun0' needs CAP_NET_RAW"), "{error}");
        assert!(error.contains("`setcap cap_net_raw+ep <path of hindsight>`"), "{error}");
        let error = refused("nflog:5", "Operation not permitted".to_owned()).to_string();
        assert!(error.contains("setcap cap_net_admin+ep"), "{error}");
        let error = refused("tun0", "That device is not up".to_owned()).to_string();
        assert_eq!(error, "libpcap cannot open 'tun0': That device is not up");
    }

    #[test]
    fn a_file_that_is_none_is_refused_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.pcap");
        std::fs::write(&path, "no packets in here, only text").unwrap();
        let error = Source::open_file(&path).unwrap_err().to_string();
        assert!(error.contains("text.pcap") && error.contains("unknown file format"), "{error}");
        let error = Source::open_file(&folder.path().join("nowhere")).unwrap_err().to_string();
        assert!(error.contains("No such file"), "{error}");
    }

    #[test]
    fn the_device_for_all_interfaces_is_known_and_a_made_up_name_is_not() {
        assert!(knows(ANY) && is_any_device(ANY));
        assert!(!knows("nowhere0") && !is_any_device("lo"));
    }
}
