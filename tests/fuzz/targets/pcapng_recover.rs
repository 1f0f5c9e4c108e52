//! A file of any bytes: what recovery keeps is inside the file, is found whole again once the file
//! was cut there, and is not more where zeros follow.

#![no_main]

use std::cell::RefCell;
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};

use fuzz::pcapng::recover;
use libfuzzer_sys::fuzz_target;
use nix::sys::memfd::{MFdFlags, memfd_create};

thread_local! {
    static FILE: RefCell<File> = RefCell::new(memory_file());
}

fn memory_file() -> File {
    memfd_create(c"fuzz", MFdFlags::MFD_CLOEXEC).expect("memory for a file").into()
}

fuzz_target!(|bytes: &[u8]| {
    FILE.with_borrow_mut(|file| {
        file.set_len(0).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(bytes).unwrap();
        let found = recover(file).unwrap();
        let size = u64::try_from(bytes.len()).unwrap();
        assert!(found.whole_bytes <= size && found.whole_bytes.is_multiple_of(4));
        assert!(found.first_packet <= found.last_packet);
        assert_eq!(found.first_packet.is_some(), found.packets > 0);

        file.set_len(found.whole_bytes).unwrap();
        assert_eq!(recover(file).unwrap(), found, "what was kept is whole");
        file.set_len(found.whole_bytes + 64).unwrap();
        assert_eq!(recover(file).unwrap(), found, "zeros are no block");
    });
});
