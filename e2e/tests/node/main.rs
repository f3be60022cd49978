//! The whole system on a real cluster: what pods do, from `helm install` on.
//!
//! One cluster serves all of these tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(missing_docs)] // a program of tests

mod basics;

use e2e::cluster::{Cluster, Tier};
use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;
use tokio::runtime::Runtime;

/// Tests by the names of their functions.
macro_rules! trials {
    ($($module:ident::$test:ident),* $(,)?) => {
        vec![$(Trial::test(stringify!($test), || {
            Runtime::new()?.block_on($module::$test(Cluster::shared(Tier::Node)));
            Ok(())
        })),*]
    };
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = trials![
        basics::the_image_runs_under_the_restricted_standard_and_prints_its_version,
        basics::peers_are_found_by_name_and_through_the_ingress_controller,
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}
