//! Ranges of addresses as the fewest networks that cover them exactly, since libpcap has no ranges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The networks that hold the addresses from `first` to `last` and no other, in order: at most 62
/// for IPv4 and 254 for IPv6. Both ends are of one family and in order.
pub(super) fn covering(first: IpAddr, last: IpAddr) -> Vec<(IpAddr, u8)> {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            cover(first.to_bits().into(), last.to_bits().into(), 32)
                .filter_map(|(bits, prefix)| {
                    Some((Ipv4Addr::from_bits(u32::try_from(bits).ok()?).into(), prefix))
                })
                .collect()
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => cover(first.to_bits(), last.to_bits(), 128)
            .map(|(bits, prefix)| (Ipv6Addr::from_bits(bits).into(), prefix))
            .collect(),
        // Refused when a filter is checked; covers nothing.
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Vec::new(),
    }
}

/// Takes the largest network that begins at the next address and stays within, again and again.
fn cover(first: u128, last: u128, width: u8) -> impl Iterator<Item = (u128, u8)> {
    let mut next = (first <= last).then_some(first);
    std::iter::from_fn(move || {
        let start = next?;
        let end_for = |prefix: u8| {
            let host_bits = u32::from(width - prefix);
            let hosts = u128::MAX.checked_shr(128 - host_bits).unwrap_or(0);
            (start & hosts == 0).then_some(start | hosts).filter(|end| *end <= last)
        };
        let (prefix, end) = (0..=width).find_map(|prefix| Some((prefix, end_for(prefix)?)))?;
        next = end.checked_add(1).filter(|next| *next <= last);
        Some((start, prefix))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(first: &str, last: &str) -> Vec<String> {
        covering(first.parse().unwrap(), last.parse().unwrap())
            .into_iter()
            .map(|(address, prefix)| format!("{address}/{prefix}"))
            .collect()
    }

    #[test]
    fn known_ranges_have_known_networks() {
        assert_eq!(texts("10.0.0.0", "10.0.0.255"), ["10.0.0.0/24"]);
        assert_eq!(texts("10.0.0.7", "10.0.0.7"), ["10.0.0.7/32"]);
        assert_eq!(texts("10.0.0.1", "10.0.0.4"), ["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/32"]);
        assert_eq!(texts("0.0.0.0", "255.255.255.255"), ["0.0.0.0/0"]);
        assert_eq!(texts("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), ["::/0"]);
        assert_eq!(texts("2001:db8::", "2001:db8::1:ffff"), ["2001:db8::/111"]);
        assert_eq!(texts("0.0.0.1", "255.255.255.254").len(), 62);
        assert_eq!(texts("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe").len(), 254);
    }

    proptest! {
        #[test]
        fn the_networks_join_without_a_gap_and_none_could_be_merged(a: u128, b: u128, shift in 0u32..128) {
            let (first, last) = ((a >> shift).min(b >> shift), (a >> shift).max(b >> shift));
            let networks: Vec<_> = cover(first, last, 128).collect();
            let size = |prefix: u8| 1u128.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            let mut next = first;
            for (index, (start, prefix)) in networks.iter().enumerate() {
                prop_assert_eq!(*start, next);
                if index + 1 < networks.len() {
                    next = start + size(*prefix);
                } else {
                    prop_assert_eq!(start.wrapping_add(size(*prefix)).wrapping_sub(1), last);
                }
            }
            for pair in networks.windows(2) {
                let parents = (pair[0].0 & size(pair[0].1)) == 0;
                prop_assert!(pair[0].1 != pair[1].1 || !parents, "{pair:?} are halves of one");
            }
        }
    }
}
