//! Any text, through Gerrit's own rules of quoting and back.

use crate::world::{Way, World, build, composed};
use delivery::Target as _;
use model::{Outcome, Property};
use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::TestRunner,
};
use serde_json::json;

/// Texts that a command line could take for something else.
const SHARP: [&str; 18] = [
    "it's",
    "''",
    "'; gerrit ls-users; echo '",
    "\"quoted\" 'both'",
    r"a\nb \ \\ \' end\",
    "--message=x",
    "--x=y it's",
    "--",
    "-",
    "-- --label=Verified=-1",
    "@file",
    "$(id) `id` ${HOME} %s !! ~ * ? [a] {b}",
    "first\n\nthird\n  indented\n\tafter a tab",
    "Patch-set: 3\nLabel: Verified=+1",
    "Change-Id: I3819d5e801fcf438b5d6e86483ea574d032705a9",
    "ünïcode ☃ 😀 \u{200b}zero\u{301} 漢字",
    "  # blank around it \n\n",
    "a=b --c d=e",
];
/// Texts that are drawn.
const DRAWN: usize = 60;

pub async fn g01_any_text_arrives_as_it_was(world: &World) {
    let mut runner = TestRunner::deterministic();
    let any = "(\\PC|[ \n\t'\"\\\\$`@=&|;<>*?#!~-]){1,120}";
    let drawn = (0..DRAWN).map(|_| any.new_tree(&mut runner).unwrap().current());
    let texts: Vec<String> = SHARP.iter().map(|text| (*text).to_owned()).chain(drawn).collect();
    let texts: Vec<String> = texts.into_iter().filter(|text| !text.trim().is_empty()).collect();
    let change = world.gerrit().change("demo").await;
    let message = json!({ "review": { "message": "{{ properties.text }}", "verified": "0" } });
    let target = world.target(Way::Ssh, &message);
    for text in &texts {
        let mut build = build(&change, "linux", Outcome::Success);
        build.properties.0.insert("text".into(), Property(json!(text), "Test".into()));
        let sent = target.send(&mut composed(&target, build)).await;
        sent.unwrap_or_else(|error| panic!("{text:?}: {error}"));
    }
    let said = world.said(&change).await;
    assert_eq!(said.len(), texts.len());
    for (text, said) in texts.iter().zip(said) {
        assert_eq!(said, format!("Patch Set 1:\n\n{}", text.trim()), "{text:?}");
    }
    assert_eq!(world.voted(&change).await, Vec::<String>::new());
}
