//! The structure, held by a test: which room may import which, how long a file may be, and that
//! every file is part of the crate.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The longest that a file may be before its tests, in lines.
const LONGEST_FILE: usize = 600;

/// Every source file below `src`, with its text.
fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    found.into_iter().map(|(path, text)| (path.strip_prefix(&root).unwrap().into(), text)).collect()
}

/// The room that a file belongs to: the first part of its path.
fn room_of(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The part of a file before the module of its tests.
fn before_tests(text: &str) -> &str {
    let inline = |at: &usize| text[*at..].lines().nth(1).is_some_and(|line| line.ends_with('{'));
    let starts = text.match_indices("#[cfg(test)]\nmod ").map(|(at, _)| at);
    &text[..starts.into_iter().find(inline).unwrap_or(text.len())]
}

/// Whether a file is there for tests only: its parent says so where it declares it.
fn is_test_file(path: &Path, files: &[(PathBuf, String)]) -> bool {
    let stem = path.file_stem().unwrap().to_str().unwrap();
    let declaration = format!("#[cfg(test)]\nmod {stem};");
    let folder = path.parent().unwrap();
    let parents = [folder.join("mod.rs"), folder.with_extension("rs")];
    files.iter().any(|(file, text)| parents.contains(file) && text.contains(&declaration))
}

/// What the table in `docs/ARCHITECTURE.md` allows: a room and the rooms that it may import.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ARCHITECTURE.md");
    let page = fs::read_to_string(page).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let table: BTreeMap<_, BTreeSet<_>> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let names = |cell: &str| {
                cell.split(',')
                    .map(|name| name.trim().trim_matches('`').to_owned())
                    .filter(|name| !name.is_empty())
                    .collect::<BTreeSet<_>>()
            };
            (names(cells[1]).pop_first().unwrap(), names(cells[2]))
        })
        .collect();
    assert!(table.len() > 10, "the table of rooms in docs/ARCHITECTURE.md was not found");
    table
}

/// The rooms that a text names behind `crate::`, also inside a group.
fn imports(text: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let name = |text: &str| -> String {
            text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
        };
        match rest.strip_prefix('{') {
            None => rooms.extend([name(rest)]),
            Some(group) => {
                let mut depth = 0;
                let mut start = 0;
                for (i, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth > 0 => depth -= 1,
                        ',' | '}' if depth == 0 => {
                            rooms.extend([name(group[start..i].trim())]);
                            start = i + 1;
                            if c == '}' {
                                break;
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    rooms.remove("");
    rooms
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let allowed = allowed();
    let mut wrong = Vec::new();
    let files = sources();
    for (path, text) in &files {
        let room = room_of(path);
        if room == "lib" || room == "main" || is_test_file(path, &files) {
            continue;
        }
        let Some(may) = allowed.get(&room) else {
            panic!("room {room} is missing in the table of docs/ARCHITECTURE.md");
        };
        for import in imports(before_tests(text)) {
            if import != room && !may.contains(&import) {
                wrong.push(format!("{}: {room} may not import {import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_has_no_cycle_and_names_only_rooms_that_are() {
    let allowed = allowed();
    let rooms: BTreeSet<String> = sources().iter().map(|(path, _)| room_of(path)).collect();
    let mut done = BTreeSet::new();
    while done.len() < allowed.len() {
        let next = allowed.iter().find(|(room, may)| !done.contains(*room) && may.is_subset(&done));
        let (room, _) = next.expect("the table has a cycle, or names a room that has no row");
        assert!(rooms.contains(room), "the table names {room}, which is no room");
        done.insert(room.clone());
    }
}

#[test]
fn no_file_is_too_long() {
    for (path, text) in sources() {
        let lines = before_tests(&text).lines().count();
        assert!(
            lines <= LONGEST_FILE,
            "{}: {lines} lines before its tests; split it by purpose",
            path.display()
        );
    }
}

#[test]
fn every_file_is_declared_by_its_parent() {
    let files = sources();
    for (path, _) in &files {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        if path.parent() == Some(Path::new("")) && (stem == "lib" || stem == "main") {
            continue;
        }
        let folder = path.parent().unwrap();
        let (module, home) = if stem == "mod" {
            (folder.file_name().unwrap().to_str().unwrap(), folder.parent().unwrap())
        } else {
            (stem, folder)
        };
        let parents = [home.join("mod.rs"), home.with_extension("rs"), home.join("lib.rs")];
        let declared = files.iter().filter(|(file, _)| parents.contains(file)).any(|(_, text)| {
            text.lines().any(|line| {
                line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ")
                    == format!("mod {module};")
            })
        });
        assert!(declared, "{}: no parent declares it", path.display());
    }
}

#[test]
fn unsafe_code_stands_only_in_the_ring_s_system_calls() {
    for (path, text) in sources() {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let has_unsafe =
            code.clone().any(|line| line.contains("unsafe {") || line.contains("unsafe fn"));
        assert!(
            !has_unsafe || path == Path::new("ring/sys.rs"),
            "{}: unsafe code belongs into ring/sys.rs",
            path.display()
        );
    }
}

#[test]
fn a_group_of_imports_is_read_whole() {
    let found = imports("use crate::{clock, model::{A, B}, ring::{C}};\nuse crate::spawn;");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["clock", "model", "ring", "spawn"]);
}
