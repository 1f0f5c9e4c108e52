//! libpcap's compiler: from an expression in tcpdump's language to classic BPF.

use pcap::{Capture, Precision};

use super::error::reason;
use super::{LinkType, Refused};

/// The code of `ret #k`.
const RETURN_CONSTANT: u16 = 0x06;

/// What libpcap says where the optimiser finds that nothing can pass.
const REJECTS_ALL: &str = "expression rejects all packets";

/// One instruction of a classic BPF program (`struct bpf_insn`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

/// Compiles an expression for packets as they stand in files: with their VLAN tag in place. For a
/// packet that it selects the program returns `keep_bytes`, which is how much of it to keep.
///
/// Takes seconds for some thousand terms and cannot be stopped, and looks names up, in the DNS too:
/// who calls it gives it a thread of its own and an expression without names.
///
/// # Errors
/// libpcap does not take the expression.
pub fn compile(
    expression: &str,
    link: LinkType,
    keep_bytes: u32,
) -> Result<Vec<Instruction>, Refused> {
    let handle = Capture::dead_with_precision(link.for_libpcap(), Precision::Nano);
    let program = handle.and_then(|handle| handle.compile(expression, true));
    let program = program.map_err(|error| refused(reason(error)))?;
    // The crate hides the fields of an instruction, but prints them: "code jt jf k".
    let printed = program.get_instructions().iter().map(ToString::to_string);
    let read =
        |text: String| read(&text, keep_bytes).ok_or(Refused::Unreadable { instruction: text });
    printed.map(read).collect()
}

fn refused(reason: String) -> Refused {
    if reason == REJECTS_ALL { Refused::SelectsNothing } else { Refused::Expression { reason } }
}

fn read(printed: &str, keep_bytes: u32) -> Option<Instruction> {
    let mut numbers = printed.split(' ');
    let code = numbers.next()?.parse().ok()?;
    let jt = numbers.next()?.parse().ok()?;
    let jf = numbers.next()?.parse().ok()?;
    let k = numbers.next()?.parse().ok()?;
    let k = if code == RETURN_CONSTANT && k != 0 { keep_bytes } else { k };
    numbers.next().is_none().then_some(Instruction { code, jt, jf, k })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selected_packet_is_kept_as_long_as_asked() {
        let program = compile("tcp", LinkType::RawIp, 96).unwrap();
        let returns = program.iter().filter(|step| step.code == RETURN_CONSTANT);
        let mut kept: Vec<_> = returns.map(|step| step.k).collect();
        kept.sort_unstable();
        assert_eq!(kept, [0, 96]);
    }

    #[test]
    fn each_link_type_has_its_own_offsets() {
        let first_load = |link| compile("ip", link, 1).unwrap()[0].k;
        // Ethernet, raw IP, and Linux cooked in both versions.
        let links =
            [LinkType::Ethernet, LinkType::RawIp, LinkType::Other(113), LinkType::Other(276)];
        assert_eq!(links.map(first_load), [12, 0, 14, 0]);
    }

    #[test]
    fn a_refusal_says_what_libpcap_said() {
        let refused = |text| compile(text, LinkType::Ethernet, 1).unwrap_err();
        assert_eq!(refused("tcp and udp"), Refused::SelectsNothing);
        assert!(refused("host or").to_string().contains("syntax error"));
        assert!(refused("tcp\0").to_string().contains("zero byte"));
    }
}
