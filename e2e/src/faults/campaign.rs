//! Many runs, each in a process and a network of its own, and the report about them.

use super::{
    broken::Broken,
    machine::Namespace,
    plan::{Plan, Topology},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Everything is drawn from it.
    pub seed: u64,
    /// Runs on the recorded master, by their numbers.
    pub runs: Vec<u64>,
    /// No run begins after this.
    pub until: Option<Instant>,
    /// Runs on a real one, by their numbers.
    pub real: Vec<u64>,
    /// Runs at the same time.
    pub jobs: usize,
    /// Which processes run; `None` takes turns.
    pub topology: Option<Topology>,
    /// A target runs that breaks the promise, and no fault happens: to show that it is found.
    pub broken: Option<Broken>,
    /// Where logs of runs are kept; those of good runs are removed.
    pub logs: PathBuf,
    /// The built `buildbot-status`.
    pub binary: PathBuf,
}

/// The report's row of runs against a real master.
const REAL: &str = "a real master: kills, cuts, restarts, another database";

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Done {
    /// Its number.
    pub index: u64,
    /// Whether its master was real.
    pub real: bool,
    /// What its process said; `None` if it said nothing.
    pub said: Option<Value>,
    /// Rows of the faults that it had.
    pub faults: Vec<&'static str>,
}

/// Figures of many runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Runs.
    pub runs: u64,
    /// Deliveries that were due.
    pub due: u64,
    /// Those that never came.
    pub lost: u64,
    /// Those made again after they were answered.
    pub repeated: u64,
    /// Those made again after an answer that did not get through.
    pub unclear: u64,
    /// kill -9 of processes that send, once for each target in them.
    pub kills: u64,
    /// Runs in which anything was wrong.
    pub bad: u64,
    /// The most that a process grew, in bytes.
    pub grown: u64,
    /// Deliveries of builds that were the past for a new journal.
    pub excused: u64,
}

impl Done {
    /// Whether all was as promised.
    pub fn is_good(&self) -> bool {
        self.said.as_ref().is_some_and(|said| said["good"] == true)
    }

    /// The texts of a list in what was said.
    pub fn list(&self, name: &str) -> Vec<String> {
        let list = self.said.as_ref().and_then(|said| said[name].as_array());
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        list.map(|list| list.iter().map(text).collect()).unwrap_or_default()
    }

    fn number(&self, name: &str) -> u64 {
        self.said.as_ref().and_then(|said| said[name].as_u64()).unwrap_or(0)
    }
}

impl Sum {
    /// The sum of some runs.
    pub fn of<'a>(runs: impl Iterator<Item = &'a Done>) -> Self {
        let mut sum = Self::default();
        for run in runs {
            sum.runs += 1;
            sum.due += run.number("due");
            sum.lost += run.list("lost").len() as u64;
            sum.repeated += run.number("repeated");
            sum.unclear += run.number("unclear");
            sum.kills += run.number("kills");
            sum.bad += u64::from(!run.is_good());
            sum.grown = sum.grown.max(run.number("grown"));
            sum.excused += run.number("excused");
        }
        sum
    }

    /// The last line of a campaign.
    pub fn line(&self) -> String {
        let Self { runs, due, lost, repeated, kills, .. } = self;
        format!("{runs} runs, {due} events due, {lost} lost, {repeated} repeated in {kills} kills")
    }
}

impl Campaign {
    /// The topology of a run.
    pub fn topology_of(&self, index: u64) -> Topology {
        let turns = if index % 3 == 2 { Topology::Standalone } else { Topology::Split };
        self.topology.unwrap_or(turns)
    }

