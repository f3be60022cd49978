//! One run: starts everything, lets the faults happen, waits for quiet, and judges.

use super::{
    judge::{Evidence, Verdict, judge},
    machine::{self, Disk},
    plan::{Fault, LENGTH, Plan, Tear, Victim, Way, Who},
    receivers::{Manner, Receiver},
    system::{Clock, GROWTH, Ports, System},
};
use crate::recorded_master::{FrameFaults, Keys, Question, RecordedMaster};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::sleep};

/// How long everything that is due may take to arrive after the last fault.
const PATIENCE: Duration = Duration::from_secs(120);
/// A page of the journal's file.
const PAGE: u64 = 4096;

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
    let system = System::start(folder, plan.topology, ports, clock.clone()).await;
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
            if begin.elapsed() > PATIENCE {
                problems.push(format!("no quiet within {} s", PATIENCE.as_secs()));
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

    async fn happen(&self, fault: Fault) {
        let ms = Duration::from_millis;
        match fault {
            Fault::Kill(Victim::Master, down) => {
                let _alone = self.mastering.lock().await;
                self.master.kill().await;
                sleep(ms(down)).await;
                self.master.restart().await;
            }
            Fault::Kill(victim, down) => {
                self.kill(&mut *self.system.lock().await, victim);
                sleep(ms(down)).await;
                self.system.lock().await.restart(victim);
            }
            Fault::Cut(way, times, between) => {
                for _ in 0..times {
                    self.on(way, crate::Link::cut).await;
                    sleep(ms(between)).await;
                }
            }
            Fault::HalfOpen(way, lasts) => self.half_open(way, ms(lasts)).await,
            Fault::Silence => self.master.silence(),
            Fault::Frames(lasts, lossy) => {
                let lost = if lossy { 0.1 } else { 0.0 };
                self.master.frames(FrameFaults { repeated: 0.2, overtaken: 0.2, lost });
                sleep(ms(lasts)).await;
                self.master.frames(FrameFaults::default());
            }
            Fault::SlowReader => {
                let (port, request) = self.system.lock().await.stream();
                if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await {
                    let _ = stream.write_all(request.as_bytes()).await;
                    self.slow.lock().unwrap().push(stream);
                }
            }
            Fault::FullDisk(lasts) => match &self.disk {
                Some(disk) => {
                    disk.fill();
                    sleep(ms(lasts)).await;
                    disk.free();
                }
                None => self.leave_out(fault, "no small disk can be mounted here"),
            },
            Fault::TornPage(tear) => {
                let mut system = self.system.lock().await;
                self.kill(&mut system, Victim::Feed);
                tear_page(&system.journal(), tear);
                system.restart(Victim::Feed);
                drop(system);
                // If that lost the journal, something has to be due after it.
                self.begun_anew(ms(3000)).await;
                self.master.play_more();
            }
            Fault::DeletedVolume => {
                let mut system = self.system.lock().await;
                self.kill(&mut system, Victim::Feed);
                let data = system.data();
                empty(&data);
                self.losses.lock().unwrap().push(*self.killed.lock().unwrap());
                system.restart(Victim::Feed);
                drop(system);
                self.consumers_open().await;
                // Something has to be due in the new journal.
                self.begun_anew(PATIENCE).await;
                self.master.play_more();
            }
            Fault::Receiver(who, manner, lasts) => {
                let receiver = match who {
                    Who::Smtp => &self.mail,
                    Who::Http => &self.push,
                };
                receiver.behave(manner);
                sleep(ms(lasts)).await;
                receiver.behave(Manner::Good);
            }
            Fault::Clock(by, lasts) => match &self.clock {
                Some(clock) => {
                    clock.off_by(by);
                    sleep(ms(lasts)).await;
                    clock.off_by(0);
                }
                None => self.leave_out(fault, "libfaketime is not installed"),
            },
            Fault::Replaced(keys) => self.replace(keys).await,
        }
    }

    /// Waits until a journal has begun since the process with it was killed last, for so long at most.
    async fn begun_anew(&self, patience: Duration) {
        let (begin, killed) = (Instant::now(), *self.killed.lock().unwrap());
        let begun = || {
            let asked = self.master.asked();
            asked.iter().any(|a| a.order > killed && a.what == Question::Past)
        };
        while begin.elapsed() < patience && !begun() {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Notes when the consumers are in the new journal.
    async fn consumers_open(&self) {
        let begin = Instant::now();
        let mut there = [false; 2];
        while there != [true; 2] && begin.elapsed() < PATIENCE {
            let before = there;
            there = self.system.lock().await.consumers().await;
            for at in (0..2).filter(|at| there[*at] && !before[*at]) {
                self.opened.lock().unwrap()[at] = self.master.now();
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn on(&self, way: Way, act: fn(&crate::Link)) {
        match way {
            Way::Master => act(self.master.link()),
            Way::Feed => {
                if let Some(link) = &self.system.lock().await.feed_link {
                    act(link);
                }
            }
        }
    }

    /// Packets are dropped; meanwhile the far end closes its connections, and nobody hears of it.
    async fn half_open(&self, way: Way, lasts: Duration) {
        let port = match way {
            Way::Master => self.master.port(),
            Way::Feed => self
                .system
                .lock()
                .await
                .feed_link
                .as_ref()
                .map_or(self.master.port(), crate::Link::port),
        };
        if machine::drop_packets(port) {
            sleep(lasts).await;
            self.on(way, crate::Link::vanish).await;
            // The far end's good-byes are dropped too.
            sleep(Duration::from_millis(50)).await;
            machine::pass_packets();
        } else {
            self.leave_out(
                Fault::HalfOpen(way, 0),
                "no packets can be dropped here; the proxy stalls",
            );
            self.on(way, |link| link.stall(true)).await;
            sleep(lasts).await;
            self.on(way, |link| {
                link.cut();
                link.stall(false);
            })
            .await;
        }
    }

    /// A database is replaced when everything that ended in it is journaled: what nobody has read
    /// by then is gone with it, and nobody could tell of it.
    async fn replace(&self, keys: Keys) {
        let _alone = self.mastering.lock().await;
        self.master.pause(true);
        let builds = self.master.builds();
        let begin = Instant::now();
        while !self.system.lock().await.knows(&builds).await {
            if begin.elapsed() > PATIENCE {
                self.note("the journal does not get all that the master has");
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        self.note("the journal has all of the database that is replaced");
        self.master.kill().await;
        self.master.replace(keys);
        self.master.restart().await;
    }
}

fn tear_page(file: &Path, tear: Tear) {
    let Ok(mut file) = fs::File::options().read(true).write(true).open(file) else { return };
    let length = file.metadata().unwrap().len();
    if length <= PAGE {
        return;
    }
    match tear {
        Tear::Short => file.set_len(length - PAGE).unwrap(),
        Tear::Zeros | Tear::Noise => {
            file.seek(SeekFrom::Start(length - PAGE)).unwrap();
            let mut page = vec![0; usize::try_from(PAGE).unwrap()];
            if tear == Tear::Noise {
                file.read_exact(&mut page).unwrap();
                page.iter_mut().for_each(|byte| *byte ^= 0x5a);
                file.seek(SeekFrom::Start(length - PAGE)).unwrap();
            }
            file.write_all(&page).unwrap();
        }
    }
    file.sync_all().unwrap();
}

/// Removes all that is in a folder, which itself may be where a disk is mounted.
fn empty(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path: PathBuf = entry.path();
        let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    }
}
