//! The tables, and the way from every earlier format to this one.
//!
//! `user_version` counts formats. Adding an optional field to a noun in `model/` is no new format,
//! because the nouns are kept as JSON; a change of tables, columns or meaning is one. A new format
//! is one more entry at the end of [`MIGRATIONS`]; the entries before it never change.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::Error;
use super::reserve::is_full;

/// `Hind`: what `file(1)` and we know a journal by.
const APPLICATION_ID: i64 = 0x4869_6e64;

/// The write-ahead log is cut back to this size after a checkpoint, in bytes.
const MAX_IDLE_WAL_BYTES: u64 = 16 * 1024 * 1024;

/// How many pages the write-ahead log may hold before a commit brings it into the database itself.
pub(super) const AUTOCHECKPOINT_PAGES: u32 = 2000;

/// How many prepared statements stay ready: more than there are texts of statements.
const STATEMENTS: usize = 64;

/// The format that this version writes.
const KNOWN: u16 = 3;

/// Entry `n` leads from format `n` to format `n + 1`.
const MIGRATIONS: [&str; KNOWN as usize] = [FORMAT_1, FORMAT_2, FORMAT_3];

const FORMAT_1: &str = "
CREATE TABLE captures (
    id          TEXT PRIMARY KEY NOT NULL,
    name        TEXT NOT NULL UNIQUE,
    state       TEXT NOT NULL,
    stage       TEXT NOT NULL CHECK (stage IN ('open', 'stranded', 'closed')),
    created_at  INTEGER NOT NULL,
    json        TEXT NOT NULL
) STRICT;
CREATE INDEX captures_by_age ON captures (created_at, id);
CREATE INDEX captures_by_stage ON captures (stage, created_at, id);

CREATE TABLE notices (
    id          TEXT PRIMARY KEY NOT NULL,
    capture     TEXT NOT NULL,
    notifier    TEXT NOT NULL,
    delivery    TEXT NOT NULL CHECK (delivery IN ('waiting', 'delivered', 'dead')),
    created_at  INTEGER NOT NULL,
    json        TEXT NOT NULL
) STRICT;
CREATE INDEX notices_by_delivery ON notices (delivery, created_at, id);

CREATE TABLE groups (
    key         TEXT PRIMARY KEY NOT NULL,
    json        TEXT NOT NULL
) STRICT;

CREATE TABLE outcomes (
    seq         INTEGER PRIMARY KEY,
    event       TEXT NOT NULL,
    rule        TEXT,
    decision    TEXT NOT NULL,
    json        TEXT NOT NULL
) STRICT;

CREATE TABLE rejected (
    seq         INTEGER PRIMARY KEY,
    event       TEXT NOT NULL,
    json        TEXT NOT NULL
) STRICT;

