//! How each fault is made.

use super::{PATIENCE, Scene};
use crate::{
    faults::{
        machine,
        plan::{Fault, Tear, Victim, Way, Who},
        receivers::Manner,
    },
    recorded_master::{FrameFaults, Keys, Question},
};
use std::{
    fs,
    io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::sleep};

/// A page of the journal's file.
const PAGE: u64 = 4096;

impl Scene {
    /// Makes a fault, and is done when it is over.
    pub(super) async fn happen(&self, fault: Fault) {
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
            // A page that was never written has no room on a full disk; then it goes.
            match file.write_all(&page) {
                Err(error) if error.kind() == ErrorKind::StorageFull => {
                    file.set_len(length - PAGE).unwrap();
                }
                written => written.unwrap(),
            }
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
