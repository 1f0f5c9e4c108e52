//! pcapng files: writing blocks, and recovering a file that a crash has cut.
