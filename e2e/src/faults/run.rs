//! One run: starts everything, lets the faults happen, waits for quiet, and judges.

mod happen;

use super::{
    judge::{Evidence, Verdict, judge},
    machine::Disk,
    plan::{Fault, LENGTH, Plan, Victim},
    receivers::Receiver,
    system::{Clock, GROWTH, Ports, System},
};
use crate::recorded_master::RecordedMaster;
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, time::sleep};

/// How long everything that is due may take to arrive after the last fault, and what a fault waits
/// for.
const PATIENCE: Duration = Duration::from_secs(120);
/// When nothing came for so long, nothing more will, where no fault keeps it.
const QUIET: Duration = Duration::from_secs(30);

/// What came of a run, with what it is to be found by.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What was due, lost, repeated.
    pub verdict: Verdict,
    /// kill -9 of processes that send, once for each target in them.
    pub kills: u64,
    /// The most that any process grew, in bytes.
    pub grown: u64,
    /// How long it took.
    pub seconds: f64,
    /// What happened when.
    pub timeline: Vec<String>,
    /// Faults that this machine cannot have.
    pub left_out: Vec<String>,
}

impl Outcome {
    /// Whether all is as promised.
    pub fn is_good(&self) -> bool {
        let v = &self.verdict;
        v.lost.is_empty()
            && v.problems.is_empty()
            && v.repeated <= self.kills
            && self.grown <= GROWTH
    }

    /// For the process that started this one.
    pub fn json(&self) -> Value {
        let v = &self.verdict;
        json!({
            "good": self.is_good(), "due": v.due, "excused": v.excused, "lost": v.lost,
            "repeated": v.repeated, "unclear": v.unclear, "problems": v.problems,
            "kills": self.kills, "grown": self.grown, "seconds": self.seconds,
            "timeline": self.timeline, "leftOut": self.left_out,
        })
    }
}

/// Everything that a fault may touch.
struct Scene {
    begun: Instant,
    master: RecordedMaster,
    mail: Receiver,
    push: Receiver,
    system: tokio::sync::Mutex<System>,
    /// Starts and stops of the master, one at a time.
    mastering: tokio::sync::Mutex<()>,
    clock: Option<Clock>,
    disk: Option<Disk>,
    losses: Mutex<Vec<u64>>,
    opened: Mutex<[u64; 2]>,
    /// When the process with the journal was killed last, in the master's order.
    killed: Mutex<u64>,
    timeline: Mutex<Vec<String>>,
    left_out: Mutex<Vec<String>>,
    slow: Mutex<Vec<TcpStream>>,
}

/// Runs a plan in an empty folder.
pub async fn run(plan: &Plan, folder: &Path) -> Outcome {
    let began = Instant::now();
    fs::create_dir_all(folder).unwrap();
    let has = |is: fn(&Fault) -> bool| plan.faults.iter().any(|(_, fault)| is(fault));
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of minutes")]
    let speed = 320_000.0 / LENGTH as f64;
    // High enough that there are lower keys too.
    let master = RecordedMaster::start(500 + plan.seed % 1000, speed, plan.seed).await;
    let (mail, push) = (
        Receiver::smtp(&folder.join("mails.txt")).await,
        Receiver::http(&folder.join("pushes.txt")).await,
    );
    let disk = has(|f| matches!(f, Fault::FullDisk(_)))
        .then(|| Disk::mount(&folder.join("data")))
        .flatten();
    let clock = has(|f| matches!(f, Fault::Clock(..))).then(|| Clock::new(folder)).flatten();
    let ports = Ports { master: master.port(), smtp: mail.port(), http: push.port() };
    let system = System::start(folder, plan, ports, clock.clone()).await;
    let scene = Arc::new(Scene {
        begun: began,
        master,
        mail,
        push,
        system: system.into(),
        mastering: tokio::sync::Mutex::default(),
        clock,
        disk,
        losses: Mutex::default(),
        opened: Mutex::default(),
        killed: Mutex::default(),
        timeline: Mutex::default(),
        left_out: Mutex::default(),
        slow: Mutex::default(),
    });
    let mut problems = Vec::new();
    let _ = rustls::crypto::ring::default_provider().install_default();
    if scene.settled(Duration::from_secs(60)).await && scene.have_consumers().await {
        problems.extend(scene.play(plan).await);
    } else {
        problems.push("the program never followed the master".to_owned());
    }
    scene.finish(plan, problems, began).await
}

impl Scene {
    fn note(&self, what: impl AsRef<str>) {
        let at = self.begun.elapsed().as_secs_f64();
        self.timeline.lock().unwrap().push(format!("{at:7.3} {}", what.as_ref()));
    }

    fn leave_out(&self, fault: Fault, why: &str) {
        self.note(format!("left out: {fault}: {why}"));
        self.left_out.lock().unwrap().push(format!("{}: {why}", fault.row()));
    }

