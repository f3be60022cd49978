//! The program: packets are lines on its standard input, and it says on its standard output how many
//! of them it has taken.

use crate::{BuildError, packets::Packets};
use delivery::{SendError, Taken};
use futures_util::{FutureExt as _, StreamExt as _};
use std::{
    collections::{BTreeMap, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStderr, ChildStdout, Command},
    sync::{Mutex, mpsc},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

/// The longest line that is read of what the program says.
const LINE: usize = 4096;
/// How long a program that has closed its output is waited for, so that its status can be told.
const END: Duration = Duration::from_secs(2);
/// The word before the reason why a packet is refused for good.
const REFUSED: &str = "refused";

/// The command, and the process that runs it once there was something for it.
#[derive(Debug)]
pub struct Program {
    command: Vec<String>,
    patience: Duration,
    now: Mutex<Now>,
}

/// What goes on.
#[derive(Debug, Default)]
struct Now {
    running: Option<Process>,
    /// Hashes of packets that were taken of an item that was not taken whole, with the reason where
    /// one is refused: they are not given again.
    part: Vec<(u64, Option<String>)>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    /// What a task of its own writes, so that a program may answer before it has read all.
    input: mpsc::UnboundedSender<String>,
    output: FramedRead<ChildStdout, LinesCodec>,
    /// Hashes of the packets that were written and are not taken.
    owed: VecDeque<u64>,
    /// Reads its standard error; gives the last line.
    errors: JoinHandle<String>,
}

/// What a line of the program says.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Takes(usize),
    /// The first packet that it has not taken.
    Refuses(String),
    Talks,
}

/// How far it came with the packets of a request.
#[derive(Debug, Default)]
struct Progress {
    packets: usize,
    /// Packets among them that it refuses, by their place.
    refused: BTreeMap<usize, String>,
}

impl Program {
    pub fn new(command: &[String], patience: Duration) -> Result<Self, BuildError> {
        match command.first() {
            Some(program) if !program.is_empty() => {
                Ok(Self { command: command.to_vec(), patience, now: Mutex::default() })
            }
            _ => Err(BuildError::new("spec.command", "names no program: its first word is empty")),
        }
    }

    /// The command as people write it.
    pub fn words(&self) -> String {
        self.command.join(" ")
    }

    /// Gives the program all packets, and waits until it has taken some.
    pub async fn give(&self, items: &[&Packets]) -> Result<Taken, SendError> {
        let packets: Vec<&str> = items.iter().flat_map(|item| item.texts()).collect();
        if packets.is_empty() {
            return Ok(Taken::all(items.len()));
        }
        let mut now = self.now.lock().await;
        let part = std::mem::take(&mut now.part);
        let known = part.len() < packets.len()
            && part.iter().zip(&packets).all(|((taken, _), packet)| *taken == hash(packet));
        let mut progress = Progress::after(if known { part } else { Vec::new() });
        let rest = packets.get(progress.packets..).unwrap_or_default();
        // Should this be dropped, it ends the program.
        let mut process = match now.running.take() {
            Some(process) if process.owes(rest) => process,
            _ => self.start()?,
        };
        process.write(rest);
        let answered = process.answers(items, self.patience, &mut progress).await;
        let taken = progress.items(items);
        now.part = progress.part(&packets, items.iter().take(taken.items).map(|i| i.count()).sum());
        match answered {
            Ok(()) => now.running = Some(process),
            Err(error) if taken.items == 0 => return Err(error),
            // What remains meets a new process, and the same end if it is the same fault.
            Err(error) => {
                tracing::warn!(taken = taken.items, of = items.len(), %error, "the program took a part only");
            }
        }
        Ok(taken)
    }

