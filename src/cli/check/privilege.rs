//! Whether this user may capture.

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// What is missing to capture, with its remedy; nothing where nothing is.
///
/// Opens a packet socket of protocol 0, which hears nothing. Source: packet(7).
pub(super) fn missing() -> Option<String> {
    match socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None) {
        Ok(_closed_again) => None,
        Err(Errno::EPERM | Errno::EACCES) => Some(format!(
            "this user may not capture: it lacks CAP_NET_RAW. The systemd unit grants it; \
             otherwise use root, or: sudo setcap cap_net_raw+ep {}",
            binary()
        )),
        Err(Errno::EAFNOSUPPORT) => Some(
            "this kernel has no packet sockets (CONFIG_PACKET, module af_packet): nothing can be \
             captured"
                .to_owned(),
        ),
        Err(errno) => Some(format!("a packet socket cannot be opened: {errno}")),
    }
}

/// The path that setcap needs.
fn binary() -> String {
    std::env::current_exe()
        .map_or_else(|_gone| "$(which hindsight)".to_owned(), |path| path.display().to_string())
}
