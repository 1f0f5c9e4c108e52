//! The embedded durable store: every outcome, capture, notice and group, in one SQLite file.
