//! A fake: a recorded master as a server, for faults that a real one does not have when they are
//! wanted, and for speed.
//!
//! It plays the recording of a real master (`e2e/recording`) over real HTTP and websocket, faster
//! than it was recorded. At any time its REST answers and its frames tell the same. It can be
//! killed and started again, like a real one: builds that ran end as RETRY without a frame and are
//! built anew. Its database can be replaced by another one.

mod database;
mod rest;
mod server;
mod socket;
mod tape;

pub use database::Ended;
pub use socket::FrameFaults;

use crate::link::Link;
use database::{Database, Turn};
use rand::{SeedableRng as _, rngs::StdRng};
use socket::Subscriber;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant, SystemTime},
};
use tape::{Frame, Tape};
use tokio::sync::watch;

/// What the master was asked, in order, as far as the judging of a run needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The database that answered.
    pub database: u32,
    /// Its place among all that the master did.
    pub order: u64,
    /// What was asked.
    pub what: Question,
}

/// Questions that tell what a reader takes for the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The highest build's key: a reader with an empty journal begins here.
    Highest,
    /// Which builds run: what has ended by now is the past for that reader.
    Open,
    /// Builds below a key: the reader has written down where it began, and loads the past.
    Past,
}

/// How the keys of another database are beside those of the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// A new database.
    Lower,
    /// The highest keys are the same.
    Equal,
    /// A database that has seen more.
    Higher,
}

/// All that changes.
struct State {
    database: Database,
    /// Of databases that were replaced.
    ended: Vec<Ended>,
    asked: Vec<Asked>,
    /// What is to happen: by the position (microseconds of the recording) and in order.
    queue: BTreeMap<(u64, u64), (Turn, usize)>,
    queued: u64,
    turn: Turn,
    /// Where the recording is.
    position: u64,
    /// When the position was true; `None` while it stands still.
    since: Option<Instant>,
    subscribers: Vec<Subscriber>,
    faults: FrameFaults,
    random: StdRng,
    sockets: u64,
    /// When REST was asked last.
    rest: Option<Instant>,
}

pub(crate) struct Shared {
    tape: Tape,
    speed: f64,
    state: Mutex<State>,
    /// Websockets below this number are half-open; the highest number ends those.
    silenced: watch::Sender<u64>,
}

/// The master. Dropping it ends it.
pub struct RecordedMaster {
    shared: Arc<Shared>,
    link: Link,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for RecordedMaster {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

fn wall() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn next_socket(&self) -> u64 {
        let mut state = self.lock();
        state.sockets += 1;
        state.sockets
    }

    /// Lets happen what is due, and tells it.
    fn play(&self) {
        let mut state = self.lock();
        let state = &mut *state;
        let Some(since) = state.since else { return };
        let now = Instant::now();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let passed = (now.duration_since(since).as_secs_f64() * self.speed * 1e6) as u64;
        (state.position, state.since) = (state.position + passed, Some(now));
        while let Some(entry) = state.queue.first_entry() {
            if entry.key().0 > state.position {
                break;
            }
            let (turn, index) = entry.remove();
            self.happen(state, turn, index);
        }
    }

    fn happen(&self, state: &mut State, turn: Turn, index: usize) {
        let frame: &Frame = &self.tape.frames[index];
        let (name, what) = (frame.resource.as_str(), frame.what.as_str());
        #[allow(clippy::cast_precision_loss, reason = "seconds")]
        state.database.set_clock(self.tape.start + frame.at as f64 / 1000.0, wall());
        if (name, what) == ("buildsets", "complete") {
            let set = state.database.key("buildsets", turn, frame.id, &self.tape);
            if !state.database.set_is_done(set) {
                // One of its builds is made anew, after a kill.
                let later = state.position + 2_000_000;
                return state.enqueue(later, turn, index);
            }
        }
        let (key, body) = state.database.apply(turn, frame, &self.tape);
        let text = serde_json::json!({"k": key, "m": body}).to_string();
        let (faults, random) = (state.faults, &mut state.random);
        state.subscribers.iter_mut().for_each(|s| s.tell(&key, &text, faults, random));
    }
}

impl State {
    fn enqueue(&mut self, at: u64, turn: Turn, index: usize) {
        self.queued += 1;
        self.queue.insert((at, self.queued), (turn, index));
    }

