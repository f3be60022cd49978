//! The command line: what can be said to the program.

mod asked;
mod label;
mod speed;

pub use asked::{BuildName, Builds, Check, Test};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, builder::BoolishValueParser};
use feed::http::token::Right;
use label::label;
use model::Position;
use speed::speed;
use std::{net::SocketAddr, path::PathBuf};

/// Buildbot's status targets as processes of their own.
///
/// Reads a Buildbot master's events, journals them, and serves pages, sends mail and pushes
/// as the manifests say: the same documents as in Kubernetes, without a cluster.
#[derive(Debug, Parser)]
#[command(name = "buildbot-status", version, arg_required_else_help = true)]
pub struct Cli {
    /// How logs are written to standard error.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "BUILDBOT_STATUS_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// What is logged: a level, or directives such as `info,feed=debug`.
    #[arg(long, global = true, default_value = "info", env = "BUILDBOT_STATUS_LOG")]
    pub log: String,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run every document of the given manifests in this process.
    Standalone(Standalone),
    /// Read one master, keep its journal, and serve it to targets and pages elsewhere.
    Feed(Feed),
    /// Run one target, or pages, that read a feed elsewhere.
    Target(Target),
    /// Reconcile the resources of a cluster into running pods.
    Operator(Operator),
    /// See, replay or drop what targets gave up.
    #[command(subcommand)]
    Deliveries(Deliveries),
    /// Print a token for one who reads a feed.
    Token(Token),
    /// Play a recorded master, with pages, mails and pushes; needs nothing else.
    Demo(Demo),
    /// Validate manifests and print what each target would say of the last builds; sends nothing.
    Check(Check),
    /// Send one real message of each target, about one build.
    Test(Test),
    /// Print the custom resource definitions as YAML.
    Crds,
    /// Copy this program to a file, for a pod whose image is another.
    #[command(hide = true)]
    Copy(Copy),
}

impl Command {
    /// The word that calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Standalone(_) => "standalone",
            Self::Feed(_) => "feed",
            Self::Target(_) => "target",
            Self::Operator(_) => "operator",
            Self::Deliveries(_) => "deliveries",
            Self::Token(_) => "token",
            Self::Demo(_) => "demo",
            Self::Check(_) => "check",
            Self::Test(_) => "test",
            Self::Crds => "crds",
            Self::Copy(_) => "copy",
        }
    }
}

/// Where a copy of this program goes.
#[derive(Args, Clone, Debug)]
pub struct Copy {
    /// The file, which is replaced.
    pub to: PathBuf,
}

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Plain words, for people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// Where documents come from.
#[derive(Args, Clone, Debug)]
pub struct Manifests {
    /// A manifest or a folder of manifests (`*.yaml`, `*.yml`, `*.json`); may be repeated.
    #[arg(
        short = 'f',
        long = "file",
        value_name = "FILE_OR_DIR",
        required = true,
        env = "BUILDBOT_STATUS_FILE"
    )]
    pub files: Vec<PathBuf>,
    /// A folder with the Secrets: `DIR/NAME/KEY` is a file.
    #[arg(long, value_name = "DIR", env = "BUILDBOT_STATUS_SECRETS")]
    pub secrets: Option<PathBuf>,
}

/// Where the journal is kept and what is served beside the pages.
#[derive(Args, Clone, Debug)]
pub struct Serving {
    /// Where /healthz, /readyz and /metrics are served; port 0 takes a free one.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9464",
        env = "BUILDBOT_STATUS_METRICS"
    )]
    pub metrics: SocketAddr,
}

/// `standalone`.
#[derive(Args, Debug)]
pub struct Standalone {
    #[command(flatten)]
    pub manifests: Manifests,
    /// Where journals are kept: one folder a master.
    #[arg(long, value_name = "DIR", default_value = "./buildbot-status-data")]
    pub data: PathBuf,
    #[command(flatten)]
    pub serving: Serving,
}

/// `demo`.
#[derive(Args, Debug)]
pub struct Demo {
    /// Where the demo keeps its journal, mails and pushes; a fresh folder of its own if not given.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Port of the pages on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 8010)]
    pub port: u16,
    /// How many times faster than recorded the builds are played: 0.01 to 1000.
    #[arg(long, default_value_t = 1.0, value_parser = speed)]
    pub speed: f64,
    #[command(flatten)]
    pub serving: Serving,
}

