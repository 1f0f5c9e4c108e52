//! Whether this host has the memory for the rings. The kernel gives it whatever is left, and kills
//! other programs to get there, so that it has to be known before it is asked for.

use std::fs;

use crate::capture::Error;

/// Where the kernel tells what new programs can have without swapping. Source: proc(5).
const FILE: &str = "/proc/meminfo";

/// How much of that the rings may take together, in quarters: others start programs as well.
const QUARTERS: u64 = 3;

const MIB: u64 = 1 << 20;

/// Refuses rings that would take too much of the host's memory together, in bytes.
///
/// # Errors
/// [`Error::HostMemory`].
pub fn check_memory(wanted: u64) -> Result<(), Error> {
    // A kernel that does not tell has no say in it.
    let available = fs::read_to_string(FILE).ok().as_deref().and_then(available);
    match available.map(|bytes| bytes / 4 * QUARTERS) {
        Some(most) if wanted > most => {
            Err(Error::HostMemory { wanted_mib: wanted.div_ceil(MIB), most_mib: most / MIB })
        }
        Some(_) | None => Ok(()),
    }
}

/// `MemAvailable:   20818664 kB`, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_has_left_is_read() {
        let text = "MemTotal:  24 kB\nMemAvailable:   20818664 kB\nSwapFree: 1 kB\n";
        assert_eq!(available(text), Some(20_818_664 * 1024));
        assert_eq!(available("MemTotal: 24 kB\n"), None);
    }

    #[test]
    fn more_than_this_host_has_is_refused_and_the_default_is_not() {
        let message = check_memory(1 << 60).unwrap_err().to_string();
        assert!(message.contains("1099511627776 MiB"), "{message}");
        assert!(check_memory(64 << 20).is_ok());
    }
}
