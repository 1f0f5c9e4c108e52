//! Identifiers. All are minted here from time and random bits or computed from hashes; no byte of
//! an event is ever part of one, so they are safe in paths, object names and headers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;

/// Crockford's base 32: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// 26 characters that sort by time: 48 bits of milliseconds, then 80 random bits (the ULID layout).
fn ulid(at: WallTime, random: [u64; 2]) -> String {
    let millis = u128::from(u64::try_from(at.as_millis()).unwrap_or(0)) & ((1 << 48) - 1);
    let noise = (u128::from(random[0]) << 64 | u128::from(random[1])) & ((1 << 80) - 1);
    let value = millis << 80 | noise;
    (0..26)
        .rev()
        .map(|digit| usize::try_from((value >> (5 * digit)) & 31).unwrap_or(0))
        .map(|index| char::from(ALPHABET[index]))
        .collect()
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Takes back an identifier that was written down before.
            pub fn from_text(text: impl Into<String>) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

macro_rules! minted {
    ($name:ident) => {
        impl $name {
            /// A new one, never seen before.
            pub fn mint(at: WallTime, random: [u64; 2]) -> Self {
                Self(ulid(at, random))
            }
        }
    };
}

identifier!(
    /// One event, as we accepted it.
    EventId
);
identifier!(
    /// One capture session.
    CaptureId
);
identifier!(
    /// One notice to one notifier; its idempotency key.
    NoticeId
);
identifier!(
    /// What the events are about: 16 hexadecimal digits, the same on every host that saw the alert.
    IncidentId
);
identifier!(
    /// One rule's view of one group of events: what cooldown and coalescing count by.
    GroupKey
);
minted!(EventId);
minted!(CaptureId);
minted!(NoticeId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minted_identifiers_sort_by_time_and_are_26_plain_characters() {
        let early = CaptureId::mint(WallTime::from_nanos(1_000_000), [u64::MAX, u64::MAX]);
        let late = CaptureId::mint(WallTime::from_nanos(2_000_000), [0, 0]);
        assert!(early < late);
        assert_eq!(early.as_str().len(), 26);
        assert!(early.as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    }

    #[test]
    fn all_80_random_bits_count() {
        let at = WallTime::from_nanos(0);
        assert_ne!(EventId::mint(at, [1 << 15, 0]), EventId::mint(at, [0, 0]));
        assert_ne!(EventId::mint(at, [0, 1]), EventId::mint(at, [0, 0]));
    }
}
