//! The names of interfaces, as configurations have them.

/// The longest name in bytes. Source: IFNAMSIZ in linux/if.h, less the end byte.
const MAX_BYTES: usize = 15;

/// Whether the kernel could call an interface so. Source: dev_valid_name in net/core/dev.c.
pub(super) fn is_name(name: &str) -> bool {
    let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    !name.is_empty()
        && name.len() <= MAX_BYTES
        && name != "."
        && name != ".."
        && !name.contains(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_kernel() {
        for name in ["eth0", "br-1a2b", "wg0@x", "a"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "eth0:1", "a b", "sixteen-bytes-xx"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