    /// Waits until the master is followed and all that it did is known.
    async fn settled(&self, patience: Duration) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < patience {
            if self.master.is_followed(Duration::from_millis(600)) {
                return true;
            }
            sleep(Duration::from_millis(20)).await;
        }
        false
    }

    async fn have_consumers(&self) -> bool {
        for _ in 0..600 {
            if self.system.lock().await.consumers().await == [true; 2] {
                return true;
            }
            sleep(Duration::from_millis(100)).await;
        }
        false
    }

    /// Plays the recording and the faults; gives what is wrong when quiet does not come.
    async fn play(self: &Arc<Self>, plan: &Plan) -> Vec<String> {
        self.note("the recording begins");
        self.master.play();
        let zero = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for (at, fault) in plan.faults.clone() {
            let scene = Arc::clone(self);
            tasks.spawn(async move {
                tokio::time::sleep_until((zero + Duration::from_millis(at)).into()).await;
                scene.note(format!("{fault}"));
                scene.happen(fault).await;
                scene.note(format!("{fault} is over"));
            });
        }
        let mut problems = Vec::new();
        let mut begin = None;
        let mut came = (0, Instant::now());
        loop {
            sleep(Duration::from_millis(100)).await;
            let mut system = self.system.lock().await;
            system.watch_memory();
            for ended in system.supervise() {
                self.note(&ended);
                // On a full disk no journal can be opened, which is said and tried again.
                if !plan.fills() {
                    problems.push(ended);
                }
            }
            self.look_for_losses(&mut system);
            drop(system);
            while let Some(task) = tasks.try_join_next() {
                if let Err(error) = task {
                    problems.push(format!("a fault could not be made: {error}"));
                }
                if tasks.is_empty() {
                    self.note("no more faults");
                }
            }
            if !tasks.is_empty() || !self.master.has_played() {
                continue;
            }
            let begin = *begin.get_or_insert_with(Instant::now);
            let mut evidence = self.evidence(plan);
            let mut verdict = judge(&evidence);
            if evidence.torn && !verdict.lost.is_empty() {
                evidence.dead = self.system.lock().await.dead_letters().await;
                verdict = judge(&evidence);
            }
            if verdict.lost.is_empty() {
                self.note("everything is there");
                // What is on its way a second time comes too.
                sleep(Duration::from_millis(600)).await;
                return problems;
            }
            let taken = evidence.mails.len() + evidence.pushes.len();
            if came.0 != taken {
                came = (taken, Instant::now());
            }
            // What a target forgets never comes: all the rest has come when nothing comes any more.
            let (since, patience) = match plan.broken {
                Some(_) => (came.1.max(begin), QUIET),
                None => (begin, PATIENCE),
            };
            if since.elapsed() > patience {
                problems.push(format!("not everything came within {} s", patience.as_secs()));
                return problems;
            }
        }
    }

    fn evidence(&self, plan: &Plan) -> Evidence {
        Evidence {
            ended: self.master.ended(),
            asked: self.master.asked(),
            losses: self.losses.lock().unwrap().clone(),
            opened: *self.opened.lock().unwrap(),
            mails: self.mail.taken(),
            pushes: self.push.taken(),
            torn: plan.tears(),
            ..Evidence::default()
        }
    }

    /// A journal that was put aside as damaged was lost when the process before was killed.
    fn look_for_losses(&self, system: &mut System) {
        if system.lost_a_journal() {
            self.note("a journal was put aside as damaged");
            self.losses.lock().unwrap().push(*self.killed.lock().unwrap());
        }
    }

    /// kill -9 of a process of the program.
    fn kill(&self, system: &mut System, victim: Victim) {
        self.look_for_losses(system);
        system.kill(victim);
        if system.is_feed(victim) {
            *self.killed.lock().unwrap() = self.master.now();
        }
    }

    async fn finish(
        self: Arc<Self>,
        plan: &Plan,
        mut problems: Vec<String>,
        began: Instant,
    ) -> Outcome {
        self.slow.lock().unwrap().clear();
        let scene = Arc::into_inner(self).expect("no fault is under way");
        let mut system = scene.system.into_inner();
        system.watch_memory();
        let dead = system.dead_letters().await;
        let (kills, grown) = (system.kills, system.grown());
        if grown > GROWTH {
            problems.push(format!("memory grew by {} MiB", grown >> 20));
        }
        let timeline = scene.timeline.into_inner().unwrap();
        problems.extend(system.end().await);
        let evidence = Evidence {
            ended: scene.master.ended(),
            asked: scene.master.asked(),
            losses: scene.losses.into_inner().unwrap(),
            opened: scene.opened.into_inner().unwrap(),
            mails: scene.mail.taken(),
            pushes: scene.push.taken(),
            torn: plan.tears(),
            dead,
            replaced: Vec::new(),
        };
        let mut verdict = judge(&evidence);
        verdict.problems.extend(problems);
        Outcome {
            verdict,
            kills,
            grown,
            seconds: began.elapsed().as_secs_f64(),
            timeline,
            left_out: scene.left_out.into_inner().unwrap(),
        }
    }
}