CREATE TABLE tallies (
    rule        TEXT NOT NULL,
    decision    TEXT NOT NULL,
    count       INTEGER NOT NULL,
    PRIMARY KEY (rule, decision)
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (
    key         TEXT PRIMARY KEY NOT NULL,
    value       TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// A file of a capture that format 1 kept counts as stored when its capture began: that is the time
/// by which retention went until now, and no column holds a better one.
const FORMAT_2: &str = "
ALTER TABLE captures ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0 CHECK (deleted IN (0, 1));

CREATE INDEX notices_by_capture ON notices (capture, delivery);

CREATE TABLE transfers (
    capture     TEXT NOT NULL,
    segment     INTEGER NOT NULL,
    json        TEXT NOT NULL,
    PRIMARY KEY (capture, segment)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    key         TEXT PRIMARY KEY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE unsaid (
    kind        TEXT NOT NULL,
    subject     TEXT NOT NULL,
    json        TEXT NOT NULL,
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    seq         INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    who         TEXT NOT NULL,
    action      TEXT NOT NULL,
    subject     TEXT NOT NULL,
    result      TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_age ON audit (at);

CREATE TABLE files (
    storage     TEXT NOT NULL,
    object      TEXT NOT NULL,
    capture     TEXT NOT NULL,
    segment     INTEGER NOT NULL,
    size_bytes  INTEGER NOT NULL,
    sha256      TEXT NOT NULL,
    stored_at   INTEGER NOT NULL,
    PRIMARY KEY (storage, object)
) STRICT, WITHOUT ROWID;
CREATE INDEX files_by_age ON files (storage, stored_at, object);

INSERT OR IGNORE INTO files
SELECT segment.value ->> '$.receipt.storage', segment.value ->> '$.receipt.object',
       captures.id, segment.value ->> '$.file.index', segment.value ->> '$.receipt.size_bytes',
       segment.value ->> '$.receipt.sha256', captures.created_at
FROM captures, json_each(captures.json, '$.segments') AS segment
WHERE segment.value ->> '$.receipt.storage' IS NOT NULL;
";

/// A rule's last decision is known from its next event on.
const FORMAT_3: &str = "
CREATE TABLE waiting (
    key         TEXT PRIMARY KEY NOT NULL,
    json        TEXT NOT NULL
) STRICT;

CREATE TABLE seen (
    key         TEXT PRIMARY KEY NOT NULL,
    json        TEXT NOT NULL
) STRICT;

CREATE TABLE begun (
    seq         INTEGER PRIMARY KEY,
    rule        TEXT NOT NULL,
    at          INTEGER NOT NULL,
    count       INTEGER NOT NULL,
    per_s       INTEGER NOT NULL,
    dry_run     INTEGER NOT NULL CHECK (dry_run IN (0, 1))
) STRICT;
CREATE INDEX begun_by_rule ON begun (rule, seq);
CREATE INDEX begun_by_age ON begun (at);

CREATE TABLE rules (
    rule        TEXT PRIMARY KEY NOT NULL,
    at          INTEGER NOT NULL,
    json        TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Opens the writer's connection and brings the tables to the known format.
pub(super) fn open(path: &Path, version: &str) -> Result<Connection, Error> {
    let failed = |source| match is_full(&source) {
        true => Error::Full,
        false => Error::Open { path: path.to_owned(), source },
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    let found = number(&connection, "user_version").map_err(failed)?;
    if !is_ours(&connection, found).map_err(failed)? {
        return Err(Error::Foreign { path: path.to_owned() });
    }
    if found > known() {
        return Err(Error::Newer { path: path.to_owned(), found, known: known() });
    }
    configure(&connection).map_err(failed)?;
    migrate(&mut connection, found, version).map_err(failed)?;
    Ok(connection)
}

/// Opens a second connection that can only read, for questions beside the writer.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)
        .map_err(|source| Error::Open { path: path.to_owned(), source })?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// An empty file is ours to fill; anything else has to carry our mark.
fn is_ours(connection: &Connection, format: i64) -> rusqlite::Result<bool> {
    let mark = number(connection, "application_id")?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(mark == APPLICATION_ID || (mark == 0 && format == 0 && tables == 0))
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    // The default of SQLite in WAL mode would be enough for a crash, not for a power cut: measured,
    // `NORMAL` lost acknowledged rows in 7 of 15 cuts, `FULL` in none.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| {
        row.get::<_, String>(0).map(drop)
    })?;
    connection.pragma_update_and_check(
        None,
        "journal_size_limit",
        i64::try_from(MAX_IDLE_WAL_BYTES).unwrap_or(i64::MAX),
        |_row| Ok(()),
    )?;
    // The writer does it earlier, where nobody waits; this bounds the log where that fails.
    connection.pragma_update_and_check(
        None,
        "wal_autocheckpoint",
        AUTOCHECKPOINT_PAGES,
        |_row| Ok(()),
    )?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// Each step is one transaction with its own version number, so that a crash leaves a known format.
fn migrate(connection: &mut Connection, found: i64, version: &str) -> rusqlite::Result<()> {
    for (target, step) in (1i64..).zip(MIGRATIONS).filter(|(target, _)| *target > found) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", target)?;
        transaction.commit()?;
    }
    connection.execute(
        "INSERT INTO meta (key, value) VALUES ('written_by', ?1)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
        [version],
    )?;
    Ok(())
}

fn known() -> i64 {
    i64::from(KNOWN)
}

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        std::fs::write(&path, b"").unwrap();
        (folder, path)
    }

    #[test]
    fn every_earlier_format_becomes_the_known_one() {
        for start in 0..known() {
            let (_folder, path) = fresh();
            let earlier = Connection::open(&path).unwrap();
            for step in MIGRATIONS.iter().take(usize::try_from(start).unwrap()) {
                earlier.execute_batch(step).unwrap();
            }
            if start > 0 {
                earlier.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
                earlier.pragma_update(None, "user_version", start).unwrap();
            }
            drop(earlier);
            let connection = open(&path, "1.0.0").unwrap();
            assert_eq!(number(&connection, "user_version").unwrap(), known());
            assert_eq!(number(&connection, "application_id").unwrap(), APPLICATION_ID);
        }
    }

    #[test]
    fn commits_wait_for_the_disk_and_readers_do_not_wait_for_commits() {
        let (_folder, path) = fresh();
        let connection = open(&path, "1.0.0").unwrap();
        assert_eq!(number(&connection, "synchronous").unwrap(), 2, "2 is FULL");
        let mode: String =
            connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
    }

    #[test]
    fn a_newer_format_is_refused_and_left_alone() {
        let (_folder, path) = fresh();
        drop(open(&path, "1.0.0").unwrap());
        let newer = Connection::open(&path).unwrap();
        newer.pragma_update(None, "user_version", known() + 1).unwrap();
        drop(newer);
        let error = open(&path, "1.0.0").unwrap_err();
        assert!(matches!(error, Error::Newer { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&format!("has format {}", known() + 1)), "{text}");
        assert!(text.contains(&format!("up to {}", known())), "{text}");
        let again = Connection::open(&path).unwrap();
        assert_eq!(number(&again, "user_version").unwrap(), known() + 1);
    }

    #[test]
    fn a_database_of_another_program_is_refused() {
        let (_folder, path) = fresh();
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE songs (name)").unwrap();
        assert!(matches!(open(&path, "1.0.0"), Err(Error::Foreign { .. })));
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_with_the_remedy() {
        let (_folder, path) = fresh();
        std::fs::write(&path, vec![b'x'; 8192]).unwrap();
        let text = open(&path, "1.0.0").unwrap_err().to_string();
        assert!(text.contains("not a database") && text.contains("move it away"), "{text}");
    }
}
