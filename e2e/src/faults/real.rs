//! A run against a real Buildbot master with its workers: kills, cuts, restarts, and another
//! database in between.

use super::{
    judge::{Evidence, Verdict, judge},
    plan::{Plan, Topology, Victim, seed_of},
    receivers::Receiver,
    run::Outcome,
    system::{GROWTH, Ports, System},
};
use crate::{Lab, Link, Process, recorded_master::Ended};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant, SystemTime},
};
use tokio::time::sleep;

/// How long a part of the scenario, or the arrival of everything, may take.
const PATIENCE: Duration = Duration::from_secs(400);
/// Parts of the scenario, of which a run plays one after the commits.
const ACTS: [&str; 4] = ["branch", "library", "fuzz", "cancel"];

/// What happens in a run against a real master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// Connections between feed and master are cut.
    Cut,
    /// Connections between targets and feed are cut.
    CutFeed,
    /// kill -9 of the master, and a new start.
    KillMaster,
    /// SIGTERM to the master, and a new start.
    RestartMaster,
    /// kill -9 of a process of the program, and a new start.
    Kill(Victim),
}

/// Everything of a run that is drawn from its seed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Drawn {
    acts: String,
    blows: Vec<(u64, Blow)>,
    /// Whether a second part is played with another database.
    replaced: bool,
}

fn draw(seed: u64) -> Drawn {
    let mut random = StdRng::seed_from_u64(seed);
    let all = [
        Blow::Cut,
        Blow::Cut,
        Blow::CutFeed,
        Blow::KillMaster,
        Blow::RestartMaster,
        Blow::Kill(Victim::Feed),
        Blow::Kill(Victim::Mail),
        Blow::Kill(Victim::Push),
    ];
    let count = random.random_range(3..=6);
    let mut blows: Vec<_> = (0..count)
        .filter_map(|_| Some((random.random_range(500..20_000), *all.choose(&mut random)?)))
        .collect();
    blows.sort_by_key(|(at, _)| *at);
    let act = ACTS.choose(&mut random).copied().unwrap_or_default();
    Drawn { acts: format!("commits,{act}"), blows, replaced: random.random_bool(0.3) }
}

struct Scene {
    lab: Lab,
    link: Link,
    system: System,
    timeline: Vec<String>,
    begun: Instant,
    ended: Vec<Ended>,
    replaced: Vec<i64>,
    problems: Vec<String>,
}

/// Run `index` of the campaign `campaign`, in an empty folder.
pub async fn run(campaign: u64, index: u64, topology: Topology, folder: &Path) -> Outcome {
    let begun = Instant::now();
    fs::create_dir_all(folder).unwrap();
    let seed = seed_of(campaign ^ 0x5eed, index);
    let drawn = draw(seed);
    let lab = Lab::start(folder, 0.1, &[]).await;
    let link = Link::start(lab.port()).await;
    let (mail, push) = (
        Receiver::smtp(&folder.join("mails.txt")).await,
        Receiver::http(&folder.join("pushes.txt")).await,
    );
    let ports = Ports { master: link.port(), smtp: mail.port(), http: push.port() };
    let plan = Plan { seed, topology, faults: Vec::new(), broken: None };
    let system = System::start(folder, &plan, ports, None).await;
    let mut scene = Scene {
        lab,
        link,
        system,
        timeline: Vec::new(),
        begun,
        ended: Vec::new(),
        replaced: Vec::new(),
        problems: Vec::new(),
    };
    let evidence = |scene: &Scene| Evidence {
        ended: scene.ended.clone(),
        replaced: scene.replaced.clone(),
        mails: mail.taken(),
        pushes: push.taken(),
        ..Evidence::default()
    };
    scene.connected().await;
    scene.part(&drawn.acts, seed, &drawn.blows).await;
    scene.arrived(&evidence).await;
    if drawn.replaced {
        scene.note("the database is replaced by a new one");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        scene.lab.begin_anew().await;
        scene.replaced.push(i64::try_from(now).unwrap());
        scene.connected().await;
        for builder in ["docs", "linux-gcc"] {
            scene.lab.force(builder).await;
        }
        scene.finished(2).await;
        scene.arrived(&evidence).await;
    }
    sleep(Duration::from_millis(600)).await;
    scene.collect().await;
    scene.system.watch_memory();
    let (kills, grown) = (scene.system.kills, scene.system.grown());
    if grown > GROWTH {
        scene.problems.push(format!("memory grew by {} MiB", grown >> 20));
    }
    let found = evidence(&scene);
    let Scene { lab, system, timeline, mut problems, .. } = scene;
    problems.extend(system.end().await);
    lab.end().await;
    let mut verdict: Verdict = judge(&found);
    if verdict.due < 5 {
        problems.push(format!("{} deliveries due are too few to show anything", verdict.due));
    }
    verdict.problems.extend(problems);
    let seconds = begun.elapsed().as_secs_f64();
    Outcome { verdict, kills, grown, seconds, timeline, left_out: Vec::new() }
}

