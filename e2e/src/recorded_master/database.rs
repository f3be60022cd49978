//! The recorded master's database: rows as REST has them, under keys of its own.
//!
//! A recorded key becomes the next free key of the database when it is first seen, as a real
//! master numbers what happens. So the same recording can be played on and on, and a database can
//! begin at any key.

mod moved;

use super::tape::{Frame, Tape};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};

/// Rows by key.
pub(super) type Table = BTreeMap<u64, Value>;

/// Which playing of the recording a recorded key is meant in; 0 is what was before all.
pub(super) type Turn = u32;

/// A build that ended, as the master has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The master's databases are counted from 0.
    pub database: u32,
    /// The key.
    pub id: u64,
    /// The builder's name.
    pub builder: String,
    /// The number within the builder.
    pub number: u64,
    /// Buildbot's code: 0 success to 6 cancelled.
    pub results: u64,
    /// When it ended by the master's clock, in seconds.
    pub complete_at: i64,
    /// Its place among all that the master did; 0 is before the recording began.
    pub order: u64,
}

/// Times that a later frame repeats: the first one stays.
const TIMES: [&str; 7] = [
    "started_at",
    "submitted_at",
    "complete_at",
    "claimed_at",
    "created_at",
    "when_timestamp",
    "locks_acquired_at",
];

/// What a master knows.
#[derive(Debug, Default)]
pub(super) struct Database {
    /// Counted from 0.
    pub number: u32,
    pub tables: HashMap<&'static str, Table>,
    pub set_properties: BTreeMap<u64, Value>,
    pub build_properties: BTreeMap<u64, Map<String, Value>>,
    pub changes_of: BTreeMap<u64, Vec<u64>>,
    pub texts: BTreeMap<u64, String>,
    pub ended: Vec<Ended>,
    keys: HashMap<(&'static str, Turn, u64), u64>,
    next: HashMap<&'static str, u64>,
    numbers: BTreeMap<u64, u64>,
    /// Added to the recording's seconds.
    shift: f64,
    /// Counts what happens.
    pub order: u64,
}

fn resource(name: &str) -> &'static str {
    const ALL: [&str; 11] = [
        "builds",
        "buildrequests",
        "buildsets",
        "steps",
        "logs",
        "changes",
        "sourcestamps",
        "builders",
        "workers",
        "masters",
        "projects",
    ];
    ALL.into_iter().find(|known| *known == name).unwrap_or("others")
}

/// The field that holds a resource's key.
pub(super) fn key_of(resource: &str) -> &'static str {
    match resource {
        "builds" => "buildid",
        "buildrequests" => "buildrequestid",
        "buildsets" => "bsid",
        "steps" => "stepid",
        "logs" => "logid",
        "changes" => "changeid",
        "sourcestamps" => "ssid",
        "builders" => "builderid",
        "workers" => "workerid",
        "masters" => "masterid",
        "projects" => "projectid",
        _ => "id",
    }
}

impl Database {
    /// A database with the builds that were before the recording, its first keys above `base`;
    /// the past ended `ago` seconds before `now`.
    pub(super) fn new(tape: &Tape, number: u32, base: u64, now: f64, ago: f64) -> Self {
        let mut this = Self { number, shift: now - ago - tape.start, ..Self::default() };
        for name in
            ["builds", "buildrequests", "buildsets", "steps", "logs", "changes", "sourcestamps"]
        {
            this.next.insert(name, base + 1);
        }
        for name in ["builders", "workers", "masters"] {
            let rows = match name {
                "builders" => &tape.builders,
                "workers" => &tape.workers,
                _ => &tape.masters,
            };
            let key = key_of(name);
            let rows = rows.iter().map(|row| (row[key].as_u64().unwrap(), row.clone()));
            this.tables.insert(name, rows.collect());
        }
        for (id, whole) in tape.before() {
            for change in &whole.change_rows {
                this.put("changes", 0, change, tape);
            }
            this.put("buildsets", 0, &whole.buildset, tape);
            let request = whole.row["buildrequestid"].as_u64().unwrap();
            this.put("buildrequests", 0, &tape.requests[&request], tape);
            this.put("builds", 0, &whole.row, tape);
            let key = this.key("builds", 0, *id, tape);
            let properties = this.moved_properties(&whole.row["properties"], key);
            this.build_properties.insert(key, properties);
            whole.steps.iter().for_each(|step| drop(this.put("steps", 0, step, tape)));
            for (log, text) in &whole.logs {
                let id = this.put("logs", 0, log, tape)["logid"].as_u64().unwrap();
                this.texts.insert(id, text.clone());
            }
            let row = this.tables["builds"][&key].clone();
            this.end(&row);
            this.ended.last_mut().unwrap().order = 0;
        }
        this.shift = now - tape.start;
        this
    }

