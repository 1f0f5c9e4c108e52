//! What a program asks of a packet, as a graph of decisions without registers.
//!
//! Each decision names the four bytes that it reads, so it can be reordered, joined with others or
//! left out by what is known already. Knows nothing of programs nor of how a graph is run.
//! Decisions stand in the order in which a packet meets them: a target is behind whatever leads
//! to it.

/// Where four bytes are read, or what is read instead. Offsets are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Fixed(u16),
    /// At `at` plus the length of the IPv4 header whose first byte stands at `header`.
    BehindHeader {
        header: u16,
        at: u16,
    },
    /// The length on the wire, which every packet has.
    WireLength,
}

/// A field of the packet: what the mask leaves of the four bytes, as a big-endian number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) place: Place,
    pub(super) mask: u32,
}

/// Where an answer leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Select,
    Refuse,
    /// The graph cannot tell; the interpreter has to.
    Undecided,
    /// The decision at this place.
    Decision(usize),
}

/// Whether a field is from `low` to `high`, both inclusive. A packet without the four bytes is
/// undecided. With the mask 0 it asks only for these, and the answer is always yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) source: Source,
    pub(super) low: u32,
    pub(super) high: u32,
    pub(super) yes: Target,
    pub(super) no: Target,
}

impl Decision {
    /// Asks only whether the four bytes are there.
    pub(super) const fn reach(place: Place, next: Target) -> Self {
        Self {
            source: Source { place, mask: 0 },
            low: 0,
            high: u32::MAX,
            yes: next,
            no: Target::Undecided,
        }
    }
}

/// A field that has been read and the bounds of its value, inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) source: Source,
    pub(super) low: u32,
    pub(super) high: u32,
}
