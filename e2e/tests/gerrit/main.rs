//! `GerritPush` against a real Gerrit: messages and votes are read back over its REST API (G01 to G03).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(missing_docs)] // a program of tests

mod master;
mod refusals;
mod reviews;
mod texts;
mod unclear;
mod world;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;
use world::{WORLD, world};

/// Tests by their functions' names; each is given what all share.
macro_rules! trials {
    ($($module:ident::$test:ident),* $(,)?) => {
        vec![$(Trial::test(stringify!($test), || {
            let world = world();
            world.runtime.block_on($module::$test(world));
            Ok(())
        })),*]
    };
}

fn main() -> ExitCode {
    let trials = trials![
        reviews::g01_by_default_a_buildset_has_one_summary_of_its_builds,
        reviews::g01_builders_choose_what_a_summary_tells_of,
        reviews::c02_two_targets_side_by_side_have_their_own_settings,
        reviews::g02_the_chapters_examples_say_what_the_chapter_says,
        reviews::g03_votes_land_over_ssh_and_over_rest,
        reviews::g03_a_repo_build_votes_on_each_of_its_changes,
        reviews::g03_an_older_patch_set_gets_the_message_and_no_vote,
        reviews::g03_a_closed_change_gets_the_message_and_no_vote,
        reviews::g01_rsa_and_ecdsa_keys_log_in,
        refusals::g01_a_host_key_that_is_not_known_is_refused_with_its_fingerprint,
        refusals::g01_another_key_than_the_accounts_is_a_setting_to_mend,
        refusals::g01_a_wrong_http_password_is_a_setting_to_mend,
        refusals::g01_a_server_that_is_away_is_waited_for,
        refusals::g01_a_change_that_is_not_there_is_given_up_with_the_reason,
        refusals::g03_a_label_that_the_project_lacks_is_told,
        refusals::g03_a_vote_that_the_account_may_not_give_is_told,
        texts::g01_any_text_arrives_as_it_was,
        unclear::g01_a_review_whose_answer_was_lost_is_not_sent_twice,
        unclear::g01_over_ssh_a_review_that_is_there_is_not_sent_twice_either,
        unclear::g01_reviews_go_over_one_connection_and_past_one_that_was_cut,
        master::g01_a_real_masters_builds_vote_on_the_change_that_they_built,
    ];
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    if let Some(Some(world)) = WORLD.get()
        && let Some((gerrit, folder)) = world.running.lock().unwrap().take()
    {
        if let Ok(gerrit) = std::sync::Arc::try_unwrap(gerrit) {
            world.runtime.block_on(gerrit.end());
        }
        drop(folder);
    }
    conclusion.exit_code()
}
