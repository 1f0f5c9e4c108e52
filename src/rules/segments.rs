//! How the files of a capture are limited: what rules and their defaults may ask for.

use crate::model::SegmentLimits;
use crate::units::Bytes;

/// The least that a file may be limited to, in bytes: each file says of itself where it comes from,
/// and the event alone may take 24 KiB of that.
const MIN_BYTES: u64 = 64 << 10;

/// The most files of one capture that are planned. A file ends before the packet that would not fit,
/// so two neighbours hold more than the limit of one, and there are at most twice as many files as
/// that limit asks for: fewer than the 4,096 that are looked for in the spool after a crash.
const MAX_SEGMENTS: u64 = 2_000;

/// One of the two keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentsKey {
    /// `segment_bytes`.
    Bytes,
    /// `keep_segments`.
    Keep,
}

/// What is wrong with the limits.
#[derive(Debug, PartialEq, Eq)]
pub struct SegmentsMistake {
    /// The key that is at fault, if both are given.
    pub key: SegmentsKey,
    pub message: String,
    pub hint: String,
}

/// The limits of files in a capture of `bytes`. 0 stands for no limit: one file, and all are kept.
///
/// # Errors
/// What the two keys ask for is impossible or makes no sense.
pub fn segments(
    bytes: u64,
    segment_bytes: u64,
    keep: u32,
) -> Result<Option<SegmentLimits>, SegmentsMistake> {
    let mistake = |key, message: String, hint: String| Err(SegmentsMistake { key, message, hint });
    let (shown, total) = (Bytes(segment_bytes), Bytes(bytes));
    if segment_bytes == 0 {
        return match keep {
            0 => Ok(None),
            _ => mistake(
                SegmentsKey::Keep,
                "`keep_segments` needs `segment_bytes`".to_owned(),
                "add the size of a file, as in segment_bytes: 50MiB".to_owned(),
            ),
        };
    }
    if segment_bytes < MIN_BYTES {
        return mistake(
            SegmentsKey::Bytes,
            format!("files of {shown} have no room beside what they say of themselves"),
            format!("give limits.segment_bytes at least {}", Bytes(MIN_BYTES)),
        );
    }
    if segment_bytes > bytes {
        return mistake(
            SegmentsKey::Bytes,
            format!("limits.segment_bytes {shown} is above limits.bytes {total}"),
            "lower it, or raise limits.bytes".to_owned(),
        );
    }
    if keep == 0 {
        return match bytes.div_ceil(segment_bytes) {
            files if files <= MAX_SEGMENTS => {
                Ok(Some(SegmentLimits { bytes: segment_bytes, keep: None }))
            }
            files => mistake(
                SegmentsKey::Bytes,
                format!(
                    "limits.bytes {total} in files of {shown} are {files} files, and a capture has \
                     at most {MAX_SEGMENTS}"
                ),
                format!("raise limits.segment_bytes to {} or more", Bytes(enough(bytes))),
            ),
        };
    }
    ring(bytes, segment_bytes, keep)
}

/// The limits of a ring of `keep` files.
fn ring(
    bytes: u64,
    segment_bytes: u64,
    keep: u32,
) -> Result<Option<SegmentLimits>, SegmentsMistake> {
    let mistake = |message: String, hint: String| {
        Err(SegmentsMistake { key: SegmentsKey::Keep, message, hint })
    };
    let needed = segment_bytes.saturating_mul(u64::from(keep));
    if keep == 1 {
        return mistake(
            "a ring of 1 file would be empty whenever it begins again".to_owned(),
            "keep at least 2".to_owned(),
        );
    }
    if u64::from(keep) > MAX_SEGMENTS {
        return mistake(
            format!("limits.keep_segments {keep} is above {MAX_SEGMENTS}, the most of one capture"),
            "keep fewer and larger files".to_owned(),
        );
    }
    if needed > bytes {
        return mistake(
            format!(
                "{keep} files of limits.segment_bytes {} are {}, above limits.bytes {}",
                Bytes(segment_bytes),
                Bytes(needed),
                Bytes(bytes)
            ),
            "keep fewer, make them smaller, or raise limits.bytes".to_owned(),
        );
    }
    Ok(Some(SegmentLimits { bytes: segment_bytes, keep: Some(keep) }))
}

/// The least size of files, in whole KiB, of which `bytes` need no more than a capture may have.
fn enough(bytes: u64) -> u64 {
    bytes.div_ceil(MAX_SEGMENTS).next_multiple_of(1 << 10)
}