    /// Runs all; `tell` hears of each as soon as it is over. `program` is the program that runs one
    /// (`faults one …`).
    pub fn run(&self, program: &Path, tell: impl Fn(&Self, &Done) + Sync) -> Vec<Done> {
        // Those against a real master take long: they are spread among the others.
        let place = |at: usize, of: &[u64]| at * 1000 / of.len().max(1);
        let recorded =
            self.runs.iter().enumerate().map(|(at, i)| (place(at, &self.runs), *i, false));
        let real = self.real.iter().enumerate().map(|(at, i)| (place(at, &self.real), *i, true));
        let mut waiting: Vec<(usize, u64, bool)> = recorded.chain(real).collect();
        waiting.sort_by_key(|(place, ..)| *place);
        let waiting: VecDeque<(u64, bool)> =
            waiting.into_iter().map(|(_, index, real)| (index, real)).collect();
        let (waiting, done) = (Mutex::new(waiting), Mutex::new(Vec::new()));
        let namespaces = AtomicBool::new(true);
        thread::scope(|scope| {
            for job in 0..self.jobs.max(1) {
                let (waiting, done, namespaces, tell) = (&waiting, &done, &namespaces, &tell);
                scope.spawn(move || {
                    while self.until.is_none_or(|until| Instant::now() < until) {
                        let Some((index, real)) = waiting.lock().unwrap().pop_front() else {
                            break;
                        };
                        let one = self.one(program, index, real, job, namespaces);
                        tell(self, &one);
                        done.lock().unwrap().push(one);
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap();
        done.sort_by_key(|d| (d.real, d.index));
        done
    }

    /// The folder of a run's logs.
    pub fn folder(&self, index: u64, real: bool) -> PathBuf {
        self.logs.join(format!("{}-{}-{index}", if real { "real" } else { "run" }, self.seed))
    }

    fn one(
        &self,
        program: &Path,
        index: u64,
        real: bool,
        job: usize,
        namespaces: &AtomicBool,
    ) -> Done {
        let folder = self.folder(index, real);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let name = format!("faults-{}-{job}", std::process::id());
        let namespace =
            if namespaces.load(Ordering::Relaxed) { Namespace::make(&name) } else { None };
        if namespace.is_none() {
            namespaces.store(false, Ordering::Relaxed);
        }
        let topology = self.topology_of(index);
        let mut command = match &namespace {
            Some(namespace) => namespace.command(program),
            None => Command::new(program),
        };
        command.args(["one", "--seed", &self.seed.to_string(), "--index", &index.to_string()]);
        command.args(["--topology", topology.name(), "--folder"]).arg(&folder);
        command.env("BUILDBOT_STATUS", &self.binary);
        if real {
            command.arg("--real");
        }
        if let Some(broken) = self.broken {
            command.args(["--broken", broken.name()]);
        }
        let errors = fs::File::create(folder.join("run.log")).unwrap();
        let output = command.stdin(Stdio::null()).stderr(errors).output();
        let said = output.ok().and_then(|output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            serde_json::from_str(text.lines().last()?).ok()
        });
        let mut drawn = Plan::draw(self.seed, index, topology).faults;
        if self.broken.is_some() {
            drawn.clear();
        }
        let faults: BTreeSet<&'static str> = if real {
            BTreeSet::from([REAL])
        } else {
            drawn.iter().map(|(_, fault)| fault.row()).collect()
        };
        let done = Done { index, real, said, faults: faults.into_iter().collect() };
        if done.is_good() {
            let _ = fs::remove_dir_all(&folder);
        }
        done
    }

    /// A failing run in words: how to repeat it, what happened, where its logs are.
    pub fn words(&self, done: &Done) -> String {
        let which = if done.real { "a real master" } else { "the recorded master" };
        let mut text = format!(
            "run {} on {which} failed; again: cargo xtask long faults --seed {} --only {}{}{}\n  logs: {}\n",
            done.index,
            self.seed,
            done.index,
            if done.real { " --real 1" } else { "" },
            self.topology.map_or(String::new(), |t| format!(" --topology {}", t.name())),
            self.folder(done.index, done.real).display(),
        );
        if done.said.is_none() {
            text += "  it ended without a word: see run.log\n";
        }
        for (name, title) in [("timeline", ""), ("problems", "wrong: "), ("lost", "lost: ")] {
            for line in done.list(name).iter().take(60) {
                text += &format!("  {title}{line}\n");
            }
        }
        let (repeated, kills) = (done.number("repeated"), done.number("kills"));
        if repeated > kills {
            text += &format!("  {repeated} repeated in {kills} kills\n");
        }
        text
    }

    /// The report as Markdown.
    pub fn report(&self, done: &[Done], commit: &str, began: Instant) -> String {
        let sum = Sum::of(done.iter());
        let seconds = began.elapsed().as_secs();
        let real = done.iter().filter(|done| done.real).count();
        let recorded = done.len() - real;
        let mut text = format!(
            "# Fault campaign\n\nWhat is due, and which three rules take something out, is in `e2e/src/faults/judge.rs`. \
             A delivery is a mail of a build whose result is selected, or the push of a build's end. \
             A kill counts once for each target in the process. *Unclear* deliveries were made again after an answer \
             that the receiver did not send whole; their sender cannot know better. *Not due* are deliveries that did not come and that the \
             rules take out: a journal that had to begin anew takes what had ended before for the past, and a record whose page \
             was torn is a dead letter.\n\n| | |\n|---|---|\n| commit | {commit} |\n\
             | seed | {} |\n| runs | {recorded} on the recorded master, {real} on a real one |\n| duration | {} min {} s, {} at a time |\n\
             | most that a process grew | {:.1} MiB |\n\n",
            self.seed,
            seconds / 60,
            seconds % 60,
            self.jobs,
            sum.grown as f64 / f64::from(1 << 20),
        );
        text += "A run has one to four faults; it counts in the row of each.\n\n\
                 | fault | runs | due | lost | repeated | kills | unclear | not due | runs with anything wrong |\n\
                 |---|---|---|---|---|---|---|---|---|\n";
        let rows: BTreeMap<&str, ()> =
            done.iter().flat_map(|d| d.faults.iter().map(|f| (*f, ()))).collect();
        let all =
            rows.keys().map(|row| (*row, Sum::of(done.iter().filter(|d| d.faults.contains(row)))));
        for (row, s) in all {
            text += &format!(
                "| {row} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
                s.runs, s.due, s.lost, s.repeated, s.kills, s.unclear, s.excused, s.bad
            );
        }
        let left_out: BTreeSet<String> = done.iter().flat_map(|d| d.list("leftOut")).collect();
        for one in &left_out {
            text += &format!("\nNot shown on this machine: {one}\n");
        }
        for bad in done.iter().filter(|d| !d.is_good()) {
            text += &format!("\n```text\n{}```\n", self.words(bad));
        }
        let real = if real > 0 { format!(" --real {real}") } else { String::new() };
        text + &format!(
            "\nAgain: `cargo xtask long faults --seed {} --runs {recorded}{real}`\n\n{}\n",
            self.seed,
            sum.line()
        )
    }
}