/// `feed`.
#[derive(Args, Debug)]
pub struct Feed {
    #[command(flatten)]
    pub manifests: Manifests,
    /// Where the journal is kept; that of a `standalone` is read on.
    #[arg(long, value_name = "DIR", default_value = "./buildbot-status-data")]
    pub data: PathBuf,
    /// Where the feed is served; port 0 takes a free one.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9465",
        env = "BUILDBOT_STATUS_LISTEN"
    )]
    pub listen: SocketAddr,
    /// A folder with the keys that sign tokens, a file each: the newest name signs, it and the
    /// one before are accepted.
    #[arg(long, value_name = "DIR")]
    pub keys: PathBuf,
    /// The journal's epoch as it was last known: where there is another journal or none, its loss
    /// is told, even if the whole volume is gone.
    #[arg(long, value_name = "EPOCH", env = "BUILDBOT_STATUS_EXPECT_EPOCH")]
    pub expect_epoch: Option<u32>,
    #[command(flatten)]
    pub waiting: Waiting,
    #[command(flatten)]
    pub serving: Serving,
}

/// What is done about settings that can't be used.
#[derive(Args, Clone, Copy, Debug)]
pub struct Waiting {
    /// Wait for Secrets, keys and other settings that can't be used yet, instead of ending.
    #[arg(long, env = "BUILDBOT_STATUS_WAIT", value_parser = BoolishValueParser::new())]
    pub wait: bool,
}

/// `token`.
#[derive(Args, Debug)]
pub struct Token {
    /// The folder with the feed's keys.
    #[arg(long, value_name = "DIR")]
    pub keys: PathBuf,
    /// UID of the master, as the feed prints it when it starts.
    #[arg(long, value_name = "UID")]
    pub master_uid: String,
    /// The consumer that the token is for, such as `mail/NAME` or `http_push/NAME`; any name for
    /// one who only reads or manages.
    #[arg(long, value_name = "NAME")]
    pub consumer: String,
    /// What kind of reader it is, such as `MailNotifier`.
    #[arg(long, value_name = "KIND")]
    pub kind: String,
    /// What may be asked: `read`, `consume` (the token's own consumer), `manage` (all of them);
    /// may be repeated.
    #[arg(long = "right", value_name = "RIGHT", required = true)]
    pub rights: Vec<Right>,
    /// In how many days the token expires; it does not if this is not given.
    #[arg(long, value_name = "DAYS")]
    pub days: Option<u32>,
}

/// A feed elsewhere.
#[derive(Args, Clone, Debug)]
pub struct FeedAt {
    /// The feed's address, such as `http://127.0.0.1:9465/`.
    #[arg(long = "feed", value_name = "URL", env = "BUILDBOT_STATUS_FEED")]
    pub url: String,
    /// The file with the token for it, as `buildbot-status token` prints one; it is read again
    /// when it changes.
    #[arg(long, value_name = "FILE", env = "BUILDBOT_STATUS_TOKEN_FILE")]
    pub token_file: PathBuf,
}

/// `target`.
#[derive(Args, Debug)]
pub struct Target {
    #[command(flatten)]
    pub manifests: Manifests,
    #[command(flatten)]
    pub feed: FeedAt,
    /// The address of the pages that messages link to; as the feed says it if not given.
    #[arg(long, value_name = "URL", env = "BUILDBOT_STATUS_PAGES")]
    pub pages: Option<String>,
    #[command(flatten)]
    pub waiting: Waiting,
    #[command(flatten)]
    pub serving: Serving,
}

