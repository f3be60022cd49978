//! `check` and `test`: what targets would say, and whether it arrives.

use super::Manifests;
use clap::Args;
use std::path::PathBuf;

/// Which builds targets are asked about, and who knows them.
#[derive(Args, Clone, Debug)]
pub struct Builds {
    /// One build, such as `linux/42`. Without --data and --feed, the master is asked for it.
    #[arg(long, value_name = "BUILDER/NUMBER", value_parser = build_name, conflicts_with = "builds")]
    pub build: Option<BuildName>,
    /// How many of the last builds.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub builds: usize,
    /// Ask the master itself, at the address of its document.
    #[arg(long, conflicts_with = "data")]
    pub master: bool,
    /// The data folder of a standalone or feed that does not run now.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A feed that runs: its address, such as `http://127.0.0.1:9465/`.
    #[arg(
        long = "feed",
        value_name = "URL",
        requires = "token_file",
        env = "BUILDBOT_STATUS_FEED"
    )]
    pub feed: Option<String>,
    /// The file with a token for it.
    #[arg(long, value_name = "FILE", env = "BUILDBOT_STATUS_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// The address of the pages that messages link to; as the feed says it if not given.
    #[arg(long, value_name = "URL", env = "BUILDBOT_STATUS_PAGES", requires = "feed")]
    pub pages: Option<String>,
}

/// A build as people call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildName {
    /// Its builder's name.
    pub builder: String,
    /// Its number.
    pub number: u64,
}

/// Reads `BUILDER/NUMBER`; a builder's name may have slashes.
fn build_name(text: &str) -> Result<BuildName, String> {
    let parts = text.rsplit_once('/').filter(|(builder, _)| !builder.is_empty());
    let named = parts.and_then(|(builder, number)| Some((builder, number.parse().ok()?)));
    match named {
        Some((builder, number)) => Ok(BuildName { builder: builder.to_owned(), number }),
        None => Err("a build is its builder and its number, such as linux/42".to_owned()),
    }
}

/// `check`.
#[derive(Args, Debug)]
pub struct Check {
    #[command(flatten)]
    pub manifests: Manifests,
    /// Recorded builds are used where neither --build, --master, --data nor --feed is given.
    #[command(flatten)]
    pub builds: Builds,
}

/// `test`.
#[derive(Args, Debug)]
pub struct Test {
    #[command(flatten)]
    pub manifests: Manifests,
    #[command(flatten)]
    pub builds: Builds,
    /// Only this resource, such as `mail` or `MailNotifier/mail`; may be repeated.
    #[arg(long, value_name = "[KIND/]NAME")]
    pub only: Vec<String>,
    /// Mails go to this address alone.
    #[arg(long, value_name = "ADDRESS")]
    pub to: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::build_name;

    #[test]
    fn a_build_is_named_by_its_builder_and_its_number() {
        let read = |text| build_name(text).map(|build| (build.builder, build.number));
        assert_eq!(read("linux/42"), Ok(("linux".to_owned(), 42)));
        assert_eq!(read("a/b/7"), Ok(("a/b".to_owned(), 7)));
        for bad in ["linux", "linux/", "/42", "linux/x", "linux/-1", ""] {
            assert!(read(bad).is_err_and(|error| error.contains("linux/42")), "{bad}");
        }
    }
}
