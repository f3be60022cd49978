//! The whole system on a real cluster: what pods do, from `helm install` on.
//!
//! One cluster serves all of these tests, and one operator those of the story, which runs in this order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(missing_docs)] // a program of tests

mod basics;
mod forges;
mod story;
mod upgrade;
mod world;

use e2e::cluster::{Cluster, Tier, Version};
use libtest_mimic::{Arguments, Completion, Trial};
use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process::ExitCode,
};
use tokio::runtime::Runtime;
use world::world;

/// Tests that need a cluster only.
macro_rules! basics {
    ($($test:ident),* $(,)?) => {
        vec![$(Trial::test(stringify!($test), || {
            Runtime::new()?.block_on(basics::$test(Cluster::shared(Tier::Node)));
            Ok(())
        })),*]
    };
}

/// Tests of the operator.
macro_rules! story {
    ($($test:ident),* $(,)?) => {
        vec![$(Trial::test(stringify!($test), || {
            let world = world();
            keeping_logs(stringify!($test), || world.runtime.block_on(story::$test(world)));
            Ok(())
        })),*]
    };
}

/// When a test of the operator fails, logs are kept as they are then.
fn keeping_logs(name: &str, test: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(test)) {
        world().space.keep_logs(name);
        resume_unwind(panic);
    }
}

/// Servers of the test's own are reached from pods where the scripts started the cluster.
fn forges() -> Trial {
    let name = "k02_g01_g04_g06_a_review_a_status_and_a_programs_lines_come_from_pods";
    let trial = Trial::test(name, move || {
        let world = world();
        let test =
            forges::k02_g01_g04_g06_a_review_a_status_and_a_programs_lines_come_from_pods(world);
        keeping_logs(name, || world.runtime.block_on(test));
        Ok(())
    });
    trial.with_ignored_flag(env::var_os("E2E_KUBECONFIG").is_some())
}

/// Where there is no earlier version, the test says why.
fn upgrade() -> Trial {
    let name = "k08_an_upgrade_and_the_way_back_lose_nothing";
    Trial::ignorable_test(name, move || {
        let previous = match Version::previous(Cluster::shared(Tier::Node)) {
            Ok(previous) => previous,
            Err(why) => return Ok(Completion::ignored_with(why)),
        };
        let world = world();
        let test = upgrade::k08_an_upgrade_and_the_way_back_lose_nothing(world, &previous);
        keeping_logs(name, || world.runtime.block_on(test));
        Ok(Completion::Completed)
    })
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Some kill what the others use.
    arguments.test_threads = Some(1);
    let mut trials = basics![
        the_image_runs_under_the_restricted_standard_and_prints_its_version,
        peers_are_found_by_name_and_through_the_ingress_controller,
    ];
    trials.extend(story![
        k02_a_change_becomes_a_page_a_mail_and_a_push,
        k04_pages_are_reached_through_the_ingress_controller,
        k05_status_tells_what_was_delivered,
        k03_a_changed_secret_rolls_the_pods_that_use_it,
        k02_every_pod_comes_back_and_nothing_is_lost,
        k05_a_lost_volume_is_said_by_the_master_and_its_targets,
    ]);
    trials.push(forges());
    // The node of somebody's own cluster is left alone, and may have another Gateway or none.
    let own = env::var_os("E2E_KUBECONFIG").is_none();
    trials.extend(
        story![
            k04_pages_are_reached_through_a_route_of_the_gateway_api,
            k02_a_kubelet_that_starts_again_finds_its_pods,
        ]
        .into_iter()
        .map(|trial| trial.with_ignored_flag(!own)),
    );
    trials.extend(story![
        k02_a_killed_operator_goes_on_where_it_was,
        k02_deleting_leaves_nothing,
        k08_uninstalling_keeps_kinds_resources_and_pods,
    ]);
    trials.push(upgrade());
    let conclusion = libtest_mimic::run(&arguments, trials);
    world::end();
    conclusion.exit_code()
}
