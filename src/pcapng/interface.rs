//! Interface Description Block: where packets come from and how their stamps count.

use super::block::{
    INTERFACE_DESCRIPTION, MAX_TEXT_BYTES, Sink, put_block, put_end_of_options, put_option,
    put_text,
};

const NAME: u16 = 2;
const DESCRIPTION: u16 = 3;
const TIME_RESOLUTION: u16 = 9;
const FILTER: u16 = 11;

/// A negative power of ten: nanoseconds.
const NANOSECONDS: u8 = 9;
/// First byte of the filter option: what follows is a text, not BPF.
const FILTER_IS_TEXT: u8 = 0;

/// One interface. Packets name it by its place among the interfaces of the file, from 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Interface<'a> {
    pub name: Option<&'a str>,
    pub description: Option<&'a str>,
    /// In tcpdump's language.
    pub filter: Option<&'a str>,
    /// LINKTYPE_ value (tcpdump.org/linktypes.html); 1 is Ethernet.
    pub link_type: u16,
    /// The most that is kept of each packet, in bytes; 0 keeps the whole packet.
    pub snap_len: u32,
}

/// Appends the description of an interface. Its stamps count nanoseconds.
pub fn interface_description(out: &mut impl Sink, interface: &Interface<'_>) {
    let mut body = Vec::new();
    body.put(&interface.link_type.to_le_bytes());
    body.put(&[0; 2]);
    body.put(&interface.snap_len.to_le_bytes());
    put_text(&mut body, NAME, interface.name);
    put_text(&mut body, DESCRIPTION, interface.description);
    put_option(&mut body, TIME_RESOLUTION, &[NANOSECONDS]);
    if let Some(filter) = interface.filter.filter(|filter| !filter.is_empty()) {
        let text = &filter[..filter.floor_char_boundary(MAX_TEXT_BYTES - 1)];
        let mut value = vec![FILTER_IS_TEXT];
        value.extend_from_slice(text.as_bytes());
        put_option(&mut body, FILTER, &value);
    }
    put_end_of_options(&mut body);
    put_block(out, INTERFACE_DESCRIPTION, &body);
}