    /// The recording from its beginning, as far as `most` milliseconds.
    fn enqueue_turn(&mut self, tape: &Tape, most: u64) {
        self.turn += 1;
        let (turn, position) = (self.turn, self.position);
        let frames = tape.frames.iter().enumerate().take_while(|(_, frame)| frame.at <= most);
        for (index, frame) in frames {
            self.enqueue(position + frame.at * 1000, turn, index);
        }
    }
}

impl RecordedMaster {
    /// Starts a master that has seen some builds and now stands still. Its first keys are above
    /// `base`, and it plays `speed` times as fast as it was recorded.
    pub async fn start(base: u64, speed: f64, seed: u64) -> Self {
        let tape = Tape::read();
        let database = Database::new(&tape, 0, base, wall(), 3600.0);
        let state = State {
            database,
            ended: Vec::new(),
            asked: Vec::new(),
            queue: BTreeMap::new(),
            queued: 0,
            turn: 0,
            position: 0,
            since: None,
            subscribers: Vec::new(),
            faults: FrameFaults::default(),
            random: StdRng::seed_from_u64(seed),
            sockets: 0,
            rest: None,
        };
        let shared = Arc::new(Shared {
            tape,
            speed,
            state: Mutex::new(state),
            silenced: watch::Sender::new(0),
        });
        let (port, server) = server::start(Arc::clone(&shared)).await;
        let player = Arc::clone(&shared);
        let player = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(3));
            loop {
                tick.tick().await;
                player.play();
            }
        });
        Self { shared, link: Link::start(port).await, tasks: vec![server, player] }
    }

    /// The way to it, which can be cut.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.link.port()
    }

    /// Begins to play the recording once more, after what is still to be played.
    pub fn play(&self) {
        let mut state = self.shared.lock();
        state.since = Some(Instant::now());
        let length = self.shared.tape.length();
        state.enqueue_turn(&self.shared.tape, length);
    }

    /// Plays a part of the recording once more, from now on.
    pub fn play_more(&self) {
        self.shared.lock().enqueue_turn(&self.shared.tape, self.shared.tape.length() / 3);
    }

    /// Whether all was played.
    pub fn has_played(&self) -> bool {
        self.shared.lock().queue.is_empty()
    }

    /// Stands still, or goes on.
    pub fn pause(&self, pause: bool) {
        self.shared.play();
        self.shared.lock().since = (!pause).then(Instant::now);
    }

    /// kill -9: every connection ends, and nobody answers until [`Self::restart`].
    pub async fn kill(&self) {
        self.pause(true);
        self.link.refuse().await;
        self.shared.silenced.send_replace(u64::MAX);
        self.shared.lock().subscribers.clear();
    }

    /// A new start after [`Self::kill`].
    pub async fn restart(&self) {
        {
            let mut state = self.shared.lock();
            let state = &mut *state;
            self.shared.silenced.send_replace(0);
            #[allow(clippy::cast_possible_truncation, reason = "seconds since 1970")]
            for key in state.database.clean_up(wall() as i64) {
                self.again(state, key);
            }
            state.since = Some(Instant::now());
        }
        self.link.accept().await;
    }

    /// Plays a build from its beginning, as a new one.
    fn again(&self, state: &mut State, key: u64) {
        let tape = &self.shared.tape;
        let Some((turn, id)) = state.database.recorded(key) else { return };
        state.queue.retain(|_, (t, index)| *t != turn || tape.frames[*index].build != Some(id));
        state.database.forget_build(turn, id, tape);
        let frames = tape.frames.iter().enumerate().filter(|(_, frame)| frame.build == Some(id));
        let frames: Vec<(usize, u64)> = frames.map(|(index, frame)| (index, frame.at)).collect();
        let Some((_, first)) = frames.first().copied() else { return };
        // Faster than the first time: the run is not to become longer by much.
        let begin = state.position + 1_000_000;
        for (index, at) in frames {
            state.enqueue(begin + (at - first) * 500, turn, index);
        }
    }

    /// Replaces the database of a master that is killed: another past, other builds.
    pub fn replace(&self, keys: Keys) {
        let mut state = self.shared.lock();
        let state = &mut *state;
        let old = &state.database;
        let highest = old.highest("builds");
        let past = u64::try_from(self.shared.tape.before().count()).unwrap();
        let base = match keys {
            Keys::Lower => 0,
            Keys::Equal => highest - past,
            Keys::Higher => highest + 1000,
        };
        let number = old.number + 1;
        let mut database =
            Database::new(&self.shared.tape, number, base, wall(), 3600.0 * f64::from(number + 1));
        database.order = old.order + 1;
        let mut old = std::mem::replace(&mut state.database, database);
        state.ended.append(&mut old.ended);
        state.queue.clear();
        // A part of the recording is enough.
        let length = self.shared.tape.length();
        state.enqueue_turn(&self.shared.tape, length / 2);
    }

    /// What happens to frames from now on.
    pub fn frames(&self, faults: FrameFaults) {
        self.shared.lock().faults = faults;
    }

    /// The websockets that are open say and hear nothing any more, and are not closed.
    pub fn silence(&self) {
        let next = self.shared.lock().sockets + 1;
        self.shared.silenced.send_replace(next);
        let mut state = self.shared.lock();
        state.subscribers.retain(|s| s.number >= next);
    }

    /// Whether somebody is subscribed and has asked nothing over REST for `quiet`.
    pub fn is_followed(&self, quiet: Duration) -> bool {
        let state = self.shared.lock();
        !state.subscribers.is_empty() && state.rest.is_none_or(|at| at.elapsed() >= quiet)
    }

    /// Every build that ended, of all databases; those of the past have order 0.
    pub fn ended(&self) -> Vec<Ended> {
        let state = self.shared.lock();
        state.ended.iter().chain(&state.database.ended).cloned().collect()
    }

    /// Keys of all builds that ended in the present database, those of the past with them.
    pub fn builds(&self) -> BTreeSet<u64> {
        self.shared.lock().database.ended.iter().map(|build| build.id).collect()
    }

    /// What it was asked.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.lock().asked.clone()
    }

    /// A place in the order of all that happened: after all before, before all later.
    pub fn now(&self) -> u64 {
        let mut state = self.shared.lock();
        state.database.order += 1;
        state.database.order
    }
}