    fn start(&self) -> Result<Process, SendError> {
        let [program, arguments @ ..] = &self.command[..] else {
            return Err(SendError::Misconfigured("spec.command names no program".to_owned()));
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().map_err(|error| {
            let text = format!("spec.command: {program} can't be started: {error}");
            match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
                    SendError::Misconfigured(text)
                }
                _ => SendError::Transient(text),
            }
        })?;
        let (input, output, errors) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut pipe), Some(output), Some(errors)) = (input, output, errors) else {
            return Err(SendError::Transient(format!("{program} was started without pipes")));
        };
        tracing::info!(program, id = child.id(), "the program is started");
        let errors = tokio::spawn(listen(errors));
        let (input, mut lines) = mpsc::unbounded_channel::<String>();
        tokio::spawn(async move {
            while let Some(lines) = lines.recv().await {
                // One that reads no more says why by its end.
                if pipe.write_all(lines.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        let output = FramedRead::new(output, LinesCodec::new_with_max_length(LINE));
        Ok(Process { child, input, output, owed: VecDeque::new(), errors })
    }
}

impl Progress {
    /// After the packets of an item that were taken before.
    fn after(part: Vec<(u64, Option<String>)>) -> Self {
        let packets = part.len();
        let refused = part.into_iter().enumerate();
        Self { packets, refused: refused.filter_map(|(at, (_, why))| Some((at, why?))).collect() }
    }

    /// The packets behind the first `whole` that were taken.
    fn part(&self, packets: &[&str], whole: usize) -> Vec<(u64, Option<String>)> {
        let part = packets.iter().enumerate().take(self.packets).skip(whole);
        part.map(|(at, packet)| (hash(packet), self.refused.get(&at).cloned())).collect()
    }

    /// The items that have all their packets done; one of which a packet is refused is refused.
    fn items(&self, items: &[&Packets]) -> Taken {
        let mut taken = Taken::default();
        let mut behind = 0;
        for (at, item) in items.iter().enumerate() {
            let places = behind..behind + item.count();
            behind = places.end;
            // An item without packets behind the last that was taken is no news.
            if places.end > self.packets || self.packets == 0 {
                break;
            }
            taken.items = at + 1;
            if let Some((_, reason)) = self.refused.range(places).next() {
                taken.refused.insert(at, reason.clone());
            }
        }
        taken
    }
}

impl Process {
    /// Whether what it was given and has not taken are the first of these packets.
    fn owes(&self, packets: &[&str]) -> bool {
        self.owed.iter().zip(packets).all(|(owed, packet)| *owed == hash(packet))
    }

    /// Writes the packets behind those that it was given.
    fn write(&mut self, packets: &[&str]) {
        let more = packets.get(self.owed.len()..).unwrap_or_default();
        self.owed.extend(more.iter().map(|packet| hash(packet)));
        let lines: String = more.iter().flat_map(|packet| [*packet, "\n"]).collect();
        // An error means that it reads no more; its end says why.
        let _ = self.input.send(lines);
    }

    /// Waits until an item is done with, and takes what else it has said by then.
    async fn answers(
        &mut self,
        items: &[&Packets],
        patience: Duration,
        progress: &mut Progress,
    ) -> Result<(), SendError> {
        while !self.owed.is_empty() {
            let line = if progress.items(items).items == 0 {
                timeout(patience, self.output.next()).await
            } else if let Some(line) = self.output.next().now_or_never() {
                Ok(line)
            } else {
                break;
            };
            let left = self.owed.len();
            match line {
                Err(_) => {
                    return Err(SendError::Transient(format!(
                        "no answer within {} s, {left} packets are not taken; the program is ended",
                        patience.as_secs_f32()
                    )));
                }
                Ok(Some(Ok(line))) => match answered(&line, left)? {
                    Answer::Takes(count) => {
                        progress.packets += count;
                        self.owed.drain(..count);
                    }
                    Answer::Refuses(reason) => {
                        progress.refused.insert(progress.packets, reason);
                        progress.packets += 1;
                        self.owed.pop_front();
                    }
                    Answer::Talks => tracing::info!(line, "the program says"),
                },
                Ok(Some(Err(LinesCodecError::MaxLineLengthExceeded))) => {
                    return Err(SendError::Misconfigured(format!(
                        "spec.command: it wrote a line of more than {LINE} bytes; a line is the \
                         number of packets that it has taken"
                    )));
                }
                Ok(Some(Err(LinesCodecError::Io(error)))) => {
                    return Err(SendError::Transient(format!("its output: {error}")));
                }
                Ok(None) => {
                    return Err(SendError::Transient(self.ended().await));
                }
            }
        }
        Ok(())
    }

    /// How it ended, since it has closed its output, with the last that it said.
    async fn ended(&mut self) -> String {
        let status = match timeout(END, self.child.wait()).await {
            Ok(Ok(status)) => format!("the program ended ({status})"),
            Ok(Err(error)) => format!("the program ended: {error}"),
            Err(_) => "the program closed its standard output".to_owned(),
        };
        match timeout(END, &mut self.errors).await {
            Ok(Ok(last)) if !last.is_empty() => format!("{status}: {last}"),
            _ => status,
        }
    }
}

/// Tells packets apart within a process.
fn hash(packet: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    packet.hash(&mut hasher);
    hasher.finish()
}

/// What a line of the program says, when `left` packets are not taken.
fn answered(line: &str, left: usize) -> Result<Answer, SendError> {
    let line = line.trim();
    if let Some(reason) = line.strip_prefix(REFUSED)
        && reason.chars().next().is_none_or(|next| next == ':' || next.is_whitespace())
    {
        let reason = reason.trim_start_matches(':').trim();
        return Ok(Answer::Refuses(format!("the program refuses it: {reason}")));
    }
    match line.parse::<usize>() {
        Ok(taken) if taken <= left => Ok(Answer::Takes(taken)),
        Ok(taken) => Err(SendError::Misconfigured(format!(
            "spec.command: it says that it took {taken} packets, and {left} were left; a line is \
             the number of packets taken since the line before"
        ))),
        Err(_) => Ok(Answer::Talks),
    }
}

/// Logs what the program writes to its standard error; the last line.
async fn listen(mut errors: ChildStderr) -> String {
    let mut last = String::new();
    let mut piece = [0; LINE];
    let mut line = Vec::new();
    while let Ok(read @ 1..) = errors.read(&mut piece).await {
        for part in piece[..read].split_inclusive(|byte| *byte == b'\n') {
            // The rest of a line that is too long is dropped.
            line.extend(part.iter().take(LINE.saturating_sub(line.len())));
            if part.ends_with(b"\n") {
                let said = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                tracing::info!(line = said, "the program's standard error");
                last = said;
            }
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::{Answer, answered};

    #[test]
    fn g06_a_line_is_a_count_or_a_refusal_and_anything_else_is_only_logged() {
        let said = |line| answered(line, 5).ok();
        assert_eq!(said(" 3 "), Some(Answer::Takes(3)));
        assert_eq!(said("0"), Some(Answer::Takes(0)));
        for talk in ["hello", "refusedly", "-1", ""] {
            assert_eq!(said(talk), Some(Answer::Talks), "{talk}");
        }
        assert_eq!(said("6"), None);
        let refuses =
            |reason: &str| Some(Answer::Refuses(format!("the program refuses it: {reason}")));
        assert_eq!(said("refused: no such builder"), refuses("no such builder"));
        assert_eq!(said("refused"), refuses(""));
    }
}
