//! The rings: what is recorded, with what memory, and whether all of it fits.

use std::ops::RangeInclusive;

use super::interfaces::{self, Interface, Interfaces};
use super::notes::{Notes, or_default};
use super::raw;
use crate::capture::{self, PrivateSettings, RecorderSettings};
use crate::units::Bytes;
use crate::yaml::{Place, Placed};

/// The memory of one ring, in bytes: with less, it has too few blocks to hold any back; and it is
/// locked memory of the kernel, so there is a most.
const RING_MEMORY: RangeInclusive<u64> = 1 << 20..=16 << 30;

/// The most recorders that a message names one by one.
const MAX_NAMED: usize = 4;

/// All rings, and what they and the buffers may take together.
pub(super) struct Rings {
    pub(super) recorders: Vec<RecorderSettings>,
    pub(super) on_demand: PrivateSettings,
    pub(super) memory_bytes: u64,
}

impl Rings {
    /// The sizes of what is there from the start, and of one ring on demand.
    fn sizes(&self) -> impl Iterator<Item = u64> {
        let recorded = self.recorders.iter().map(|recorder| recorder.memory_bytes);
        recorded.chain([self.on_demand.memory_bytes])
    }
}

/// What the file says of the rings, over what the default says. `complete` says that all of the file
/// could be read.
pub(super) fn read(
    notes: &mut Notes,
    given: &raw::Config,
    default: &raw::Config,
    complete: bool,
) -> Rings {
    let ceiling = or_default(given.ceilings.memory.as_ref(), default.ceilings.memory.as_ref());
    let (given, default) = (&given.recorder, &default.recorder);
    let memory = or_default(given.memory.as_ref(), default.memory.as_ref());
    let private = or_default(given.on_demand.memory.as_ref(), default.on_demand.memory.as_ref());
    let interfaces = or_default(given.interfaces.as_ref(), default.interfaces.as_ref());
    check_memory(notes, "a recorder", &memory);
    check_memory(notes, "a ring on demand", &private);
    let base = RecorderSettings {
        interface: String::new(),
        memory_bytes: memory.value.0,
        bytes_per_packet: given.bytes_per_packet.or(default.bytes_per_packet).unwrap_or(0),
        promiscuous: given.promiscuous.or(default.promiscuous).unwrap_or(false),
    };
    let promiscuous = given.on_demand.promiscuous.unwrap_or(base.promiscuous);
    let places = [ceiling.place, memory.place, interfaces.place];
    let rings = Rings {
        recorders: recorders(notes, interfaces.value, &base),
        on_demand: PrivateSettings { memory_bytes: private.value.0, promiscuous },
        memory_bytes: ceiling.value.0,
    };
    let place = places.into_iter().find(|place| Notes::is_in_file(*place));
    if complete && rings.sizes().all(|size| RING_MEMORY.contains(&size)) {
        check_sum(notes, place.unwrap_or(ceiling.place), &rings);
    }
    rings
}

fn check_memory(notes: &mut Notes, what: &str, memory: &Placed<Bytes>) {
    if !RING_MEMORY.contains(&memory.value.0) {
        let message = format!("{what} cannot have {} of memory", memory.value);
        let (least, most) = (Bytes(*RING_MEMORY.start()), Bytes(*RING_MEMORY.end()));
        let hint = format!("give it {least} to {most}");
        notes.note(memory.place, message, hint);
    }
}

/// A recorder for each interface: as `base`, but for what its own entry says.
fn recorders(
    notes: &mut Notes,
    interfaces: Interfaces,
    base: &RecorderSettings,
) -> Vec<RecorderSettings> {
    let listed = match interfaces {
        Interfaces::Listed(listed) => listed,
        Interfaces::Auto => {
            let recorder = |interface| RecorderSettings { interface, ..base.clone() };
            return capture::default_route_interface().into_iter().map(recorder).collect();
        }
    };
    let mut recorders: Vec<RecorderSettings> = Vec::with_capacity(listed.len());
    for Placed { value, place, .. } in listed {
        let (recorder, place) = match value {
            Interface::Named(interface) => (RecorderSettings { interface, ..base.clone() }, place),
            Interface::Differing(own) => {
                if let Some(memory) = &own.memory {
                    check_memory(notes, "a recorder", memory);
                }
                let recorder = RecorderSettings {
                    interface: own.name.value,
                    memory_bytes: own.memory.map_or(base.memory_bytes, |memory| memory.value.0),
                    bytes_per_packet: own.bytes_per_packet.unwrap_or(base.bytes_per_packet),
                    promiscuous: own.promiscuous.unwrap_or(base.promiscuous),
                };
                (recorder, own.name.place)
            }
        };
        let name = &recorder.interface;
        if recorders.iter().any(|other| other.interface == *name) {
            notes.note(place, format!("`{name}` is named twice"), "name each interface once");
        } else if !interfaces::is_name(name) {
            let message = format!("`{name}` is no name of an interface");
            notes.note(place, message, "take one that `ip link` shows");
        }
        recorders.push(recorder);
    }
    recorders
}

/// Recorders take their memory at the start and keep it. Were nothing left beside them, every
/// capture on another interface would fail, so one ring on demand has to fit as well.
fn check_sum(notes: &mut Notes, place: Place, rings: &Rings) {
    let needed = rings.sizes().fold(0, u64::saturating_add);
    if needed <= rings.memory_bytes {
        return;
    }
    let mut parts: Vec<String> = rings
        .recorders
        .iter()
        .take(MAX_NAMED)
        .map(|recorder| format!("{} {}", recorder.interface, Bytes(recorder.memory_bytes)))
        .collect();
    match rings.recorders.len().saturating_sub(MAX_NAMED) {
        0 => {}
        1 => parts.push("1 more recorder".to_owned()),
        more => parts.push(format!("{more} more recorders")),
    }
    parts.push(format!("one ring on demand {}", Bytes(rings.on_demand.memory_bytes)));
    let message = format!(
        "the rings need {}, above ceilings.memory {} ({})",
        Bytes(needed),
        Bytes(rings.memory_bytes),
        parts.join(", ")
    );
    notes.note(place, message, "lower recorder.memory, or raise ceilings.memory");
}
