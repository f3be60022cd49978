//! `docs/parity.md` names tests that exist, and a row that works has one named after it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::BTreeSet, fs, path::Path};

/// The names of a file's functions.
fn functions(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    text.split("fn ")
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
        .collect()
}

/// Whether the words at the beginning of a test's name hold the row: `m02_m03_only…` is M02's and M03's.
fn is_named_after(test: &str, row: &str) -> bool {
    let is_row = |word: &&str| word.len() == 3 && word[1..].bytes().all(|b| b.is_ascii_digit());
    test.split('_').take_while(is_row).any(|word| word.eq_ignore_ascii_case(row))
}

#[test]
fn every_test_of_the_parity_page_exists_and_proves_its_row() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("docs/parity.md")).unwrap();
    let mut rows = BTreeSet::new();
    let mut tests = 0;
    for line in page.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, row, what, state, proofs, _] = cells[..] else { continue };
        if row.len() != 3 || !row[1..].bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        assert!(!what.is_empty(), "{row} says nothing");
        assert!(rows.insert(row.to_owned()), "{row} stands twice");
        let mut named_after = 0;
        // `file: test, test`, one file a line of the cell.
        for proof in proofs.split("<br>").filter(|proof| !proof.is_empty()) {
            let Some((file, names)) = proof.split_once(": ") else { panic!("{row}: {proof}") };
            let there = functions(&root.join(file));
            for name in names.split(", ").map(|name| name.trim_matches('`')) {
                assert!(there.contains(name), "{row}: {file} has no test {name}");
                named_after += usize::from(is_named_after(name, row));
                tests += 1;
            }
        }
        match state {
            "works" => assert!(named_after > 0, "{row} works, but no test is named after it"),
            "later" => assert!(proofs.is_empty(), "{row} is for later, but has tests"),
            _ => assert!(state.starts_with("partly: "), "{row}: {state:?} is no state"),
        }
    }
    assert_eq!(rows.len(), 82, "rows of the manual");
    assert!(tests > 60, "{tests} tests were read");
}
