//! `image`: an image of the program, made without a daemon and without a registry.

use crate::{Failure, cache::Cache, cargo, root, succeed};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Static, so that the image is one file, and CA certificates.
const TARGET: &str = "x86_64-unknown-linux-musl";

/// What images of the program are called. No registry has them.
const REPOSITORY: &str = "localhost/buildbot-status";

/// `image [--release] [--name NAME] [--output FILE]`
pub fn run(arguments: &[String]) -> Result<(), Failure> {
    let (mut release, mut name, mut output) = (false, None, None);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--release" => release = true,
            "--name" => name = Some(rest.next().ok_or("--name needs a name")?),
            "--output" => output = Some(rest.next().ok_or("--output needs a file")?),
            other => {
                return Err(format!(
                    "image: what is {other:?}? --release, --name NAME, --output FILE"
                ));
            }
        }
    }
    let cache = Cache::open(&root())?;
    let file = output.map_or_else(|| cache.target().join("buildbot-status.tar"), PathBuf::from);
    let usual = if release { env!("CARGO_PKG_VERSION") } else { "dev" };
    let name = name.map_or(usual, |name| name);
    let image = format!("{REPOSITORY}:{name}");
    let program = if release { release_program(&cache)? } else { debug_program(&cache)? };
    make(&program, &image, &file)?;
    let bytes = fs::metadata(&file).map_err(|error| format!("{}: {error}", file.display()))?.len();
    println!(
        "{image} is in {} ({:.1} MB). It is loaded by one of:",
        file.display(),
        bytes as f64 / 1e6
    );
    println!("  docker load --input {}", file.display());
    println!("  kind load image-archive {}", file.display());
    println!("  ctr --namespace k8s.io images import {}", file.display());
    println!(
        "  {}/netexec -n ctr -n k8s.io images import {}   # cargo xtask cluster up",
        root().join("e2e/cluster").display(),
        file.display()
    );
    println!("and named to Helm by:");
    println!("  --set image.repository={REPOSITORY},image.tag={name},image.pullPolicy=Never");
    Ok(())
}

/// The image of a debug build for tests; its name.
pub fn debug(cache: &Cache, file: &Path) -> Result<String, Failure> {
    let tag = format!("{REPOSITORY}:e2e");
    make(&debug_program(cache)?, &tag, file)?;
    Ok(tag)
}

/// The image of the tests' peers; its name.
pub fn lab(cache: &Cache, file: &Path) -> Result<String, Failure> {
    let tag = "localhost/buildbot-lab:e2e".to_owned();
    let mut command = Command::new(root().join("e2e/cluster/lab-image.sh"));
    succeed(
        command.arg(cache.python()).arg(&tag).arg(file),
        "making the image of the tests' peers",
    )?;
    Ok(tag)
}

fn debug_program(cache: &Cache) -> Result<PathBuf, Failure> {
    succeed(
        cargo(cache).args(["build", "--quiet", "--package", "buildbot-status"]),
        "building the program",
    )?;
    Ok(cache.target().join("debug/buildbot-status"))
}

fn release_program(cache: &Cache) -> Result<PathBuf, Failure> {
    succeed(Command::new("rustup").args(["target", "add", TARGET]), "rustup target add")?;
    let mut command = cargo(cache);
    command.args([
        "build",
        "--release",
        "--locked",
        "--target",
        TARGET,
        "--package",
        "buildbot-status",
    ]);
    // The C that is compiled includes nothing of the C library that differs: Debian's compiler will do.
    if env::var_os("CC_x86_64_unknown_linux_musl").is_none() {
        command.env("CC_x86_64_unknown_linux_musl", "gcc");
    }
    succeed(&mut command, "building the static program")?;
    Ok(cache.target().join(TARGET).join("release/buildbot-status"))
}

fn make(program: &Path, tag: &str, file: &Path) -> Result<(), Failure> {
    let mut command = Command::new(root().join("e2e/cluster/program-image.sh"));
    succeed(command.arg(program).arg(tag).arg(file), "making the image")
}
