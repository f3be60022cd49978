//! The page of rules has the rules that are checked, and no others.
#![allow(clippy::unwrap_used)]

use delivery::compliance::RULES;

#[test]
fn the_page_of_rules_and_the_checks_have_the_same_rules() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/target-rules.md");
    let page = std::fs::read_to_string(page).unwrap();
    let written: Vec<(&str, &str)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| R"))
        .map(|line| {
            let mut cells = line.split(" | ");
            (cells.next().unwrap(), cells.next().unwrap())
        })
        .collect();
    let checked: Vec<(&str, &str)> =
        RULES.iter().map(|(number, name)| (number.strip_prefix('R').unwrap(), *name)).collect();
    assert_eq!(written, checked);
}
