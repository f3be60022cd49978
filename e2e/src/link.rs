//! A way to a server that can be cut, held up, closed and opened: a TCP proxy.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// How a way is at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Open,
    /// Bytes wait; connections stay.
    Stalled,
}

/// How often connections were cut, and how the last time.
#[derive(Clone, Copy, Debug, Default)]
struct Cuts {
    count: u64,
    /// Without a word that would be said again: a reset, once.
    silently: bool,
}

/// Stands before a server on loopback.
#[derive(Debug)]
pub struct Link {
    port: u16,
    target: u16,
    cuts: Arc<watch::Sender<Cuts>>,
    flow: Arc<watch::Sender<Flow>>,
    listening: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(task) = self.listening.lock().unwrap().take() {
            task.abort();
        }
    }
}

impl Link {
    /// Forwards a free port to `target`, which need not be there yet.
    pub async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = Self {
            port: listener.local_addr().unwrap().port(),
            target,
            cuts: Arc::new(watch::Sender::new(Cuts::default())),
            flow: Arc::new(watch::Sender::new(Flow::Open)),
            listening: Mutex::new(None),
        };
        link.listen(listener);
        link
    }

    fn listen(&self, listener: TcpListener) {
        let (target, cuts, flow) = (self.target, Arc::clone(&self.cuts), Arc::clone(&self.flow));
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (mut cut, flow) = (cuts.subscribe(), flow.subscribe());
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(("127.0.0.1", target)).await else {
                        return;
                    };
                    let _ = near.set_nodelay(true);
                    let _ = far.set_nodelay(true);
                    tokio::select! {
                        () = both(&mut near, &mut far, flow) => {}
                        _ = cut.changed() => {
                            if cut.borrow().silently {
                                let _ = near.set_zero_linger();
                            }
                        }
                    }
                });
            }
        });
        *self.listening.lock().unwrap() = Some(task);
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts every open connection in the middle of whatever it carries.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts = Cuts { count: cuts.count + 1, silently: false });
    }

    /// Gives every connection up with one reset, which is not repeated if it gets lost.
    pub fn vanish(&self) {
        self.cuts.send_modify(|cuts| *cuts = Cuts { count: cuts.count + 1, silently: true });
    }

    /// Holds up every byte, or lets them go on; connections stay.
    pub fn stall(&self, stall: bool) {
        self.flow.send_replace(if stall { Flow::Stalled } else { Flow::Open });
    }

    /// Takes no new connection; open ones stay.
    pub async fn close(&self) {
        let task = self.listening.lock().unwrap().take();
        if let Some(task) = task {
            task.abort();
            // The port is closed once the task is dropped.
            let _ = task.await;
        }
    }

    /// Cuts every connection and takes no new one, as if the server's process were gone.
    pub async fn refuse(&self) {
        self.close().await;
        self.cut();
    }

    /// Takes connections again.
    pub async fn accept(&self) {
        if self.listening.lock().unwrap().is_some() {
            return;
        }
        // The port may still be on its way to being free.
        for _ in 0..200 {
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", self.port)).await {
                return self.listen(listener);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("port {} is never free again", self.port);
    }
}

async fn both(near: &mut TcpStream, far: &mut TcpStream, flow: watch::Receiver<Flow>) {
    let ((near_in, near_out), (far_in, far_out)) = (near.split(), far.split());
    tokio::join!(carry(near_in, far_out, flow.clone()), carry(far_in, near_out, flow));
}

async fn carry(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut flow: watch::Receiver<Flow>) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count) = from.read(&mut bytes).await {
        if flow.wait_for(|flow| *flow == Flow::Open).await.is_err() {
            return;
        }
        if count == 0 || to.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}