/// `operator`.
#[derive(Args, Debug)]
pub struct Operator {
    /// The image of the pods that are made: this program's.
    #[arg(long, value_name = "IMAGE", env = "BUILDBOT_STATUS_IMAGE")]
    pub image: String,
    /// When that image is pulled: `Always`, `IfNotPresent` or `Never`.
    #[arg(long, value_name = "POLICY", env = "BUILDBOT_STATUS_IMAGE_PULL_POLICY")]
    pub image_pull_policy: Option<String>,
    /// A Secret for pulling it, in the resources' namespaces; may be repeated.
    #[arg(
        long,
        value_name = "NAME",
        env = "BUILDBOT_STATUS_IMAGE_PULL_SECRETS",
        value_delimiter = ','
    )]
    pub image_pull_secret: Vec<String>,
    /// The namespaces whose resources are reconciled, separated by commas; all if not given.
    #[arg(
        long,
        value_name = "NAMES",
        env = "BUILDBOT_STATUS_WATCH_NAMESPACES",
        value_delimiter = ','
    )]
    pub watch_namespaces: Vec<String>,
    /// A folder with the operator's keys, a file each, named by its date: keys of feeds and tokens
    /// are made from the newest and the one before.
    #[arg(long, value_name = "DIR", env = "BUILDBOT_STATUS_KEYS")]
    pub keys: PathBuf,
    /// Whether Secrets' metadata is watched, to roll pods when one changes and to name missing
    /// ones. To Kubernetes that is the right to read them.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, env = "BUILDBOT_STATUS_WATCH_SECRETS")]
    pub watch_secrets: bool,
    /// Whether NetworkPolicies are made for the pods.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, env = "BUILDBOT_STATUS_NETWORK_POLICIES")]
    pub network_policies: bool,
    /// Whether StorageClasses are watched, to name a missing one.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, env = "BUILDBOT_STATUS_STORAGE_CLASSES")]
    pub storage_classes: bool,
    /// Whether IngressClasses are watched, to name a missing one.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, env = "BUILDBOT_STATUS_INGRESS_CLASSES")]
    pub ingress_classes: bool,
    /// A label of the PodMonitors that are made, by which a Prometheus chooses them; may be
    /// repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    pub pod_monitor_label: Vec<(String, String)>,
    /// Where pods send their traces, such as `http://collector.observability:4318`.
    #[arg(long, value_name = "URL", env = "BUILDBOT_STATUS_POD_OTLP_ENDPOINT")]
    pub otlp_endpoint_for_pods: Option<String>,
    /// How many resources of a kind are reconciled at a time.
    #[arg(long, value_name = "N", default_value_t = 16, env = "BUILDBOT_STATUS_CONCURRENCY")]
    pub concurrency: u16,
    /// Whether one of several operators writes, by a Lease. Without it, only one may run.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, env = "BUILDBOT_STATUS_LEADER_ELECT")]
    pub leader_elect: bool,
    /// The Lease's name.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "buildbot-status-operator",
        env = "BUILDBOT_STATUS_LEASE"
    )]
    pub lease: String,
    /// The Lease's namespace: the operator's own.
    #[arg(long, value_name = "NAME", default_value = "default", env = "POD_NAMESPACE")]
    pub lease_namespace: String,
    /// For how long a holder that says nothing holds it, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(3..=600))]
    pub lease_seconds: u64,
    /// This operator's name, in the Lease and in Events.
    #[arg(long, value_name = "NAME", default_value = "buildbot-status-operator", env = "POD_NAME")]
    pub identity: String,
    /// Where feeds are reached when the operator runs outside the cluster: an address with
    /// `{namespace}` and `{name}` of the Master in it.
    #[arg(long, value_name = "URL")]
    pub feeds_at: Option<String>,
    #[command(flatten)]
    pub serving: Serving,
}

/// `deliveries`.
#[derive(Debug, Subcommand)]
pub enum Deliveries {
    /// List consumers and the records that they gave up.
    List {
        #[command(flatten)]
        journal: Journal,
        /// Only this consumer, such as `mail/NAME`.
        #[arg(long, value_name = "NAME")]
        consumer: Option<String>,
        /// How it is written.
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Show one record that was given up, whole.
    Show {
        #[command(flatten)]
        journal: Journal,
        /// The consumer, such as `mail/NAME`.
        #[arg(long, value_name = "NAME")]
        consumer: String,
        /// The record's position, as `list` shows it.
        position: Position,
        /// How it is written.
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Have records that were given up delivered once more.
    Replay {
        #[command(flatten)]
        journal: Journal,
        #[command(flatten)]
        letters: Letters,
    },
    /// Throw records away that were given up.
    Drop {
        #[command(flatten)]
        journal: Journal,
        #[command(flatten)]
        letters: Letters,
        /// Needed with --all and --class: what is dropped is gone.
        #[arg(long)]
        yes: bool,
    },
}

/// Whose deliveries: a feed that runs, or the journal of a standalone that does not.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = true)]
pub struct Journal {
    /// The feed's address, such as `http://127.0.0.1:9465/`.
    #[arg(
        long = "feed",
        value_name = "URL",
        requires = "token_file",
        conflicts_with = "data",
        env = "BUILDBOT_STATUS_FEED"
    )]
    pub url: Option<String>,
    /// The file with a token for it, with the right `manage` or to the consumer.
    #[arg(long, value_name = "FILE", requires = "url", env = "BUILDBOT_STATUS_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// The data folder of a standalone or feed that does not run.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// Which records that were given up.
#[derive(Args, Clone, Debug)]
pub struct Letters {
    /// The consumer, such as `mail/NAME`.
    #[arg(long, value_name = "NAME")]
    pub consumer: String,
    /// Positions, as `list` shows them.
    #[arg(value_name = "POSITION", required_unless_present_any = ["all", "class"])]
    pub positions: Vec<Position>,
    /// All of the consumer.
    #[arg(long, conflicts_with_all = ["positions", "class"])]
    pub all: bool,
    /// All of the consumer with this class, such as `permanent`.
    #[arg(long, value_name = "CLASS", conflicts_with = "positions")]
    pub class: Option<String>,
}

/// How lists are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}