impl Scene {
    fn note(&mut self, what: impl AsRef<str>) {
        self.timeline.push(format!("{:7.3} {}", self.begun.elapsed().as_secs_f64(), what.as_ref()));
    }

    /// Waits until the master is followed and the consumers are there.
    async fn connected(&mut self) {
        let begin = Instant::now();
        // Right after a restart the figure may still be about the connection before.
        sleep(Duration::from_millis(300)).await;
        while !(self.system.is_connected().await && self.system.consumers().await == [true; 2]) {
            if begin.elapsed() > PATIENCE {
                return self.problems.push("the program never followed the master".to_owned());
            }
            sleep(Duration::from_millis(100)).await;
        }
        self.note("the master is followed");
    }

    /// Plays a part of the scenario while blows fall, and waits until the master is idle.
    async fn part(&mut self, acts: &str, seed: u64, blows: &[(u64, Blow)]) {
        self.note(format!("the scenario plays: {acts}"));
        let mut scenario: Process = self.lab.scenario(seed % 1000, acts);
        let zero = Instant::now();
        let mut blows = blows.iter().peekable();
        loop {
            let passed = u64::try_from(zero.elapsed().as_millis()).unwrap();
            if let Some((_, blow)) = blows.next_if(|(at, _)| *at <= passed) {
                self.blow(*blow).await;
            }
            self.system.watch_memory();
            if blows.peek().is_none()
                && let Some(status) = scenario.ended()
            {
                if !status.success() {
                    self.problems.push(format!("the scenario: {}", scenario.printed()));
                }
                break;
            }
            if zero.elapsed() > PATIENCE {
                self.problems.push(format!("the scenario does not end: {}", scenario.printed()));
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        self.note("the scenario is over");
        self.collect().await;
    }

    /// Waits until so many builds have ended in the present database.
    async fn finished(&mut self, builds: usize) {
        let begin = Instant::now();
        while self.lab.finished().await.is_none_or(|finished| finished.len() < builds) {
            if begin.elapsed() > PATIENCE {
                return self.problems.push("forced builds do not end".to_owned());
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Notes which builds have ended in the present database.
    async fn collect(&mut self) {
        let database = u32::try_from(self.replaced.len()).unwrap();
        let Some(finished) = self.lab.finished().await else { return };
        self.ended.retain(|build| build.database != database);
        self.ended.extend(finished.into_iter().map(|build| Ended {
            database,
            id: build.id,
            builder: build.builder,
            number: build.number,
            results: build.results,
            complete_at: build.complete_at,
            order: 1,
        }));
    }

    async fn blow(&mut self, blow: Blow) {
        self.note(format!("{blow:?}"));
        match blow {
            Blow::Cut => self.link.cut(),
            Blow::CutFeed => match &self.system.feed_link {
                Some(link) => link.cut(),
                None => self.link.cut(),
            },
            Blow::KillMaster => self.lab.crash().await,
            Blow::RestartMaster => self.lab.restart().await,
            Blow::Kill(victim) => {
                self.system.kill(victim);
                self.system.restart(victim);
            }
        }
    }

    /// Waits until everything that is due has come.
    async fn arrived(&mut self, evidence: &impl Fn(&Self) -> Evidence) {
        let begin = Instant::now();
        loop {
            self.collect().await;
            if judge(&evidence(self)).lost.is_empty() {
                break;
            }
            if begin.elapsed() > PATIENCE {
                return self.problems.push(format!("no quiet within {} s", PATIENCE.as_secs()));
            }
            self.system.watch_memory();
            sleep(Duration::from_millis(300)).await;
        }
        self.note("everything is there");
    }
}
