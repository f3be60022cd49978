//! `sbom`: what the program is linked from, as CycloneDX 1.6.
//!
//! Crates that end up in the program for one target: no crates of tests, of the build, or of macros. Their licences are
//! what the crates say, their hashes those of `Cargo.lock`. There is no time in it, so that it is the same twice.

use crate::{Failure, cache::Cache, cargo, root};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Stdio,
};

/// `sbom [--target TARGET] [--output FILE]`
pub fn run(arguments: &[String]) -> Result<(), Failure> {
    let (mut target, mut output) = ("x86_64-unknown-linux-musl", None);
    for pair in arguments.chunks(2) {
        match pair {
            [name, value] if name == "--target" => target = value,
            [name, value] if name == "--output" => output = Some(Path::new(value)),
            _ => return Err("sbom takes: [--target TARGET] [--output FILE]".to_owned()),
        }
    }
    let mut command = cargo(&Cache::open(&root())?);
    command.args(["tree", "--locked", "--package", "buildbot-status", "--target", target]);
    command.args(["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}|{l}"]);
    let tree = command.stderr(Stdio::inherit()).output().map_err(|e| format!("cargo tree: {e}"))?;
    if !tree.status.success() {
        return Err(format!("cargo tree failed ({})", tree.status));
    }
    let lock = root().join("Cargo.lock");
    let lock = fs::read_to_string(&lock).map_err(|e| format!("{}: {e}", lock.display()))?;
    let text = document(&components(&String::from_utf8_lossy(&tree.stdout), &hashes(&lock)));
    match output {
        None => {
            print!("{text}");
            Ok(())
        }
        Some(file) => {
            let folder = file.parent().unwrap_or(Path::new("."));
            let written = fs::create_dir_all(folder).and_then(|()| fs::write(file, text));
            written.map_err(|error| format!("{}: {error}", file.display()))
        }
    }
}

/// One crate.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Component {
    name: String,
    version: String,
    licence: String,
    sha256: String,
}

/// Crates of the registry in the lines of `cargo tree`. Those of this workspace have no hash: they are the program.
fn components(tree: &str, hashes: &BTreeMap<(String, String), String>) -> BTreeSet<Component> {
    let component = |line: &str| {
        let (package, licence) = line.split_once('|')?;
        let mut words = package.split_whitespace();
        let (name, version) =
            (words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned());
        let sha256 = hashes.get(&(name.clone(), version.clone()))?.clone();
        // Old crates write `/` for OR; `(*)` means that the crate was listed before.
        let licence = licence.trim_end_matches(" (*)").split('/').map(str::trim);
        let licence = licence.collect::<Vec<_>>().join(" OR ");
        Some(Component { name, version, licence, sha256 })
    };
    tree.lines().filter_map(component).collect()
}

/// From name and version to the hash, of every package of the registry.
fn hashes(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |package: &str, key: &str| {
        let line =
            package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""))?;
        Some(line.trim_end_matches('"').to_owned())
    };
    lock.split("[[package]]")
        .filter_map(|package| {
            let name = (value(package, "name")?, value(package, "version")?);
            Some((name, value(package, "checksum")?))
        })
        .collect()
}

fn document(components: &BTreeSet<Component>) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let rows: Vec<String> = components.iter().map(row).collect();
    format!(
        r#"{{
  "bomFormat": "CycloneDX",
  "specVersion": "1.6",
  "version": 1,
  "metadata": {{
    "component": {{
      "type": "application", "bom-ref": "buildbot-status", "name": "buildbot-status", "version": "{version}",
      "licenses": [{{"expression": "Apache-2.0"}}]
    }}
  }},
  "components": [
{}
  ]
}}
"#,
        rows.join(",\n")
    )
}

fn row(component: &Component) -> String {
    let Component { name, version, licence, sha256 } = component;
    let licences = match licence.as_str() {
        "" => String::new(),
        licence => format!(r#", "licenses": [{{"expression": "{licence}"}}]"#),
    };
    let purl = format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"));
    format!(
        r#"    {{"type": "library", "bom-ref": "{purl}", "name": "{name}", "version": "{version}", "purl": "{purl}", "hashes": [{{"alg": "SHA-256", "content": "{sha256}"}}]{licences}}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0+x\"\nsource = \"r\"\n\
        checksum = \"00ff\"\n\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\ndependencies = [\n \"a\",\n]\n";
    const TREE: &str = "own v0.1.0 (/src)|Apache-2.0\na v1.0.0+x|MIT/Apache-2.0\na v1.0.0+x|MIT / Apache-2.0 (*)\n";

    #[test]
    fn crates_of_the_registry_are_there_once_with_hash_and_licence() {
        let found = components(TREE, &hashes(LOCK));
        let wanted = Component {
            name: "a".into(),
            version: "1.0.0+x".into(),
            licence: "MIT OR Apache-2.0".into(),
            sha256: "00ff".into(),
        };
        assert_eq!(found, BTreeSet::from([wanted]));
        let text = document(&found);
        assert!(text.contains(r#""purl": "pkg:cargo/a@1.0.0%2Bx""#), "{text}");
        assert!(text.contains(r#""expression": "MIT OR Apache-2.0""#), "{text}");
    }
}