    /// Sets the clock: the recording's second `recorded` is `now`.
    pub(super) fn set_clock(&mut self, recorded: f64, now: f64) {
        self.shift = now - recorded;
    }

    /// The rows of a resource.
    pub(super) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(resource(name))
    }

    /// The highest key of a resource; 0 for none.
    pub(super) fn highest(&self, name: &'static str) -> u64 {
        self.tables.get(name).and_then(|t| t.keys().next_back().copied()).unwrap_or(0)
    }

    /// The key that a recorded one has here; a new one gets the next free key.
    pub(super) fn key(&mut self, name: &'static str, turn: Turn, id: u64, tape: &Tape) -> u64 {
        // Some of what the recording names was before it.
        for place in [(name, turn, id), (name, 0, id)] {
            if let Some(key) = self.keys.get(&place) {
                return *key;
            }
        }
        let next = self.next.get_mut(name).unwrap();
        let key = *next;
        *next += 1;
        self.keys.insert((name, turn, id), key);
        if name == "builds" && turn > 0 {
            self.begin(turn, id, key, tape);
        }
        key
    }

    /// Forgets which key a build had: played again, it is a new one.
    pub(super) fn forget_build(&mut self, turn: Turn, id: u64, tape: &Tape) {
        self.keys.remove(&("builds", turn, id));
        let Some(whole) = tape.builds.get(&id) else { return };
        for step in &whole.steps {
            self.keys.remove(&("steps", turn, step["stepid"].as_u64().unwrap()));
        }
        for (log, _) in &whole.logs {
            self.keys.remove(&("logs", turn, log["logid"].as_u64().unwrap()));
        }
    }

    /// A build is in the database before anything of it is told.
    fn begin(&mut self, turn: Turn, id: u64, key: u64, tape: &Tape) {
        let Some(row) = tape.begun.get(&id) else { return };
        let changes = tape.builds.get(&id).map(|whole| whole.changes.clone()).unwrap_or_default();
        let changes = changes.into_iter().map(|c| self.key("changes", turn, c, tape)).collect();
        self.changes_of.insert(key, changes);
        self.build_properties.insert(key, Map::new());
        self.put("builds", turn, &row.clone(), tape);
    }

    /// Puts a recorded row in place, moved to this database's keys and clock. Gives the row.
    pub(super) fn put(
        &mut self,
        name: &'static str,
        turn: Turn,
        row: &Value,
        tape: &Tape,
    ) -> Value {
        let id = row[key_of(name)].as_u64().unwrap();
        let is_new =
            !self.keys.contains_key(&(name, turn, id)) && !self.keys.contains_key(&(name, 0, id));
        let key = self.key(name, turn, id, tape);
        let mut row = self.moved(row, turn, tape);
        let before = self.tables.entry(name).or_default().get(&key).cloned();
        let fields = row.as_object_mut().unwrap();
        if let Some(before) = &before {
            for time in TIMES {
                if fields.get(time).is_some_and(|t| !t.is_null()) && !before[time].is_null() {
                    fields.insert(time.to_owned(), before[time].clone());
                }
            }
        }
        match name {
            "builds" => {
                let builder = fields["builderid"].as_u64().unwrap();
                let number = match &before {
                    Some(before) => before["number"].as_u64().unwrap(),
                    None => {
                        let number = self.numbers.entry(builder).or_default();
                        *number += 1;
                        *number
                    }
                };
                fields.insert("number".to_owned(), number.into());
                fields.insert("properties".to_owned(), json!({}));
            }
            "buildsets" => {
                // Tells a build of one database from that of another with the same number.
                let reason = fields["reason"].as_str().unwrap_or_default();
                let reason = format!("{reason} [database {}]", self.number);
                fields.insert("reason".to_owned(), reason.into());
                let properties = tape.set_properties.get(&id).cloned().unwrap_or_else(|| json!({}));
                self.set_properties.entry(key).or_insert(properties);
            }
            "buildrequests" => drop(fields.insert("properties".to_owned(), Value::Null)),
            "logs" if is_new => {
                self.texts.insert(key, tape.texts.get(&id).cloned().unwrap_or_default());
            }
            _ => {}
        }
        self.tables.get_mut(name).unwrap().insert(key, row.clone());
        row
    }

    /// Takes a frame of the recording. Gives the routing key and the body as they are told here.
    pub(super) fn apply(&mut self, turn: Turn, frame: &Frame, tape: &Tape) -> (String, Value) {
        self.order += 1;
        let name = resource(&frame.resource);
        if matches!(name, "workers" | "builders") {
            if frame.body.is_object() {
                self.tables.entry(name).or_default().insert(frame.id, frame.body.clone());
            }
            return (format!("{name}/{}/{}", frame.id, frame.what), frame.body.clone());
        }
        let key = self.key(name, turn, frame.id, tape);
        let told = format!("{name}/{key}/{}", frame.what);
        if frame.what == "properties/update" {
            let new = self.moved_properties(&frame.body, key);
            self.build_properties.entry(key).or_default().extend(new.clone());
            return (told, new.into());
        }
        if frame.body.is_null() {
            return (told, Value::Null);
        }
        let row = self.put(name, turn, &frame.body, tape);
        if name == "builds" && frame.what == "finished" {
            self.end(&row);
        }
        (told, row)
    }

    fn end(&mut self, row: &Value) {
        let builder = row["builderid"].as_u64().unwrap();
        self.ended.push(Ended {
            database: self.number,
            id: row["buildid"].as_u64().unwrap(),
            builder: self.tables["builders"][&builder]["name"].as_str().unwrap().to_owned(),
            number: row["number"].as_u64().unwrap(),
            results: row["results"].as_u64().unwrap(),
            complete_at: row["complete_at"].as_i64().unwrap(),
            order: self.order,
        });
    }

    /// What a real master does at its start with what a killed one left: running steps and builds
    /// end as RETRY (5), and their requests are claimed by nobody. No frame tells it. Gives the keys
    /// of the builds.
    pub(super) fn clean_up(&mut self, now: i64) -> Vec<u64> {
        self.order += 1;
        let open = |row: &Value| row["complete"] == false;
        let builds: Vec<u64> =
            self.tables["builds"].iter().filter(|(_, row)| open(row)).map(|(id, _)| *id).collect();
        let of = |row: &Value, field: &str, ids: &[u64]| {
            row[field].as_u64().is_some_and(|id| ids.contains(&id))
        };
        let mut steps = Vec::new();
        for row in self.tables.entry("steps").or_default().values_mut() {
            if open(row) && of(row, "buildid", &builds) {
                (row["complete"], row["complete_at"], row["results"]) =
                    (true.into(), now.into(), 5.into());
                steps.push(row["stepid"].as_u64().unwrap());
            }
        }
        for row in self.tables.entry("logs").or_default().values_mut() {
            if of(row, "stepid", &steps) {
                row["complete"] = true.into();
            }
        }
        for id in &builds {
            let row = self.tables.get_mut("builds").unwrap().get_mut(id).unwrap();
            (row["complete"], row["complete_at"], row["results"]) =
                (true.into(), now.into(), 5.into());
            let row = row.clone();
            self.end(&row);
        }
        for row in self.tables.entry("buildrequests").or_default().values_mut() {
            if open(row) {
                row["claimed"] = false.into();
                (row["claimed_at"], row["claimed_by_masterid"]) = (Value::Null, Value::Null);
            }
        }
        builds
    }

    /// The recorded key of a build that was played.
    pub(super) fn recorded(&self, key: u64) -> Option<(Turn, u64)> {
        let is = |(place, at): (&(&str, Turn, u64), &u64)| place.0 == "builds" && *at == key;
        self.keys.iter().find(|(place, at)| is((place, at))).map(|(place, _)| (place.1, place.2))
    }

    /// Whether every request of a recorded buildset has ended.
    pub(super) fn set_is_done(&self, set: u64) -> bool {
        let of = |row: &&Value| row["buildsetid"] == set;
        self.tables["buildrequests"].values().filter(of).all(|row| row["complete"] == true)
    }
}
