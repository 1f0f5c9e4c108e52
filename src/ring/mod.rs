//! The kernel's packet ring (AF_PACKET, TPACKET_V3) behind a small safe face.
